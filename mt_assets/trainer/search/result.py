"""What a search tells: its progress while it runs, its trials and its winner afterwards."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from mt_assets.trainer.evaluation.delivery import Delivery
from mt_assets.trainer.planning.decision import Decision
from mt_assets.trainer.store.record import Record

StoppedBy = Literal["trials", "timeout", "disabled", "exhausted"]


@dataclass(frozen=True)
class SearchProgress:
    """Where a running search stands.

    Attributes
    ----------
    done, total : int
        Finished trials (of any state) and trials asked for.
    best : float or None
        Best score so far.
    metric : str
    algorithm : str
        Of the trial that just finished.
    seconds_left : float or None
        Estimate from the trials so far, never beyond the deadline; None before the first one.
    state : {"complete", "pruned", "failed"}
        Of the trial that just finished.
    score : float or None
        Its score.
    """

    done: int
    total: int
    best: float | None
    metric: str
    algorithm: str
    seconds_left: float | None
    state: str
    score: float | None = None


class TrialRecord(Record):
    """One trial of a study.

    Attributes
    ----------
    number : int
    state : {"complete", "pruned", "failed"}
    algorithm : str
    params : dict
        Flat, by the algorithm's own names.
    score : float or None
        Mean over the folds that ran (all of them, unless pruned).
    score_std : float or None
    fold_scores : tuple of (float or None)
        None where the metric is undefined on a fold.
    violation : float
        By how much the predictions of all folds together miss the constraints of the goal; 0 where they keep them.
    best_iterations : tuple of int
        One for each fold; empty where the algorithm does not boost.
    seconds : float
        Time spent fitting and predicting, in whichever process that was.
    values : tuple of float
        Mean of every objective, where there are several; empty unless complete.
    start_configuration : bool
        Tried before the search began to propose.
    fold_keys : tuple of str
        Names of the fold results in the cache.
    notes : tuple of str
    error : str or None
        Class and message of what made it fail.
    """

    number: int
    state: Literal["complete", "pruned", "failed"]
    algorithm: str
    params: dict[str, Any]
    score: float | None = None
    score_std: float | None = None
    fold_scores: tuple[float | None, ...] = ()
    violation: float = 0.0
    best_iterations: tuple[int, ...] = ()
    seconds: float = 0.0
    values: tuple[float, ...] = ()
    start_configuration: bool = False
    fold_keys: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    error: str | None = None


class FoldRows(Record):
    """The rows that fits of one fold were really given, as digests (`rows_digest`).

    Attributes
    ----------
    fold : int
    encoded : str
        Rows that the fold's preprocessor was fitted on.
    fitted : str
        Rows that the estimator was fitted on.
    stopped : str
        Rows that early stopping and the score looked at.
    fits : int
        How many fits these digests stand for.
    """

    fold: int
    encoded: str
    fitted: str
    stopped: str
    fits: int


class StudyResult(Record):
    """A finished search.

    Attributes
    ----------
    study_name, storage : str
        Where Optuna keeps it; passwords are left out.
    metric, direction : str
        Of several objectives the first.
    objectives, directions : tuple of str
        Where several were searched for together; empty otherwise.
    trials : tuple of TrialRecord
    best_number : int
    seconds : float
        Sum over the trials, in whichever process they ran.
    resumed_trials : int
        Trials that were found finished or begun when this run started.
    stopped_by : {"trials", "timeout", "disabled", "exhausted"}
        `exhausted`: every point (of the grid) was tried, and they were fewer than the trials asked for.
    front : tuple of int
        Numbers of the trials that no other beats in every objective; empty with one objective.
    parameter_importance : dict
        Share of the winner's algorithm's parameters in the variation of the score (PED-ANOVA), where it can be told.
    folds_key : str
        Digest of the rows of all folds.
    fold_rows : tuple of FoldRows
    decisions : tuple of Decision
        What was decided by measuring.
    notes : tuple of str
        What a person should know about it.
    """

    filename: ClassVar[str] = "training_history.json"

    study_name: str
    storage: str
    metric: str
    direction: Literal["maximize", "minimize"]
    objectives: tuple[str, ...] = ()
    directions: tuple[Literal["maximize", "minimize"], ...] = ()
    trials: tuple[TrialRecord, ...]
    best_number: int
    seconds: float
    resumed_trials: int
    stopped_by: StoppedBy
    front: tuple[int, ...] = ()
    parameter_importance: dict[str, float] = {}
    folds_key: str
    fold_rows: tuple[FoldRows, ...] = ()
    decisions: tuple[Decision, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def best(self) -> TrialRecord:
        """The winning trial."""
        return next(trial for trial in self.trials if trial.number == self.best_number)


class Member(Record):
    """One candidate of an ensemble.

    Attributes
    ----------
    algorithm : str
    params : dict
        As those of `BestParams`.
    weight : float
        Those of all members sum to 1.
    trial_number : int
    iterations : int or None
        Mean best round, where the algorithm boosts.
    searched : dict
        The trial's own parameters, by which its fold models were fitted.
    fold_keys : tuple of str
        Names of its fold results in the cache.
    refit : bool
        Whether it is fitted once on all learning rows; else it gives its fold models, averaged.
    """

    algorithm: str
    params: dict[str, Any]
    weight: float
    trial_number: int
    iterations: int | None = None
    searched: dict[str, Any]
    fold_keys: tuple[str, ...] = ()
    refit: bool = False

    @property
    def told(self) -> dict[str, Any]:
        """What other programs read of it: algorithm, params, weight."""
        return self.model_dump(include={"algorithm", "params", "weight"})


class BestParams(Record):
    """The configuration to train: the best single candidate and, where that is better, an ensemble.

    Attributes
    ----------
    algorithm : str
    params : dict
        Flat; for boosters `n_estimators` is the mean of the folds' best rounds.
    score, score_std : float
        Over the folds.
    trial_number : int
    iterations : int or None
        Mean best round, where the algorithm boosts.
    reason : str
    leaderboard : tuple of dict
        See `selection.leaderboard`.
    delivery : Delivery
        Threshold and calibration, decided from the out-of-fold predictions of what is trained.
    ensemble : tuple of Member
        What is trained in place of the single candidate, the heaviest first; empty where there is none.
    ensemble_score : float or None
        Its score over the folds; like those of trials a little too good, as it was selected on the same rows.
    decisions : tuple of Decision
        Whether the ensemble was kept, and why.
    """

    filename: ClassVar[str] = "best_params.json"

    algorithm: str
    params: dict[str, Any]
    score: float
    score_std: float | None = None
    trial_number: int
    iterations: int | None = None
    reason: str
    leaderboard: tuple[dict[str, Any], ...] = ()
    delivery: Delivery = Delivery()
    ensemble: tuple[Member, ...] = ()
    ensemble_score: float | None = None
    decisions: tuple[Decision, ...] = ()

    @property
    def trained_as(self) -> str:
        """The algorithm of the model, or `ensemble`."""
        return "ensemble" if self.ensemble else self.algorithm

    @property
    def told(self) -> dict[str, Any]:
        """What other programs read: the single candidate's parameters, flat, and the members of an ensemble."""
        members = [member.told for member in self.ensemble]
        return {**self.params, "ensemble": members} if members else dict(self.params)

    def delivering(self, delivery: Delivery) -> BestParams:
        """The same with what was decided about threshold and calibration."""
        return self.model_copy(update={"delivery": delivery})

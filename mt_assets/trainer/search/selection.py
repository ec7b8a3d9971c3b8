"""Who won: the best trial, the leaderboard, and what the best predicted out of fold."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np

from mt_assets.trainer.algorithms.registry import learner
from mt_assets.trainer.data.splits import Splits
from mt_assets.trainer.errors import TrainingError
from mt_assets.trainer.evaluation.predictions import FoldPrediction
from mt_assets.trainer.planning.plan import TrainingPlan
from mt_assets.trainer.search.candidate import FoldCache
from mt_assets.trainer.search.pareto import Directions, distances, pareto_front
from mt_assets.trainer.search.result import BestParams, StudyResult, TrialRecord

FOLDS_FOLDER: Final = "folds"
"""Where fold results lie in a search's folder."""


def select_best(study: StudyResult, plan: TrainingPlan) -> BestParams:
    """Pick the candidate to train: the best mean score; of equal ones the earliest.

    Of several objectives the compromise nearest to the ideal point is taken, see `pareto`.
    One that keeps the constraints comes before all that do not, and of those the one that misses them by the least.
    """
    best = study.best
    board = leaderboard(study)
    iterations = round(float(np.mean(best.best_iterations))) if best.best_iterations else None
    assert best.score is not None
    complete = sum(trial.state == "complete" for trial in study.trials)
    of = f"{complete} complete trials" if complete > 1 else "the only complete trial"
    if study.stopped_by == "disabled":
        one = "the start configuration" if complete == 1 else f"{complete} start configurations"
        of = f"{one}, without a search"
    ahead = ""
    if len(board) > 1:
        ahead = f"; next comes {learner(board[1]['algorithm'], plan.task).display} with {board[1]['score']:.4g}"
    constrained = ""
    if plan.constraints:
        feasible = sum(trial.state == "complete" and not trial.violation for trial in study.trials)
        constrained = f" The constraints are kept out of fold by {feasible} of {complete}."
        if best.violation:
            constrained = " None keeps the constraints out of fold; this one comes closest."
    at = " (each fold at its own best threshold)" if plan.threshold == "tuned" else ""
    return BestParams(
        algorithm=best.algorithm,
        params=learner(best.algorithm, plan.task).with_iterations(best.params, iterations),
        score=best.score,
        score_std=best.score_std,
        trial_number=best.number,
        iterations=iterations,
        reason=_compromise(study)
        if study.front
        else f"Best {plan.metric}{at} of {of}: {best.score:.4g}{ahead}.{constrained}",
        leaderboard=tuple(board),
    )


def _compromise(study: StudyResult) -> str:
    values = ", ".join(f"{name} {value:.4g}" for name, value in zip(study.objectives, study.best.values, strict=True))
    many = len(study.front)
    of = f"the {many} trials that no other beats in every objective" if many > 1 else "all trials, which it dominates"
    return (
        f"Nearest of {of} to the best of each ({values}), every objective scaled to its range over them (compromise "
        "programming)."
    )


def leaderboard(study: StudyResult) -> list[dict[str, Any]]:
    """The best trial of each algorithm, best first.

    Returns
    -------
    list of dict
        algorithm, score, score_std, trial (its number), trials (of that algorithm), seconds (of all of them). Of
        several objectives score is the first; each stands by its name as well, and the order is by `distance` to the
        ideal point.
    """
    complete = [trial for trial in study.trials if trial.state == "complete"]
    best: dict[str, TrialRecord] = {}
    for trial in ranked(complete, study.directions or (study.direction,)):
        best.setdefault(trial.algorithm, trial)
    board = [_board_row(trial, study) for trial in best.values()]
    if study.front:
        far = dict(zip([trial.number for trial in complete], distances(complete, study.directions), strict=True))
        for row, trial in zip(board, best.values(), strict=True):
            row |= {**dict(zip(study.objectives, trial.values, strict=True)), "distance": float(far[trial.number])}
    return board


def front_table(study: StudyResult) -> list[dict[str, Any]]:
    """The trials on the Pareto front, nearest to the ideal point first.

    Returns
    -------
    list of dict
        trial (its number), algorithm, every objective by its name, distance, chosen; empty with one objective.
    """
    complete = [trial for trial in study.trials if trial.state == "complete"]
    if not study.front:
        return []
    far = dict(zip([trial.number for trial in complete], distances(complete, study.directions), strict=True))
    return [
        {
            "trial": trial.number,
            "algorithm": trial.algorithm,
            **dict(zip(study.objectives, trial.values, strict=True)),
            "distance": float(far[trial.number]),
            "chosen": trial.number == study.best_number,
        }
        for trial in ranked(complete, study.directions)
        if trial.number in study.front
    ]


def fold_predictions(
    study: StudyResult, folder: Path, splits: Splits, number: int | None = None
) -> tuple[FoldPrediction, ...]:
    """What a trial predicted for the validation rows of its folds.

    Parameters
    ----------
    study : StudyResult
    folder : pathlib.Path
        That of the search.
    splits : Splits
        Those that the search was run with.
    number : int, optional
        Of the trial; the best one by default.

    Raises
    ------
    TrainingError
        When a fold's file is gone.
    """
    cache = FoldCache(folder / FOLDS_FOLDER)
    trial = study.best if number is None else next(each for each in study.trials if each.number == number)
    predictions = []
    for fold, key in enumerate(trial.fold_keys):
        result = cache.get(key)
        if result is None:
            raise TrainingError(
                f"The result of trial {trial.number} on fold {fold} is not in {cache.folder} any more, or damaged.",
                suggestions=("Run the same command again: it fits what is missing, and keeps the rest.",),
                cause="damaged_state",
            )
        rows = np.sort(splits.folds[fold].validation)
        predictions.append(FoldPrediction(fold=fold, positions=rows, prediction=result.prediction))
    return tuple(predictions)


def _rank(trial: TrialRecord, direction: str) -> tuple[float, float, int]:
    assert trial.score is not None
    return (trial.violation, -trial.score if direction == "maximize" else trial.score, trial.number)


def ranked(trials: list[TrialRecord], directions: Directions) -> list[TrialRecord]:
    """Complete trials, the best first.

    The one that misses the constraints by the least, of those the one with the best score, then the earliest. Of
    several objectives the one nearest to the ideal point; of equally near ones those on the front (a lead that is lost
    in rounding still dominates), then the earliest.
    """
    if len(directions) == 1:
        return sorted(trials, key=lambda trial: _rank(trial, directions[0]))
    front = set(pareto_front(trials, directions))
    far = zip(distances(trials, directions), trials, strict=True)
    return [trial for _, trial in sorted(far, key=lambda pair: (pair[0], pair[1].number not in front))]


def _board_row(trial: TrialRecord, study: StudyResult) -> dict[str, Any]:
    same = [each for each in study.trials if each.algorithm == trial.algorithm]
    return {
        "algorithm": trial.algorithm,
        "score": trial.score,
        "score_std": trial.score_std,
        "trial": trial.number,
        "trials": len(same),
        "seconds": sum(each.seconds for each in same),
    }

"""From a finished search to the ensemble: which trials it is made of, whether it is kept, and what it predicts.

What belongs here: candidates of the selection, the verdict on it, and out-of-fold predictions of what was chosen. What
does not: how members are selected (`selection`), and the estimator that they become (`final`).
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from mt_assets.trainer.algorithms.registry import learner
from mt_assets.trainer.clock import QUICK_FINAL
from mt_assets.trainer.data.profile import DataProfile
from mt_assets.trainer.data.splits import Splits
from mt_assets.trainer.data.table import Table
from mt_assets.trainer.ensemble.selection import Judge, affordable, blend, cross_fitted, select, standing, within
from mt_assets.trainer.evaluation.goal import Goal, Standing
from mt_assets.trainer.evaluation.predictions import FoldPrediction, fold_truth
from mt_assets.trainer.planning.decision import Decision
from mt_assets.trainer.planning.plan import TrainingPlan
from mt_assets.trainer.search.candidate import FoldCache
from mt_assets.trainer.search.final_cost import FinalCost
from mt_assets.trainer.search.result import BestParams, Member, StudyResult, TrialRecord
from mt_assets.trainer.search.selection import FOLDS_FOLDER, fold_predictions, ranked


def with_ensemble(
    best: BestParams,
    study: StudyResult,
    plan: TrainingPlan,
    table: Table,
    profile: DataProfile,
    splits: Splits,
    folder: Path,
    deadline: float | None = None,
) -> BestParams:
    """The choice with an ensemble of the search's candidates, where the plan wants one and it is better.

    It is kept only when it beats the best single candidate out of fold, and does so as well halfway between that and
    what comes out when both, weights and best single candidate, are selected for each fold on the other folds: what was
    selected on a row looks too good on it, and what was selected on fewer rows is not as good. (By the latter alone it
    is chance that decides: on 17 tables, of the ensembles that were given up by some folds no fewer were better on the
    others than of those that were kept.)

    Parameters
    ----------
    best : BestParams
        The single candidate.
    study, plan, table, profile, splits
        Of the same run. Only learning rows are read.
    folder : pathlib.Path
        That of the search.
    deadline : float, optional
        By `time.monotonic()`, for fitting it and predicting with it: members for which there is no time are left out.
    """
    if not plan.ensemble:
        return best
    goal = Goal.of(plan, profile.target.positive)
    of_best = next(trial for trial in study.trials if trial.number == best.trial_number)
    y, parts = _judged(of_best, table, profile, splits)
    shape = (len(y), len(profile.target.classes)) if profile.target.classes else (len(y),)
    most, rounds = affordable(goal, shape, plan.ensemble_rounds)
    shortlist, cache = _shortlist(study, of_best, most), FoldCache(folder / FOLDS_FOLDER)
    contenders = _contenders(shortlist, cache, FinalCost.of(plan, splits), deadline)
    predictions = [each.prediction for each in contenders]
    if len(contenders) < 2:
        told = _told(False, "ensemble.alone", "There is one candidate to choose from.", {})
        return best.model_copy(update={"decisions": (told,)})
    judge = Judge(y, predictions, goal, parts)
    wanted = select(judge, rounds)
    weights = within(wanted, np.array([each.cost for each in contenders]), _seconds_to(deadline, contenders[0].alone))
    ours, scores = standing(goal, y, blend(predictions, weights), parts)
    # One round of the selection picks the best single candidate.
    fair, alone = (
        standing(goal, y, cross_fitted(judge, predictions, most, plan.seed), parts)[0] for most in (rounds, 1)
    )
    single = Standing(best.score, of_best.violation, ours.threshold)
    evidence = {
        "metric": plan.metric,
        "candidates": len(contenders),
        "ensemble": ours.score,
        "single": best.score,
        "ensemble_cross_fitted": fair.score,
        "single_cross_fitted": alone.score,
    }
    better = goal.better(ours, single) and goal.better(_halfway(ours, fair), _halfway(single, alone))
    if int((weights > 0).sum()) < 2 or not better:
        reason = f"An ensemble does not beat the best single candidate: {_figures(evidence)}."
        return best.model_copy(update={"decisions": (_told(False, "ensemble.not_better", reason, evidence),)})
    members, kept = _members(contenders, weights, plan.task, _seconds_to(deadline))
    slow = int(((wanted > 0) & (weights == 0)).sum())
    reason = f"It beats the best single candidate out of fold: {_figures(evidence)}."
    reason += _told_of_time(members, slow, kept, len(of_best.fold_keys))
    std = float(scores.std()) if len(scores) > 1 else None
    return best.model_copy(
        update={
            "ensemble": tuple(members),
            "ensemble_score": ours.score,
            "decisions": (_told(True, "ensemble.better", reason, evidence),),
            "leaderboard": (_board_row(members, ours.score, std), *best.leaderboard),
        }
    )


def out_of_fold(best: BestParams, study: StudyResult, folder: Path, splits: Splits) -> tuple[FoldPrediction, ...]:
    """What the choice, one candidate or an ensemble, predicted for the validation rows of each fold.

    Raises
    ------
    TrainingError
        When a fold's file is gone.
    """
    if not best.ensemble:
        return fold_predictions(study, folder, splits, best.trial_number)
    weights = np.array([member.weight for member in best.ensemble])
    of_members = [fold_predictions(study, folder, splits, member.trial_number) for member in best.ensemble]
    return tuple(
        FoldPrediction(same[0].fold, same[0].positions, blend([each.prediction for each in same], weights))
        for same in zip(*of_members, strict=True)
    )


def _judged(
    best: TrialRecord, table: Table, profile: DataProfile, splits: Splits
) -> tuple[np.ndarray, list[np.ndarray]]:
    """The truth of the validation rows that the best trial was judged on, [n], and which of them are scored together:
    a fold's."""
    positions = [np.sort(fold.validation) for fold in splits.folds[: len(best.fold_keys)]]
    y = np.concatenate(fold_truth(table, profile, splits, len(positions)))
    if splits.strategy == "leave_one_out":  # all together, as in the search
        return y, [np.arange(len(y))]
    ends = np.cumsum([len(rows) for rows in positions])
    return y, [np.arange(end - len(rows), end) for rows, end in zip(positions, ends, strict=True)]


def _shortlist(study: StudyResult, best: TrialRecord, most: int) -> list[TrialRecord]:
    """The trials to select from, the best first: half of the places shared by the algorithms, the others by score."""
    complete = [trial for trial in study.trials if trial.state == "complete"]
    order = [best, *(each for each in ranked(complete, (study.direction,)) if each.number != best.number)]
    share = max(1, most // (2 * len({trial.algorithm for trial in order})))
    seen: Counter[str] = Counter()
    beyond: dict[int, bool] = {}
    for trial in order:
        beyond[trial.number] = seen[trial.algorithm] >= share
        seen[trial.algorithm] += 1
    chosen = {trial.number for trial in sorted(order, key=lambda trial: beyond[trial.number])[:most]}
    return [trial for trial in order if trial.number in chosen]


def _seconds_to(deadline: float | None, alone: float = 0.0) -> float | None:
    """What is left; for an ensemble at least what the best candidate takes alone, which it would take in any case."""
    return None if deadline is None else max(deadline - time.monotonic(), QUICK_FINAL, alone)


def _halfway(one: Standing, other: Standing) -> Standing:
    return Standing((one.score + other.score) / 2, max(one.violation, other.violation), one.threshold)


def _figures(evidence: dict[str, Any]) -> str:
    """What the verdict rests on, in words."""
    return (
        "{metric} {ensemble:.4g} against {single:.4g}, and {ensemble_cross_fitted:.4g} against"
        " {single_cross_fitted:.4g} where both are selected on other folds than those that they are scored on; halfway"
        " counts"
    ).format_map(evidence)


def _told_of_time(members: Sequence[Member], slow: int, kept: int, folds: int) -> str:
    """What there was no time for: so many members, and so many more to be fitted on all rows."""
    told = ""
    if slow:
        told += f" There is no time to fit and to predict with {slow} more of its members, which are left out."
    if kept:
        told += (
            f" There is time to fit {sum(member.refit for member in members)} of its {len(members)} members once on all"
            f" learning rows, and {kept} keep the models of {folds} of the folds."
        )
    return told


MEMBER_SHARE: Final = 0.75
"""Of the time for an ensemble, that one member may take at most; the best candidate may take all. With half of it
there was no room for 100 extra trees on the 5,000 rows of `wine_quality`, a quarter of which repeat others: log-loss
.90 in 60 s, and with them .77."""


@dataclass(frozen=True, eq=False)
class _Contender:
    """A trial that may become a member.

    Attributes
    ----------
    trial : TrialRecord
    prediction : ndarray [n, k] or [n]
        For the validation rows, fold after fold.
    cost : float
        Seconds, as a member.
    refit : float or None
        How many more it costs to fit it once on all learning rows, while others are; None where that is no better.
    alone : float
        How long that takes.
    """

    trial: TrialRecord
    prediction: np.ndarray
    cost: float
    refit: float | None
    alone: float


def _contenders(
    trials: Sequence[TrialRecord], cache: FoldCache, cost: FinalCost, deadline: float | None
) -> list[_Contender]:
    """Without those whose files are gone, and those that are too slow for the seconds that there are."""
    found: list[_Contender] = []
    seconds = _seconds_to(deadline)
    for trial in trials:
        folds = [fold for fold in map(cache.get, trial.fold_keys) if fold is not None]
        if len(folds) < len(trial.fold_keys):
            continue
        alone = cost.single(folds)
        if trial is trials[0]:
            seconds = _seconds_to(deadline, alone)
        needed = cost.member(folds)
        if seconds is None or needed <= MEMBER_SHARE * seconds or trial is trials[0]:
            refit = max(cost.refitted(folds) - needed, 0.0) if cost.better_refitted(len(folds)) else None
            prediction = np.concatenate([fold.prediction for fold in folds])
            found.append(_Contender(trial, prediction, needed, refit, alone))
    return found


def _refitted(members: Sequence[_Contender], weights: np.ndarray, seconds: float | None) -> list[bool]:
    """Which of the members are fitted once on all learning rows: those that weigh most for what it costs, as far as
    there is time."""
    seconds = np.inf if seconds is None else seconds
    left = seconds - sum(each.cost for each in members)
    again = [False] * len(members)
    costs = {at: each.refit for at, each in enumerate(members) if each.refit is not None}
    for at, cost in sorted(costs.items(), key=lambda item: item[1] / weights[item[0]]):
        if not cost or (cost <= left and members[at].alone <= seconds):  # nothing more where it has to be in any case
            again[at] = True
            left -= cost
    return again


def _members(
    contenders: Sequence[_Contender], weights: np.ndarray, task: str, seconds: float | None
) -> tuple[list[Member], int]:
    """Those that have a weight, the largest first, and how many of them there is no time to fit on all learning rows
    though they would be better so."""
    order = [int(at) for at in np.argsort(-weights, kind="stable") if weights[at] > 0]
    chosen = [contenders[at] for at in order]
    again = _refitted(chosen, weights[order], seconds)
    members = [
        _member(each.trial, float(weights[at]), task, refit=refit)
        for at, each, refit in zip(order, chosen, again, strict=True)
    ]
    return members, sum(each.refit is not None for each in chosen) - sum(again)


def _member(trial: TrialRecord, weight: float, task: str, *, refit: bool) -> Member:
    iterations = round(float(np.mean(trial.best_iterations))) if trial.best_iterations else None
    return Member(
        algorithm=trial.algorithm,
        params=learner(trial.algorithm, task).with_iterations(trial.params, iterations),
        weight=weight,
        trial_number=trial.number,
        iterations=iterations,
        searched=trial.params,
        fold_keys=trial.fold_keys,
        refit=refit,
    )


def _told(value: bool, rule: str, reason: str, evidence: dict[str, Any]) -> Decision:
    return Decision(
        decision="ensemble_kept", value=value, rule=rule, reason=reason, evidence=evidence, override="options.ensemble"
    )


def _board_row(members: Sequence[Member], score: float, std: float | None) -> dict[str, Any]:
    """The ensemble among the algorithms; it has no trials of its own."""
    return {
        "algorithm": "ensemble",
        "score": score,
        "score_std": std,
        "trial": None,
        "trials": 0,
        "seconds": 0.0,
        "members": len(members),
    }

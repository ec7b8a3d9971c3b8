"""The verdict about a new model, put together from gates, comparison and guards."""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
import numpy.typing as npt

from mt_assets.spec import TrainingSpec
from mt_assets.trainer.errors import TrainingError
from mt_assets.trainer.evaluation.groups import Grouping
from mt_assets.trainer.evaluation.metrics import Terms
from mt_assets.trainer.promotion.comparison import ChampionView, Comparison, Contest, compare
from mt_assets.trainer.promotion.fairness import FairnessComparison, compare_fairness
from mt_assets.trainer.promotion.gates import GateVerdict
from mt_assets.trainer.promotion.segments import SegmentComparison, compare_segments
from mt_assets.trainer.store.record import Record

if TYPE_CHECKING:  # it brings estimator libraries along, and the decision is read where those are not wanted
    from mt_assets.trainer.planning.plan import TrainingPlan

Verdict = Literal["promoted", "kept_challenger", "first", "rejected_gates", "awaiting_approval"]


class PromotionDecision(Record):
    """The verdict about a new model, with everything that it rests on.

    Attributes
    ----------
    verdict : {"promoted", "kept_challenger", "first", "rejected_gates", "awaiting_approval"}
        `promoted` and `first` make the new model the champion; `awaiting_approval` does when a person agrees.
    reason : str
        For a person, in a sentence or a few.
    gates : tuple of GateVerdict
    comparison : Comparison or None
        None where none was possible or needed.
    segments : tuple of SegmentComparison
        The same in parts of the test rows; empty where there is no comparison.
    fairness : tuple of FairnessComparison
        How unequally both treat the groups of sensitive columns.
    challenger_version : int
    champion_version : int or None
        The champion that it was compared with.
    margin, confidence : float or None
        None where nothing was compared.
    test_rows : int
    test_digest : str
        Identity of the set of test rows.
    times_test_rows_used : int
        How many decisions in a row, this one included, rest on the same test rows. The more often, the more the
        winner owes to luck.
    """

    filename: ClassVar[str] = "promotion_decision.json"

    verdict: Verdict
    reason: str
    gates: tuple[GateVerdict, ...]
    comparison: Comparison | None
    segments: tuple[SegmentComparison, ...] = ()
    fairness: tuple[FairnessComparison, ...] = ()
    challenger_version: int
    champion_version: int | None
    margin: float | None
    confidence: float | None
    test_rows: int
    test_digest: str
    times_test_rows_used: int

    @property
    def takes_over(self) -> bool:
        """Whether the new model becomes the champion."""
        return self.verdict in ("promoted", "first")


def rows_digest(identities: npt.NDArray[np.uint64]) -> str:
    """Identity of a set of rows, whatever their order; of no rows it is empty."""
    return sha256(np.sort(identities).astype("<u8").tobytes()).hexdigest() if len(identities) else ""


def decide_promotion(
    *,
    plan: "TrainingPlan",
    spec: TrainingSpec,
    gates: tuple[GateVerdict, ...],
    y_test: npt.NDArray,
    challenger_prediction: npt.NDArray[np.floating],
    positive: int | None,
    challenger_version: int,
    champion: ChampionView | None,
    threshold: float = 0.5,
    test_digest: str = "",
    previous: PromotionDecision | None = None,
    groupings: Sequence[Grouping] = (),
    clusters: npt.NDArray[np.int64] | None = None,
) -> PromotionDecision:
    """Decide whether the new model becomes the champion.

    A model that misses a gate never does. The first that passes all does. Every other has to be not worse than the
    champion by more than the margin, on the same test rows, clearly worse in no segment, and no more unequal to groups.
    With `promotion.approval: manual` a person has the last word.

    Parameters
    ----------
    plan : TrainingPlan
    spec : TrainingSpec
    gates : tuple of GateVerdict
        From `evaluate_gates`.
    y_test : ndarray [n]
        Class codes or values of the test rows; may be empty.
    challenger_prediction : ndarray [n, k] or [n]
    positive : int or None
        Code of the positive class where there are two.
    challenger_version : int
    champion : ChampionView or None
        None where there is no champion yet.
    threshold : float
        By which the new model labels rows of two classes.
    test_digest : str
        Identity of the test rows, see `rows_digest`.
    previous : PromotionDecision or None
        The decision before this one, to count how often the same test rows have decided.
    groupings : sequence of Grouping
        Of the test rows, see `segments.choose_groupings`.
    clusters : ndarray [n], optional
        See `Contest`.

    Raises
    ------
    ValueError
        The champion was trained on some of the test rows.
    """
    if champion is not None and champion.trained_on_test_rows:
        raise ValueError(f"champion {champion.version} was trained on {champion.trained_on_test_rows} of the test rows")
    reused = previous is not None and test_digest and previous.test_digest == test_digest
    meeting = None
    if champion is not None:
        contest = _contest(plan, spec, y_test, challenger_prediction, positive, champion, threshold, clusters)
        meeting = contest if isinstance(contest, str) else _meet(contest, plan, spec, groupings)
    found = meeting if isinstance(meeting, Meeting) else Meeting()
    verdict, reason = _settle(spec, gates, champion, meeting)
    times = previous.times_test_rows_used + 1 if previous and reused else 1
    if times > 1 and found.comparison:
        reason += f" The same test rows have now decided {times} times in a row; the more often, the more is luck."
    if verdict in ("promoted", "first") and spec.promotion.approval == "manual":
        verdict = "awaiting_approval"
        reason += f" It waits for a person's approval: `mt-assets approve {spec.name}`, or the job {spec.name}_approve."
    return PromotionDecision(
        verdict=verdict,
        reason=reason,
        gates=gates,
        comparison=found.comparison,
        segments=found.segments,
        fairness=found.fairness,
        challenger_version=challenger_version,
        champion_version=champion.version if champion else None,
        margin=found.comparison.margin if found.comparison else None,
        confidence=found.comparison.confidence if found.comparison else None,
        test_rows=len(y_test),
        test_digest=test_digest,
        times_test_rows_used=times,
    )


@dataclass(frozen=True)
class Meeting:
    """What came of challenger and champion on the same rows."""

    comparison: Comparison | None = None
    segments: tuple[SegmentComparison, ...] = ()
    fairness: tuple[FairnessComparison, ...] = ()


def _contest(
    plan: "TrainingPlan",
    spec: TrainingSpec,
    y_test: npt.NDArray,
    challenger_prediction: npt.NDArray[np.floating],
    positive: int | None,
    champion: ChampionView,
    threshold: float,
    clusters: npt.NDArray[np.int64] | None,
) -> Contest | str:
    """The two models on the test rows, or why they cannot meet."""
    if not len(y_test):
        return "there are no test rows to compare them on (`testSize` is 0, or the champion was trained on all of them)"
    if champion.obstacle:
        return champion.obstacle
    if champion.prediction.shape != challenger_prediction.shape:
        return "its predictions do not match the new model's (other classes or rows)"
    if challenger_prediction.ndim == 2 and len(np.unique(y_test)) < 2:
        return "the test rows hold one class alone"
    terms = Terms(beta=plan.beta, costs=plan.costs)
    return Contest(
        challenger_prediction,
        champion.prediction,
        y_test,
        spec.promotion.metric or plan.metric,
        positive,
        (terms.at(threshold), terms.at(champion.threshold)),
        clusters,
    )


def _meet(contest: Contest, plan: "TrainingPlan", spec: TrainingSpec, groupings: Sequence[Grouping]) -> Meeting | str:
    """Compare the models on all rows, in segments and in groups, or say why they cannot be compared."""
    asked = spec.promotion
    try:
        comparison = compare(contest, margin=asked.margin, confidence=asked.confidence, seed=plan.seed)
    except TrainingError as error:
        return f"the comparison failed: {error.message}"
    sensitive = [grouping for grouping in groupings if grouping.column in spec.sensitive_columns]
    return Meeting(
        comparison,
        compare_segments(
            contest,
            groupings,
            least=asked.min_segment,
            margin=asked.margin,
            confidence=asked.confidence,
            seed=plan.seed,
        ),
        compare_fairness(contest, sensitive, least=asked.min_segment, confidence=asked.confidence, seed=plan.seed),
    )


def _settle(
    spec: TrainingSpec, gates: tuple[GateVerdict, ...], champion: ChampionView | None, meeting: Meeting | str | None
) -> tuple[Verdict, str]:
    missed = [gate for gate in gates if not gate.passed]
    if missed:
        named = "; ".join(f"{gate.gate}: {gate.reason}" for gate in missed)
        return "rejected_gates", f"{len(missed)} of {len(gates)} quality gates missed. {named}"
    if champion is None:
        passed = "and passes every quality gate" if gates else "and no quality gate is set"
        becomes = "becomes" if spec.promotion.approval == "auto" else "may become"
        return "first", f"It is the first model of this name {passed}, so it {becomes} the champion."
    if not isinstance(meeting, Meeting) or meeting.comparison is None:
        return "kept_challenger", f"It cannot be compared with champion {champion.version}: {meeting}."
    not_worse, reason = _on_all_rows(meeting.comparison, champion.version)
    if not not_worse:
        return "kept_challenger", reason
    guards = [text for text in (_in_segments(meeting.segments), _between_groups(meeting.fairness)) if text]
    return ("kept_challenger" if guards else "promoted"), " ".join([reason, *guards])


def _on_all_rows(comparison: Comparison, champion: int) -> tuple[bool, str]:
    word = "better" if comparison.difference >= 0 else "worse"
    found = (
        f"On {comparison.rows:,} test rows its {comparison.metric} is {comparison.challenger:.4g} against "
        f"{comparison.champion:.4g} of champion {champion}: {word} by {abs(comparison.difference):.4g}, and "
        f"with {comparison.confidence:.0%} confidence"
    )
    worst = f"{max(0.0, -comparison.lower):.4g}"
    if comparison.not_worse:
        return True, f"{found} worse by no more than {worst} (margin {comparison.margin:.4g})."
    return False, f"{found} it could be worse by {worst}, which is more than the margin of {comparison.margin:.4g}."


def _in_segments(segments: tuple[SegmentComparison, ...]) -> str:
    """Why segments stop the promotion; empty where none does."""
    worse = [each for each in segments if each.worse]
    named = "; ".join(
        f"{each.column} {each.segment} ({each.challenger:.4g} against {each.champion:.4g} on {each.rows:,} rows)"
        for each in worse
    )
    judged = sum(not each.note for each in segments)
    return f"But it is clearly worse in {len(worse)} of {judged} segments: {named}." if worse else ""


def _between_groups(fairness: tuple[FairnessComparison, ...]) -> str:
    """Why fairness stops the promotion; empty where it does not."""
    worse = [
        f"{each.figure.replace('_', ' ')} by {each.column} is {each.challenger:.3g} against {each.champion:.3g}, "
        f"larger by at least {each.lower:.3g} with confidence ({each.allowed:g} is allowed)"
        for each in fairness
        if each.worse
    ]
    return f"But it treats groups more unequally: {'; '.join(worse)}." if worse else ""

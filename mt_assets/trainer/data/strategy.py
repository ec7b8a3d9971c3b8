"""Which validation strategy is used: one table, and what it becomes where the data does not allow what is asked."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mt_assets.trainer.data.choice import Choice, choose
from mt_assets.trainer.planning.decision import Decision

if TYPE_CHECKING:
    from mt_assets.spec import TrainingSpec

SMALL_ROWS = 500
"""Below, one draw of folds is noisy: folds are drawn again (default rules of AutoML benchmarks: 5 to 8 folds, 2 to 3
times, below 500 rows)."""

LARGE_ROWS = 100_000
"""Above, a holdout of some thousand rows ranks candidates as well as folds do, in a fraction of the time."""

SMALL_REPEATS = 2

_OVERRIDE = "validationStrategy.type"


@dataclass(frozen=True)
class SplitFacts:
    """What the strategy is chosen from.

    Attributes
    ----------
    task : str
    rows : int
        Learning rows.
    dated, grouped : bool
    validation_size : float or int or None
        Share or rows of the learning rows that the spec asks for.
    validation_rows : int or None
        Rows that were given for validation.
    folds_asked : bool
        The spec names another number of folds than it would have by itself.
    repeats : int
        How often the spec asks for folds to be drawn; 0 where it does not say.
    shuffled : bool
        Rows may be dealt at random; otherwise nothing can be drawn more than once, and no holdout at all.
    """

    task: str
    rows: int
    dated: bool
    grouped: bool
    validation_size: float | int | None
    validation_rows: int | None = None
    folds_asked: bool = False
    repeats: int = 0
    shuffled: bool = True


def _classes(facts: SplitFacts) -> bool:
    return facts.task == "classification"


STRATEGY_RULES: tuple[Choice[SplitFacts], ...] = (
    Choice(
        "validation.given",
        "holdout",
        lambda f: f.validation_rows is not None and not f.folds_asked,
        "The rows of validationDataPath take the place of the canonical fold; a type with folds would add more.",
        ("validation_rows",),
    ),
    Choice(
        "validation.asked_size",
        "holdout",
        lambda f: f.validation_size is not None,
        "The spec asks for validation rows of a given size, which one holdout has.",
        ("validation_size",),
    ),
    Choice(
        "validation.time",
        "time_series_split",
        lambda f: f.dated,
        "Rows are ordered in time, so every validation part lies after what it is predicted from.",
        ("dated", "rows"),
    ),
    Choice(
        "validation.groups.classes",
        "stratified_group_kfold",
        lambda f: f.grouped and _classes(f),
        "Groups must not straddle folds, and every fold should have the classes in proportion.",
        ("grouped", "rows"),
    ),
    Choice(
        "validation.groups",
        "group_kfold",
        lambda f: f.grouped,
        "Groups must not straddle folds.",
        ("grouped", "rows"),
    ),
    Choice(
        "validation.asked_repeats.classes",
        "repeated_stratified_kfold",
        lambda f: f.shuffled and f.repeats > 1 and _classes(f),
        "The spec asks for folds that are drawn {facts.repeats} times.",
        ("repeats",),
    ),
    Choice(
        "validation.asked_repeats",
        "repeated_kfold",
        lambda f: f.shuffled and f.repeats > 1,
        "The spec asks for folds that are drawn {facts.repeats} times.",
        ("repeats",),
    ),
    Choice(
        "validation.large",
        "holdout",
        lambda f: f.shuffled and f.rows > LARGE_ROWS,
        "With {facts.rows:,} learning rows one holdout is large enough to rank candidates.",
        ("rows",),
    ),
    Choice(
        "validation.small.classes",
        "repeated_stratified_kfold",
        lambda f: f.shuffled and f.rows < SMALL_ROWS and _classes(f),
        "With {facts.rows:,} learning rows one draw of folds is noisy, so folds are drawn more than once.",
        ("rows",),
    ),
    Choice(
        "validation.small",
        "repeated_kfold",
        lambda f: f.shuffled and f.rows < SMALL_ROWS,
        "With {facts.rows:,} learning rows one draw of folds is noisy, so folds are drawn more than once.",
        ("rows",),
    ),
    Choice(
        "validation.classes",
        "stratified_kfold",
        _classes,
        "Rows are independent, and every fold should have the classes in proportion.",
        ("rows",),
    ),
    Choice(
        "validation.independent",
        "kfold",
        lambda f: True,
        "Rows are independent, and numbers have no classes.",
        ("rows",),
    ),
)
"""The validation table: what is given or asked, before time, before groups, before size; the first row decides."""

_WITH_GROUPS = {
    "stratified_kfold": "stratified_group_kfold",
    "repeated_stratified_kfold": "stratified_group_kfold",
    "kfold": "group_kfold",
    "repeated_kfold": "group_kfold",
    "leave_one_out": "group_kfold",
}
_WITHOUT_CLASSES = {
    "stratified_kfold": "kfold",
    "repeated_stratified_kfold": "repeated_kfold",
    "stratified_group_kfold": "group_kfold",
}


def choose_strategy(spec: "TrainingSpec", facts: SplitFacts) -> Decision:
    """The strategy asked for, as far as the data allows it, or the one that the table gives."""
    asked = spec.validation_strategy.type
    if asked == "auto":
        return choose("validation", STRATEGY_RULES, facts, _OVERRIDE)
    possible: str = asked
    rule, reason = "validation.asked", "The spec asks for it."
    if not _classes(facts) and possible in _WITHOUT_CLASSES:
        possible, rule = _WITHOUT_CLASSES[possible], "validation.no_classes"
        reason = f"The spec asks for {asked}, but a regression has no classes to keep in proportion."
    if facts.dated and possible not in ("time_series_split", "holdout"):
        possible, rule = "time_series_split", "validation.time_kept"
        reason = f"The spec asks for {asked}, but with timeColumn no row may be predicted from later ones."
    elif facts.grouped and possible in _WITH_GROUPS:
        possible, rule = _WITH_GROUPS[possible], "validation.groups_kept"
        reason = f"The spec asks for {asked}, but with groupColumn no group may straddle folds."
    return Decision(
        decision="validation", value=possible, rule=rule, reason=reason, evidence={"asked": asked}, override=_OVERRIDE
    )


def repeats_of(spec: "TrainingSpec", strategy: str) -> int:
    """How often folds are drawn: as asked, twice where nothing is asked; other strategies draw once."""
    if not strategy.startswith("repeated_"):
        return 1
    return spec.validation_strategy.repeats or SMALL_REPEATS


def holdout_share(rows: int, tuning: bool) -> float:
    """Share of the learning rows in a holdout's validation: AutoGluon's curve, doubled (to 0.2 at most) for tuning."""
    share = max(0.1, min(0.2, 500 / rows)) if rows < 5000 else max(0.01, min(0.1, 2500 / rows))
    return min(0.2, 2 * share) if tuning else share

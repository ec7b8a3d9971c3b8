"""What is told of a split: how the test came about, why an earlier one was given up, and what a person should know."""

from typing import TYPE_CHECKING, Any

import numpy as np

from mt_assets.trainer.data.assignment import Fold, Splits
from mt_assets.trainer.data.given import KEYS
from mt_assets.trainer.data.pool import Pool
from mt_assets.trainer.data.profile import DataProfile
from mt_assets.trainer.data.table import Table
from mt_assets.trainer.planning.decision import Decision

if TYPE_CHECKING:
    from mt_assets.spec import TrainingSpec


def test_decision(spec: "TrainingSpec", pool: Pool, in_test: np.ndarray, previous: Splits | None) -> Decision:
    """How the test came about."""
    override, rows = "testSize", int(in_test.sum())
    share = f"{rows:,} of {len(pool):,} rows"
    if spec.test_data_path is not None:
        rule, override = "test.given", KEYS["test"]
        reason = f"The {rows:,} rows of {KEYS['test']} are the test; none are drawn."
    elif not spec.test_size:
        rule, reason = "test.none", "The spec asks for no test rows; the evaluation is out-of-fold."
    elif pool.times is not None:
        rule, reason = "test.newest", f"{share}: the newest by '{spec.time_column}'."
    elif pool.groups is not None:
        rule, reason = "test.groups", f"{share}: whole groups of '{spec.group_column}', so that none is on both sides."
    elif pool.codes is not None:
        rule, reason = "test.classes", f"{share}, drawn within each class by their content and the seed."
    else:
        rule, reason = "test.rows", f"{share}, drawn by their content and the seed."
    evidence: dict[str, Any] = {"rows": len(pool), "test_rows": rows}
    if rule != "test.given":
        evidence["asked"] = spec.test_size
    if previous is not None:
        evidence["new_rows"] = int((~np.isin(pool.identities, previous.identities)).sum())
        if rule != "test.given":
            reason += " What was assigned before stays."
        else:
            learned = previous.identities[previous.learning]
            known = evidence["learned_before"] = int(np.isin(pool.identities[in_test], learned).sum())
            reason += f" {known:,} of them were learned from in the training before." if known else ""
    return Decision(decision="test", value=rows, rule=rule, reason=reason, evidence=evidence, override=override)


def with_folds(strategy: Decision, folds: tuple[Fold, ...], repeats: int) -> Decision:
    """The choice of a strategy, with the folds that came of it."""
    if len(folds) == 1:
        told = f"{len(folds[0].validation):,} rows validate what {len(folds[0].train):,} rows teach."
    else:
        drawn = f", {repeats} draws of {len(folds) // repeats}" if repeats > 1 and len(folds) % repeats == 0 else ""
        told = f"{len(folds)} folds{drawn}."
    evidence = strategy.evidence | {"folds": len(folds)}
    return strategy.model_copy(update={"reason": f"{strategy.reason} {told}", "evidence": evidence})


def unlearned_classes(pool: Pool, in_test: np.ndarray, in_learning: np.ndarray, profile: DataProfile) -> list[str]:
    """A warning where the test has classes that no model can know."""
    if pool.codes is None:
        return []
    counts = np.bincount(pool.codes[in_test], minlength=len(profile.target.classes))
    unknown = sorted(set(np.flatnonzero(counts).tolist()) - set(pool.codes[in_learning].tolist()))
    if not unknown:
        return []
    named = ", ".join(f"{profile.target.classes[code]!r} ({counts[code]} rows)" for code in unknown[:10])
    return [f"Classes that occur among the test rows only: {named}. No model can know them; each row counts as wrong."]


def equal_rows(content: np.ndarray, table: Table, test: np.ndarray, canonical: Fold, learning: np.ndarray) -> list[str]:
    """A warning where given rows stand among the rows that are learned from as well."""
    warnings = []
    for name, given, known in (("test", test, learning), ("validation", canonical.validation, canonical.train)):
        twins = int(np.isin(content[given], content[known]).sum()) if name in table.parts else 0
        if twins:
            warnings.append(
                f"{twins:,} of the {len(given):,} rows of {KEYS[name]} are equal in every column to rows that are "
                f"learned from; where they are the same cases, the {name} flatters the model."
            )
    return warnings


def break_with(previous: Splits | None, unit: str, table: Table) -> list[Decision]:
    """Why nothing that was assigned before can stay; empty where it can."""
    if previous is None:
        return []
    lost = sorted(set(previous.columns) - set(table.columns))
    if not lost and previous.unit == unit:
        return []
    if lost:
        reason = f"The data has lost {', '.join(map(repr, lost[:5]))}, so that rows cannot be recognised."
    else:
        reason = f"Splits are now made by {unit}, before by {previous.unit}."
    return [
        Decision(
            decision="test_redrawn",
            value=True,
            rule="test.redrawn",
            reason=f"{reason} The test is drawn anew, and may hold rows that an earlier model was trained on.",
            evidence={"before": previous.unit, "now": unit, "lost_columns": lost},
            override=_override_of(unit, previous.unit),
        )
    ]


def _override_of(*units: str) -> str:
    """The spec key by which one unit of assignment became another."""
    keys = {KEYS["test"]: KEYS["test"], "group": "groupColumn", "time": "timeColumn"}
    return next((key for unit, key in keys.items() if any(each.startswith(unit) for each in units)), "targetColumn")

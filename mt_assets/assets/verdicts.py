"""Checks as Dagster shows them, and what a failed blocking one does."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import dagster as dg

from mt_assets.assets.metadata import check_metadata
from mt_assets.trainer.checks import Check
from mt_assets.trainer.errors import DataError

if TYPE_CHECKING:
    from mt_assets.spec import TrainingSpec

CHECKS: dict[str, str] = {
    "schema": "The table has the columns and kinds of values that it had at first, or that dataSchema asks for.",
    "target_present": "The target column is there and has values.",
    "no_row_overlap": "No row is in two of train, validation and test.",
    "no_group_overlap": "No group is in two of train, validation and test.",
    "time_order": "Every validation row is later than the rows learned from, and every test row later than both.",
    "fit_on_train_only": "Every fit saw exactly the rows it may see.",
    "near_perfect_feature": "No single column gives the target away.",
    "target_encoded_feature": "No number is the mean target of another column's labels, made from the whole data.",
    "label_shuffle": "With shuffled labels, nothing that is fitted is better than chance.",
    "train_test_shift": "A model cannot tell test rows from training rows.",
    "beats_baseline": "The model is better than a guess from the target alone, by more than the noise.",
    "cv_test_gap": "The test score agrees with cross-validation.",
    "artifact_loads_elsewhere": "A fresh process loads the saved model and repeats its predictions.",
    "quality_gates": "The gates of the spec hold.",
    "tracked": "The tracker has recorded it.",
}
"""Every check of the graph by its fixed name."""


def check_results(
    spec: "TrainingSpec", asset: str, verdicts: Sequence[Check], blocking: Mapping[str, bool]
) -> Iterator[dg.AssetCheckResult]:
    """Give the verdicts as Dagster's results; one that does not block is a warning."""
    for check in verdicts:
        yield dg.AssetCheckResult(
            asset_key=dg.AssetKey([spec.name, asset]),
            check_name=check.name,
            passed=check.passed,
            severity=dg.AssetCheckSeverity.ERROR if blocking[check.name] else dg.AssetCheckSeverity.WARN,
            description=check.message,
            metadata=check_metadata(check),
        )


def stop_if_blocked(spec: "TrainingSpec", verdicts: Sequence[Check], blocking: Mapping[str, bool]) -> None:
    """Raise DataError where a blocking check has failed."""
    failed = [check for check in verdicts if not check.passed and blocking[check.name]]
    if failed:
        names = {check.name for check in failed}
        remedies = TARGET_REMEDY if "target_present" in names else _new_form(spec) if "schema" in names else ()
        raise DataError(" ".join(check.message for check in failed), suggestions=remedies)


TARGET_REMEDY = ("Choose another `targetColumn`, or data in which it is filled.",)


def _new_form(spec: "TrainingSpec") -> tuple[str, ...]:
    """What to do where the data has another form than it should have."""
    if spec.data_schema:
        return (f"Mend the data, or the schema {spec.data_schema}.",)
    return ("Mend the data.", f"If the new form is right, accept it: mt-assets accept-schema {spec.name}")

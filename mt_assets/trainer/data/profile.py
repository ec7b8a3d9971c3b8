"""The table described: what each column is, what is to be predicted, and what a person should know."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from mt_assets.trainer.data.column_facts import ColumnContent, column_content
from mt_assets.trainer.data.frames import as_datetime
from mt_assets.trainer.data.identity import content_hashes
from mt_assets.trainer.data.names import meant
from mt_assets.trainer.data.quality import QualityScore, score_quality
from mt_assets.trainer.data.recommendations import NO_ADVICE, FeatureRecommendations, Transformation, followed
from mt_assets.trainer.data.roles import FEATURE_ROLES, ColumnFacts, Role, infer_role
from mt_assets.trainer.data.sensitive import sensitive_decisions
from mt_assets.trainer.data.table import Table
from mt_assets.trainer.data.target import Label, TargetProfile, describe_target, encode_target
from mt_assets.trainer.errors import DataError
from mt_assets.trainer.forecasting.layout import SeriesLayout
from mt_assets.trainer.planning.decision import Decision
from mt_assets.trainer.store.record import Record

if TYPE_CHECKING:
    from mt_assets.spec import TrainingSpec

__all__ = [
    "ColumnProfile",
    "DataProfile",
    "Label",
    "QualityScore",
    "TargetProfile",
    "encode_target",
    "profile_data",
]

_LONGEST_EXAMPLE = 60


class ColumnProfile(Record):
    """One column: what it holds and what it is used as.

    Attributes
    ----------
    name : str
    dtype : str
        Arrow type.
    role : str
        See `roles.Role`.
    reason : str
        Why that role.
    missing, unique : int
        Rows without a value; different values among the others.
    examples : tuple of str
        Up to five of the commonest values.
    minimum, maximum, mean : float or None
        Of numbers and booleans.
    transform : str or None
        What becomes of the numbers before they are encoded, see `recommendations.Transformation`.
    """

    name: str
    dtype: str
    role: Role
    reason: str
    missing: int
    unique: int
    examples: tuple[str, ...] = ()
    minimum: float | None = None
    maximum: float | None = None
    mean: float | None = None
    transform: Transformation | None = None


class DataProfile(Record):
    """The table described: every column with its role, the target, the quality, and what a person should know."""

    filename = "data_profile.json"

    rows: int
    columns: tuple[ColumnProfile, ...]
    target: TargetProfile
    quality: QualityScore
    warnings: tuple[str, ...] = ()
    decisions: tuple[Decision, ...] = ()
    series: SeriesLayout | None = None
    """Of forecasting; None of a table whose rows are predicted one by one."""
    advice: str = ""
    """Digest of the recommendations that were followed, see `FeatureRecommendations.digest`."""

    @property
    def features(self) -> dict[str, Role]:
        """Usable feature columns in table order, each with its role."""
        return {column.name: column.role for column in self.columns if column.role in FEATURE_ROLES}

    @property
    def transforms(self) -> dict[str, Transformation]:
        """The transformation of each feature that has one."""
        return {column.name: column.transform for column in self.columns if column.transform is not None}


def profile_data(table: Table, spec: "TrainingSpec", advice: FeatureRecommendations = NO_ADVICE) -> DataProfile:
    """Describe a table for the training that a spec asks for.

    Parameters
    ----------
    table : Table
    spec : TrainingSpec
    advice : FeatureRecommendations
        What an exploration step recommends; the spec's own `features` and `featureTypes` win.

    Raises
    ------
    DataError
        A column that the spec or the advice names is not there, the target cannot be learned (see
        `target.describe_target`), a column cannot be what `featureTypes` says, or no usable feature is left.
    """
    _refuse_unknown(table, spec, advice)
    target = describe_target(table, spec)
    contents = [column_content(table, name) for name in table.columns]
    odd = {content.facts.name: content.oddity for content in contents if content.oddity}
    columns = tuple(_describe(content, table, spec, advice) for content in contents)
    content = content_hashes(table)
    duplicates = len(content) - len(np.unique(content))
    by_name = {column.name: column for column in columns}
    sensitive = sensitive_decisions(spec.sensitive_columns, by_name)
    series = None
    if spec.forecasts:
        from mt_assets.trainer.forecasting.hygiene import describe_series

        series = describe_series(table, spec, {each.name: each.role for each in columns if each.role in FEATURE_ROLES})
    quality = score_quality(
        rows=len(table),
        columns=len(columns),
        missing=sum(column.missing for column in columns),
        duplicates=duplicates,
        constants=sum(column.unique <= 1 and not (column.unique and column.missing) for column in columns),
        odd=odd,
    )
    profile = DataProfile(
        rows=len(table),
        columns=columns,
        target=target,
        quality=quality,
        warnings=(
            *_warnings(table, target, columns, duplicates, odd, spec),
            *(each.reason for each in sensitive if each.value == "feature"),
            *(series.warnings() if series else ()),
        ),
        decisions=(*followed(advice, by_name), *sensitive, *(series.decisions if series else ())),
        series=series,
        advice=advice.digest,
    )
    if not profile.features and series is None:
        raise _no_features(profile)
    return profile


def _refuse_unknown(table: Table, spec: "TrainingSpec", advice: FeatureRecommendations) -> None:
    """Refuse names of columns that the data does not have, all of one key at once."""
    named: dict[str, Iterable[str]] = {
        "features": spec.features or (),
        "featureTypes": spec.feature_types,
        "timeColumn": [spec.time_column] if spec.time_column else (),
        "groupColumn": [spec.group_column] if spec.group_column else (),
        "seriesColumn": [spec.series_column] if spec.series_column else (),
        "knownAhead": spec.known_ahead,
        "sensitiveColumns": spec.sensitive_columns,
        "inputs.featureRecommendations (use)": advice.used or (),
        "inputs.featureRecommendations (drop)": advice.dropped,
        "inputs.featureRecommendations (transform)": advice.transformed,
    }
    for key, names in named.items():
        unknown = [name for name in names if name not in table.columns]
        if unknown:
            many = len(unknown) > 1
            raise DataError(
                f"{key} names {', '.join(map(repr, unknown))}, which {'are not columns' if many else 'is no column'} "
                "of the data.",
                suggestions=tuple(f"For '{name}': {meant(name, table.columns)}" for name in unknown[:5]),
            )
    for key, name in {"timeColumn": spec.time_column, "groupColumn": spec.group_column}.items():
        if name == spec.target_column:
            raise DataError(f"{key} is '{name}', which is the target.", suggestions=(f"Name another column in {key}.",))
    if spec.target_column in (*(advice.used or ()), *advice.dropped, *advice.transformed):
        raise DataError(
            f"inputs.featureRecommendations speaks of '{spec.target_column}', which is the target.",
            suggestions=(f"Take '{spec.target_column}' out of the recommendations.",),
        )
    if spec.features and spec.target_column in spec.features:
        raise DataError(
            f"features lists the target '{spec.target_column}'; a model cannot learn from what it is to predict.",
            suggestions=(f"Take '{spec.target_column}' out of features.",),
        )


def _describe(
    content: ColumnContent, table: Table, spec: "TrainingSpec", advice: FeatureRecommendations
) -> ColumnProfile:
    facts = content.facts
    role, reason = _role(facts, table, spec, advice)
    transform = advice.transformed.get(facts.name) if role == "numeric" else None
    if transform and facts.name not in spec.feature_types:
        reason = f"{reason}; {transform.told}"
    else:
        transform = None
    return ColumnProfile(
        name=facts.name,
        dtype=str(table.schema.field(facts.name).type),
        role=role,
        reason=reason,
        missing=facts.missing,
        unique=facts.unique,
        examples=tuple(_shown(value) for value in content.commonest),
        minimum=content.minimum,
        maximum=content.maximum,
        mean=content.mean,
        transform=transform and transform.to,
    )


def _role(facts: ColumnFacts, table: Table, spec: "TrainingSpec", advice: FeatureRecommendations) -> tuple[Role, str]:
    """The role that the spec gives the column, else the advice, else the one that the column itself suggests."""
    named: dict[str | None, tuple[Role, str]] = {
        spec.series_column: ("series", "named as seriesColumn"),
        spec.group_column: ("group", "named as groupColumn"),
        spec.time_column: ("time", "named as timeColumn"),
        spec.target_column: ("target", "named as targetColumn"),
    }
    if facts.name in named:
        return named[facts.name]
    asked = spec.feature_types.get(facts.name)
    if asked in ("id", "drop"):
        return asked, "so typed in featureTypes"
    if spec.features is not None and facts.name not in spec.features:
        return "drop", "not listed in features"
    against = advice.against(facts.name)
    if against and spec.features is None and asked is None:
        return "drop", against
    role, reason = infer_role(facts)
    if role == "constant":
        return role, reason
    if asked:
        _refuse_type(facts, table, asked)
        return asked, "so typed in featureTypes"
    if role == "id" and (spec.features is not None or facts.name in (advice.used or ())):
        # Who lists an id as a feature means it.
        listed = "features" if spec.features is not None else "the recommended columns"
        return "numeric" if facts.kind == "number" else "categorical", f"listed in {listed}"
    return role, reason


def _refuse_type(facts: ColumnFacts, table: Table, asked: str) -> None:
    if facts.kind != "string":
        return
    column = table.frame([facts.name])[facts.name]
    readable = {
        "numeric": lambda: pd.to_numeric(column, errors="coerce").notna().any(),
        "datetime": lambda: as_datetime(column).notna().any(),
    }.get(asked, lambda: True)()
    if not readable:
        raise DataError(
            f"featureTypes says that '{facts.name}' is {asked}, but none of its values can be read so (it holds "
            f"{str(column.dropna().iloc[0])[:_LONGEST_EXAMPLE]!r}).",
            suggestions=(f"Leave '{facts.name}' out of featureTypes, or convert it in the data.",),
        )


def _warnings(
    table: Table,
    target: TargetProfile,
    columns: tuple[ColumnProfile, ...],
    duplicates: int,
    odd: dict[str, str],
    spec: "TrainingSpec",
) -> list[str]:
    found = list(table.notes)
    if target.missing:
        found.append(f"{target.missing:,} of {len(table):,} rows have no '{target.column}' and are not used.")
    if duplicates:
        found.append(f"{duplicates:,} of {len(table):,} rows repeat another row.")
    rare = [f"{label!r} ({count})" for label, count in zip(target.classes, target.counts, strict=True) if count < 10]
    if rare:
        found.append(f"Classes with fewer than 10 rows: {', '.join(rare[:10])}.")
    listed = spec.features or ()
    for column in columns:
        if column.role in ("constant", "id") and not (column.role == "id" and column.name in spec.feature_types):
            known = " although it is listed in features" if column.name in listed else ""
            found.append(f"'{column.name}' is left out{known} ({column.role}): {column.reason}.")
        elif column.role in ("time", "group", "series") and column.name in listed:
            found.append(f"'{column.name}' is left out although it is listed in features: {column.reason}.")
    found.extend(f"'{name}' {why}." for name, why in odd.items())
    if target.column in spec.feature_types:
        found.append(f"featureTypes says nothing about the target '{target.column}'; modelType does.")
    return found


def _no_features(profile: DataProfile) -> DataError:
    others = [column for column in profile.columns if column.role != "target"]
    if others and all(column.role == "constant" for column in others):
        what = "Every feature is constant"
    else:
        what = "No column is left that a model could learn from"
    listed = "; ".join(f"'{column.name}' ({column.role}): {column.reason}" for column in others[:10])
    return DataError(
        f"{what}: {listed or 'the target is the only column'}.",
        suggestions=("Add columns that vary.", "Set featureTypes for a column that is taken for an id wrongly."),
    )


def _shown(value: object) -> str:
    text = f"{value:g}" if isinstance(value, float) else str(value)
    return text if len(text) <= _LONGEST_EXAMPLE else text[: _LONGEST_EXAMPLE - 1] + "…"

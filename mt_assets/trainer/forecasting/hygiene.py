"""Which series a table holds and whether they can be learned from: step, season, horizon, and what is wrong with each.

What belongs here: everything that is decided before a value of the target is looked at, but for whether it is there and
whether rows of one time agree. What does not: how gaps are filled (`preprocessing`), which never looks ahead.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np
import pandas as pd

from mt_assets.trainer.data.choice import Choice, choose
from mt_assets.trainer.errors import DataError
from mt_assets.trainer.forecasting.frequency import Frequency, asked_frequency, inferred_frequency
from mt_assets.trainer.forecasting.layout import SeriesLayout, SeriesTrouble
from mt_assets.trainer.forecasting.rows import local_times, refuse_unread_times, series_labels, zone_of
from mt_assets.trainer.forecasting.troubles import trouble_of
from mt_assets.trainer.planning.decision import Decision

if TYPE_CHECKING:
    from mt_assets.spec import TrainingSpec
    from mt_assets.trainer.data.table import Table

COVARIATE_ROLES: Final = ("numeric", "boolean", "categorical")


@dataclass(frozen=True)
class SeriesFacts:
    """What season, horizon and windows are chosen from.

    Attributes
    ----------
    series : int
    usual_length : int
        Steps that four of five series have at least.
    natural_season : int
        That of the frequency, or as the spec says.
    asked_season, asked_horizon : int or None
    asked_windows : int or None
    gap, horizon, season : int
        As decided so far.
    """

    series: int
    usual_length: int
    natural_season: int
    asked_season: int | None
    asked_horizon: int | None
    asked_windows: int | None
    gap: int
    season: int = 1
    horizon: int = 1

    @property
    def affordable_windows(self) -> int:
        """Origins before each of which there are two seasons, or three horizons where there is no season, to learn."""
        least = max(2 * self.season if self.season > 1 else 3 * self.horizon, self.horizon)
        return max(1, (self.usual_length - least - self.gap) // self.horizon - 1)


SEASON: Final[tuple[Choice[SeriesFacts], ...]] = (
    Choice(
        "season.asked",
        lambda f: f.asked_season,
        lambda f: f.asked_season is not None,
        "The spec says so.",
        ("asked_season",),
    ),
    Choice("season.none", lambda f: 1, lambda f: f.natural_season == 1, "No season is usual at this step."),
    Choice(
        "season.short",
        lambda f: 1,
        lambda f: f.usual_length < 2 * f.natural_season,
        "The series ({facts.usual_length} steps) are shorter than two seasons of {facts.natural_season} steps.",
        ("usual_length", "natural_season"),
    ),
    Choice(
        "season.frequency",
        lambda f: f.natural_season,
        lambda f: True,
        "The season that is usual at this step.",
        ("natural_season",),
    ),
)

HORIZON: Final[tuple[Choice[SeriesFacts], ...]] = (
    Choice(
        "horizon.asked",
        lambda f: f.asked_horizon,
        lambda f: f.asked_horizon is not None,
        "The spec says so.",
        ("asked_horizon",),
    ),
    Choice(
        "horizon.season",
        lambda f: f.season,
        lambda f: f.season > 1 and f.usual_length >= 5 * f.season,
        "One season ahead.",
        ("season",),
    ),
    Choice(
        "horizon.short",
        lambda f: max(1, min(10, f.usual_length // 6)),
        lambda f: True,
        "A sixth of the usual length of a series, ten steps at most.",
        ("usual_length",),
    ),
)

WINDOWS: Final[tuple[Choice[SeriesFacts], ...]] = (
    Choice(
        "windows.asked",
        lambda f: f.asked_windows,
        lambda f: f.asked_windows is not None,
        "The spec says so.",
        ("asked_windows",),
    ),
    Choice(
        "windows.many_series",
        lambda f: min(2, f.affordable_windows),
        lambda f: f.series >= 500,
        "With {facts.series:,} series two origins tell forecasters apart.",
        ("series", "affordable_windows"),
    ),
    Choice(
        "windows.some_series",
        lambda f: min(3, f.affordable_windows),
        lambda f: f.series >= 50,
        "With {facts.series} series three origins tell forecasters apart.",
        ("series", "affordable_windows"),
    ),
    Choice(
        "windows.few_series",
        lambda f: min(5, f.affordable_windows),
        lambda f: True,
        "Few series: five origins, as far as the series are long enough.",
        ("series", "affordable_windows"),
    ),
)


def describe_series(table: Table, spec: TrainingSpec, roles: dict[str, str]) -> SeriesLayout:
    """Find out which series a table holds.

    Parameters
    ----------
    table : Table
    spec : TrainingSpec
        With `timeColumn`.
    roles : dict
        Feature columns to their roles; those of `COVARIATE_ROLES` become covariates.

    Raises
    ------
    DataError
        Times cannot be read, steps differ or cannot be told, rows of one time disagree, or no series is long enough.
    SpecError
        `frequency` is none.
    """
    assert spec.time_column is not None
    columns = [spec.time_column, *([spec.series_column] if spec.series_column else []), spec.target_column]
    frame = table.frame(columns)
    refuse_unread_times(frame[spec.time_column], spec.time_column)
    zone = zone_of(table, spec.time_column)
    labels = series_labels(frame, spec.series_column)
    placed = frame[spec.time_column].notna() & labels.notna()
    decisions = _left_out_rows(frame, labels, spec)
    series = _Series.of(
        labels[placed], local_times(frame[placed][spec.time_column], zone), frame[placed][spec.target_column], spec
    )
    troubles = series.troubles()
    lengths = {
        name: length
        for name, length in zip(series.names, series.lengths(), strict=True)
        if name not in troubles or troubles[name].outcome != "left_out"
    }
    if not lengths:
        raise _none_left(troubles, "can be learned from")
    facts = SeriesFacts(
        series=len(lengths),
        usual_length=int(np.quantile(list(lengths.values()), 0.2, method="lower")),
        natural_season=series.frequency.season,
        asked_season=spec.seasonality,
        asked_horizon=spec.horizon,
        asked_windows=_asked_windows(spec),
        gap=spec.validation_strategy.gap,
    )
    season = _choose("season", SEASON, facts, "seasonality")
    facts = replace(facts, season=season.value)
    horizon = _choose("horizon", HORIZON, facts, "horizon")
    facts = replace(facts, horizon=horizon.value)
    windows = _possible(_choose("windows", WINDOWS, facts, "validationStrategy.folds"), facts, max(lengths.values()))
    tested = 1 if spec.test_size else 0
    least = (windows.value + tested) * facts.horizon + facts.gap + 1
    needed = (
        f"{least} are needed for {windows.value} windows{' and the test' if tested else ''} of {facts.horizon} steps"
    )
    troubles |= {
        name: SeriesTrouble(series=name, trouble=f"{length} steps", outcome="left_out", how=needed)
        for name, length in lengths.items()
        if length < least
    }
    kept = [name for name, length in lengths.items() if length >= least]
    if not kept:
        raise _none_left(troubles, f"is long enough for a horizon of {facts.horizon} steps", "Set a smaller `horizon`.")
    used = {name: role for name, role in roles.items() if role in COVARIATE_ROLES and name not in columns}
    return SeriesLayout(
        target=spec.target_column,
        time=spec.time_column,
        series=spec.series_column,
        zone=zone,
        frequency=series.frequency,
        season=season.value,
        horizon=facts.horizon,
        gap=facts.gap,
        windows=windows.value,
        names=tuple(kept),
        known={name: role for name, role in used.items() if name in spec.known_ahead},
        past={name: role for name, role in used.items() if name not in spec.known_ahead},
        shortest=min(lengths[name] for name in kept),
        troubles=tuple(troubles.values()),
        decisions=(*decisions, _frequency_decision(spec, series.frequency), season, horizon, windows),
    )


@dataclass(frozen=True, eq=False)
class _Series:
    """All series of a table with their steps.

    Attributes
    ----------
    names : tuple of str
        In their natural order.
    frequency : Frequency
    codes, times, steps : ndarray [n]
        Of every row, sorted by series and time.
    values : ndarray [n]
        Of the target, NaN where it is missing.
    """

    names: tuple[str, ...]
    frequency: Frequency
    codes: np.ndarray
    times: np.ndarray
    steps: np.ndarray
    values: np.ndarray

    @classmethod
    def of(cls, labels: pd.Series, times: np.ndarray, target: pd.Series, spec: TrainingSpec) -> _Series:
        codes, names = pd.factorize(labels, sort=True)
        frequency = (
            asked_frequency(spec.frequency, times)
            if spec.frequency
            else inferred_frequency(_times_of_each(codes, times, len(names)), [str(name) for name in names])
        )
        steps = frequency.to_steps(times)
        order = np.lexsort((times, codes))
        values = target.to_numpy(dtype=np.float64)[order]
        return cls(tuple(str(name) for name in names), frequency, codes[order], times[order], steps[order], values)

    def each(self) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Times, steps and values of each series."""
        borders = np.searchsorted(self.codes, np.arange(1, len(self.names)))
        parts = (np.split(each, borders) for each in (self.times, self.steps, self.values))
        return zip(*parts, strict=True)

    def lengths(self) -> list[int]:
        """Steps of each series from its first value to its last; 0 of one without values."""
        known = (steps[np.isfinite(values)] for _, steps, values in self.each())
        return [int(steps[-1] - steps[0] + 1) if len(steps) else 0 for steps in known]

    def troubles(self) -> dict[str, SeriesTrouble]:
        """What is wrong with each series that is not as it should be."""
        many = len(self.names) > 1
        found = (
            trouble_of(name, times, steps, values, self.frequency, many=many)
            for name, (times, steps, values) in zip(self.names, self.each(), strict=True)
        )
        return {each.series: each for each in found if each is not None}


def _times_of_each(codes: np.ndarray, times: np.ndarray, series: int) -> list[np.ndarray]:
    order = np.lexsort((times, codes))
    ends = np.searchsorted(codes[order], np.arange(1, series))
    return [np.unique(each) for each in np.split(times[order], ends)]


def _left_out_rows(frame: pd.DataFrame, labels: pd.Series, spec: TrainingSpec) -> list[Decision]:
    found = {
        "rows.undated": (int(frame[spec.time_column].isna().sum()), f"have no '{spec.time_column}'", "timeColumn"),
        "rows.no_series": (int(labels.isna().sum()), f"have no '{spec.series_column}'", "seriesColumn"),
    }
    return [
        Decision(
            decision="rows_left_out", value=count, rule=rule, override=key, evidence={"rows": count},
            reason=f"{count:,} rows {what}; they are neither learned from nor tested on.",
        )
        for rule, (count, what, key) in found.items()
        if count
    ]  # fmt: skip


def _asked_windows(spec: TrainingSpec) -> int | None:
    asked = spec.validation_strategy
    if asked.type == "holdout":
        return 1
    return asked.folds if "folds" in asked.model_fields_set else None


def _possible(windows: Decision, facts: SeriesFacts, longest: int) -> Decision:
    """As many windows as the longest series has room for, one at least."""
    room = (longest - facts.gap - 1) // facts.horizon - 1
    if windows.value <= max(room, 1):
        return windows
    return windows.model_copy(
        update={
            "value": max(room, 1),
            "rule": "windows.reduced",
            "reason": f"The spec asks for {windows.value}, but the longest series has {longest} steps, which are"
            f" {max(room, 1)} windows of {facts.horizon} and the test.",
        }
    )


def _none_left(troubles: dict[str, SeriesTrouble], what: str, *remedies: str) -> DataError:
    first = [f"{each.series!r}: {each.trouble} ({each.how})" for each in list(troubles.values())[:3]]
    return DataError(
        f"No series {what}. {'; '.join(first)}.",
        suggestions=(*remedies, "Use more history.", "Fill the target in, or name another `seriesColumn`."),
    )


def _frequency_decision(spec: TrainingSpec, frequency: Frequency) -> Decision:
    asked = spec.frequency is not None
    return Decision(
        decision="frequency",
        value=frequency.told,
        rule="frequency.asked" if asked else "frequency.inferred",
        reason="The spec says so." if asked else "The commonest distance between neighbouring times.",
        evidence={"asked": spec.frequency} if asked else {},
        override="frequency",
    )


def _choose(decision: str, table: Sequence[Choice[SeriesFacts]], facts: SeriesFacts, override: str) -> Decision:
    chosen = choose(decision, table, facts, override)
    return chosen.model_copy(update={"value": int(chosen.value(facts))})

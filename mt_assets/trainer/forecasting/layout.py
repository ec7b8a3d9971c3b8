"""What is known of the series before anything is learned: their step, season, horizon, names, and what is wrong."""

from __future__ import annotations

from typing import Any, ClassVar, Final, Literal

from pydantic import ConfigDict

from mt_assets.trainer.data.roles import Role
from mt_assets.trainer.forecasting.frequency import Frequency
from mt_assets.trainer.planning.decision import Decision
from mt_assets.trainer.store.record import Record

SHOWN: Final = 20
"""Series that a table or a warning names; the number of all is told."""


class SeriesTrouble(Record):
    """What is wrong with one series, and what became of it.

    Attributes
    ----------
    series : str
    trouble : str
        What was found, with figures.
    outcome : {"repaired", "left_out", "kept"}
    how : str
        The rule by which.
    """

    series: str
    trouble: str
    outcome: Literal["repaired", "left_out", "kept"]
    how: str


class SeriesLayout(Record):
    """The series of a table: decided from times, counts and gaps, never from values of the target.

    Attributes
    ----------
    target, time : str
        Columns.
    series : str or None
        Column that tells series apart.
    zone : str or None
        Time zone of the time column.
    frequency : Frequency
    season : int
        Steps; 1 where there is none.
    horizon, gap, windows : int
        Steps to forecast, steps before them that are not looked at, and how many origins validate.
    names : tuple of str
        Of the series that are used.
    known, past : dict of str to str
        Covariates (column to role) that are known ahead, and the others.
    shortest : int
        Steps of the shortest of them, from its first value to its last.
    troubles : tuple of SeriesTrouble
    decisions : tuple of Decision
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    filename: ClassVar[str] = "series.json"

    target: str
    time: str
    series: str | None
    zone: str | None = None
    frequency: Frequency
    season: int
    horizon: int
    gap: int
    windows: int
    names: tuple[str, ...]
    known: dict[str, Role] = {}
    past: dict[str, Role] = {}
    shortest: int = 0
    troubles: tuple[SeriesTrouble, ...] = ()
    decisions: tuple[Decision, ...] = ()

    @property
    def key_columns(self) -> list[str]:
        """Columns that tell where a row stands."""
        return [self.time, *([self.series] if self.series else []), self.target]

    @property
    def columns(self) -> list[str]:
        """Every column that forecasting reads."""
        return [*self.key_columns, *self.known, *self.past]

    @property
    def steps(self) -> int:
        """Steps that have to be forecast: `gap` and then `horizon`."""
        return self.gap + self.horizon

    def report(self) -> list[dict[str, Any]]:
        """One row for each series with something wrong, those left out first."""
        order = {"left_out": 0, "repaired": 1, "kept": 2}
        return [each.model_dump() for each in sorted(self.troubles, key=lambda each: order[each.outcome])]

    def warnings(self) -> tuple[str, ...]:
        """What a person should know, each kind of trouble in one sentence that names the first offenders."""
        kinds: dict[tuple[str, str], list[SeriesTrouble]] = {}
        for each in self.troubles:
            kinds.setdefault((each.outcome, each.how), []).append(each)
        told = []
        for (outcome, how), those in kinds.items():
            names = ", ".join(f"{each.series!r} ({each.trouble})" for each in those[:3])
            more = f" and {len(those) - 3:,} more" if len(those) > 3 else ""
            verb = {"left_out": "left out", "repaired": "repaired", "kept": "kept"}[outcome]
            told.append(f"{len(those):,} series {verb}: {names}{more}; {how}.")
        return tuple(told)

"""The table of `rivals.py --report`: scores and ranks by table, and what each system took."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from statistics import mean, median
from typing import Any, Final

Line = dict[str, Any]

HIGHER_IS_BETTER: Final = frozenset({"roc_auc"})

FIGURES: Final[dict[str, tuple[str, Callable[[Iterable[float]], float], str]]] = {
    "fit s, median": ("fit_s", median, ".1f"),
    "fit : budget, worst": ("overrun", max, ".2f"),
    "process s, median": ("wall_s", median, ".1f"),
    "peak MB, median": ("peak_mb", median, ".0f"),
    "peak MB, worst": ("peak_mb", max, ".0f"),
    "rows/s predicted, median": ("predict_rows_s", median, ".0f"),
}
"""What is told of the tables on which a system did not fail: row, key of a result, how it is summed up, its format."""


def show(lines: list[Line]) -> None:
    """Print a table for each budget; of several results for the same thing the last counts."""
    last = {(line["seconds"], line["table"], line["seed"], line["system"]): line for line in lines}
    for seconds in sorted({key[0] for key in last}):
        of_table: dict[tuple[str, int], dict[str, Line]] = {}
        for (budget, table, seed, system), line in last.items():
            if budget == seconds:
                of_table.setdefault((table, seed), {})[system] = line
        _show_budget(seconds, of_table)


def _show_budget(seconds: float, of_table: dict[tuple[str, int], dict[str, Line]]) -> None:
    systems = list(dict.fromkeys(system for row in of_table.values() for system in row))
    print(f"\n{seconds:g} s; score (rank)\n")
    print(f"{'table':24} {'metric':9}" + "".join(f"{system:>19}" for system in systems))
    shared: list[dict[str, tuple[float, float]]] = []
    for (table, seed), row in of_table.items():
        places = _places(row)
        if len(row) == len(systems):
            shared.append(places)
        cells = [_cell(row.get(system), places.get(system)) for system in systems]
        name = table if seed == 0 else f"{table}, seed {seed}"
        print(f"{name:24} {next(iter(row.values()))['metric']:9}" + "".join(f"{cell:>19}" for cell in cells))
    print()
    if shared:
        _row(f"mean rank of {len(shared)}", [f"{mean(each[system][0] for each in shared):.2f}" for system in systems])
        _row("share of wins", [f"{mean(each[system][1] for each in shared):.0%}" for system in systems])
    for title, (key, sum_up, form) in FIGURES.items():
        values = [[row[system].get(key) for row in of_table.values() if system in row] for system in systems]
        told = [[value for value in column if value is not None] for column in values]
        _row(title, [format(sum_up(column), form) if column else "-" for column in told])


def _row(title: str, cells: list[str]) -> None:
    print(f"{title:34}" + "".join(f"{cell:>19}" for cell in cells))


def _cell(line: Line | None, place: tuple[float, float] | None) -> str:
    if line is None or place is None:
        return ""
    return f"{'failed' if 'error' in line else format(line['score'], '.5g')} ({place[0]:g})"


def _places(row: dict[str, Line]) -> dict[str, tuple[float, float]]:
    """Rank (equals share the mean of their places; whoever failed is last) and share of the win, by system."""
    sign = -1 if next(iter(row.values()))["metric"] in HIGHER_IS_BETTER else 1
    losses = {name: float("inf") if "error" in line else sign * line["score"] for name, line in row.items()}
    places = {}
    for name, loss in losses.items():
        better, equal = (
            sum(other < loss for other in losses.values()),
            sum(other == loss for other in losses.values()),
        )
        won = better == 0 and loss < float("inf")
        places[name] = (better + (equal + 1) / 2, 1 / equal if won else 0.0)
    return places

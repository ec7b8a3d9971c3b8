"""The plot of fairness figures: one row a group."""

from collections.abc import Mapping, Sequence

import numpy as np

from mt_assets.trainer.evaluation.plot_style import BLUE, GREEN, ORANGE, Sheet, number, text

MOST_SMALL, MOST = 16, 40
"""Groups that are drawn, in the order of the table."""


def fairness_bars(groups: Sequence[tuple[str, int, Mapping[str, float | None]]], *, small: bool) -> bytes:
    """Draw the first figure of each group as a bar, and the rates or errors beside it as points.

    Parameters
    ----------
    groups : sequence of (str, int, mapping)
        Name, rows and figures of each group, all with the same figures.
    """
    shown = groups[: MOST_SMALL if small else MOST]
    part = "" if len(shown) == len(groups) else f", {len(shown)} of {len(groups)} groups"
    sheet = Sheet(f"Groups of sensitive columns{part}", small=small, height=max(0.7, 0.35 + len(shown) / 16))
    first, *others = [name for name in shown[0][2] if name != "accuracy"] or ["accuracy"]
    places = np.arange(len(shown))

    def values(name: str) -> list[float]:
        return [np.nan if (value := figures[name]) is None else value for _, _, figures in shown]

    sheet.axes.barh(places, values(first), color=BLUE, height=0.6, label=first.replace("_", " "))
    for name, colour, marker in zip(others, (ORANGE, GREEN), "oD", strict=False):
        label = name.replace("_", " ")
        sheet.axes.plot(values(name), places, marker, color=colour, markersize=5, linestyle="none", label=label)
    names = [f"{text(name, 26)} ({number(rows)})" for name, rows, _ in shown]
    sheet.axes.set_yticks(places, names, fontsize=sheet.font - 0.5)
    sheet.axes.invert_yaxis()
    sheet.axes.grid(axis="y", visible=False)
    sheet.legend_above(3)
    return sheet.png()

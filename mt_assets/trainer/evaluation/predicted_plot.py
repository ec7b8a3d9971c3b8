"""What a model predicts for new rows, beside what it learned from: one small plot."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from mt_assets.trainer.evaluation.plot_style import BLUE, MUTED, Sheet, text

_SHOWN_CLASSES = 12
_BINS = 30


def predicted_plot(before: npt.NDArray, predicted: npt.NDArray, classes: Sequence[object] | None, target: str) -> bytes:
    """Draw the share of each class (the commonest 12), or the histogram of amounts; a small palette PNG.

    Parameters
    ----------
    before : ndarray [n]
        The target of the rows that were learned from.
    predicted : ndarray [m]
        Labels or values.
    classes : sequence or None
        Labels; None for amounts.
    target : str
    """
    sheet = Sheet(f"Predictions of {text(target)}", small=True)
    if classes is None:
        _histograms(sheet, before.astype(np.float64), predicted.astype(np.float64), target)
    else:
        _shares(sheet, before, predicted, classes)
    sheet.legend("best")
    return sheet.png()


def _shares(sheet: Sheet, before: npt.NDArray, predicted: npt.NDArray, classes: Sequence[object]) -> None:
    counts = [np.array([np.sum(values == label) for label in classes]) for values in (before, predicted)]
    shown = np.argsort(-(counts[0] + counts[1]), kind="stable")[:_SHOWN_CLASSES]
    places = np.arange(len(shown))
    for count, values, shift, colour, name in (
        (counts[0], before, -0.2, MUTED, "learned from"),
        (counts[1], predicted, 0.2, BLUE, "predicted"),
    ):
        sheet.axes.barh(places + shift, count[shown] / max(len(values), 1), height=0.38, color=colour, label=name)
    sheet.axes.set_yticks(places, [text(classes[at]) for at in shown], fontsize=sheet.font)
    sheet.axes.invert_yaxis()
    sheet.axes.grid(axis="y", visible=False)
    sheet.label("Share of the rows", "")


def _histograms(sheet: Sheet, before: npt.NDArray, predicted: npt.NDArray, target: str) -> None:
    both = np.concatenate([before, predicted])
    low, high = np.quantile(both, [0.005, 0.995])  # a single huge value would leave one bar
    edges = np.linspace(low, high if high > low else low + 1, _BINS + 1)
    for values, colour, name in ((before, MUTED, "learned from"), (predicted, BLUE, "predicted")):
        counts, _ = np.histogram(np.clip(values, edges[0], edges[-1]), edges)
        sheet.axes.stairs(counts / max(len(values), 1), edges, color=colour, linewidth=1.6, label=name)
    sheet.readable_ticks(sheet.axes.xaxis)
    sheet.label(text(target), "Share of the rows")

"""The plots of an evaluation and of importances: arrays in, PNG bytes out.

What belongs here: how good the predictions are, and which columns they rest on. The plots of a search are in
`search_plots`, the look in `plot_style`. Every function takes `small`: True for a palette PNG of at most
`plot_style.SMALL_BYTES`, False for a file of full size.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np
import numpy.typing as npt

from mt_assets.trainer.evaluation import metrics
from mt_assets.trainer.evaluation.goal import Goal, label_scores
from mt_assets.trainer.evaluation.plot_style import (
    BLUE,
    GREEN,
    INK,
    LINE,
    MUTED,
    ORANGE,
    SEQUENCE,
    Sheet,
    both_sizes,
    text,
)

Array = npt.NDArray
Labels = Sequence[object]

PLOTS = (
    "confusion_matrix", "roc_curve", "precision_recall", "calibration", "threshold_curve",
    "predicted_vs_actual", "residuals", "forecasts", "error_autocorrelation", "worst_series",
)  # fmt: skip
"""Names of the plots of an evaluation, in the order in which they are shown; each task has its own part of them,
and those of series are drawn in `forecasting.plots`."""

_NUMBERED_CLASSES = 12
"""Up to here a cell of the confusion matrix is large enough for its count."""
_NAMED_CURVES = 6
"""With more classes, only the hardest ones are named; the others are thin grey lines."""
_NAMED_TICKS = 32
"""More class names than this do not fit beside a matrix."""
_CURVE_POINTS = 400
"""More points than this on a curve are not seen, and cost bytes."""
_DOTS = 800
"""More rows than this are drawn as hexagons coloured by their number."""


def confusion_matrix(y: Array, predicted: Array, classes: Labels, *, rows: str = "test rows", small: bool) -> bytes:
    """Draw where each true class goes: colour is the share of the true class, the number counts rows.

    Parameters
    ----------
    y : ndarray [n]
        Class codes.
    predicted : ndarray [n]
        Codes of the classes that they were labelled with.
    classes : sequence
        The k labels.
    rows : str
        Which rows these are, for the title.
    """
    from matplotlib.colors import LinearSegmentedColormap, PowerNorm

    k = len(classes)
    counts = metrics.confusion_matrix(y, predicted, k)
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    sheet = Sheet(f"Confusion matrix, {len(y):,} {rows}", small=small, height=1.25 if k > _NUMBERED_CLASSES else 1.0)
    axes = sheet.axes
    colours = LinearSegmentedColormap.from_list("share", ["#ffffff", "#9ecae1", BLUE, "#08306b"])
    # Many classes: the square root of the share, so that a confusion of a few per cent is seen beside the diagonal.
    scale = PowerNorm(0.5 if k > _NUMBERED_CLASSES else 1.0, vmin=0, vmax=1)
    image = axes.imshow(share, cmap=colours, norm=scale, aspect="equal" if k > 3 else "auto")
    axes.grid(False)
    _name_classes(sheet, classes)
    if k <= _NUMBERED_CLASSES:
        size = min(sheet.font + 4, sheet.font * 10 / (k + 3) + 2)
        for i, j in np.ndindex(k, k):
            caption = f"{counts[i, j]:,}" + (f"\n{share[i, j]:.0%}" if k <= 5 else "")
            axes.text(
                j, i, caption, ha="center", va="center", fontsize=size, color="white" if share[i, j] > 0.45 else INK
            )
    sheet.label("Predicted class", "True class")
    sheet.bar(image, "Share of the true class")
    return sheet.png()


def _name_classes(sheet: Sheet, classes: Labels) -> None:
    k = len(classes)
    step = -(-k // _NAMED_TICKS)
    places = np.arange(0, k, step)
    names = [text(classes[place], 14 if k > 6 else 18) for place in places.tolist()]
    size = sheet.font if k <= _NUMBERED_CLASSES else sheet.font - 1.5
    longest = max(map(len, names))
    upright = longest * len(names) > (44 if sheet.small else 60) and longest > 2
    sheet.axes.set_xticks(
        places, names, fontsize=size, rotation=90 if upright and k > 8 else 30 if upright else 0,
        ha="right" if upright and k <= 8 else "center", rotation_mode="anchor" if upright and k <= 8 else "default",
    )  # fmt: skip
    sheet.axes.set_yticks(places, names, fontsize=size)


def roc_curve(
    y: Array, prediction: Array, classes: Labels, positive: int | None, *, rows: str = "test rows", small: bool
) -> bytes:
    """Draw the share of a class that is found against the share of other rows that is taken for it."""
    sheet = Sheet(f"ROC curve, {len(y):,} {rows}", small=small)
    sheet.axes.plot([0, 1], [0, 1], color=MUTED, linewidth=1, linestyle="--")
    _curves(sheet, y, prediction, classes, positive, _roc_points, "area")
    sheet.unit_square()
    sheet.label("False positive rate (share of other rows)", "True positive rate (share found)")
    sheet.legend("lower right")
    return sheet.png()


def precision_recall(
    y: Array, prediction: Array, classes: Labels, positive: int | None, *, rows: str = "test rows", small: bool
) -> bytes:
    """Draw how many of the rows taken for a class belong to it, against the share of it that is found."""
    sheet = Sheet(f"Precision and recall, {len(y):,} {rows}", small=small)
    if len(classes) == 2:
        share = float(np.mean(y == (1 if positive is None else positive)))
        sheet.axes.axhline(share, color=MUTED, linewidth=1, linestyle="--", label=f"{share:.3f}  share of the class")
    _curves(sheet, y, prediction, classes, positive, _precision_recall_points, "average precision")
    sheet.unit_square()
    sheet.label("Recall (share of the class that is found)", "Precision (share that is right)")
    sheet.legend("lower left")
    return sheet.png()


def _curves(
    sheet: Sheet,
    y: Array,
    prediction: Array,
    classes: Labels,
    positive: int | None,
    points: Callable[[Array, Array], tuple[Array, Array, float]],
    measure: str,
) -> None:
    """One curve for two classes; else one a class, the hardest of many named and the others grey."""
    if len(classes) == 2:
        shown = [1 if positive is None else positive]
    else:
        shown = [int(code) for code in np.flatnonzero(np.bincount(y, minlength=len(classes)))]
    curves = {code: points(y == code, prediction[:, code]) for code in shown if 0 < np.sum(y == code) < len(y)}
    hardest = sorted(curves, key=lambda code: curves[code][2])[:_NAMED_CURVES]
    if len(curves) > _NAMED_CURVES:
        hardest = hardest[:4]
        for code in curves.keys() - set(hardest):
            sheet.axes.plot(*curves[code][:2], color=LINE, linewidth=0.9)
        mean = float(np.mean([curve[2] for curve in curves.values()]))
        sheet.axes.plot([], [], color=LINE, label=f"{mean:.3f}  mean of {len(curves)} classes; hardest:")
    for colour, code in zip(SEQUENCE, hardest, strict=False):
        x, height, value = curves[code]
        name = text(classes[code], 20) if len(classes) > 2 else f"{measure} ({text(classes[code], 16)})"
        sheet.axes.plot(x, height, color=colour, linewidth=1.6, label=f"{value:.3f}  {name}")
    if not curves:
        sheet.axes.plot([], [], color=MUTED, label="only one class among these rows: no curve")


def _thinned(x: Array, height: Array) -> tuple[Array, Array]:
    kept = np.unique(np.linspace(0, len(x) - 1, min(len(x), _CURVE_POINTS)).astype(np.int64))
    return x[kept], height[kept]


def _cumulative(hit: Array, scores: Array) -> tuple[Array, Array, Array]:
    """Thresholds from high to low, each distinct score once, with true and all rows at or above it."""
    order = np.argsort(-scores, kind="stable")
    last = np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)
    return scores[order][last], np.cumsum(hit[order])[last], last + 1


def _roc_points(hit: Array, scores: Array) -> tuple[Array, Array, float]:
    _, found, taken = _cumulative(hit, scores)
    true = np.concatenate([[0.0], found / hit.sum()])
    false = np.concatenate([[0.0], (taken - found) / (~hit).sum()])
    area = float(np.trapezoid(true, false))
    return (*_thinned(false, true), area)


def _precision_recall_points(hit: Array, scores: Array) -> tuple[Array, Array, float]:
    _, found, taken = _cumulative(hit, scores)
    recall, precision = found / hit.sum(), found / taken
    average = float(np.sum(np.diff(recall, prepend=0.0) * precision))
    return (*_thinned(np.concatenate([[0.0], recall]), np.concatenate([precision[:1], precision])), average)


def calibration(
    y: Array,
    prediction: Array,
    classes: Labels,
    positive: int | None,
    *,
    before: Array | None = None,
    rows: str = "test rows",
    small: bool,
) -> bytes:
    """Draw what happened against what was promised, in up to ten bins of equally many rows.

    Two classes: probability of the positive one. More: the probability of the predicted class against how often it
    was right. With the probabilities before they were calibrated as a second line, where there are such.
    """
    code = 1 if positive is None else positive
    if len(classes) == 2:
        x, height = f"Predicted probability of {text(classes[code], 20)}", "Observed share"
    else:
        x, height = "Probability of the predicted class", "Share that is right"
    sheet = Sheet(f"Calibration, {len(y):,} {rows}", small=small)
    sheet.axes.plot([0, 1], [0, 1], color=MUTED, linewidth=1, linestyle="--", label="perfect")
    if before is not None:
        middle, share, _ = _bins(y, before, code)
        sheet.axes.plot(
            middle, share, color=ORANGE, marker="s", markersize=3, linewidth=1.0, label="before calibration"
        )
    middle, share, parts = _bins(y, prediction, code)
    low, high = _wilson(share, np.array([len(part) for part in parts]))
    sheet.axes.errorbar(
        middle, share, yerr=[share - low, high - share], color=BLUE, marker="o", markersize=4, linewidth=1.4,
        elinewidth=0.9, capsize=2, label=f"bins of about {len(y) / len(parts):,.0f} rows, with 95% intervals",
    )  # fmt: skip
    sheet.unit_square()
    sheet.label(x, height)
    sheet.legend("lower right")
    return sheet.png()


def _bins(y: Array, prediction: Array, positive: int) -> tuple[Array, Array, list[Array]]:
    """Mean promise and share that came true in bins of equally many rows, and the rows of each bin."""
    if prediction.shape[1] == 2:
        promised, happened = prediction[:, positive], (y == positive).astype(float)
    else:
        promised, happened = prediction.max(axis=1), (metrics.predicted_codes(prediction) == y).astype(float)
    parts = np.array_split(np.argsort(promised, kind="stable"), max(1, min(10, len(y) // 10)))
    return (
        np.array([promised[part].mean() for part in parts]),
        np.array([happened[part].mean() for part in parts]),
        parts,
    )


def _wilson(share: Array, n: Array) -> tuple[Array, Array]:
    """95% interval of a share of n rows (Wilson 1927): stays within 0 and 1, and is not empty at either."""
    z = 1.96
    centre = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    return np.minimum(centre - half, share), np.maximum(centre + half, share)


def threshold_curve(
    y: Array,
    prediction: Array,
    classes: Labels,
    goal: Goal,
    threshold: float = 0.5,
    *,
    rows: str = "test rows",
    small: bool,
) -> bytes:
    """Draw precision, recall and f1 of the positive class against the probability from which a row is taken for it.

    With the metric of the goal, where that is another one about labels (costs as shares of the highest), the bounds of
    its constraints as dotted lines in the metric's colour, and the threshold in use.
    """
    code = 1 if goal.positive is None else goal.positive
    scores = prediction[:, code]
    sheet = Sheet(f"Decision threshold, {len(y):,} {rows}", small=small)
    colours = {"precision": BLUE, "recall": GREEN, "f1": ORANGE}
    if metrics.METRICS[goal.metric].needs == "labels":
        colours.setdefault(goal.metric, INK)
    places = np.unique(np.concatenate([np.quantile(scores, np.linspace(0, 1, _CURVE_POINTS)), [threshold]]))
    curves = label_scores(list(colours), y, scores, goal.positive, places, goal.terms)
    for name, values in curves.items():
        highest = float(values.max()) if name == "cost" else 1.0
        caption = f"cost, of at most {highest:.3g}" if name == "cost" else name
        sheet.axes.plot(places, values / (highest or 1.0), color=colours[name], linewidth=1.6, label=caption)
    for bound in goal.constraints:
        if bound.metric in colours and bound.metric != "cost":
            caption = f"{bound.metric} {bound.operator} {bound.bound:g}"
            sheet.axes.axhline(bound.bound, color=colours[bound.metric], linewidth=1.1, linestyle=":", label=caption)
    sheet.axes.axvline(
        threshold, color=MUTED, linewidth=1.2, linestyle="--", label=f"threshold in use, {threshold:.3g}"
    )
    sheet.unit_square()
    sheet.label(f"Probability of {text(classes[code], 20)} from which a row counts as such", "Value on these rows")
    sheet.legend_above(3)
    return sheet.png()


def residuals(y: Array, prediction: Array, *, target: str, rows: str = "test rows", small: bool) -> bytes:
    """Draw what the model missed (true minus predicted value) over what it predicted."""
    sheet = Sheet(f"Residuals, {len(y):,} {rows}", small=small)
    _rows(sheet, prediction, y - prediction)
    sheet.axes.axhline(0, color=INK, linewidth=1, linestyle="--")
    sheet.label(f"Predicted {text(target, 30)}", "True minus predicted")
    return sheet.png()


def predicted_vs_actual(y: Array, prediction: Array, *, target: str, rows: str = "test rows", small: bool) -> bytes:
    """Draw predicted over true values; the dashed line is a perfect model."""
    sheet = Sheet(f"Predicted against actual, {len(y):,} {rows}", small=small)
    _rows(sheet, y, prediction)
    ends = [float(min(y.min(), prediction.min())), float(max(y.max(), prediction.max()))]
    sheet.axes.plot(ends, ends, color=INK, linewidth=1, linestyle="--")
    sheet.label(f"Actual {text(target, 30)}", f"Predicted {text(target, 30)}")
    return sheet.png()


def _rows(sheet: Sheet, x: Array, height: Array) -> None:
    """Few rows as dots, many as hexagons coloured by how many lie in each."""
    sheet.readable_ticks(sheet.axes.xaxis)
    sheet.readable_ticks(sheet.axes.yaxis)
    if len(x) <= _DOTS or np.ptp(x) == 0 or np.ptp(height) == 0:
        kept = _thinned(x, height) if len(x) > _DOTS else (x, height)
        sheet.axes.plot(*kept, ".", color=BLUE, alpha=0.55, markersize=5, markeredgewidth=0)
        return
    grid = (34, 22) if sheet.small else (60, 40)
    image = sheet.axes.hexbin(x, height, gridsize=grid, bins="log", mincnt=1, cmap="Blues", linewidths=0.1, vmin=0.5)
    sheet.bar(image, "Rows", form="{x:,.0f}")


def importance_bars(
    importance: Mapping[str, float],
    *,
    deviation: Mapping[str, float] | None = None,
    title: str = "Feature importance",
    measure: str = "Share of the whole",
    small: bool,
) -> bytes:
    """Draw the shares of the most important columns, largest first; 15 of them when small, else 30.

    Parameters
    ----------
    importance : mapping
        Column to share of the whole.
    deviation : mapping, optional
        Column to standard deviation of that share.
    title : str
    measure : str
        What the shares are of.
    """
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    names = sorted(importance, key=lambda name: -importance[name])
    shown = names[: 15 if small else 30]
    part = "" if len(shown) == len(names) else f", {len(shown)} of {len(names)} columns"
    sheet = Sheet(title + part, small=small, height=max(0.6, 0.25 + len(shown) / (17 if small else 26)))
    places, shares = np.arange(len(shown)), [importance[name] for name in shown]
    spread = [deviation.get(name, 0.0) for name in shown] if deviation else None
    sheet.axes.barh(
        places, shares, color=BLUE, height=0.7, xerr=spread,
        error_kw={"ecolor": MUTED, "elinewidth": 1, "capsize": 1.5},
    )  # fmt: skip
    for place, name in zip(places, shown, strict=True):
        right = importance[name] + (deviation.get(name, 0.0) if deviation else 0.0)
        sheet.axes.annotate(
            f"{importance[name]:.1%}", (right, place), xytext=(3, 0), textcoords="offset points",
            va="center", fontsize=sheet.font - 1, color=INK,
        )  # fmt: skip
    sheet.axes.set_yticks(places, [text(name, 28) for name in shown], fontsize=sheet.font - 0.5)
    sheet.axes.invert_yaxis()
    sheet.axes.margins(x=0.12)
    sheet.axes.set_xlim(left=0)
    sheet.axes.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
    sheet.axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.3g}%"))
    sheet.axes.grid(axis="y", visible=False)
    sheet.label(measure, "")
    return sheet.png()


def plot_files(
    y: Array,
    prediction: Array,
    *,
    classes: Labels,
    target: str,
    goal: Goal,
    threshold: float | Array = 0.5,
    before: Array | None = None,
    rows: str = "test rows",
) -> dict[str, bytes]:
    """Every plot that fits the task, in both sizes, by file name.

    Parameters
    ----------
    y : ndarray [n]
        Class codes, or target values.
    prediction : ndarray [n, k] or [n]
        Probabilities in the order of the class codes, or predicted values.
    classes : sequence
        Labels in the order of the codes; empty for regression.
    target : str
        Name of the target column.
    goal : Goal
        What the model aims at; its positive class is the one of the curves.
    threshold : float or ndarray [n]
        By which rows of two classes were labelled.
    before : ndarray [n, k], optional
        Probabilities before calibration, where they were calibrated.
    rows : str
        Which rows these are, for the titles.
    """
    if prediction.ndim == 1:
        values: list[Callable[..., bytes]] = [predicted_vs_actual, residuals]
        draws = [partial(plot, y, prediction, target=target, rows=rows) for plot in values]
    else:
        predicted = metrics.predicted_codes(prediction, goal.positive, threshold)
        curves: list[Callable[..., bytes]] = [roc_curve, precision_recall]
        draws = [partial(confusion_matrix, y, predicted, classes, rows=rows)]
        draws += [partial(curve, y, prediction, classes, goal.positive, rows=rows) for curve in curves]
        draws += [partial(calibration, y, prediction, classes, goal.positive, before=before, rows=rows)]
        if len(classes) == 2:
            draws += [partial(threshold_curve, y, prediction, classes, goal, float(np.mean(threshold)), rows=rows)]
    files: dict[str, bytes] = {}
    for draw in draws:
        files |= both_sizes(draw.func.__name__, draw)
    return files

"""The plots of a search and of training: trials in, PNG bytes out.

What belongs here: how the search went and what it found. They take anything that has the attributes of `Trial`, so
that nothing here depends on how trials are stored. `small` is as in `plots`.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from mt_assets.trainer.evaluation.metrics import METRICS
from mt_assets.trainer.evaluation.plot_style import BLUE, INK, LINE, MUTED, ORANGE, SEQUENCE, Sheet, number, text, tick

_AXES = 6
"""More parallel axes than this cannot be told apart at 480 pixels."""
_LINES, _LINES_SMALL = 200, 40
"""Trials drawn as parallel coordinates, the best ones: more lines are a fog, and cost bytes."""
_LINES_BYTES = 20_000
"""Crossing lines compress badly. The other three small plots of a study take under 24 KB together."""
_PALE = "#9db4c8"


class Trial(Protocol):
    """What a plot looks at of one trial."""

    @property
    def number(self) -> int: ...
    @property
    def state(self) -> str:
        """`complete`, `pruned` or `failed`."""

    @property
    def algorithm(self) -> str: ...
    @property
    def params(self) -> Mapping[str, Any]: ...
    @property
    def score(self) -> float | None: ...
    @property
    def score_std(self) -> float | None: ...
    @property
    def values(self) -> Sequence[float]:
        """Of every objective, where there are several."""


def _axis_name(metric: str) -> str:
    return f"Validation {metric}, {'higher' if METRICS[metric].greater_is_better else 'lower'} is better"


def _complete(trials: Sequence[Trial]) -> list[tuple[Trial, float]]:
    """Finished trials with their scores, in the order of their numbers."""
    done = [(trial, trial.score) for trial in trials if trial.state == "complete" and trial.score is not None]
    return sorted(done, key=lambda pair: pair[0].number)


def _best_by_algorithm(trials: Sequence[Trial], metric: str) -> dict[str, tuple[Trial, float]]:
    """The best finished trial of each algorithm, the best algorithm first."""
    better = METRICS[metric].greater_is_better
    ranked = sorted(_complete(trials), key=lambda pair: (-pair[1] if better else pair[1], pair[0].number))
    best: dict[str, tuple[Trial, float]] = {}
    for trial, score in ranked:
        best.setdefault(trial.algorithm, (trial, score))
    return best


class Study(Protocol):
    """What the plots look at of a whole search."""

    @property
    def trials(self) -> Sequence[Trial]: ...
    @property
    def metric(self) -> str: ...
    @property
    def parameter_importance(self) -> Mapping[str, float]: ...
    @property
    def objectives(self) -> Sequence[str]:
        """Empty where there is one."""

    @property
    def front(self) -> Sequence[int]:
        """Numbers of the trials on the Pareto front."""

    @property
    def best_number(self) -> int: ...


class Curve(Protocol):
    """What a plot looks at of a learning curve: scores of fits on ever more rows."""

    @property
    def rows(self) -> Sequence[int]: ...
    @property
    def scores(self) -> Sequence[float]: ...
    @property
    def metric(self) -> str: ...


def study_plots(study: Study, *, small: bool = True) -> dict[str, bytes]:
    """All plots of a search by name, but one that has nothing to show; small ones take under 60 KB together.

    Of several objectives the front takes the place of what ranks trials by one. Where no algorithm was tried twice,
    there are no parameters to compare.
    """
    trials, metric, importance = study.trials, study.metric, study.parameter_importance
    plots = {"optimization_history": optimization_history(trials, metric=metric, small=small)}
    if study.front:
        plots["pareto_front"] = pareto_front(study, small=small)
    else:
        if len(trials) > len({trial.algorithm for trial in trials}):
            plots["parallel_coordinates"] = parallel_coordinates(
                trials, metric=metric, importance=importance, small=small
            )
        plots["leaderboard"] = leaderboard(trials, metric=metric, small=small)
    if importance:
        plots["parameter_importance"] = parameter_importance(importance, metric=metric, small=small)
    return plots


def optimization_history(trials: Sequence[Trial], *, metric: str, small: bool) -> bytes:
    """Draw the score of every trial in the order in which they ran, and the best so far.

    The score axis shows the better three quarters with their best, so that one very bad trial flattens nothing; trials
    that lie beyond it are drawn at its edge. Pruned and failed trials are marks at the bottom.
    """
    from matplotlib.ticker import MaxNLocator

    better = METRICS[metric].greater_is_better
    done = _complete(trials)
    sheet = Sheet(f"Optimization history, {len(trials)} trials", small=small)
    axes = sheet.axes
    if done:
        scores = np.array([score for _, score in done])
        numbers = np.array([trial.number for trial, _ in done])
        low, high = _window(scores, better)
        shown = np.clip(scores, low, high)
        for colour, algorithm in zip(_colours(trials), sorted({t.algorithm for t in trials}), strict=False):
            own = np.array([trial.algorithm == algorithm for trial, _ in done])
            if own.any():
                axes.plot(
                    numbers[own], shown[own], "o", color=colour, markersize=4 if small else 5, alpha=0.8,
                    markeredgewidth=0, label=text(algorithm),
                )  # fmt: skip
        so_far = np.maximum.accumulate(scores) if better else np.minimum.accumulate(scores)
        last = max(trial.number for trial in trials)
        axes.step(
            [*numbers, last], np.clip([*so_far, so_far[-1]], low, high), where="post", color=INK, linewidth=1.4,
            label=f"best so far: {number(float(so_far[-1]))}",
        )  # fmt: skip
        axes.set_ylim(low - 0.12 * (high - low), high + 0.08 * (high - low))
    for state, mark, colour in (("pruned", "|", MUTED), ("failed", "x", ORANGE)):
        at = [trial.number for trial in trials if trial.state == state]
        if at:
            axes.plot(
                at, [0.02] * len(at), mark, color=colour, markersize=6, transform=axes.get_xaxis_transform(),
                label=f"{len(at)} {state}", clip_on=False,
            )  # fmt: skip
    if not done:
        axes.plot([], [], color=MUTED, label="no trial has finished")
        axes.set_yticks([])
    axes.xaxis.set_major_locator(MaxNLocator(8, integer=True))
    sheet.label("Trial", _axis_name(metric))
    sheet.legend_above(3 if small else 4)
    return sheet.png()


def pareto_front(study: Study, *, small: bool) -> bytes:
    """Draw the complete trials by their first two objectives, with the front and the one that was chosen.

    With more than two objectives a trial may lie on the front though others beat it in the two that are drawn.
    """
    one, two, *further = study.objectives
    done = [trial for trial, _ in _complete(study.trials)]
    title = f"Pareto front: {len(study.front)} of {len(done)} trials"
    sheet = Sheet(title + (f" ({2 + len(further)} objectives, two drawn)" if further else ""), small=small)
    axes = sheet.axes
    for colour, algorithm in zip(_colours(study.trials), sorted({t.algorithm for t in study.trials}), strict=False):
        own = [trial for trial in done if trial.algorithm == algorithm]
        if own:
            axes.plot(
                [trial.values[0] for trial in own], [trial.values[1] for trial in own], "o", color=colour,
                markersize=4 if small else 6, alpha=0.75, markeredgewidth=0, label=text(algorithm),
            )  # fmt: skip
    front = sorted((trial for trial in done if trial.number in study.front), key=lambda trial: tuple(trial.values))
    edge = [trial.values[:2] for trial in front]
    axes.plot(
        [x for x, _ in edge], [y for _, y in edge], "o" if further else "o-", color=INK, linewidth=1.1,
        markersize=8 if small else 11, markerfacecolor="none", markeredgewidth=1.1, label="front",
    )  # fmt: skip
    chosen = next(trial for trial in done if trial.number == study.best_number)
    axes.plot(
        [chosen.values[0]], [chosen.values[1]], "*", color=ORANGE, markersize=13 if small else 18,
        markeredgecolor=INK, markeredgewidth=0.7, label=f"chosen: trial {chosen.number}",
    )  # fmt: skip
    axes.margins(0.08)
    sheet.readable_ticks(axes.xaxis)
    sheet.readable_ticks(axes.yaxis)
    sheet.label(_axis_name(one), _axis_name(two))
    sheet.legend_above(3 if small else 4)
    return sheet.png()


def _window(scores: np.ndarray, better: bool) -> tuple[float, float]:
    """From the best score to a little beyond where the better three quarters end; never empty."""
    best, worst = (scores.max(), scores.min()) if better else (scores.min(), scores.max())
    common = np.quantile(scores, 0.25 if better else 0.75)
    reach = min(1.6 * abs(best - common), abs(best - worst)) or 0.05 * abs(best) or 1.0
    return (float(best - reach), float(best)) if better else (float(best), float(best + reach))


def _colours(trials: Sequence[Trial]) -> list[str]:
    count = len({trial.algorithm for trial in trials})
    return [SEQUENCE[place % len(SEQUENCE)] for place in range(count)]


def parallel_coordinates(
    trials: Sequence[Trial], *, metric: str, importance: Mapping[str, float] | None = None, small: bool
) -> bytes:
    """Draw each finished trial of the best algorithm as a line through its parameters and its score.

    Parameters
    ----------
    trials : sequence of Trial
    metric : str
    importance : mapping, optional
        Parameter to its importance; the most important six are drawn. Names may carry the algorithm as a prefix.
    """
    better = METRICS[metric].greater_is_better
    algorithm = next(iter(_best_by_algorithm(trials, metric)), "")
    own = [(trial, score) for trial, score in _complete(trials) if trial.algorithm == algorithm]
    names = _varied(own, algorithm, importance or {})
    own = sorted(own, key=lambda pair: pair[1], reverse=better)[: _LINES_SMALL if small else _LINES]
    sheet = Sheet(f"The best {len(own)} trials of {text(algorithm)}" if own else "No finished trial", small=small)
    axes = sheet.axes
    axes.grid(axis="y", visible=False)
    axes.grid(axis="x", color=MUTED, linewidth=1)
    for side in ("left", "bottom"):
        axes.spines[side].set_visible(False)
    columns = [_coordinates([trial.params.get(name) for trial, _ in own]) for name in names]
    columns.append(_coordinates([score for _, score in own], logarithmic=False))
    for rank, line in enumerate(np.column_stack([places for places, _ in columns])):
        strength = 1 - rank / len(own)
        colour = ORANGE if rank == 0 else BLUE if strength > 0.75 else _PALE if strength > 0.4 else LINE
        width = 2.0 if rank == 0 else 0.9
        axes.plot(line, color=colour, linewidth=width, zorder=2 + strength, antialiased=not small or rank == 0)
    for at, (_, ends) in enumerate(columns):
        for height, caption in ends:
            axes.annotate(
                caption, (at, height), xytext=(3, 0), textcoords="offset points", fontsize=sheet.font - 1.5,
                color=INK, va="center", zorder=4,
                bbox={"facecolor": "white", "alpha": 0.75, "edgecolor": "none", "pad": 0.8},
            )  # fmt: skip
    labels = [*(text(name, 20) for name in names), metric]
    axes.set_xticks(range(len(labels)), labels, fontsize=sheet.font - 0.5, rotation=20, ha="right")
    axes.set_yticks([])
    axes.set_xlim(-0.1, len(labels) - 0.6)
    sheet.label("", "")
    axes.set_xlabel("orange: the best trial; darker: the better ones", fontsize=sheet.font - 0.5, color=MUTED)
    return sheet.png(_LINES_BYTES)


def _varied(own: Sequence[tuple[Trial, float]], algorithm: str, importance: Mapping[str, float]) -> list[str]:
    """Parameters that differ between trials, the most important first."""
    seen: dict[str, set[str]] = {}
    for trial, _ in own:
        for name, value in trial.params.items():
            seen.setdefault(name, set()).add(repr(value))
    names = [name for name, values in seen.items() if len(values) > 1]
    weight = {name: importance.get(name, importance.get(f"{algorithm}.{name}", 0.0)) for name in names}
    return sorted(names, key=lambda name: -weight[name])[:_AXES]


def _coordinates(values: Sequence[Any], logarithmic: bool = True) -> tuple[np.ndarray, list[tuple[float, str]]]:
    """Heights from 0 to 1, and the captions beside the axis. Numbers over two decades stand on a logarithmic scale."""
    if not values:
        return np.empty(0), []
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        numbers = np.array(values, dtype=float)
        low, high = numbers.min(), numbers.max()
        if low == high:
            return np.full(len(numbers), 0.5), [(0.5, tick(low))]
        scaled = np.log(numbers) if logarithmic and low > 0 and high / low > 100 else numbers
        heights = (scaled - scaled.min()) / np.ptp(scaled)
        return heights, [(0.0, tick(float(f"{low:.3g}"))), (1.0, tick(float(f"{high:.3g}")))]
    words = [text(value, 10) for value in values]
    kinds = sorted(set(words))
    spread = {word: place / max(len(kinds) - 1, 1) for place, word in enumerate(kinds)}
    return np.array([spread[word] for word in words]), [(height, word) for word, height in spread.items()]


def parameter_importance(importance: Mapping[str, float], *, metric: str, small: bool) -> bytes:
    """Draw how much of the spread of the scores each parameter accounts for, the largest 12 of them."""
    names = sorted(importance, key=lambda name: -importance[name])[:12]
    sheet = Sheet(
        f"Influence of parameters on {metric}", small=small, height=0.5 if len(names) < 4 else 0.3 + len(names) / 16
    )
    sheet.axes.barh(range(len(names)), [importance[name] for name in names], color=BLUE, height=0.7)
    for place, name in enumerate(names):
        sheet.axes.annotate(
            f"{importance[name]:.2f}", (importance[name], place), xytext=(3, 0), textcoords="offset points",
            va="center", fontsize=sheet.font - 1, color=INK,
        )  # fmt: skip
    sheet.axes.set_yticks(range(len(names)), [text(name, 32) for name in names], fontsize=sheet.font - 0.5)
    sheet.axes.invert_yaxis()
    sheet.axes.margins(x=0.12)
    sheet.axes.set_xlim(left=0)
    sheet.axes.grid(axis="y", visible=False)
    sheet.label("Share of the variation between trials", "")
    return sheet.png()


def leaderboard(trials: Sequence[Trial], *, metric: str, small: bool) -> bytes:
    """Draw the best trial of each algorithm, the best first, with the standard deviation over its folds."""
    best = _best_by_algorithm(trials, metric)
    sheet = Sheet("Leaderboard: best trial of each algorithm", small=small, height=max(0.5, 0.32 + len(best) / 9))
    count = {name: sum(trial.algorithm == name for trial in trials) for name in best}
    for place, (trial, score) in enumerate(best.values()):
        sheet.axes.errorbar(
            score, place, xerr=trial.score_std or 0.0, fmt="o", color=ORANGE if place == 0 else BLUE,
            markersize=6, elinewidth=1.4, capsize=3,
        )  # fmt: skip
        sheet.axes.annotate(
            number(score), (score, place), xytext=(0, 7), textcoords="offset points", ha="center",
            fontsize=sheet.font - 0.5, color=INK,
        )  # fmt: skip
    names = [f"{text(name)}\n{count[name]} {'trial' if count[name] == 1 else 'trials'}" for name in best]
    sheet.axes.set_yticks(range(len(best)), names, fontsize=sheet.font)
    sheet.axes.set_ylim(len(best) - 0.5, -0.6)
    sheet.axes.margins(x=0.1)
    sheet.readable_ticks(sheet.axes.xaxis)
    sheet.label(f"{_axis_name(metric)}\nbars: one standard deviation over folds", "")
    return sheet.png()


def learning_curve_plot(curve: Curve, *, small: bool = True) -> bytes:
    """Draw the validation score over the number of rows that were learned from."""
    sheet = Sheet("Learning curve", small=small)
    sheet.axes.plot(curve.rows, curve.scores, color=BLUE, marker="o", markersize=5, linewidth=1.6)
    for count, value in zip(curve.rows, curve.scores, strict=True):
        sheet.axes.annotate(
            number(value), (count, value), xytext=(0, 7), textcoords="offset points", ha="center",
            fontsize=sheet.font - 0.5, color=INK,
            bbox={"facecolor": "white", "alpha": 0.8, "edgecolor": "none", "pad": 0.6},
        )  # fmt: skip
    sheet.axes.set_xticks(list(curve.rows), [f"{count:,}" for count in curve.rows])
    sheet.axes.margins(x=0.1, y=0.25)
    sheet.label("Training rows", _axis_name(curve.metric))
    return sheet.png()

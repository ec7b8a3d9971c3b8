"""The one look of all plots, and how a figure becomes PNG bytes.

Figures are made object by object on the Agg canvas: no window system, no pyplot state, nothing global changed.
matplotlib is imported inside functions, so that importing this package stays cheap.
"""

import warnings
from collections.abc import Callable
from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.cm import ScalarMappable
    from PIL.Image import Image as Picture

BLUE, ORANGE, GREEN, PURPLE = "#0072B2", "#D55E00", "#009E73", "#8A4F9E"
"""Okabe and Ito's palette (2008), told apart with any colour vision; the purple is darkened for text on white."""
INK, MUTED, LINE = "#24292f", "#8a8f98", "#d9dce1"
SEQUENCE = (BLUE, ORANGE, GREEN, PURPLE, "#E69F00", "#56B4E9", "#CC79A7", INK)

SMALL_BYTES = 12_000
"""Largest small plot, in bytes: five of them on one asset stay within the 60 KB that its metadata may hold."""
SMALL_DPI, FULL_DPI = 100, 150
SMALL_SIZE, FULL_SIZE = (4.8, 3.5), (7.2, 5.2)
"""Width and height in inches: 480 x 350 and 1080 x 780 pixels."""


def text(value: object, limit: int = 24) -> str:
    """Any label as one short printable line that matplotlib takes literally (a `$` starts no formula)."""
    line = " ".join("".join(c if c.isprintable() else " " for c in str(value)).split())
    short = line if len(line) <= limit else line[: limit - 1].rstrip() + "…"
    return (short or "(blank)").replace("$", r"\$")


def number(value: float) -> str:
    """A figure as a person reads it: four significant digits, thousands grouped."""
    return f"{value:,.0f}" if 1000 <= abs(value) < 1e9 else f"{value:.4g}"


def tick(value: float) -> str:
    """A number beside an axis."""
    for size, unit in ((1e9, "G"), (1e6, "M")):
        if size <= abs(value) < 1e12:
            return f"{value / size:.4g}{unit}"
    return f"{value:,.0f}" if 1000 <= abs(value) < 1e6 else f"{value:.4g}"


class Sheet:
    """One figure with one quiet pair of axes.

    Parameters
    ----------
    title : str
        What is shown; part of the plot, since it is seen without its surroundings.
    small : bool
        For metadata (480 pixels wide, few colours), else for files.
    height : float
        Times the usual height.
    """

    def __init__(self, title: str, *, small: bool, height: float = 1.0) -> None:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        width, usual = SMALL_SIZE if small else FULL_SIZE
        self.small = small
        self.font = 8.0 if small else 10.0
        self.figure = Figure(figsize=(width, usual * height), layout="constrained", facecolor="white")
        FigureCanvasAgg(self.figure)
        self.axes = self.figure.add_subplot()
        self.figure.suptitle(title, fontsize=self.font + 1.5, color=INK, x=0.012, ha="left", fontweight="bold")
        self.quiet(self.axes)

    def quiet(self, axes: "Axes") -> None:
        """Leave of the axes only what is read."""
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
        for side in ("left", "bottom"):
            axes.spines[side].set_color(MUTED)
        axes.tick_params(labelsize=self.font, colors=INK, color=MUTED, length=3)
        axes.grid(True, color=LINE, linewidth=0.6)
        axes.set_axisbelow(True)

    def grid(self, rows: int, columns: int) -> "list[Axes]":
        """Put several pairs of axes in the place of the one, row after row."""
        self.axes.remove()
        several = self.figure.subplots(rows, columns, squeeze=False).ravel().tolist()
        for axes in several:
            self.quiet(axes)
        self.axes = several[0]
        return several

    def label(self, x: str, y: str) -> None:
        """Name the axes, with their units."""
        self.axes.set_xlabel(x, fontsize=self.font, color=INK)
        self.axes.set_ylabel(y, fontsize=self.font, color=INK)

    def legend(self, place: str) -> None:
        """Show the labels given to lines and points."""
        self.axes.legend(  # type: ignore[call-overload]
            loc=place, fontsize=self.font - 0.5, frameon=True, framealpha=0.85, edgecolor="none", labelcolor=INK
        )

    def legend_above(self, columns: int) -> None:
        """The same between title and axes, where lines fill the whole plot."""
        self.axes.legend(
            loc="lower left", bbox_to_anchor=(0, 1.0), ncols=columns, fontsize=self.font - 0.5, frameon=False,
            labelcolor=INK, columnspacing=1.2, handlelength=1.5, borderpad=0.1, borderaxespad=0.3,
        )  # fmt: skip

    def legend_below(self, axes: "Axes", columns: int) -> None:
        """The labels of one of several pairs of axes, below them all."""
        handles, labels = axes.get_legend_handles_labels()
        self.figure.legend(
            handles, labels, loc="outside lower left", ncols=columns, fontsize=self.font - 0.5, frameon=False,
            labelcolor=INK, columnspacing=1.2, handlelength=1.5, borderpad=0.1,
        )  # fmt: skip

    def readable_ticks(self, axis: "Axis") -> None:
        """At most seven ticks, thousands grouped, millions and billions as M and G."""
        from matplotlib.ticker import FuncFormatter, MaxNLocator

        axis.set_major_locator(MaxNLocator(7))
        axis.set_major_formatter(FuncFormatter(lambda value, _: tick(value)))

    def unit_square(self) -> None:
        """Both axes from 0 to 1."""
        self.axes.set_xlim(-0.01, 1.01)
        self.axes.set_ylim(-0.01, 1.02)

    def bar(self, image: "ScalarMappable", label: str, form: str | None = None) -> None:
        """Add the colour scale of an image or of hexagons."""
        scale = self.figure.colorbar(image, ax=self.axes, shrink=0.85, pad=0.02, format=form)
        scale.set_label(label, fontsize=self.font, color=INK)
        scale.ax.tick_params(labelsize=self.font - 0.5, colors=INK, length=2)
        scale.minorticks_off()
        scale.ax.spines[:].set_visible(False)

    def png(self, budget: int = SMALL_BYTES) -> bytes:
        """The figure as PNG; a small one with as many colours as fit the budget in bytes."""
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from PIL import Image

        self.figure.set_dpi(SMALL_DPI if self.small else FULL_DPI)
        canvas = FigureCanvasAgg(self.figure)
        with warnings.catch_warnings():
            # A label may hold characters that the font lacks: a box is drawn, and that is fine.
            warnings.filterwarnings("ignore", message="Glyph .* missing from", category=UserWarning)
            warnings.filterwarnings("ignore", message="Matplotlib currently does not support", category=UserWarning)
            canvas.draw()  # `savefig` would draw twice, once for the layout alone
        picture = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
        if self.small:
            return _palette(picture, budget)
        out = BytesIO()
        picture.save(out, format="PNG")
        return out.getvalue()


def _palette(picture: "Picture", budget: int) -> bytes:
    """A PNG with fewer colours, and then smaller, until it fits."""
    from PIL import Image

    for scale in (1.0, 0.8, 0.6, 0.4):
        size = (round(picture.width * scale), round(picture.height * scale))
        smaller = picture if scale == 1.0 else picture.resize(size, Image.Resampling.LANCZOS)
        for colours in (48, 24, 12):
            out = BytesIO()
            reduced = smaller.quantize(colours, method=Image.Quantize.MAXCOVERAGE, kmeans=1, dither=Image.Dither.NONE)
            reduced.save(out, format="PNG", optimize=True)
            if len(out.getvalue()) <= budget:
                return out.getvalue()
    return out.getvalue()


def both_sizes(name: str, draw: Callable[..., bytes]) -> dict[str, bytes]:
    """`<name>.png` for files and `small_<name>.png` for metadata, of one plot that takes `small`."""
    return {f"{name}.png": draw(small=False), f"small_{name}.png": draw(small=True)}

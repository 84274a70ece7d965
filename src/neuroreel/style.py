"""One look for all figures: print sizes, fonts that stay text, colors that everyone can tell apart."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLUMN, COLUMN_AND_A_HALF, PAGE = 89.0, 120.0, 183.0
"""Widths in millimeters: one column, one and a half, two."""

# Okabe and Ito 2008, darkest first where two are close; yellow is left out: too pale on white
BLUE, ORANGE, GREEN = "#0072b2", "#d55e00", "#009e73"
PINK, SKY, AMBER, BLACK = "#cc79a7", "#56b4e9", "#e69f00", "#000000"
COLORS = (BLUE, ORANGE, GREEN, PINK, SKY, AMBER)
MARKERS = ("o", "s", "^", "D", "v", "P")
INK, FAINT, WARNING = "#222222", "#9a9a9a", "#b3261e"
HEAT = "cividis"  # looks the same with any color vision, and in gray
SIMULATED = "simulated mouse, not a real one"  # shown in every picture of one

LABEL, TICK, LETTER = 7.0, 6.0, 9.0  # points at print size

_RC: Any = {
    "font.family": "sans-serif",
    # what journals ask for, free equivalents, and Matplotlib's own
    "font.sans-serif": ["Arial", "Helvetica", "Liberation Sans", "Arimo", "Nimbus Sans", "DejaVu Sans"],
    "font.size": LABEL,
    "axes.labelsize": LABEL,
    "axes.titlesize": LABEL,
    "legend.fontsize": TICK,
    "xtick.labelsize": TICK,
    "ytick.labelsize": TICK,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "text.parse_math": False,  # a $ in a mouse's name stays a $
    "axes.linewidth": 0.6,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "lines.linewidth": 1.0,
    "lines.markersize": 3.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
    "legend.handlelength": 1.4,
    "figure.constrained_layout.w_pad": 0.03,
    "figure.constrained_layout.h_pad": 0.02,
    "figure.constrained_layout.wspace": 0.02,
    "figure.constrained_layout.hspace": 0.02,
    "pdf.fonttype": 42,  # TrueType: text stays text, and can be edited
    "svg.fonttype": "none",
    "svg.hashsalt": "neuroreel",  # the same figure gives the same file
    "savefig.dpi": 300,
}


@contextmanager
def style() -> Iterator[None]:
    """Within the block, Matplotlib draws and saves in our style.

    Only what the style sets is restored: Matplotlib's own context would also undo the notebook's inline backend if the
    first figure is drawn within the block.
    """
    from matplotlib import rcParams

    before = {name: rcParams[name] for name in _RC}
    rcParams.update(_RC)
    try:
        yield
    finally:
        rcParams.update(before)


def inches(millimeters: float) -> float:
    """Matplotlib's unit."""
    return millimeters / 25.4


def animal_looks(recordings: Sequence[str]) -> dict[str, dict[str, Any]]:
    """A color and a marker for each animal, in the order of their names: the same in all panels of a figure."""
    looks = {}
    for number, name in enumerate(sorted(set(recordings))):
        color, marker = COLORS[number % len(COLORS)], MARKERS[(number + number // len(COLORS)) % len(MARKERS)]
        looks[name] = {"color": color, "marker": marker}
    return looks


def short_name(recording: str) -> str:
    """An animal's name shortened for a legend: dynamic29515-10-12-Video-9b4f… becomes 29515-10-12."""
    name = recording.partition("-Video-")[0].removeprefix("dynamic")
    return name if len(name) <= 18 else f"{name[:17]}…"


def axis_start(low: float, high: float) -> float:
    """Where an axis of scores from ``low`` to ``high`` begins: at 0, unless that would squeeze them together."""
    if low < 0:
        return low * 1.1
    return 0.0 if low < 0.6 * high else max(0.0, low - max(0.3 * (high - low), 0.05))


def correlation_axis(ax: Axes, low: float, high: float) -> str:
    """Set limits that show differences and leave room for brackets; returns a note for the caption, or nothing."""
    bottom = axis_start(low, high)
    ax.set_ylim(bottom, max(high, 0.05, bottom + 0.1) + 0.04 * (max(high, 0.05) - bottom))
    if bottom < 0:
        ax.axhline(0, color=FAINT, linewidth=0.6, zorder=0)
    return " The axis does not begin at 0." if bottom > 0 else ""

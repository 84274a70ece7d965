"""One look for all figures: sizes in print, fonts that stay text, colours told apart with every kind of vision."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLUMN, COLUMN_AND_A_HALF, PAGE = 85.0, 120.0, 178.0
"""Widths in millimetres: one column, one and a half, two."""

# Okabe and Ito 2008, darkest first where two are close; yellow is left out: too pale on white
BLUE, ORANGE, GREEN = "#0072b2", "#d55e00", "#009e73"
PINK, SKY, AMBER, BLACK = "#cc79a7", "#56b4e9", "#e69f00", "#000000"
COLORS = (BLUE, ORANGE, GREEN, PINK, SKY, AMBER)
MARKERS = ("o", "s", "^", "D", "v", "P")
INK, FAINT, WARNING = "#222222", "#9a9a9a", "#b3261e"
HEAT = "cividis"  # the same to all kinds of colour vision, and in grey

LABEL, TICK, LETTER = 7.0, 6.0, 9.0  # points at print size

_RC: Any = {
    "font.family": "DejaVu Sans",  # comes with Matplotlib: the same picture on every machine
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
    "text.parse_math": False,  # a $ in somebody's name for a mouse is a $
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
    "svg.hashsalt": "neuroreel",  # the same picture gives the same file
    "savefig.dpi": 300,
}


@contextmanager
def style() -> Iterator[None]:
    """Within the block, Matplotlib draws and saves in our style.

    Only what the style sets is set back: Matplotlib's own context would also undo that a notebook, at its first figure
    within the block, turned the drawing of figures on.
    """
    from matplotlib import rcParams

    before = {name: rcParams[name] for name in _RC}
    rcParams.update(_RC)
    try:
        yield
    finally:
        rcParams.update(before)


def inches(millimetres: float) -> float:
    """Matplotlib's unit."""
    return millimetres / 25.4


def animal_looks(recordings: Sequence[str]) -> dict[str, dict[str, Any]]:
    """A colour and a marker for each animal, in the order of their names: the same in all panels of a figure."""
    looks = {}
    for number, name in enumerate(sorted(set(recordings))):
        color, marker = COLORS[number % len(COLORS)], MARKERS[(number + number // len(COLORS)) % len(MARKERS)]
        looks[name] = {"color": color, "marker": marker}
    return looks


def short_name(recording: str) -> str:
    """An animal's name as it fits into a legend: dynamic29515-10-12-Video-9b4f… is 29515-10-12."""
    name = recording.partition("-Video-")[0].removeprefix("dynamic")
    return name if len(name) <= 18 else f"{name[:17]}…"


def correlation_axis(ax: Axes, low: float, high: float) -> None:
    """Limits that keep 0 in sight and leave room above for brackets."""
    bottom = min(0.0, low * 1.1)
    ax.set_ylim(bottom, max(high, 0.05) * 1.04)
    if bottom < 0:
        ax.axhline(0, color=FAINT, linewidth=0.6, zorder=0)

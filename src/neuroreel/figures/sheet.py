"""A figure under construction: its panels, their letters, the numbers behind them, its caption."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from neuroreel.style import INK, LETTER, TICK, WARNING, animal_looks, inches, short_name

if TYPE_CHECKING:
    from matplotlib.figure import Figure, SubFigure
    from pandas import DataFrame


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """What a panel gives back: the numbers that are in it, a sentence for the caption, and the tests that were made."""

    numbers: DataFrame
    caption: str
    tests: DataFrame | None = None


@dataclass(frozen=True)
class Panel:
    """A panel of a sheet, as it is written."""

    letter: str
    name: str
    drawn: Drawn


@dataclass
class Sheet:
    """A figure and what is told about it.

    Parameters
    ----------
    width, height
        Millimetres, as printed.
    title
        First sentence of the caption.
    """

    width: float
    height: float
    title: str
    panels: list[Panel] = field(default_factory=list)

    def __post_init__(self) -> None:
        from matplotlib.figure import Figure

        self.figure: Figure = Figure(figsize=(inches(self.width), inches(self.height)), layout="constrained")

    def add(self, name: str, draw: Callable[..., Drawn], data: Any, ax: Any, **options: Any) -> Drawn:
        """Draw the next panel into ``ax`` (axes, or a subfigure for panels of several) and give it its letter."""
        letter = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"[len(self.panels)]
        drawn = draw(data, ax, **options)
        put_letter(ax, letter)
        self.panels.append(Panel(letter, name, drawn))
        return drawn

    def marks(self, *, partial: str, simulated: bool) -> None:
        """Say at the top of the picture what a reader must not overlook."""
        words = [partial.upper()] if partial else []
        words += ["simulated mouse, not a real one"] if simulated else []
        if words:
            color = WARNING if partial else INK
            self.figure.suptitle(" · ".join(words), fontsize=TICK, color=color, x=0.99, ha="right")

    def lay_out(self) -> None:
        """Find a place for everything, once for all formats: it takes longer than drawing."""
        from matplotlib import rcParams

        shown_at = self.figure.dpi
        self.figure.set_dpi(rcParams["savefig.dpi"])  # letters are wider there: coarse pixels round their widths
        for _ in range(2):  # the second time it knows how large the pictures have become
            self.figure.draw_without_rendering()
        self.figure.set_layout_engine("none")
        self.figure.set_dpi(shown_at)

    def animal_legend(self, recordings: Sequence[str]) -> None:
        """Under the panels: which colour and marker is which animal."""
        looks = animal_looks(recordings)
        if not 1 < len(looks) <= 10:
            return
        handles = [_handle(look) for look in looks.values()]
        self.figure.legend(
            handles,
            [short_name(name) for name in looks],
            loc="outside lower center",
            ncols=min(len(looks), 5),
            title="animal",
            title_fontsize=TICK,
            handletextpad=0.2,
            columnspacing=1.2,
        )


def put_letter(ax: Any, letter: str) -> None:
    """A panel's letter at the upper left of what belongs to it."""
    from matplotlib.figure import SubFigure

    if isinstance(ax, SubFigure):
        ax.suptitle(letter, x=0.005, ha="left", fontsize=LETTER, fontweight="bold")
        return
    ax.set_title(letter, loc="left", x=-0.02, ha="right", fontsize=LETTER, fontweight="bold")


def _handle(look: dict[str, Any]) -> Any:
    from matplotlib.lines import Line2D

    return Line2D([], [], linestyle="", **look)


def stacked(figure: Figure | SubFigure, heights: Sequence[float]) -> list[SubFigure]:
    """Parts of a figure one below the other, with these relative heights."""
    parts: Any = figure.subfigures(len(heights), 1, height_ratios=heights, squeeze=False)
    return list(parts[:, 0])


def beside(figure: Figure | SubFigure, widths: Sequence[float]) -> list[SubFigure]:
    """Parts of a figure from left to right, with these relative widths."""
    parts: Any = figure.subfigures(1, len(widths), width_ratios=widths, squeeze=False)
    return list(parts[0])

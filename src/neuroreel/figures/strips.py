"""Panels of pictures: frames of movies one above the other, and maps on the screen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from neuroreel.evaluation.comparison import SKIP_FRAMES
from neuroreel.figures.material import Example
from neuroreel.figures.sheet import Drawn
from neuroreel.style import SKY, TICK

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import SubFigure

_GAP = 0.06  # between frames, of their width
_TIMES = 0.3  # room for a line of times, likewise
_BESIDE = 0.1  # room for the words beside an example, of the strip's width


def panel_strips(examples: Sequence[Example], subfigure: SubFigure, *, columns: int = 8, what: str) -> Drawn:
    """A few frames of each example, a row a movie, the mask's outline on the reconstructions, times above.

    Parameters
    ----------
    examples
        From top to bottom.
    subfigure
        What to draw into.
    columns
        Frames of each movie.
    what
        Start of the caption's sentence.
    """
    import pandas as pd

    ax, shown, below = subfigure.subplots(), [], 0.0
    names: dict[float, str] = {}
    right = columns * (1 + _GAP) - _GAP
    for number, example in enumerate(examples):
        frames = chosen_frames(example, columns)
        timed = not number or frames != chosen_frames(examples[0], columns)
        middles, below = _draw_strip(ax, example, frames, top=below, timed=timed)
        names |= dict(zip(middles, example.rows, strict=True))
        ax.text(right + _GAP, (middles[0] + middles[-1]) / 2, example.beside, va="center", fontsize=TICK)
        shown += [
            {"example": number + 1, "trial": example.name, "frame": frame, "time_s": frame / example.frame_rate_hz}
            for frame in frames
        ]
    room = _BESIDE * columns if any(example.beside for example in examples) else 0
    ax.set(xlim=(0, right + room), ylim=(below, 0), aspect="equal", anchor="W", xticks=[])
    ax.set_yticks(list(names), list(names.values()))
    ax.tick_params(length=0, pad=2)
    ax.spines[:].set_visible(False)
    outlined = " Blue: outline of the mask that is scored." if any(each.mask is not None for each in examples) else ""
    named = "; ".join(example.name for example in examples)
    return Drawn(numbers=pd.DataFrame(shown), caption=f"{what}: {named}.{outlined}")


def chosen_frames(example: Example, columns: int) -> list[int]:
    """Evenly spaced frames, after the start that is not scored where the movie is long enough."""
    length = len(next(iter(example.rows.values())))
    skipped = SKIP_FRAMES
    first = skipped if length > skipped + columns else 0
    return [int(frame) for frame in np.linspace(first, length - 1, min(columns, length)).round()]


def _draw_strip(
    ax: Axes, example: Example, frames: Sequence[int], *, top: float, timed: bool
) -> tuple[list[float], float]:
    """The movies of an example from ``top`` down; the middles of its rows, and where they end.

    All examples share one set of axes, whose unit is the width of a frame: many small axes are slow to lay out, and
    end up of different sizes.
    """
    height, width = next(iter(example.rows.values())).shape[1:]
    tall, middles = height / width, []
    lefts = np.arange(len(frames)) * (1 + _GAP)
    top += _TIMES if timed else 2 * _GAP
    for left, frame in zip(lefts, frames, strict=True) if timed else ():
        time = f"{frame / example.frame_rate_hz:.2f} s"
        ax.text(left + 0.5, top - _GAP, time, ha="center", va="bottom", fontsize=TICK)
    for movie in example.rows.values():
        for left, frame in zip(lefts, frames, strict=True):
            place = (left, left + 1, top + tall, top)
            ax.imshow(movie[frame], cmap="gray", vmin=0, vmax=255, interpolation="nearest", extent=place)
            _outline(ax, example.mask, left=left, top=top)
        middles.append(top + tall / 2)
        top += tall + _GAP
    return middles, top - _GAP


def _outline(ax: Axes, mask: NDArray[Any] | None, *, left: float, top: float) -> None:
    """The edge of the pixels that are scored, on a frame whose upper left corner is there."""
    if mask is None or not mask.min() < 1.0 <= mask.max():
        return
    rows, columns = ((np.arange(size) + 0.5) / mask.shape[1] for size in mask.shape)
    ax.contour(columns + left, rows + top, mask >= 1.0, levels=[0.5], colors=SKY, linewidths=0.6)

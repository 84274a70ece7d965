"""Panels of pictures: frames of movies one above the other, and maps on the screen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from neuroreel.evaluation.scores import SKIP_FRAMES
from neuroreel.figures.material import Example
from neuroreel.figures.sheet import Drawn, stacked
from neuroreel.figures.style import SKY, TICK

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import SubFigure

_GAP = 0.06  # between frames, of their size


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

    heights = [len(example.rows) + 0.3 * (number == 0) for number, example in enumerate(examples)]  # times above
    shown = []
    for number, (block, example) in enumerate(zip(stacked(subfigure, heights), examples, strict=True)):
        frames = chosen_frames(example, columns)
        timed = not number or frames != chosen_frames(examples[0], columns)
        _draw_strip(block.subplots(), example, frames, timed=timed)
        if example.beside:
            block.supylabel(example.beside, fontsize=TICK, rotation="horizontal", ha="left")
        shown += [
            {"example": number + 1, "trial": example.name, "frame": frame, "time_s": frame / example.frame_rate_hz}
            for frame in frames
        ]
    outlined = " Blue: outline of the mask that is scored." if any(each.mask is not None for each in examples) else ""
    named = "; ".join(example.name for example in examples)
    return Drawn(numbers=pd.DataFrame(shown), caption=f"{what}: {named}.{outlined}")


def chosen_frames(example: Example, columns: int) -> list[int]:
    """Evenly spaced frames, after the start that is not scored where the movie is long enough."""
    length = len(next(iter(example.rows.values())))
    skipped = SKIP_FRAMES
    first = skipped if length > skipped + columns else 0
    return [int(frame) for frame in np.linspace(first, length - 1, min(columns, length)).round()]


def _draw_strip(ax: Axes, example: Example, frames: Sequence[int], *, timed: bool) -> None:
    """All frames of an example in one set of axes, whose unit is a pixel: many small axes are slow to lay out."""
    height, width = next(iter(example.rows.values())).shape[1:]
    lefts = np.arange(len(frames)) * (width + _GAP * width)
    tops = np.arange(len(example.rows)) * (height + 2 * _GAP * height)
    for top, movie in zip(tops, example.rows.values(), strict=True):
        for left, frame in zip(lefts, frames, strict=True):
            place = (left, left + width, top + height, top)
            ax.imshow(movie[frame], cmap="gray", vmin=0, vmax=255, interpolation="nearest", extent=place)
            _outline(ax, example.mask, left=left, top=top)
    ax.set(xlim=(0, lefts[-1] + width), ylim=(tops[-1] + height, 0), aspect="equal", anchor="W")
    ax.set_yticks(tops + height / 2, list(example.rows))
    ax.set_xticks(lefts + width / 2, [f"{frame / example.frame_rate_hz:.2f} s" for frame in frames])
    ax.tick_params(length=0, labelbottom=False, labeltop=timed, pad=2)
    ax.spines[:].set_visible(False)


def _outline(ax: Axes, mask: NDArray[Any] | None, *, left: float, top: float) -> None:
    """The edge of the pixels that are scored, on a frame whose upper left corner is there."""
    if mask is None or not mask.min() < 1.0 <= mask.max():
        return
    rows, columns = (np.arange(size) + 0.5 for size in mask.shape)
    ax.contour(columns + left, rows + top, mask >= 1.0, levels=[0.5], colors=SKY, linewidths=0.6)

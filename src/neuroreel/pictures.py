"""Pictures of movie frames, responses, behavior, images, masks and the scored area.

Everything is drawn outside pyplot, in the package's style, into given axes or a new figure.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from neuroreel.errors import InputError
from neuroreel.outlines import mask_outline
from neuroreel.ranges import range_with_zero
from neuroreel.style import BLUE, COLORS, HEAT, PAGE, SIMULATED, TICK, inches, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

Floats = NDArray[np.float32]
_GAP = 0.06  # between frames, as a fraction of their width
_TIMES = 0.3  # room for a line of times, likewise
_MOST_ROWS = 256  # of a raster: more rows would be too thin to print
_CUT = 2.5  # percent of a raster's values that are clipped at the darkest color


@dataclass(frozen=True, kw_only=True)
class Strip:
    """Movies of one trial, to show one above the other.

    Parameters
    ----------
    name
        The animal and trial, in a few words.
    rows
        The label of each movie, and the movie: (frames, height, width), gray 0..255.
    frame_rate_hz
        Frames per second.
    mask
        (height, width), the transparency mask; None if there was none.
    beside
        A line or two beside it, such as ``r = 0.57``.
    matched
        True if reconstructions in it have the true movie's brightness and contrast.
    """

    name: str
    rows: Mapping[str, Floats]
    frame_rate_hz: float
    mask: Floats | None = None
    beside: str = ""
    matched: bool = False


@contextmanager
def new_figure(width: float, height: float, *, simulated: bool = False) -> Iterator[Figure]:
    """A figure (millimeters) to draw into; everything is drawn in our style, whatever style the caller uses."""
    from matplotlib.figure import Figure

    with style():
        figure = Figure(figsize=(inches(width), inches(height)), layout="constrained")
        if simulated:
            figure.suptitle(SIMULATED, x=0.995, ha="right", fontsize=TICK)
        yield figure
        figure.draw_without_rendering()


def even_frames(length: int, columns: int, *, first: int = 0) -> list[int]:
    """At most ``columns`` different frame numbers, evenly spaced from ``first`` to the end, both ends left out."""
    if columns < 1:
        raise InputError(f"{columns} frames were asked for; ask for 1 or more")
    first = first if length > first + columns else 0
    columns = min(columns, length)
    return [first + int(frame) for frame in (np.arange(columns) + 0.5) * (length - first) / columns]


def draw_strips(ax: Axes, strips: Sequence[Strip], *, frames: Sequence[Sequence[int]]) -> None:
    """Frames of movies: one row per movie, its name on the left, times above, the outline of the scored area on each.

    All share one set of axes, whose unit is the width of a frame: many small axes are slow to lay out, and end up of
    different sizes.

    Parameters
    ----------
    ax
        Axes to draw into.
    strips
        From top to bottom.
    frames
        For each strip, the numbers of the frames to show.
    """
    below, names = 0.0, dict[float, str]()
    for number, (strip, chosen) in enumerate(zip(strips, frames, strict=True)):
        timed = not number or list(chosen) != list(frames[0]) or strip.frame_rate_hz != strips[0].frame_rate_hz
        middles, below = _draw_strip(ax, strip, chosen, top=below, timed=timed)
        names |= dict(zip(middles, strip.rows, strict=True))
        if strip.beside:
            ax.text(len(chosen) * (1 + _GAP), (middles[0] + middles[-1]) / 2, strip.beside, va="center", fontsize=TICK)
    columns = max(map(len, frames))
    room = 0.1 * columns if any(strip.beside for strip in strips) else 0
    ax.set(xlim=(0, columns * (1 + _GAP) - _GAP + room), ylim=(below, 0), aspect="equal", anchor="W", xticks=[])
    ax.set_yticks(list(names), list(names.values()))
    ax.tick_params(length=0, pad=2)
    ax.spines[:].set_visible(False)


def _draw_strip(ax: Axes, strip: Strip, frames: Sequence[int], *, top: float, timed: bool) -> tuple[list[float], float]:
    """The movies of a strip from ``top`` down; the middles of its rows, and where they end."""
    height, width = next(iter(strip.rows.values())).shape[1:]
    tall, middles = height / width, []
    lefts = np.arange(len(frames)) * (1 + _GAP)
    top += _TIMES if timed else 2 * _GAP
    for left, frame in zip(lefts, frames, strict=True) if timed else ():
        time = f"{frame / strip.frame_rate_hz:.2f} s"
        ax.text(left + 0.5, top - _GAP, time, ha="center", va="bottom", fontsize=TICK)
    outline = [] if strip.mask is None else mask_outline(strip.mask)
    for movie in strip.rows.values():
        for left, frame in zip(lefts, frames, strict=True):
            place = (left, left + 1, top + tall, top)
            ax.imshow(movie[frame], cmap="gray", vmin=0, vmax=255, interpolation="nearest", extent=place)
            _draw_lines(ax, [line / width + (left, top) for line in outline])
        middles.append(top + tall / 2)
        top += tall + _GAP
    return middles, top - _GAP


def draw_outline(ax: Axes, mask: NDArray[Any] | None) -> None:
    """The outline of the pixels that are scored over an image (height, width) that ``imshow`` drew."""
    _draw_lines(ax, [] if mask is None else [line - 0.5 for line in mask_outline(mask)])


def _draw_lines(ax: Axes, lines: Sequence[NDArray[Any]]) -> None:
    """Closed lines, blue on a thin white one: visible on light, on dark, and in gray."""
    common: dict[str, Any] = {"solid_joinstyle": "round", "scalex": False, "scaley": False}
    for line in lines:
        ax.plot(*line.T, color="white", linewidth=1.3, **common)
        ax.plot(*line.T, color=BLUE, linewidth=0.7, **common)


def scaled_responses(*responses: NDArray[Any], most_rows: int = _MOST_ROWS) -> list[NDArray[Any]]:
    """Responses (neurons, frames) in standard deviations of the first array, with no more rows than can be seen.

    Each neuron is divided by its own deviation, but at least by a quarter of the neurons' upper quartile: otherwise
    predictions for a silent neuron would be divided by almost zero.
    """
    deviation = responses[0].std(axis=1, keepdims=True)
    floor = np.percentile(deviation, 75) / 4 or deviation.max() or 1.0
    return [_few_rows(each / np.maximum(deviation, floor), most_rows) for each in responses]


def _few_rows(rows: NDArray[Any], most: int) -> NDArray[Any]:
    """At most ``most`` rows, as means of neighbors."""
    if len(rows) <= most:
        return rows
    starts = np.arange(0, len(rows), -(-len(rows) // most))
    counts = np.diff(np.append(starts, len(rows)))
    means: NDArray[Any] = np.add.reduceat(rows, starts) / counts[:, None]
    return means


def draw_rasters(axes: Sequence[Axes], responses: Mapping[str, NDArray[Any]], *, frame_rate_hz: float) -> None:
    """Responses (neurons, frames), one raster per axes, on one scale: dark is active. Names go above."""
    scaled = scaled_responses(*responses.values())
    low, high = range_with_zero(*scaled, narrowest=1.0, cut=_CUT)
    neurons, frames = next(iter(responses.values())).shape
    for ax, title, rows in zip(axes, responses, scaled, strict=True):
        extent = (0, frames / frame_rate_hz, neurons, 0)
        options: dict[str, Any] = {"cmap": "gray_r", "vmin": low, "vmax": high, "interpolation": "none"}
        image = ax.imshow(rows, aspect="auto", extent=extent, **options)
        ax.set_title(title, loc="left")
        ax.set_ylabel("neuron")
        ax.tick_params(labelbottom=ax is axes[-1])
    axes[-1].set_xlabel("time (s)")
    axes[0].figure.colorbar(image, ax=list(axes), label="response (SD)", fraction=0.025, pad=0.01, extend="max")


def draw_traces(ax: Axes, traces: Mapping[str, NDArray[Any]], *, frame_rate_hz: float) -> None:
    """Traces (frames,) below each other, each scaled to its own range, with its name next to it."""
    for number, trace in enumerate(traces.values()):
        spread = float(np.ptp(trace)) or 1.0
        ax.plot(np.arange(len(trace)) / frame_rate_hz, 0.8 * (trace - trace.min()) / spread - number, color=COLORS[0])
    ax.set_yticks([0.4 - number for number in range(len(traces))], list(traces))
    ax.tick_params(axis="y", length=0)
    ax.set(xlabel="time (s)", xlim=(0, max(map(len, traces.values())) / frame_rate_hz))


def draw_images(parent: Figure | SubFigure, images: Mapping[str, NDArray[Any]], *, signed: bool = False) -> None:
    """Images (height, width) side by side, with their names above: grey levels, or signed, 0 in mid-grey."""
    for ax, (title, image) in zip(parent.subplots(1, len(images), squeeze=False)[0], images.items(), strict=True):
        most = float(np.abs(image).max()) or 1.0
        colors: dict[str, Any] = {"cmap": "gray", "vmin": 0, "vmax": 255}
        if signed:
            colors |= {"vmin": -most, "vmax": most}
        ax.imshow(image, interpolation="nearest", **colors)
        ax.set(xticks=[], yticks=[])
        ax.set_title(title, fontsize=TICK)


def mask_figure(mask: NDArray[Any]) -> Figure:
    """A mask's values, with the outline of the pixels that are scored."""
    height, width = mask.shape
    with new_figure(PAGE / 2, min(PAGE / 2 * 0.72 * height / width + 12, PAGE)) as figure:
        draw_map(figure.subplots(), mask, label="mask", mask=mask)
    return figure


def draw_map(ax: Axes, values: NDArray[Any], *, label: str, mask: NDArray[Any] | None = None) -> None:
    """Values (height, width) on the screen as colors that also print in gray, with the outline of the scored area."""
    low, high = range_with_zero(values, narrowest=1e-6)
    image = ax.imshow(values, cmap=HEAT, vmin=low, vmax=high, interpolation="nearest")
    draw_outline(ax, mask)
    ax.set(xlabel="column (pixels)", ylabel="row (pixels)")
    ax.figure.colorbar(image, ax=ax, label=label, fraction=0.046 * values.shape[0] / values.shape[1], pad=0.02)

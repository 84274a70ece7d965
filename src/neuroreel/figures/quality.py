"""Natural movies judged in other ways: by identification, by frequency, and whether an ensemble knows its errors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce
from operator import add
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from neuroreel.errors import InputError
from neuroreel.evaluation.frequency_bands import band_correlation
from neuroreel.evaluation.identification import identify
from neuroreel.evaluation.uncertainty import Uncertainty
from neuroreel.figures.curves import correlation_colors, draw_values
from neuroreel.figures.material import Movies
from neuroreel.figures.sheet import Drawn
from neuroreel.style import BLUE, FAINT, TICK

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_CLIP = 15  # frames


def panel_identification(movies: Sequence[Movies], ax: Axes) -> Drawn:
    """How often a frame or a clip is told from another true one, and from all others."""
    truths, videos = [each.truth for each in movies], [each.video for each in movies]
    masks = [np.ones(each.truth.shape[1:], bool) if each.mask is None else each.mask for each in movies]
    rows = []
    for frames, what in ((1, "frame"), (_CLIP, "clip")):
        for ways in (2, None):
            found = identify(truths, videos, ways=ways, clip_frames=frames, mask=masks)
            rows.append({"piece": what, **{name: getattr(found, name) for name in _IDENTIFIED}})
    for place, row in enumerate(rows):
        ax.plot([place - 0.3, place + 0.3], [100 * row["chance"]] * 2, color=FAINT, linestyle="--")
        reach = [[100 * (row["accuracy"] - row["low"])], [100 * (row["high"] - row["accuracy"])]]
        known = np.isfinite(row["low"])
        ax.errorbar(place, 100 * row["accuracy"], yerr=reach if known else None, color=BLUE, marker="o")
    ax.set_xticks(range(len(rows)), [f"{row['piece']},\n{row['ways']}-way" for row in rows])
    ax.set(ylim=(0, 105), xlim=(-0.6, len(rows) - 0.4), ylabel="identified (%)")
    ax.set_title(_count(movies), loc="right", fontsize=TICK)
    caption = (
        f"Pieces that are more similar to their own true piece than to others: frames, and clips of {_CLIP} frames, "
        f"among two and among all; dashed: chance; bars: 95% interval over movies. {_count(movies)}."
    )
    return Drawn(numbers=pd.DataFrame(rows), caption=caption)


_IDENTIFIED = ("ways", "clip_frames", "accuracy", "low", "high", "chance")


def panel_bands(movies: Sequence[Movies], ax: Axes) -> Drawn:
    """Correlation by band of spatial and temporal frequency, all movies together."""
    degrees = movies[0].pixels_per_degree
    bands = reduce(
        add,
        [
            band_correlation(
                each.truth, each.video, frame_rate_hz=each.frame_rate_hz, pixels_per_degree=degrees, mask=each.mask
            )
            for each in movies
        ],
    )
    values = np.asarray(bands.correlation)
    image = draw_values(values, ax, colors=correlation_colors(values))
    rows = []
    for (row, column), value in np.ndenumerate(values):
        rows.append(
            {
                "spatial_low": bands.spatial_edges[row],
                "spatial_high": bands.spatial_edges[row + 1],
                "spatial_unit": bands.spatial_unit,
                "temporal_low_hz": bands.temporal_edges[column],
                "temporal_high_hz": bands.temporal_edges[column + 1],
                "correlation": value,
            }
        )
    ax.set_xticks(np.arange(values.shape[1] + 1) - 0.5, [f"{edge:.3g}" for edge in bands.temporal_edges])
    ax.set_yticks(np.arange(values.shape[0] + 1) - 0.5, [f"{edge:.2g}" for edge in bands.spatial_edges])
    ax.set(xlabel="temporal frequency (Hz)", ylabel=f"spatial frequency ({bands.spatial_unit})")
    ax.figure.colorbar(image, ax=ax, label="correlation (r)", fraction=0.05, pad=0.02)
    ax.set_title(_count(movies), loc="right", fontsize=TICK)
    caption = f"Correlation with the true movie in bands of spatial and temporal frequency. {_count(movies)}."
    return Drawn(numbers=pd.DataFrame(rows), caption=caption)


def panel_uncertainty(found: Sequence[Uncertainty], ax: Axes) -> Drawn:
    """Whether models disagree where their mean is wrong: error against deviation, one line per movie."""
    rows = []
    for number, each in enumerate(found):
        ax.plot(each.curve_deviation, each.curve_error, color=BLUE, alpha=0.5, marker="o", markersize=2)
        pairs = zip(each.curve_deviation, each.curve_error, strict=True)
        rows += [{"movie": number, "deviation": deviation, "error": error} for deviation, error in pairs]
    if not rows:
        raise InputError("no result has the videos of several models, so their differences are unknown")
    high = max(max(row["deviation"], row["error"]) for row in rows)
    ax.plot([0, high], [0, high], color=FAINT, linewidth=0.6, linestyle="--", zorder=0)
    ax.set(xlabel="models' deviation (grey levels)", ylabel="error (grey levels)", xlim=(0, None), ylim=(0, None))
    ax.set_title(_count(found), loc="right", fontsize=TICK)
    caption = (
        "Root mean square error of the ensemble's mean against the deviation across its models, pixels sorted by "
        f"deviation, one line per movie; dashed: an ensemble that knows its error. {_count(found)}."
    )
    return Drawn(numbers=pd.DataFrame(rows), caption=caption)


def or_say_why(panel: Callable[..., Drawn]) -> Callable[..., Drawn]:
    """The panel; or an empty one, if the movies are too short or too few for it."""

    def drawn(data: Any, ax: Axes) -> Drawn:
        try:
            return panel(data, ax)
        except InputError as error:
            ax.clear()
            ax.set_axis_off()
            ax.text(0.5, 0.5, "not drawn: see caption", transform=ax.transAxes, ha="center", fontsize=TICK)
            return Drawn(numbers=pd.DataFrame({"not_drawn": [str(error)]}), caption=f"Not drawn: {error}.")

    return drawn


def _count(movies: Sequence[object]) -> str:
    return f"n = {len(movies)} movie{'s' if len(movies) > 1 else ''}"

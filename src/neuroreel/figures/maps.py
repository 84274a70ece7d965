"""Panels of a score over two numbers: a heat map, its value in each field."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from neuroreel.decimals import in_decimals
from neuroreel.figures.comparisons import counted
from neuroreel.figures.material import needs_columns
from neuroreel.figures.sheet import Drawn
from neuroreel.figures.style import HEAT, TICK

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.image import AxesImage
    from pandas import DataFrame


def draw_values(values: NDArray[np.float64], ax: Axes, *, top: float) -> AxesImage:
    """Correlations (rows, columns) as colours from 0, or the least if that is less, to ``top``, and as numbers."""
    least = min(0.0, float(np.nanmin(values)))
    image = ax.imshow(values, cmap=HEAT, vmin=least, vmax=top, origin="lower", aspect="auto")
    for (row, column), value in np.ndenumerate(values):
        ink = "black" if value > 0.55 * top else "white"
        if np.isfinite(value):
            ax.text(column, row, in_decimals(value, 2), ha="center", va="center", fontsize=TICK, color=ink)
    return image


def panel_map(
    table: DataFrame,
    ax: Axes,
    *,
    x: str,
    y: str,
    x_label: str,
    y_label: str,
    score: str = "video_correlation",
    label: str = "video correlation (r)",
    highest: float | None = None,
    bar: bool = True,
    title: str = "",
    what: str,
) -> Drawn:
    """The mean over animals of a score over two numbers, each of them an axis of even steps.

    Parameters
    ----------
    table
        ``recording``, ``trial``, ``x``, ``y`` and the score.
    ax
        Axes to draw into.
    x, y, x_label, y_label, score, label
        Columns, and what they are called, with units.
    highest
        Upper end of the colours, to be the same in neighbouring panels; by default the largest mean.
    bar
        Draw the colour bar.
    title
        Above the panel.
    what
        Start of the caption's sentence.
    """
    rows = needs_columns(table, "recording", x, y, score, figure=f"{score} map")
    animals = rows.groupby(["recording", x, y], as_index=False)[score].mean()
    grid = animals.pivot_table(index=y, columns=x, values=score).sort_index().sort_index(axis=1)
    top = max(float(np.nanmax(grid)), 0.05) if highest is None else highest
    image = draw_values(grid.to_numpy(), ax, top=top)
    ax.set_xticks(range(grid.shape[1]), [f"{value:.3g}" for value in grid.columns])
    ax.set_yticks(range(grid.shape[0]), [f"{value:.3g}" for value in grid.index])
    ax.set(xlabel=x_label, ylabel=y_label)
    ax.spines[:].set_visible(False)
    ax.tick_params(length=0)
    ax.set_title(", ".join(each for each in (title, counted(rows)) if each), loc="right", fontsize=TICK)
    if bar:
        ax.figure.colorbar(image, ax=ax, label=label, fraction=0.05, pad=0.02)
    caption = f"{what}: {label}, mean over animals. {counted(rows)}."
    return Drawn(numbers=_numbers(animals, x=x, y=y, score=score), caption=caption)


def _numbers(animals: DataFrame, *, x: str, y: str, score: str) -> DataFrame:
    import pandas as pd

    means = animals.groupby([x, y], as_index=False)[score].agg(["mean", "sem", "count"])
    means = means.rename(columns={"mean": score, "sem": "standard_error", "count": "animals"})
    return pd.concat([animals.assign(level="animal"), means.assign(level="mean over animals")], ignore_index=True)

"""Panels of a score over two numbers: a heat map, its value in each field."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neuroreel.decimals import in_decimals
from neuroreel.figures.comparisons import counted
from neuroreel.figures.material import needs_columns
from neuroreel.figures.sheet import Drawn
from neuroreel.ranges import range_with_zero
from neuroreel.style import HEAT, TICK

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.image import AxesImage
    from pandas import DataFrame


def correlation_colors(values: ArrayLike) -> tuple[float, float]:
    """From which correlation to which one the colors go: 0 is among them, and they are no less than 0.05 apart."""
    return range_with_zero(values, narrowest=0.05)


def draw_values(values: NDArray[np.float64], ax: Axes, *, colors: tuple[float, float]) -> AxesImage:
    """Correlations (rows, columns) as colors between these two, and as numbers."""
    low, high = colors
    image = ax.imshow(values, cmap=HEAT, vmin=low, vmax=high, origin="lower", aspect="auto")
    for (row, column), value in np.ndenumerate(values):
        ink = "black" if value > low + 0.55 * (high - low) else "white"
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
    colors: tuple[float, float] | None = None,
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
    colors
        Where the colors begin and end, to be the same in neighboring panels; by default as the means need it.
    bar
        Draw the color bar.
    title
        Above the panel.
    what
        Start of the caption's sentence.
    """
    rows = needs_columns(table, "recording", x, y, score, figure=f"{score} map")
    animals = rows.groupby(["recording", x, y], as_index=False)[score].mean()
    grid = animals.pivot_table(index=y, columns=x, values=score).sort_index().sort_index(axis=1)
    image = draw_values(grid.to_numpy(), ax, colors=colors or correlation_colors(grid))
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

"""Panels of a score over a number: neurons, a threshold, iterations."""

from __future__ import annotations

from typing import TYPE_CHECKING

from neuroreel.errors import InputError
from neuroreel.figures.comparisons import counted
from neuroreel.figures.material import needs_columns
from neuroreel.figures.sheet import Drawn
from neuroreel.style import BLUE, FAINT, TICK, animal_looks, correlation_axis

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from pandas import DataFrame

_MOST_LINES = 60  # of single movies: more would be a block


def panel_curve(
    table: DataFrame,
    ax: Axes,
    *,
    x: str,
    x_label: str,
    score: str = "video_correlation",
    label: str = "video correlation (r)",
    logarithmic: bool = False,
    what: str,
) -> Drawn:
    """A score over a number, a line an animal (means over its movies).

    Parameters
    ----------
    table
        ``recording``, ``trial``, ``x`` and the score.
    ax
        Axes to draw into.
    x, x_label, score, label
        Columns, and what their axes are called, with units.
    logarithmic
        Logarithmic horizontal axis.
    what
        Start of the caption's sentence.
    """
    rows = needs_columns(table, "recording", "trial", x, score, figure=f"{score} over {x}")
    movies = rows.groupby(["recording", "trial", x], as_index=False)[score].mean()
    animals = movies.groupby(["recording", x], as_index=False)[score].agg(["mean", "sem", "count"])
    looks = animal_looks(list(rows["recording"]))
    for name, own in animals.groupby("recording"):
        ax.errorbar(
            own[x],
            own["mean"],
            yerr=own["sem"].fillna(0),
            **looks[str(name)],
            linewidth=0.8,
            elinewidth=0.6,
            markeredgecolor="white",
            markeredgewidth=0.3,
        )
    if logarithmic:
        _log_axis(ax, sorted(movies[x].unique()))
    ax.set(xlabel=x_label, ylabel=label)
    correlation_axis(ax, float(animals["mean"].min()), float((animals["mean"] + animals["sem"].fillna(0)).max()))
    ax.set_title(counted(movies), loc="right", fontsize=TICK)
    caption = f"{what}: a line an animal, mean ± standard error over its movies. {counted(movies)}."
    animals = animals.rename(columns={"mean": score, "sem": "standard_error", "count": "movies"})
    return Drawn(numbers=_joined(movies, animals), caption=caption)


def panel_convergence(history: DataFrame, ax: Axes, *, quantity: str, label: str, what: str) -> Drawn:
    """A quantity over iterations: a faint line a movie, the mean over movies above them.

    Parameters
    ----------
    history
        ``recording, trial, iteration`` and the quantity, one row an iteration that was logged.
    ax
        Axes to draw into.
    quantity, label
        Column, and what its axis is called, with its unit.
    what
        Start of the caption's sentence.
    """
    rows = needs_columns(history, "recording", "trial", "iteration", quantity, figure="convergence")
    movies = rows.groupby(["recording", "trial", "iteration"], as_index=False)[quantity].mean()
    for _, own in list(movies.groupby(["recording", "trial"]))[:_MOST_LINES]:
        ax.plot(own["iteration"], own[quantity], color=FAINT, linewidth=0.4, alpha=0.7)
    counts = movies.groupby("iteration")[quantity].count()
    mean = movies.groupby("iteration")[quantity].mean()[counts == counts.max()]  # or the mean jumps where movies end
    ax.plot(mean.index, mean, color=BLUE, linewidth=1.4)
    ax.set(xlabel="iteration", ylabel=label)
    ax.margins(x=0.02)
    if movies[quantity].abs().max() <= 1 and quantity != "loss":
        correlation_axis(ax, float(movies[quantity].min()), float(movies[quantity].max()))
    ax.set_title(counted(movies), loc="right", fontsize=TICK)
    caption = f"{what}: a faint line a movie, the mean over movies on top. {counted(movies)}."
    return Drawn(
        numbers=_joined(movies, mean.rename(quantity).reset_index(), level="mean over movies"), caption=caption
    )


def _log_axis(ax: Axes, values: list[float]) -> None:
    if values[0] <= 0:
        raise InputError(f"a logarithmic axis needs positive numbers; the smallest is {values[0]:g}")
    ax.set_xscale("log")
    if len(values) <= 8:
        apart = values[:1]
        for value in values[1:]:
            apart += [value] if value >= 1.2 * apart[-1] else []  # labels of closer ones would overlap
        ax.set_xticks(apart, [f"{value:g}" for value in apart])
        ax.minorticks_off()


def _joined(movies: DataFrame, above: DataFrame, *, level: str = "animal") -> DataFrame:
    """Single movies, and what was computed of them, in one table told apart by ``level``."""
    import pandas as pd

    return pd.concat([movies.assign(level="movie"), above.assign(level=level)], ignore_index=True)

"""Panels that compare conditions: movies, the means of animals, and the mean over animals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from neuroreel.errors import InputError
from neuroreel.figures.comparisons import compare_conditions, counted, pair_name, stars, summary_of_tests
from neuroreel.figures.material import needs_columns
from neuroreel.figures.sheet import Drawn
from neuroreel.style import FAINT, INK, TICK, animal_looks, correlation_axis

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from pandas import DataFrame


def panel_conditions(
    table: DataFrame,
    ax: Axes,
    *,
    condition: str,
    order: Mapping[Any, str],
    score: str = "video_correlation",
    label: str = "video correlation (r)",
    what: str,
) -> Drawn:
    """Compare conditions: a faint dot a movie, a marker an animal (lines join its conditions), a bar the mean.

    Parameters
    ----------
    table
        ``recording``, ``trial``, the condition and the score, one row a movie and condition.
    ax
        Axes to draw into.
    condition
        Column that tells the conditions apart.
    order
        Its values from left to right, and what each is called; those that do not occur are left out.
    score, label
        Column of the score, and what its axis is called, with its unit.
    what
        Start of the caption's sentence.
    """
    rows = needs_columns(table, "recording", "trial", condition, score, figure=f"{condition} comparison")
    there = [value for value in order if (rows[condition] == value).any()]
    if not there:
        raise InputError(f"no result has a {condition} among {', '.join(map(str, order))}")
    rows = rows[rows[condition].isin(there)]
    movies = rows.groupby(["recording", "trial", condition], as_index=False, sort=True)[score].mean()
    animals = movies.groupby(["recording", condition], as_index=False)[score].mean()
    _dots(movies, ax, condition=condition, there=there, score=score)
    _animals(animals, ax, condition=condition, there=there, score=score)
    _means(animals, ax, condition=condition, there=there, score=score)
    ax.set_xticks(range(len(there)), [order[value] for value in there])
    ax.set_xlim(-0.5, len(there) - 0.5)
    ax.set_ylabel(label)
    tests = compare_conditions(movies, score=score, condition=condition, order=there, names=order)
    top = _brackets(tests, ax, there=there, names=order, highest=float(movies[score].max()))
    correlation_axis(ax, float(movies[score].min()), top)
    ax.set_title(counted(movies), loc="right", fontsize=TICK)
    numbers = _numbers(movies, animals, condition=condition, score=score)
    caption = (
        f"{what}: dots are movies, markers the means of animals joined by lines, bars the mean over animals "
        f"(± standard error where there are several). {counted(movies)}. {summary_of_tests(tests)}"
    )
    return Drawn(numbers=numbers, caption=caption, tests=tests)


def _dots(movies: DataFrame, ax: Axes, *, condition: str, there: Sequence[Any], score: str) -> None:
    for place, value in enumerate(there):
        heights = movies.loc[movies[condition] == value, score].to_numpy(float)
        sideways = np.linspace(-0.18, 0.18, len(heights)) if len(heights) > 1 else np.zeros(len(heights))
        ax.scatter(place + sideways, heights, s=4, color=FAINT, alpha=0.6, linewidths=0, zorder=1)


def _animals(animals: DataFrame, ax: Axes, *, condition: str, there: Sequence[Any], score: str) -> None:
    looks = animal_looks(list(animals["recording"]))
    for name, own in animals.groupby("recording"):
        own = own.set_index(condition)[score].reindex(there)
        style = {**looks[str(name)], "linewidth": 0.7, "markeredgecolor": "white", "markeredgewidth": 0.3}
        ax.plot(range(len(there)), own, **style, zorder=3)


def _means(animals: DataFrame, ax: Axes, *, condition: str, there: Sequence[Any], score: str) -> None:
    for place, value in enumerate(there):
        heights = animals.loc[animals[condition] == value, score]
        ax.plot([place + 0.22, place + 0.4], [heights.mean()] * 2, color=INK, linewidth=1.6, zorder=4)
        if len(heights) > 1:
            ax.errorbar(place + 0.31, heights.mean(), yerr=heights.sem(), color=INK, linewidth=0.8, zorder=4)


def _brackets(tests: DataFrame, ax: Axes, *, there: Sequence[Any], names: Mapping[Any, str], highest: float) -> float:
    """Brackets over the neighbours that were tested, with their stars; the height they reach."""
    step = 0.07 * max(highest, 0.1)
    height = highest + step
    pairs = tests[tests["test"] == "paired t-test"]
    for place, (left, right) in enumerate(pairwise(there)):
        found = pairs[pairs["comparison"] == pair_name(left, right, names)]
        if not len(found):
            continue
        at = height + (place % 2) * step
        ax.plot([place + 0.05] * 2 + [place + 0.95] * 2, [at - step / 4, at, at, at - step / 4], color=INK, lw=0.6)
        mark = stars(float(found["p_corrected"].iloc[0]))
        ax.text(place + 0.5, at, mark, ha="center", va="bottom", fontsize=TICK)
    return height + 2 * step if len(pairs) else height


def _numbers(movies: DataFrame, animals: DataFrame, *, condition: str, score: str) -> DataFrame:
    """All numbers of the panel in one table: ``level`` says whether a row is a movie, an animal, or all animals."""
    import pandas as pd

    means = animals.groupby(condition, as_index=False)[score].agg(["mean", "sem", "count"])
    means = means.rename(columns={"mean": score, "sem": "standard_error", "count": "animals"})
    levels = {"movie": movies, "animal": animals, "mean over animals": means}
    return pd.concat([each.assign(level=level) for level, each in levels.items()], ignore_index=True)

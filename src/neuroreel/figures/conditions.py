"""Panels that compare conditions (movies, means of animals, their mean), and the conditions of each figure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from neuroreel.errors import InputError
from neuroreel.figures.comparisons import compare_conditions, counted, pair_name, stars, summary_of_tests
from neuroreel.figures.material import needs_columns
from neuroreel.figures.sheet import Drawn
from neuroreel.style import FAINT, INK, TICK, animal_looks, axis_start, correlation_axis

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def panel_conditions(
    table: pd.DataFrame,
    ax: Axes,
    *,
    condition: str,
    order: Mapping[Any, str],
    score: str = "video_correlation",
    label: str = "video correlation (r)",
    what: str,
    dots: bool = True,
) -> Drawn:
    """Compare conditions: a faint dot per movie, a marker per animal (lines join its conditions), bars for means.

    Dots stand left of their condition, bars right of it; without ``dots`` the movies are in the numbers only.

    Parameters
    ----------
    condition
        Column of the condition.
    order
        Its values from left to right, and their labels; values that do not occur are left out.
    score, label
        Column of the score, and its axis label with the unit.
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
    if dots:
        _dots(movies, ax, condition=condition, there=there, score=score)
    _animals(animals, ax, condition=condition, there=there, score=score)
    _means(animals, ax, condition=condition, there=there, score=score)
    ax.set_xticks(range(len(there)), [order[value] for value in there])
    ax.set_xlim(-0.5, len(there) - 0.5)
    ax.set_ylabel(label)
    tests = compare_conditions(movies, score=score, condition=condition, order=there, names=order)
    drawn = (movies if dots else animals)[score]
    top = _brackets(tests, ax, there=there, names=order, highest=float(drawn.max()), lowest=float(drawn.min()))
    cut = correlation_axis(ax, float(drawn.min()), top)
    ax.set_title(counted(movies), loc="right", fontsize=TICK)
    numbers = _numbers(movies, animals, condition=condition, score=score)
    shown = "dots are movies, markers the means" if dots else "markers are the means over movies"
    caption = (
        f"{what}: {shown} of animals joined by lines, bars the mean over animals (± standard error where there are "
        f"several).{cut} {counted(movies)}. {summary_of_tests(tests)}"
    )
    return Drawn(numbers=numbers, caption=caption, tests=tests)


def _dots(movies: pd.DataFrame, ax: Axes, *, condition: str, there: Sequence[Any], score: str) -> None:
    for place, value in enumerate(there):
        heights = movies.loc[movies[condition] == value, score].to_numpy(float)
        sideways = np.linspace(-0.28, -0.1, len(heights)) if len(heights) > 1 else np.full(len(heights), -0.19)
        ax.scatter(place + sideways, heights, s=4, color=FAINT, alpha=0.6, linewidths=0, zorder=1)


def _animals(animals: pd.DataFrame, ax: Axes, *, condition: str, there: Sequence[Any], score: str) -> None:
    looks = animal_looks(list(animals["recording"]))
    for name, own in animals.groupby("recording"):
        own = own.set_index(condition)[score].reindex(there)
        style = {**looks[str(name)], "linewidth": 0.7, "markeredgecolor": "white", "markeredgewidth": 0.3}
        ax.plot(range(len(there)), own, **style, zorder=3)


def _means(animals: pd.DataFrame, ax: Axes, *, condition: str, there: Sequence[Any], score: str) -> None:
    for place, value in enumerate(there):
        heights = animals.loc[animals[condition] == value, score]
        ax.plot([place + 0.1, place + 0.28], [heights.mean()] * 2, color=INK, linewidth=1.6, zorder=4)
        if len(heights) > 1:
            ax.errorbar(place + 0.19, heights.mean(), yerr=heights.sem(), color=INK, linewidth=0.8, zorder=4)


def _brackets(
    tests: pd.DataFrame, ax: Axes, *, there: Sequence[Any], names: Mapping[Any, str], highest: float, lowest: float
) -> float:
    """Draw brackets with stars over tested neighbors; returns the height they reach."""
    step = 0.12 * max(highest - min(lowest, axis_start(lowest, highest)), 0.05)
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


def _numbers(movies: pd.DataFrame, animals: pd.DataFrame, *, condition: str, score: str) -> pd.DataFrame:
    """All numbers of the panel in one table: ``level`` says whether a row is a movie, an animal, or all animals."""
    means = animals.groupby(condition, as_index=False)[score].agg(["mean", "sem", "count"])
    means = means.rename(columns={"mean": score, "sem": "standard_error", "count": "animals"})
    levels = {"movie": movies, "animal": animals, "mean over animals": means}
    return pd.concat([each.assign(level=level) for level, each in levels.items()], ignore_index=True)


# ------------------------------------------------------------------------------------------- what each figure compares

ENSEMBLES = {"single": "single\nmodel", "gradients": "mean of\ngradients", "videos": "mean of\nvideos"}
TARGETS = {"recorded": "recorded\nresponses", "predicted": "predicted\nresponses"}
MASKS = {"none": "no mask", "trained": "trained\nmask", "strict": "strict\nmask"}
_TRAINED, _SCORED = 0.5, 1.0  # thresholds of the paper's update mask, and of the evaluation mask
_SAME = ("recording", "trial", "target", "mask", "mask_threshold")
_METHODS = {  # column: label of the movie that it scores
    "single_video_correlation": "single model",
    "video_correlation_unsmoothed": "ensemble",
    "video_correlation": "ensemble, smoothed",
}
_OF_ONE_MODEL = {
    **_METHODS,
    "video_correlation_unsmoothed": "single model",
    "video_correlation": "single model, smoothed",
}
_METHODS_IN_ORDER = tuple(dict.fromkeys([*_OF_ONE_MODEL.values(), *_METHODS.values()]))
_MOVIES = {
    "response_correlation_truth": "true",
    "response_correlation_masked": "true, masked",
    "response_correlation": "reconstructed",
    "response_correlation_matched": "contrast-matched",
}


def panel_ensembling(table: pd.DataFrame, ax: Axes) -> Drawn:
    """Natural movies: single models, the mean of their movies, and that smoothed."""
    return panel_conditions(
        methods(table),
        ax,
        condition="method",
        order={name: name.replace(", ", ",\n").replace("single ", "single\n") for name in _METHODS_IN_ORDER},
        what="Movies by how the models were combined",
    )


def methods(table: pd.DataFrame) -> pd.DataFrame:
    """One row per movie and scored method: ``recording, trial, method, video_correlation``."""
    rows = needs_columns(table, "recording", "trial", "video_correlation", figure="natural")
    there = [name for name in _METHODS if name in rows and rows[name].notna().any()]
    if "video_correlation_unsmoothed" in there and rows["video_correlation"].equals(
        rows["video_correlation_unsmoothed"]
    ):
        there.remove("video_correlation")  # nothing was smoothed
    alone = "models" in rows and rows["models"].max() <= 1
    names = _OF_ONE_MODEL if alone else _METHODS
    return _stacked(rows, {name: names[name] for name in there}, condition="method", score="video_correlation")


def panel_ensembles(table: pd.DataFrame, ax: Axes) -> Drawn:
    """A single model, the models' mean gradient, the mean of the models' videos."""
    what = "One model, one video from the mean gradient of all models, and the mean of one video per model"
    return panel_conditions(table, ax, condition="ensemble", order=ENSEMBLES, what=what)


def panel_targets(table: pd.DataFrame, ax: Axes) -> Drawn:
    """From recorded and from predicted responses."""
    what = "Movies reconstructed from the recorded responses, and from those predicted for the true movie"
    return panel_conditions(table, ax, condition="target", order=TARGETS, what=what)


def panel_variants(table: pd.DataFrame, ax: Axes) -> Drawn:
    """No mask, the trained one at its usual threshold, the strict one."""
    what = (
        "Published method: pixels moved everywhere, inside the trained mask (at least 0.5), inside the strict one (at "
        "least 1), always scored inside the evaluation mask. Posterior: pixels scored"
    )
    return panel_conditions(variants(table), ax, condition="mask", order=MASKS, what=what)


def variants(table: pd.DataFrame) -> pd.DataFrame:
    """Masks without the threshold sweep: of the trained mask only the usual threshold."""
    if "mask_threshold" not in table:
        return table
    usual = _TRAINED
    if "method" in table:
        usual = table["method"].map({"posterior": _SCORED}).fillna(_TRAINED)
    sweep = (table["mask"] == "trained") & table["mask_threshold"].notna() & (table["mask_threshold"] != usual)
    return table[~sweep].drop_duplicates([name for name in _SAME if name in table])


def panel_fractions(table: pd.DataFrame, ax: Axes) -> Drawn:
    """By the share of neurons that was kept."""
    what = "Movies from a share of the neurons"
    drawn = panel_conditions(table, ax, condition="fraction", order=fractions(table), what=what)
    ax.set_xlabel("neurons kept")
    return drawn


def fractions(table: pd.DataFrame) -> dict[float, str]:
    """The fractions that were kept, from all neurons down, and what each is called."""
    rows = needs_columns(table, "fraction", "video_correlation", figure="ablation")
    return {float(each): f"{100 * each:g}%" for each in sorted(rows["fraction"].unique(), reverse=True)}


def panel_directions(table: pd.DataFrame, ax: Axes) -> Drawn:
    """Gratings by direction, over all frequencies: means of animals, for most single gratings are lost whole."""
    rows = grating_rows(table)
    order = {each: f"{each:g}" for each in sorted(rows["direction_deg"].unique())}
    what = "Gratings by direction, over all spatial and temporal frequencies"
    drawn = panel_conditions(rows, ax, condition="direction_deg", order=order, what=what, dots=False)
    ax.set_xlabel("direction (degrees)")
    return drawn


def grating_rows(table: pd.DataFrame) -> pd.DataFrame:
    """Rows whose frequencies are known; frequencies a pair of directions has in common are one ``trial``."""
    place = ("direction_deg", "spatial_frequency", "temporal_frequency_hz")
    rows = needs_columns(table, "recording", *place, "video_correlation", figure="gratings")
    pairs = zip(rows["spatial_frequency"], rows["temporal_frequency_hz"], strict=True)
    return rows.assign(trial=[f"{spatial:g}cpd-{temporal:g}Hz" for spatial, temporal in pairs])


def panel_responses(table: pd.DataFrame, ax: Axes) -> Drawn:
    """How well the recorded responses are predicted, by the movie that the models are shown."""
    drawn = panel_conditions(
        shown_movies(table),
        ax,
        condition="movie",
        order={name: name.replace("-", "-\n").replace(", ", ",\n") for name in _MOVIES.values()},
        score="response_correlation",
        label="response correlation (r)",
        what="Correlation of the recorded responses with those predicted for four movies",
    )
    ax.set_xlabel("movie shown to the models")
    return drawn


def shown_movies(table: pd.DataFrame) -> pd.DataFrame:
    """One row per trial and movie that was shown to the models: ``recording, trial, movie, response_correlation``."""
    rows = needs_columns(table, "recording", "trial", "response_correlation", figure="responses")
    there = {name: called for name, called in _MOVIES.items() if name in rows and rows[name].notna().any()}
    return _stacked(rows, there, condition="movie", score="response_correlation")


def _stacked(rows: pd.DataFrame, columns: Mapping[str, str], *, condition: str, score: str) -> pd.DataFrame:
    """Columns below each other, as one column of scores beside what each is called."""
    parts = [
        rows[["recording", "trial"]].assign(**{condition: called, score: rows[name].to_numpy()})
        for name, called in columns.items()
    ]
    return pd.concat(parts, ignore_index=True)

"""Natural movies: examples, every movie's correlation, what ensembling and smoothing add (Figures 1 to 3)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from neuroreel.decimals import in_decimals
from neuroreel.figures.comparisons import counted
from neuroreel.figures.conditions import panel_conditions
from neuroreel.figures.examples import at_percentiles, example_of
from neuroreel.figures.material import Material, needs_columns
from neuroreel.figures.sheet import Drawn, Sheet, stacked
from neuroreel.figures.strips import panel_strips
from neuroreel.style import FAINT, PAGE, TICK, animal_looks, correlation_axis

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from pandas import DataFrame

_METHODS = {  # column: what the movie that it scores is called
    "single_video_correlation": "single model",
    "video_correlation_unsmoothed": "ensemble",
    "video_correlation": "ensemble, smoothed",
}
_OF_ONE_MODEL = {
    **_METHODS,
    "video_correlation_unsmoothed": "single model",
    "video_correlation": "single model, smoothed",
}
_PERCENTILES = (75, 50, 25)


_ORDER = tuple(dict.fromkeys([*_OF_ONE_MODEL.values(), *_METHODS.values()]))


def panel_movies(table: DataFrame, ax: Axes) -> Drawn:
    """The video correlation of every movie: one column an animal, its movies from the worst to the best."""
    rows = needs_columns(table, "recording", "trial", "video_correlation", figure="natural")
    movies = rows.groupby(["recording", "trial"], as_index=False)["video_correlation"].mean()
    movies = movies.sort_values(["recording", "video_correlation"], ignore_index=True)
    movies["place"] = movies.index + movies["recording"].rank(method="dense") - 1  # a gap between animals
    looks = animal_looks(list(movies["recording"]))
    for name, own in movies.groupby("recording"):
        ax.vlines(own["place"], 0, own["video_correlation"], color=FAINT, linewidth=0.4)
        ax.plot(own["place"], own["video_correlation"], linestyle="", **looks[str(name)])
    mean = movies.groupby("recording")["video_correlation"].mean().mean()
    ax.axhline(mean, color=FAINT, linewidth=0.8, linestyle="--", zorder=0)
    ax.text(movies["place"].max() + 1.5, mean, f"mean\n{in_decimals(mean, 2)}", fontsize=TICK, va="bottom")
    ax.set_xlim(-1.5, movies["place"].max() * 1.08 + 3)
    ax.set_title(counted(movies), loc="right", fontsize=TICK)
    ax.set(xlabel="movie, sorted within its animal", ylabel="video correlation (r)", xticks=[])
    correlation_axis(ax, float(movies["video_correlation"].min()), float(movies["video_correlation"].max()))
    caption = f"Video correlation of every movie; dashed: mean over animals. {counted(movies)}."
    return Drawn(numbers=movies.drop(columns="place"), caption=caption)


def panel_ensembling(table: DataFrame, ax: Axes) -> Drawn:
    """Single models, the mean of their movies, and that smoothed."""
    return panel_conditions(
        methods(table),
        ax,
        condition="method",
        order={name: name.replace(", ", ",\n").replace("single ", "single\n") for name in _ORDER},
        what="Movies of single models (mean over models), of the ensemble (mean of the models' movies), and smoothed",
    )


def methods(table: DataFrame) -> DataFrame:
    """One row a movie and method: ``recording, trial, method, video_correlation``; of the methods that were scored."""
    import pandas as pd

    rows = needs_columns(table, "recording", "trial", "video_correlation", figure="natural")
    there = [name for name in _METHODS if name in rows and rows[name].notna().any()]
    if "video_correlation_unsmoothed" in there and rows["video_correlation"].equals(
        rows["video_correlation_unsmoothed"]
    ):
        there.remove("video_correlation")  # nothing was smoothed
    alone = "models" in rows and rows["models"].max() <= 1
    names = _OF_ONE_MODEL if alone else _METHODS
    parts = [
        rows[["recording", "trial"]].assign(method=names[name], video_correlation=rows[name].to_numpy())
        for name in there
    ]
    return pd.concat(parts, ignore_index=True)


def draw(material: Material) -> Sheet:
    """The whole figure."""
    table = material.table
    chosen = at_percentiles(table, _PERCENTILES)
    sheet = Sheet(PAGE, 62 + 27 * len(chosen), "Natural movies reconstructed from responses.")
    above, below = stacked(sheet.figure, [27 * len(chosen), 55])
    examples = [example_of(material, row) for row in chosen.to_dict("records")]
    sheet.add("frames", panel_strips, examples, above, what="Movies at the quartiles of the video correlation")
    left, right = below.subplots(1, 2, width_ratios=[3, 2])
    sheet.add("movies", panel_movies, table, left)
    sheet.add("ensembling", panel_ensembling, table, right)
    sheet.animal_legend(list(table["recording"]))
    return sheet

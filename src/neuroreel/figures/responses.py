"""How well the recorded responses are predicted from the true movie and from its reconstruction."""

from __future__ import annotations

from typing import TYPE_CHECKING

from neuroreel.figures.conditions import panel_conditions
from neuroreel.figures.material import Material, needs_columns
from neuroreel.figures.sheet import Drawn, Sheet
from neuroreel.style import COLUMN_AND_A_HALF

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from pandas import DataFrame

_MOVIES = {
    "response_correlation_truth": "true",
    "response_correlation_masked": "true, masked",
    "response_correlation": "reconstructed",
    "response_correlation_matched": "contrast-matched",
}


def shown_movies(table: DataFrame) -> DataFrame:
    """One row a trial and movie that was shown to the models: ``recording, trial, movie, response_correlation``."""
    import pandas as pd

    rows = needs_columns(table, "recording", "trial", "response_correlation", figure="responses")
    there = [name for name in _MOVIES if name in rows and rows[name].notna().any()]
    parts = [
        rows[["recording", "trial"]].assign(movie=_MOVIES[name], response_correlation=rows[name].to_numpy())
        for name in there
    ]
    return pd.concat(parts, ignore_index=True)


def panel_movies(table: DataFrame, ax: Axes) -> Drawn:
    """By the movie that the models are shown."""
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


def draw(material: Material) -> Sheet:
    """The whole figure."""
    sheet = Sheet(COLUMN_AND_A_HALF, 66, "Responses predicted from true and reconstructed movies.")
    sheet.add("movies", panel_movies, material.table, sheet.figure.subplots())
    sheet.animal_legend(list(material.table["recording"]))
    return sheet

"""Which results a figure shows: those in the middle, not the best."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from neuroreel.decimals import in_decimals
from neuroreel.evaluation.scores import match_contrast
from neuroreel.figures.material import Example, Material
from neuroreel.style import short_name

if TYPE_CHECKING:
    from pandas import DataFrame


def at_percentiles(table: DataFrame, percentiles: Sequence[float], *, score: str = "video_correlation") -> DataFrame:
    """The rows whose scores lie at these percentiles, from the best to the worst, none of them twice."""
    ranked = table.dropna(subset=[score]).sort_values([score, "recording", "trial"])
    places = {round((len(ranked) - 1) * percentile / 100) for percentile in percentiles}
    return ranked.iloc[sorted(places, reverse=True)]


def side_by_side(
    material: Material, rows: DataFrame, labels: Sequence[str], *, score: str = "video_correlation"
) -> Example:
    """One trial under several conditions: its true movie, and each row's reconstruction, called as in ``labels``."""
    examples = [example_of(material, row) for row in rows.to_dict("records")]
    movies: dict[str, NDArray[np.float32]] = {"true": examples[0].rows["true"]}
    for label, example, value in zip(labels, examples, rows[score], strict=True):
        movies[f"{label}\nr = {in_decimals(value, 2)}"] = example.rows["reconstructed"]
    return Example(name=examples[0].name, rows=movies, frame_rate_hz=examples[0].frame_rate_hz, mask=examples[0].mask)


def one_trial(table: DataFrame, *, condition: str, order: Sequence[Any]) -> DataFrame:
    """Rows of the trial in the middle (by the score of the first condition), one a condition, in their order."""
    there = [value for value in order if (table[condition] == value).any()]
    whole = table.groupby(["recording", "trial"])[condition].transform(lambda own: len(set(there) & set(own)))
    rows = table[(whole == len(there)) & table[condition].isin(there)]
    if rows.empty:
        return rows
    middle = at_percentiles(rows[rows[condition] == there[0]], [50]).iloc[0]
    same = rows[(rows["recording"] == middle["recording"]) & (rows["trial"] == middle["trial"])]
    first = same.drop_duplicates(condition).set_index(condition, drop=False)
    return first.loc[there]


def example_of(material: Material, row: Mapping[str, Any], *, score: str = "video_correlation") -> Example:
    """The true movie of a row, and its reconstruction with the true movie's brightness and contrast inside the mask.

    So the paper shows its own: correlations depend on neither.
    """
    movies = material.movies(row)
    usable = movies.mask is not None and float(movies.mask.max()) >= 1.0
    matched = match_contrast(movies.truth, movies.video, mask=movies.mask if usable else None)
    return Example(
        name=name_of(row),
        rows={"true": movies.truth, "reconstructed": matched},
        frame_rate_hz=movies.frame_rate_hz,
        mask=movies.mask,
        beside=f"r = {in_decimals(row[score], 2)}",
    )


def name_of(row: Mapping[str, Any]) -> str:
    """``trial 12 of mouse_a``; the animal alone where no trial was recorded (noise, gratings)."""
    trial, animal = row.get("trial"), short_name(str(row["recording"]))
    known = isinstance(trial, int | float | np.number) and np.isfinite(trial)
    return f"trial {trial:g} of {animal}" if known else animal

"""Panels of movies: which results a figure shows (from the middle, not the best), and a few frames of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from neuroreel.decimals import in_decimals
from neuroreel.defaults import SKIP_FRAMES
from neuroreel.evaluation.scores import match_contrast
from neuroreel.figures.curves import noise_rows
from neuroreel.figures.material import Material
from neuroreel.figures.sheet import Drawn
from neuroreel.masks import scored_pixels
from neuroreel.outlines import scored_share, share_words
from neuroreel.pictures import Strip, draw_strips
from neuroreel.style import short_name

if TYPE_CHECKING:
    from matplotlib.figure import SubFigure


def panel_strips(examples: Sequence[Strip], subfigure: SubFigure, *, columns: int = 8, what: str) -> Drawn:
    """A few frames of each example, one row per movie, the mask's outline on each, times above.

    ``columns`` counts the frames of a movie; ``what`` is the start of the caption's sentence.
    """
    chosen = [chosen_frames(example, columns) for example in examples]
    draw_strips(subfigure.subplots(), examples, frames=chosen)
    shown = [
        {"example": number + 1, "trial": example.name, "frame": frame, "time_s": frame / example.frame_rate_hz}
        for number, (example, frames) in enumerate(zip(examples, chosen, strict=True))
        for frame in frames
    ]
    named = "; ".join(example.name for example in examples)
    shares = " or ".join(dict.fromkeys(share_words(each.mask) for each in examples if each.mask is not None))
    outlined = f" Blue: outline of the area that is scored, {shares}." if shares else ""
    matched = " Reconstructions have the true movie's brightness and contrast inside the mask, and are grey outside."
    matched = matched if any(example.matched for example in examples) else ""
    return Drawn(numbers=pd.DataFrame(shown), caption=f"{what}: {named}.{outlined}{matched}")


def chosen_frames(example: Strip, columns: int) -> list[int]:
    """Evenly spaced frames, after the unscored start if the movie is long enough."""
    length = len(next(iter(example.rows.values())))
    first = SKIP_FRAMES if length > SKIP_FRAMES + columns else 0
    return [int(frame) for frame in np.linspace(first, length - 1, min(columns, length)).round()]


def at_percentiles(table: pd.DataFrame, percentiles: Sequence[float]) -> pd.DataFrame:
    """The rows whose scores lie at these percentiles, from the best to the worst, none of them twice."""
    ranked = table.dropna(subset=["video_correlation"]).sort_values(["video_correlation", "recording", "trial"])
    places = {round((len(ranked) - 1) * percentile / 100) for percentile in percentiles}
    return ranked.iloc[sorted(places, reverse=True)]


def side_by_side(material: Material, rows: pd.DataFrame, labels: Sequence[str]) -> Strip:
    """One trial under several conditions: its true movie, and each row's reconstruction, called as in ``labels``."""
    examples = [example_of(material, row) for row in rows.to_dict("records")]
    movies: dict[str, NDArray[np.float32]] = {"true": examples[0].rows["true"]}
    for label, example, value in zip(labels, examples, rows["video_correlation"], strict=True):
        movies[f"{label}\nr = {in_decimals(value, 2)}"] = example.rows["reconstructed"]
    return Strip(
        name=examples[0].name, rows=movies, frame_rate_hz=examples[0].frame_rate_hz, mask=examples[0].mask, matched=True
    )


def one_trial(table: pd.DataFrame, *, condition: str, order: Sequence[Any]) -> pd.DataFrame:
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


def example_of(material: Material, row: Mapping[str, Any]) -> Strip:
    """The true movie of a row, and its reconstruction with the true movie's brightness and contrast inside the mask.

    The paper does the same: correlations depend on neither.
    """
    movies = material.movies(row)
    inside = scored_pixels(movies.mask, movies.truth.shape[1:])
    return Strip(
        name=name_of(row),
        rows={"true": movies.truth, "reconstructed": match_contrast(movies.truth, movies.video, mask=inside)},
        frame_rate_hz=movies.frame_rate_hz,
        mask=movies.mask,
        beside=f"r = {in_decimals(row['video_correlation'], 2)}\nin {scored_share(movies.mask):.0%} of\nthe screen",
        matched=True,
    )


def name_of(row: Mapping[str, Any]) -> str:
    """``trial 12 of mouse_a``; only the animal if no trial was recorded (noise, gratings)."""
    trial, animal = row.get("trial"), short_name(str(row["recording"]))
    known = isinstance(trial, int | float | np.number) and np.isfinite(trial)
    return f"trial {trial:g} of {animal}" if known else animal


def chosen_noise(table: pd.DataFrame) -> list[dict[str, object]]:
    """Three rows to show: of the field reconstructed best, the one in the middle, the worst."""
    rows = noise_rows(table)
    plain = rows[~rows["inverted"]] if (~rows["inverted"]).any() else rows
    means = plain.groupby(["spatial_px", "temporal_frames"])["video_correlation"].mean().sort_values(ascending=False)
    fields = list(dict.fromkeys(means.index[place] for place in (0, len(means) // 2, len(means) - 1)))
    found = []
    for spatial, temporal in fields:
        own = plain[(plain["spatial_px"] == spatial) & (plain["temporal_frames"] == temporal)]
        found.append(own.sort_values("video_correlation").iloc[len(own) // 2].to_dict())
    return found


def noise_example(material: Material, row: dict[str, object]) -> Strip:
    """Noise, labeled with its length constants."""
    example = example_of(material, row)
    sizes = f"{row['spatial_px']:g} px, {row['temporal_frames']:g} frames"
    return replace(
        example,
        name=f"{sizes} ({short_name(str(row['recording']))})",
        beside="\n".join((*sizes.split(", "), example.beside)),
    )


def grating_example(material: Material, rows: pd.DataFrame) -> Strip:
    """A grating by its direction and frequencies; of several animals the one in the middle."""
    row = rows.reset_index().sort_values("video_correlation").iloc[len(rows) // 2].to_dict()
    example = example_of(material, row)
    said = (
        f"{row['direction_deg']:g} deg",
        f"{row['spatial_frequency']:.2g} c/deg",
        f"{row['temporal_frequency_hz']:.3g} Hz",
    )
    name = f"{', '.join(said)} ({short_name(str(row['recording']))})"
    return replace(example, name=name, beside="\n".join((*said, example.beside)))

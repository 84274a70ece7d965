"""The table of scores: every reconstruction and its baselines, on the same pixels and frames."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuroreel.decoding.ridge_decoder import RidgeDecoder
from neuroreel.defaults import SCORED_MASK, SKIP_FRAMES
from neuroreel.errors import InputError
from neuroreel.evaluation.baselines import baselines
from neuroreel.evaluation.comparison import compare, evaluation_mask, mean_of_defined
from neuroreel.evaluation.identification import identify
from neuroreel.evaluation.scores import format_score, response_correlation
from neuroreel.recordings.trial import Trial
from neuroreel.results.reconstruction import Reconstruction

Table = dict[str, dict[str, dict[str, float]]]
SHARE = "share_of_screen_scored"  # fraction of the pixels that are scored
COLUMNS = ("video_correlation", "frame_correlation", "pixel_correlation", "rmse", "psnr", "ssim")


def score_table(
    results: Sequence[Reconstruction],
    *,
    decoder: RidgeDecoder | None = None,
    extra: Mapping[str, Sequence[NDArray[np.float32]]] | None = None,
    smooth: float | None = None,
    skip: int = SKIP_FRAMES,
    mask_threshold: float = SCORED_MASK,
    seed: int = 0,
) -> Table:
    """Score reconstructions and, given the decoder, the baselines on the same trials.

    Parameters
    ----------
    results
        Reconstructions whose true movie is known. Each is scored inside its own mask.
    decoder
        Adds the baselines ``grey``, ``mean``, ``ridge`` and ``shuffled`` (see ``nr.baselines``).
    extra
        Further movies to score: a name, and one (frames, height, width) for each result.
    smooth
        Also score the reconstruction blurred with this sigma in all three axes (0.5 in the paper).
    skip
        Frames left out at the start.
    mask_threshold
        Pixels of the mask of at least this count.
    seed
        Random seed of the shuffled neurons.

    Returns
    -------
    dict
        ``{trial: {method: {score: value}}}``; undefined scores are NaN. Further results of the same trial are numbered.

    Raises
    ------
    InputError
        No results, an unknown true movie, or a mask that is empty at its threshold.
    """
    if not results:
        raise InputError("there are no results to score; give at least one reconstruction")
    table: Table = {}
    for place, result in enumerate(results):
        truth, mask = result.truth, result.mask
        if truth is None:
            raise InputError(f"{result.name}: the true movie is not known, so there is nothing to score against")
        movies = {"reconstruction": result.video}
        if smooth is not None:
            movies[f"reconstruction, smoothed {smooth:g}"] = result.smooth(smooth).video
        movies |= {name: each[place] for name, each in (extra or {}).items()}
        if decoder is not None:
            movies |= baselines(trial_of(result), decoder, seed=seed)
        rows = {
            method: table_scores(truth, movie, mask=mask, skip=skip, mask_threshold=mask_threshold)
            for method, movie in movies.items()
        }
        rows["reconstruction"]["response_correlation"] = _response_correlation(result, "predicted")
        rows["reconstruction"]["response_correlation_truth"] = _response_correlation(result, "predicted_truth")
        inside = evaluation_mask(mask, truth.shape[1:], threshold=mask_threshold)
        rows["reconstruction"][SHARE] = float(inside.mean())
        name, number = result.name, 2
        while name in table:
            name, number = f"{result.name} ({number})", number + 1
        table[name] = rows
    return table


def trial_of(result: Reconstruction) -> Trial:
    """The trial that a result was made from, without behavior, and without responses if none were saved."""
    return Trial(
        video=result.truth,
        responses=result.dataset["responses"].values if "responses" in result.dataset else None,
        frame_rate_hz=result.frame_rate_hz,
        name=result.name,
    )


def mean_scores(table: Table, score: str = "video_correlation") -> dict[str, float]:
    """Mean over trials of one score, for each method; NaN if it is undefined in every trial."""
    return {
        method: mean_of_defined(np.array([rows[method].get(score, np.nan) for rows in table.values()]))
        for method in next(iter(table.values()))
    }


def format_table(table: Table) -> str:
    """The means over trials as plain text, one line per method, and how much of the screen was scored."""
    widths = {name: max(len(name), 7) + 3 for name in COLUMNS}
    heads = "".join(f"{name:>{width}}" for name, width in widths.items())
    lines = [f"{'mean over ' + str(len(table)) + ' trials':28}{heads}"]
    columns = {name: mean_scores(table, name) for name in COLUMNS}
    for method in next(iter(table.values())):
        values = "".join(f"{format_score(columns[name][method]):>{width}}" for name, width in widths.items())
        lines.append(f"{method:28}{values}")
    shares = sorted(row["reconstruction"][SHARE] for row in table.values() if SHARE in row.get("reconstruction", {}))
    if shares:
        ends = dict.fromkeys(f"{share:.0%}" for share in (shares[0], shares[-1]))
        lines.append(f"scored: {' to '.join(ends)} of the screen")
    return "\n".join(lines)


def table_json(table: Table) -> str:
    """The table as JSON, undefined and infinite scores as null."""
    plain = {
        trial: {
            method: {score: value if math.isfinite(value) else None for score, value in values.items()}
            for method, values in rows.items()
        }
        for trial, rows in table.items()
    }
    return json.dumps(plain, indent=1, allow_nan=False)


def table_scores(truth: NDArray[np.float32], movie: NDArray[np.float32], **where: Any) -> dict[str, float]:
    """The columns, without structural similarity if frames are smaller than its window."""
    compared = compare(truth, movie, **where)
    values = compared.scores()
    if compared.fits_ssim:
        values["ssim"] = compared.ssim
    return {name: values[name] for name in COLUMNS if name in values}


def format_identification(
    results: Sequence[Reconstruction], *, skip: int = SKIP_FRAMES, mask_threshold: float = SCORED_MASK
) -> str:
    """Identification of frames one second apart and of one-second clips, one line each; empty for one movie.

    Also empty if the movies differ in size or rate, or are too short.
    """
    rate = round(results[0].frame_rate_hz)
    alike = len({(result.video.shape[1:], round(result.frame_rate_hz)) for result in results}) == 1
    known = [(result.truth, result.video) for result in results if result.truth is not None]
    if len(known) < max(2, len(results)) or not alike or min(len(video) for _, video in known) < skip + rate:
        return ""
    truths, videos = zip(*known, strict=True)
    size = videos[0].shape[1:]
    masks = [np.ones(size) * mask_threshold if result.mask is None else result.mask for result in results]
    common: dict[str, Any] = {"every": rate, "mask": masks, "skip": skip, "mask_threshold": mask_threshold}
    lines = [
        str(identify(truths, videos, ways=ways, clip_frames=frames, **common))
        for ways in (2, None)
        for frames in (1, rate)
    ]
    return "\n".join(dict.fromkeys(lines))  # with two pieces, choosing among all is choosing between two


def _response_correlation(result: Reconstruction, predicted: str) -> float:
    """Correlation of recorded responses and those predicted from a movie; nan if either was not saved."""
    dataset: Any = result.dataset
    if predicted not in dataset or "responses" not in dataset:
        return float("nan")
    return response_correlation(dataset["responses"].values, dataset[predicted].values)

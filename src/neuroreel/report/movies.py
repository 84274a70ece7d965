"""Movies packed into a page: gray PNG sheets that a browser plays in sync."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuroreel.evaluation.scores import contrast_gain
from neuroreel.outlines import svg_path
from neuroreel.results.export import grey_png

NO_MOVIE = "uncertainty"  # its contrast is not matched
_LONGEST_SIDE = 128  # pixels; larger movies are shrunk
_SHEET_HEIGHT = 8192  # pixels: browsers refuse pictures of more than 16,384
_BYTES_OF_ALL_TRIALS = 7_200_000  # of base64 PNG: with plots, eight trials stay below 10 MB
_GREY_LEVELS = (256, 128, 64, 32, 16, 8)


def pack_trial(
    movies: Mapping[str, NDArray[np.float32]],
    *,
    mask: NDArray[np.float32] | None,
    threshold: float | None,
    trials: int = 8,
) -> dict[str, Any]:
    """Everything that the page's player needs for one trial, as JSON.

    Parameters
    ----------
    movies
        Label and frames (frames, height, width) of each, gray 0..255; all of one size. Movies that take too much space
        get fewer gray levels or pixels, given by ``levels`` and ``shrink``.
    mask, threshold
        (height, width), and the value at which a pixel is inside; for the outline, and for matching the movies'
        contrast to the movie labeled "true".
    trials
        Number of trials that share the page's space.

    Returns
    -------
    dict
        ``width``, ``height``, ``frames``, ``levels``, ``shrink``, ``outline`` (an SVG path, or None), and ``movies``: a
        list of ``label``, ``sheets`` (data URLs; frames one below the other, gray level = pixel * 255 / (levels - 1)),
        ``gain`` and ``offset`` (contrast-matched gray = gain * gray + offset).
    """
    shrink = -(-max(next(iter(movies.values())).shape[1:]) // _LONGEST_SIDE)
    small = {label: _shrink(movie, shrink) for label, movie in movies.items()}
    frames, height, width = next(iter(small.values())).shape
    levels, sheets = _pack_within_budget(small, budget=_BYTES_OF_ALL_TRIALS // max(trials, 4))
    shown = None if mask is None or threshold is None else _shrink(mask[None], shrink)[0]
    inside = None if shown is None else shown >= threshold
    truth = small.get("true")
    matches = {
        label: _contrast_match(movie, None if label == NO_MOVIE else truth, inside) for label, movie in small.items()
    }
    return {
        "width": width,
        "height": height,
        "frames": frames,
        "levels": levels,
        "shrink": shrink,
        "outline": None if shown is None or threshold is None else svg_path(shown, threshold=threshold),
        "movies": [
            {"label": label, "sheets": sheets[label], "gain": matches[label][0], "offset": matches[label][1]}
            for label in movies
        ],
    }


def _shrink(movie: NDArray[np.float32], factor: int) -> NDArray[np.float32]:
    """Means of squares of ``factor`` x ``factor`` pixels; the last row and column are repeated to fill them."""
    if factor == 1:
        return movie
    frames, height, width = movie.shape
    padded = np.pad(movie, ((0, 0), (0, -height % factor), (0, -width % factor)), mode="edge")
    blocks = padded.reshape(frames, padded.shape[1] // factor, factor, padded.shape[2] // factor, factor)
    means: NDArray[np.float32] = blocks.mean(axis=(2, 4), dtype=np.float32)
    return means


def _pack_within_budget(movies: Mapping[str, NDArray[np.float32]], *, budget: int) -> tuple[int, dict[str, list[str]]]:
    """The most gray levels with which all sheets of a trial fit the budget, and the sheets."""
    for levels in _GREY_LEVELS:
        sheets = {label: _sheets(movie, levels) for label, movie in movies.items()}
        if sum(len(url) for urls in sheets.values() for url in urls) <= budget:
            break
    return levels, sheets


def _sheets(movie: NDArray[np.float32], levels: int) -> list[str]:
    frames, height, width = movie.shape
    codes = np.clip(movie, 0, 255) * ((levels - 1) / 255)
    chunk = max(_SHEET_HEIGHT // height, 1)
    parts = (codes[first : first + chunk].reshape(-1, width) for first in range(0, frames, chunk))
    return [f"data:image/png;base64,{base64.b64encode(grey_png(part)).decode()}" for part in parts]


def _contrast_match(
    movie: NDArray[np.float32], truth: NDArray[np.float32] | None, inside: NDArray[np.bool_] | None
) -> tuple[float, float]:
    """Gain and offset that match a movie to the true one's mean and deviation, inside the mask if there is one."""
    if truth is None or truth is movie:
        return 1.0, 0.0
    where = np.ones(movie.shape[1:], bool) if inside is None or not inside.any() else inside
    ours, theirs = movie[:, where], truth[:, where]
    gain = contrast_gain(theirs.std(), ours.std())
    return gain, float(theirs.mean() - gain * ours.mean())

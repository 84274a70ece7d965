"""The part of the screen that is scored: how large it is, and its outline."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

_SMOOTH = 1 / 32  # width of the smoothing, as a share of the screen's width


def scored_share(mask: NDArray[Any] | None) -> float:
    """Share of the screen that is scored, 0..1: pixels of at least 1; all of it without a mask."""
    return 1.0 if mask is None else float((np.asarray(mask) >= 1).mean())


def share_words(mask: NDArray[Any] | None) -> str:
    """The share of the screen that is scored, for text: "19% of the screen"."""
    return f"{scored_share(mask):.0%} of the screen"


def mask_outline(mask: NDArray[Any], *, threshold: float = 1.0) -> list[NDArray[np.float64]]:
    """The outer border of a mask's pixels of at least ``threshold``, smoothed, to be drawn thin over a movie.

    Holes and notches a few pixels wide are closed and corners rounded: it shows where the area lies, not its exact
    border.

    Parameters
    ----------
    mask
        (height, width).
    threshold
        Pixels of at least this are inside.

    Returns
    -------
    list of (points, 2) float64
        A closed line for each separate area: x and y in pixels from the upper left corner of the screen, where the
        first pixel spans 0 to 1. Empty if all pixels are inside, or none.
    """
    from scipy.ndimage import binary_closing, binary_fill_holes, gaussian_filter
    from skimage import measure

    find_contours: Callable[..., list[NDArray[np.float64]]] = measure.find_contours  # has no types
    inside = np.asarray(mask) >= threshold
    if inside.all() or not inside.any():
        return []
    sigma = max(_SMOOTH * inside.shape[1], 0.7)
    margin = int(np.ceil(4 * sigma)) + 1
    reach = int(np.ceil(sigma))
    disk = np.hypot(*np.mgrid[-reach : reach + 1, -reach : reach + 1]) <= reach + 0.5
    whole = binary_fill_holes(binary_closing(np.pad(inside, margin), disk))
    smooth = gaussian_filter(whole.astype(float), sigma)
    if smooth.max() <= 0.5:  # smoothing would erase an area this small
        smooth = whole.astype(float)
    lines = [line[:, ::-1] + 0.5 - margin for line in find_contours(smooth, 0.5)]
    return [np.clip(line, 0, inside.shape[::-1]) for line in lines if _turns_outward(line)]


def svg_path(mask: NDArray[Any], *, threshold: float = 1.0) -> str:
    """The outline of a mask as the path of an SVG, in pixels; empty if there is none."""
    outline = mask_outline(mask, threshold=threshold)
    lines = ["L".join(f"{x:.2f} {y:.2f}" for x, y in line[:-1].tolist()) for line in outline]
    return "".join(f"M{line}Z" for line in lines)


def _turns_outward(line: NDArray[np.float64]) -> bool:
    """Whether a contour runs around an area rather than around a hole in it."""
    row, column = line[:-1].T
    following = line[1:].T
    return float(np.sum(row * following[1] - following[0] * column)) > 0

"""Gaussian noise movies as Bauer et al. 2026 showed them to the encoding models."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neuroreel.errors import InputError
from neuroreel.grey import CONTRAST_GREY, MID_GREY

PADDING_GREY = 125.0
PADDING_LEFT, PADDING_RIGHT = 11, 17  # columns, from 36 to 64


def published_noise(stimuli: ArrayLike) -> NDArray[np.float32]:
    """The movies that the published code makes of the arrays in ``gaussian_noise_movies.npz``.

    1. All stimuli together get the mean 127.5 and the standard deviation 51; 2. grey columns widen each frame from 36
    to 64 pixels; 3. each movie by itself gets that mean and deviation again; 4. it is clipped to 0..255.

    Parameters
    ----------
    stimuli
        (height, width, frames, ...): filtered Gaussian noise; further axes are repeats and length constants.

    Returns
    -------
    numpy.ndarray
        (..., frames, height, width + 28), grey levels. The phase-inverted movies are 255 minus these.

    Raises
    ------
    InputError
        Fewer than three axes, NaN or infinite values, stimuli without any contrast.
    """
    array = np.asarray(stimuli, np.float64)
    if array.ndim < 3 or not array.size or not np.isfinite(array).all():
        raise InputError(
            f"noise stimuli have shape {array.shape}; they must be (height, width, frames, ...), finite numbers"
        )
    movies = np.moveaxis(_standardized(array, axes=None), (2, 0, 1), (-3, -2, -1))
    width = [(0, 0)] * (movies.ndim - 1) + [(PADDING_LEFT, PADDING_RIGHT)]
    padded = np.pad(movies, width, constant_values=PADDING_GREY)
    return _standardized(padded, axes=(-3, -2, -1)).clip(0, 255).astype(np.float32)


def _standardized(array: NDArray[np.float64], *, axes: tuple[int, ...] | None) -> NDArray[np.float64]:
    """Mean 127.5 and standard deviation 51 over the axes."""
    deviation = array.std(axis=axes, keepdims=True)
    if not deviation.all():
        raise InputError("a noise stimulus has one grey level throughout; it must have contrast")
    scaled: NDArray[np.float64] = (array - array.mean(axis=axes, keepdims=True)) / deviation
    return scaled * CONTRAST_GREY + MID_GREY

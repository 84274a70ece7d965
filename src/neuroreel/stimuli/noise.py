"""Gaussian noise, smooth in space and time; and the noise movies of Bauer et al. 2026."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neuroreel.arguments import positive_number, whole_number
from neuroreel.errors import InputError
from neuroreel.grey import CONTRAST_GREY, MID_GREY
from neuroreel.stimuli.screen import SENSORIUM_SCREEN, Screen

PUBLISHED_LENGTHS = (0, 1, 2, 4, 8, 16, 32)
"""The length constants of Bauer et al. 2026: pixels in space, frames in time."""

PUBLISHED_REPEATS = 5
"""Number of movies for each pair of length constants."""

PADDING_GREY = 125.0
PADDING_LEFT, PADDING_RIGHT = 11, 17  # columns, from 36 to 64


def gaussian_noise(
    *,
    spatial_px: float = 0.0,
    temporal_frames: float = 0.0,
    spatial_deg: float | None = None,
    temporal_s: float | None = None,
    frames: int = 60,
    height: int = 36,
    width: int = 64,
    frame_rate_hz: float = 30.0,
    screen: Screen = SENSORIUM_SCREEN,
    seed: int | Sequence[int] = 0,
) -> NDArray[np.float32]:
    """White Gaussian noise, smoothed by a Gaussian filter in space and time, at the published mean and contrast.

    White noise filtered by a Gaussian of standard deviation s has the autocorrelation exp(-d^2 / 4 s^2) over
    distance d. Noise with exactly this autocorrelation is drawn, so that it is uniform up to the edges. Then
    the movie is scaled to mean 127.5 and standard deviation 51, and clipped to 0..255, as in ``published_noise``.

    Parameters
    ----------
    spatial_px, temporal_frames
        Length constants: standard deviations of the filter, in pixels (along both axes) and in frames. 0 means no
        filter.
    spatial_deg, temporal_s
        The same in degrees, in the middle of the screen, and in seconds; instead of pixels and frames.
    frames, height, width
        Size of the movie, frames and pixels.
    frame_rate_hz
        Frames per second.
    screen
        Screen that the movie fills.
    seed
        Random seed, one number or several. Movies of the same seed and size come from the same white noise, whatever
        their length constants.

    Returns
    -------
    numpy.ndarray
        (frames, height, width) float32, gray levels 0..255. The phase-inverted movie is 255 minus this.

    Raises
    ------
    InputError
        A value out of range, a length in two units, or lengths that leave one gray level throughout.
    """
    for name, count in (("frames", frames), ("height", height), ("width", width)):
        whole_number(count, name=name)
    if frames * height * width == 1:
        raise InputError("a movie of one pixel and one frame has no contrast; ask for more")
    per_degree = 1 / screen.degrees_per_pixel(width)
    per_second = positive_number(frame_rate_hz, name="frame_rate_hz")
    space = _in_samples("spatial", spatial_px, spatial_deg, units=("px", "deg"), rate=per_degree)
    time = _in_samples("temporal", temporal_frames, temporal_s, units=("frames", "s"), rate=per_second)
    for what, length in (("spatial", space), ("temporal", time)):
        if not 0 <= length < math.inf:
            raise InputError(f"the {what} length constant is {length!r}; it must be a finite number, 0 or more")
    white = _generator(seed).standard_normal((frames, height, width))
    return _as_grey(correlated(white, (time, space, space)), axes=None)


def _generator(seed: int | Sequence[int]) -> np.random.Generator:
    try:
        return np.random.default_rng(seed)
    except (TypeError, ValueError) as error:
        raise InputError(f"seed is {seed!r}; it must be a whole number, 0 or more, or several of them") from error


def correlated(white: NDArray[np.float64], lengths: Sequence[float]) -> NDArray[np.float64]:
    """Give white noise the autocorrelation exp(-d^2 / 4 s^2) along each axis; s in samples, 0 changes nothing."""
    for axis, length in enumerate(lengths):
        if length > 0:
            white = np.moveaxis(np.tensordot(_root(white.shape[axis], length), white, axes=(1, axis)), 0, axis)
    return white


@lru_cache(maxsize=64)
def _root(count: int, length: float) -> NDArray[np.float64]:
    """The symmetric square root of the covariance exp(-(i - j)^2 / 4 s^2) of neighboring samples."""
    apart = np.subtract.outer(np.arange(count), np.arange(count))
    values, vectors = np.linalg.eigh(np.exp(-((apart / (2 * length)) ** 2)))
    root: NDArray[np.float64] = (vectors * np.sqrt(values.clip(0))) @ vectors.T
    return root


def published_noise(stimuli: ArrayLike) -> NDArray[np.float32]:
    """The movies that the published code makes from the arrays in ``gaussian_noise_movies.npz``.

    1. All stimuli together are scaled to mean 127.5 and standard deviation 51; 2. gray columns widen each frame from 36
    to 64 pixels; 3. each movie alone is scaled to that mean and deviation again; 4. it is clipped to 0..255.

    Parameters
    ----------
    stimuli
        (height, width, frames, ...): filtered Gaussian noise; further axes are repeats and length constants.

    Returns
    -------
    numpy.ndarray
        (..., frames, height, width + 28), gray levels. The phase-inverted movies are 255 minus these.

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
    return shown_as_published(array, mean=float(array.mean()), deviation=float(array.std()))


def shown_as_published(stimuli: NDArray[np.float64], *, mean: float, deviation: float) -> NDArray[np.float32]:
    """Convert some of the published stimuli (height, width, frames, ...), given the mean and deviation of all."""
    if not deviation:
        raise InputError("the noise stimuli have one grey level throughout; they must have contrast")
    movies = np.moveaxis((stimuli - mean) / deviation * CONTRAST_GREY + MID_GREY, (2, 0, 1), (-3, -2, -1))
    width = [(0, 0)] * (movies.ndim - 1) + [(PADDING_LEFT, PADDING_RIGHT)]
    return _as_grey(np.pad(movies, width, constant_values=PADDING_GREY), axes=(-3, -2, -1))


def _as_grey(noise: NDArray[np.float64], *, axes: tuple[int, ...] | None) -> NDArray[np.float32]:
    """Scale to mean 127.5 and standard deviation 51 over the axes, and clip to 0..255."""
    deviation = noise.std(axis=axes, keepdims=True)
    if not (deviation > 1e-6 * np.abs(noise).max()).all():
        raise InputError("a noise movie has one grey level throughout; it needs contrast: shorter length constants")
    scaled = (noise - noise.mean(axis=axes, keepdims=True)) / deviation
    grey: NDArray[np.float32] = (scaled * CONTRAST_GREY + MID_GREY).clip(0, 255).astype(np.float32)
    return grey


def _in_samples(what: str, count: float, measure: float | None, *, units: tuple[str, str], rate: float) -> float:
    """A length constant in pixels or frames, converted if given in degrees or seconds."""
    if measure is None:
        return count
    if count:
        raise InputError(f"both {what}_{units[0]}={count!r} and {what}_{units[1]}={measure!r} were given; give one")
    return measure * rate

"""Drifting gratings, and the frequency at which a movie actually drifts."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neuroreel.arguments import positive_number, whole_number
from neuroreel.errors import InputError
from neuroreel.grey import MID_GREY
from neuroreel.stimuli.screen import SENSORIUM_SCREEN, Screen

PUBLISHED_DEGREES_PER_PIXEL = 3.5
"""Used by Bauer et al. 2026 to convert cycles per pixel into cycles per degree; the screen's geometry gives 3.37."""

PUBLISHED_DIRECTIONS = (0.0, 90.0, 180.0, 270.0)
"""Degrees. The paper has four directions; these four are our guess."""

PUBLISHED_SPATIAL_FREQUENCIES = tuple(1 / (pixels * PUBLISHED_DEGREES_PER_PIXEL) for pixels in (2, 4, 8, 16))
"""Cycles per degree (Bauer et al. 2026): 0.143, 0.071, 0.036 and 0.018; 2, 4, 8 and 16 pixels of 64 per cycle."""

PUBLISHED_TEMPORAL_LABELS = (15.0, 7.5, 3.75, 1.875, 0.9375, 0.46875, 0.0)
"""Temporal frequencies in Hz as the published figures label them, probably half the real ones: the published grating
labeled 15 Hz is stationary at 30 frames per second, as a 30 Hz grating would be."""


def drifting_grating(
    *,
    direction_deg: float,
    spatial_frequency: float,
    temporal_frequency_hz: float,
    frames: int = 60,
    height: int = 36,
    width: int = 64,
    frame_rate_hz: float = 30.0,
    screen: Screen = SENSORIUM_SCREEN,
    contrast: float = 1.0,
    published_labels: bool = False,
) -> NDArray[np.float32]:
    """A sinusoidal grating that drifts over the whole frame, around mid-gray.

    Parameters
    ----------
    direction_deg
        Direction of drift: 0 is to the right, 90 is up.
    spatial_frequency
        Cycles per degree of visual angle. The published ones are ``PUBLISHED_SPATIAL_FREQUENCIES``.
    temporal_frequency_hz
        Cycles per second; 0 for a stationary grating.
    frames, height, width
        Size of the movie, frames and pixels.
    frame_rate_hz
        Frames per second.
    screen
        Screen that the movie fills, by default that of Sensorium (56.5 cm wide, 15 cm from the eye). Degrees apply
        to the middle of the screen: the bars are equally wide on the flat screen.
    contrast
        1 ranges from black to white.
    published_labels
        ``temporal_frequency_hz`` is a label from the published figures, probably half of the frequency shown: the
        grating drifts twice as fast. The one labeled 15 Hz is then stationary at 30 frames per second, as published.

    Returns
    -------
    numpy.ndarray
        (frames, height, width) float32, gray levels 0..255.

    Raises
    ------
    InputError
        A value out of range, or a frequency that these frames or pixels cannot show (more than half their rate).
    """
    whole_number(frames, name="frames"), whole_number(height, name="height")
    degrees = screen.degrees_per_pixel(width)
    _check_frequency("spatial_frequency", spatial_frequency, limit=screen.highest_frequency(width), of="pixels")
    nyquist = positive_number(frame_rate_hz, name="frame_rate_hz") / 2
    _check_frequency("temporal_frequency_hz", temporal_frequency_hz, limit=nyquist, of="frames")
    if not math.isfinite(direction_deg):
        raise InputError(f"direction_deg is {direction_deg!r}; it must be a finite number")
    if not 0 < contrast <= 1:
        raise InputError(f"contrast is {contrast!r}; it must be more than 0, and more than 1 has no grey levels")
    angle = math.radians(direction_deg)
    y, x = np.mgrid[:height, :width]
    rightward, downward = x - (width - 1) / 2, y - (height - 1) / 2
    along = rightward * math.cos(angle) - downward * math.sin(angle)
    rate = temporal_frequency_hz * (2 if published_labels else 1)
    cycles = spatial_frequency * degrees * along - (rate / frame_rate_hz * np.arange(frames))[:, None, None]
    return (MID_GREY * (1 + contrast * np.cos(2 * np.pi * cycles))).astype(np.float32)


def temporal_frequency(video: ArrayLike, *, frame_rate_hz: float = 30.0) -> float:
    """The frequency in Hz at which the most variable pixel of a movie oscillates; 0 if it is constant.

    A sinusoid plus a constant is fitted to the pixel by least squares. Unlike the peak of
    a Fourier transform it also finds frequencies of less than a cycle in the movie, and between the transform's bins.

    Parameters
    ----------
    video
        (frames, height, width).
    frame_rate_hz
        Frames per second.

    Returns
    -------
    float
        0 up to half the frame rate, to a hundredth of 1 / the movie's length. Faster movies are aliased, on the screen
        as well as here.

    Raises
    ------
    InputError
        Fewer than eight frames, NaN, a frame rate that is not positive.
    """
    movie = np.asarray(video, np.float64)
    if movie.ndim != 3 or len(movie) < 8 or movie[0].size == 0 or not np.isfinite(movie).all():
        raise InputError(
            f"the video has shape {movie.shape}; to measure its frequency it must be (frames, height, width), "
            "at least 8 frames, without NaN"
        )
    positive_number(frame_rate_hz, name="frame_rate_hz")
    pixels = movie.reshape(len(movie), -1)
    pixel = pixels[:, pixels.std(axis=0).argmax()]
    if pixel.std() < 1e-4:  # gray levels; below this it is float32 rounding
        return 0.0
    steps = np.arange(1, 50 * len(pixel) + 1)  # 50 candidates for each additional cycle, up to half the rate
    candidates = steps / (100 * len(pixel))  # cycles per frame
    return float(candidates[np.argmin([_misfit(pixel, cycles) for cycles in candidates])] * frame_rate_hz)


def _misfit(pixel: NDArray[np.float64], cycles: float) -> float:
    """Residual sum of squares of a sinusoid plus a constant, fitted to a pixel (frames,)."""
    phase = 2 * np.pi * cycles * np.arange(len(pixel))
    basis, _ = np.linalg.qr(np.stack([np.ones_like(phase), np.cos(phase), np.sin(phase)], axis=1))
    return float(np.square(pixel - basis @ (basis.T @ pixel)).sum())


def _check_frequency(name: str, frequency: float, *, limit: float, of: str) -> None:
    """Check that a frequency is between 0 and the Nyquist limit, with a margin for rounding."""
    if not 0 <= frequency <= limit * (1 + 1e-9):
        raise InputError(f"{name} is {frequency!r}; these {of} can show 0 to {limit:.6g}: a cycle takes two {of}")

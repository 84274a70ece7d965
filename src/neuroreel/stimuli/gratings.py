"""Drifting gratings, and how fast a movie of them really is."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neuroreel.arguments import positive_number, whole_number
from neuroreel.errors import InputError
from neuroreel.grey import MID_GREY
from neuroreel.stimuli.screen import SENSORIUM_SCREEN, Screen

PUBLISHED_DEGREES_PER_PIXEL = 3.5
"""With which Bauer et al. 2026 turned cycles a pixel into cycles a degree; the screen's geometry gives 3.37."""

PUBLISHED_DIRECTIONS = (0.0, 90.0, 180.0, 270.0)
"""Four, in degrees. That they are these is our guess."""

PUBLISHED_SPATIAL_FREQUENCIES = tuple(1 / (pixels * PUBLISHED_DEGREES_PER_PIXEL) for pixels in (2, 4, 8, 16))
"""Cycles a degree (Bauer et al. 2026): 0.143, 0.071, 0.036 and 0.018; 2, 4, 8 and 16 pixels of 64 a cycle."""

PUBLISHED_TEMPORAL_LABELS = (15.0, 7.5, 3.75, 1.875, 0.9375, 0.46875, 0.0)
"""What the published figures call the temporal frequencies, in Hz. At twice each of them the first one stands still at
30 frames a second, as the published one does; so the labels are probably half the real frequencies."""


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
    """A sinusoidal grating that drifts over the whole frame, around mid-grey.

    Parameters
    ----------
    direction_deg
        Where it drifts to: 0 is right, 90 is up.
    spatial_frequency
        Cycles a degree of visual angle. The published ones are ``PUBLISHED_SPATIAL_FREQUENCIES``.
    temporal_frequency_hz
        Cycles a second; 0 stands still.
    frames, height, width
        Size of the movie, frames and pixels.
    frame_rate_hz
        Frames a second.
    screen
        What the movie fills, by default the Sensorium screen (56.5 cm wide, 15 cm from the eye). A degree is that of
        the middle of the screen, everywhere: the bars are equally wide on the flat screen.
    contrast
        1 reaches from black to white.
    published_labels
        ``temporal_frequency_hz`` is a label of the published figures, which is probably half of the frequency shown:
        the grating drifts twice as fast. The one labelled 15 Hz then stands still at 30 frames a second, as published.

    Returns
    -------
    numpy.ndarray
        (frames, height, width) float32, grey levels 0..255.

    Raises
    ------
    InputError
        Numbers that cannot be, or a frequency that these frames or pixels cannot show (more than half their rate).
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
    along = (x - (width - 1) / 2) * math.cos(angle) - (y - (height - 1) / 2) * math.sin(angle)  # rows count downwards
    rate = temporal_frequency_hz * (2 if published_labels else 1)
    cycles = spatial_frequency * degrees * along - (rate / frame_rate_hz * np.arange(frames))[:, None, None]
    return (MID_GREY * (1 + contrast * np.cos(2 * np.pi * cycles))).astype(np.float32)


def temporal_frequency(video: ArrayLike, *, frame_rate_hz: float = 30.0) -> float:
    """The frequency in Hz at which a movie's most varying pixel gets bright and dark; 0 if it stands still.

    The sinusoid, around a level of its own, that fits the pixel best in the sense of least squares. Unlike the peak of
    a Fourier transform it also finds frequencies of less than a cycle in the movie, and between the transform's bins.

    Parameters
    ----------
    video
        (frames, height, width).
    frame_rate_hz
        Frames a second.

    Returns
    -------
    float
        0 up to half the frame rate, to a hundredth of 1 / the movie's length. A movie faster than half its frame rate
        looks slower, on the screen as here.

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
    if pixel.std() < 1e-4:  # grey levels: the rounding of float32 is no movement
        return 0.0
    steps = np.arange(1, 50 * len(pixel) + 1)  # 50 candidates for each cycle more in the movie, up to half the rate
    candidates = steps / (100 * len(pixel))  # cycles a frame
    return float(candidates[np.argmin([_misfit(pixel, cycles) for cycles in candidates])] * frame_rate_hz)


def _misfit(pixel: NDArray[np.float64], cycles: float) -> float:
    """Sum of squares that a sinusoid of so many cycles a frame, around a level, leaves of a pixel (frames,)."""
    phase = 2 * np.pi * cycles * np.arange(len(pixel))
    basis, _ = np.linalg.qr(np.stack([np.ones_like(phase), np.cos(phase), np.sin(phase)], axis=1))
    return float(np.square(pixel - basis @ (basis.T @ pixel)).sum())


def _check_frequency(name: str, frequency: float, *, limit: float, of: str) -> None:
    """Between 0 and the Nyquist limit, with a hair's breadth for rounding; NaN is neither."""
    if not 0 <= frequency <= limit * (1 + 1e-9):
        raise InputError(f"{name} is {frequency!r}; these {of} can show 0 to {limit:.6g}: a cycle takes two {of}")

"""From events to two-photon data: calcium decays, is scanned slowly, and deconvolved imperfectly."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

SCAN_RATE_HZ = 8.0
DECAY_S = 0.6
ASSUMED_DECAY_S = 0.5  # what the deconvolution assumes: shorter than the true decay, so that a tail remains


def image(
    events: NDArray[np.floating],
    *,
    before: NDArray[np.floating],
    frame_rate_hz: float,
    delays: NDArray[np.floating],
) -> NDArray[np.float32]:
    """Deconvolved calcium (neurons, frames) from events (neurons, frames), in the same units: linear, never negative.

    1. Every event raises the calcium, which decays exponentially with 0.6 s.
    2. The microscope reads each neuron 8 times per second.
    3. The deconvolution subtracts what would remain of the last reading if the decay were 0.5 s.
    4. The readings are interpolated linearly back to the frames of the movie.

    Parameters
    ----------
    events
        (neurons, frames), not negative. The last few frames of the result lack later readings.
    before
        (neurons,) mean events per frame before the first frame, whose calcium remains.
    frame_rate_hz
        Frames per second of the movie.
    delays
        (neurons,) 0..1: when in a scan a neuron is read, as a fraction of the scan's duration.
    """
    delays = np.asarray(delays)[:, None]
    step = max(1.0, frame_rate_hz / SCAN_RATE_HZ)  # frames from one reading to the next
    remains = np.exp(-1 / (DECAY_S * frame_rate_hz))  # of the calcium, per frame
    assumed = np.exp(-step / (ASSUMED_DECAY_S * frame_rate_hz))  # assumed to remain, per reading
    standing = np.asarray(before)[:, None] * remains / (1 - remains)
    calcium, _ = lfilter([1.0], [1.0, -remains], events, axis=1, zi=standing)
    frames = events.shape[1]
    numbers = np.arange(np.ceil(frames / step) + 2)
    readings = _interpolate(calcium, step * (numbers - 1 + delays))
    previous = np.pad(readings[:, :-1], ((0, 0), (1, 0)))
    deconvolved = np.maximum(readings - assumed * previous, 0) * (1 - remains) / (1 - assumed)
    return _interpolate(deconvolved, np.arange(frames) / step + 1 - delays).astype(np.float32)


def _interpolate(signal: NDArray[np.floating], where: NDArray[np.floating]) -> NDArray[np.floating]:
    """Read each row of ``signal`` (neurons, samples) at fractional samples (neurons, readings); 0 before its start."""
    before = np.clip(np.floor(where).astype(np.intp), 0, signal.shape[1] - 1)
    after = np.minimum(before + 1, signal.shape[1] - 1)
    weight = np.clip(where - before, 0, 1)
    values = (1 - weight) * np.take_along_axis(signal, before, 1) + weight * np.take_along_axis(signal, after, 1)
    return np.where(where < 0, 0.0, values)

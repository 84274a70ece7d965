"""Bringing series of any rate onto the frames of a movie.

A sample belongs to the moment that its timestamp names. A series with two or more samples a frame is averaged over the
samples from the onset of a frame to that of the next; a slower one is interpolated linearly at the onset of each frame.
Samples that are NaN count as missing. A frame so far from any sample that nothing can be said of it is never filled in.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuroreel.errors import InputError

_ON_TIME = 1e-6  # of a sample interval: rounding of clocks, no real distance


def times_of(series: Any, *, path: str, count: int) -> NDArray[np.float64]:
    """(samples,) seconds on the session's clock; InputError if they do not fit the data, or do not increase."""
    if series.timestamps is None:
        if series.rate is None or not 0 < series.rate < np.inf:
            raise InputError(f"{path} has neither timestamps nor a positive rate; its samples cannot be placed in time")
        return float(series.starting_time or 0.0) + np.arange(count) / float(series.rate)
    times = np.asarray(series.timestamps[:], np.float64)
    if len(times) != count:
        hint = "; the data must have time first" if series.data is not None and len(times) in series.data.shape else ""
        raise InputError(f"{path} has {len(times)} timestamps for {count} samples{hint}: mend the file")
    wrong = np.flatnonzero(~(np.diff(times) > 0))
    if not np.isfinite(times).all() or len(wrong):
        where = wrong[0] + 1 if len(wrong) else 0
        raise InputError(f"{path} has timestamps that do not increase, the first at sample {where}: mend the file")
    return times


def typical_interval(times: NDArray[np.float64]) -> float:
    """The median distance of samples in seconds; infinite for a single one."""
    return float(np.median(np.diff(times))) if len(times) > 1 else float("inf")


def rows_around(times: NDArray[np.float64], frames_s: NDArray[np.float64], *, frame_s: float) -> slice:
    """The samples needed for these frames: those within them, and one on either side."""
    first = int(np.searchsorted(times, frames_s[0] - _ON_TIME, "right")) - 1
    last = int(np.searchsorted(times, frames_s[-1] + frame_s, "left")) + 1
    return slice(max(first, 0), min(last, len(times)))


def farthest(times: NDArray[np.float64], frames_s: NDArray[np.float64]) -> float:
    """Seconds from the nearest sample to the frame that is worst off; infinite without samples."""
    if not len(times):
        return float("inf")
    after = np.searchsorted(times, frames_s)
    nearest = np.minimum(
        np.abs(frames_s - times[np.maximum(after - 1, 0)]), np.abs(frames_s - times[np.minimum(after, len(times) - 1)])
    )
    return float(nearest.max())


def on_frames(
    values: NDArray[Any], times: NDArray[np.float64], frames_s: NDArray[np.float64], *, frame_s: float
) -> NDArray[np.float32]:
    """A series at the frames of a movie, by the rule at the top.

    Parameters
    ----------
    values
        (samples, channels).
    times
        (samples,), seconds, increasing.
    frames_s
        (frames,), seconds: the onset of each frame.
    frame_s
        How long a frame lasts.

    Returns
    -------
    numpy.ndarray
        (channels, frames).
    """
    at_onset = _interpolated(values, times, frames_s)
    if typical_interval(times) > frame_s / 2 * (1 + _ON_TIME):
        return np.ascontiguousarray(at_onset.T, np.float32)
    edges = np.searchsorted(times, np.append(frames_s, frames_s[-1] + frame_s) - frame_s * _ON_TIME, "left")
    sums = np.concatenate([np.zeros((1, values.shape[1])), np.cumsum(values, axis=0, dtype=np.float64)])
    counts = np.diff(edges)[:, None]
    means = (sums[edges[1:]] - sums[edges[:-1]]) / np.maximum(counts, 1)
    return np.ascontiguousarray(np.where(counts > 0, means, at_onset).T, np.float32)


def _interpolated(
    values: NDArray[Any], times: NDArray[np.float64], frames_s: NDArray[np.float64]
) -> NDArray[np.floating[Any]]:
    """(frames, channels) between the samples on either side; beyond the ends the first and last sample hold."""
    if len(times) == 1:
        return np.repeat(values, len(frames_s), axis=0)
    before = np.clip(np.searchsorted(times, frames_s, "right") - 1, 0, len(times) - 2)
    share = np.clip((frames_s - times[before]) / (times[before + 1] - times[before]), 0, 1)
    share[share < _ON_TIME], share[share > 1 - _ON_TIME] = 0, 1  # so that equal clocks give equal numbers
    weight = share[:, None].astype(np.result_type(values, np.float32))
    return values[before] * (1 - weight) + values[before + 1] * weight


class Channels:
    """A few channels over the whole session, such as running speed, in memory; NaN are missing samples.

    Parameters
    ----------
    series
        A pynwb.TimeSeries of shape (samples,) or (samples, channels).
    path
        Its name in messages.
    """

    def __init__(self, series: Any, *, path: str) -> None:
        values = as_float(series, np.asarray(series.data[:]))
        values = values[:, None] if values.ndim == 1 else values
        times = times_of(series, path=path, count=len(values))
        there = np.isfinite(values).all(axis=1)
        self.path, self.values, self.times = path, values[there], times[there]

    def at(self, frames_s: NDArray[np.float64], *, frame_s: float) -> NDArray[np.float32]:
        """(channels, frames)."""
        rows = rows_around(self.times, frames_s, frame_s=frame_s)
        return on_frames(self.values[rows], self.times[rows], frames_s, frame_s=frame_s)


def as_float(series: Any, values: NDArray[Any]) -> NDArray[np.floating[Any]]:
    """Stored numbers in the unit of the series, as its conversion and offset say; float32 unless stored finer."""
    values = values.astype(np.result_type(values.dtype, np.float32), copy=False)
    conversion, offset = float(series.conversion or 1.0), float(series.offset or 0.0)
    return values if (conversion, offset) == (1.0, 0.0) else values * conversion + offset

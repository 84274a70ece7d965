"""One series of an NWB file: when its samples came, and its numbers in their unit."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuroreel.errors import InputError
from neuroreel.recordings.clock import Clock


def times_of(series: Any, *, path: str, count: int) -> NDArray[np.float64]:
    """(samples,) seconds on the session's clock; InputError unless there are ``count``, all finite and increasing."""
    times = _stored_times(series, path=path, count=count)
    missing = np.flatnonzero(~np.isfinite(times))
    if len(missing):
        raise InputError(
            f"{path}: {len(missing)} of {count} timestamps are NaN or infinite, the first that of sample {missing[0]}; "
            "these samples cannot be placed in time: please correct the file"
        )
    _check_order(times, path=path)
    return times


def _stored_times(series: Any, *, path: str, count: int) -> NDArray[np.float64]:
    """(samples,) seconds as the file has them, which may be NaN."""
    if series.timestamps is None:
        start = float(series.starting_time or 0.0)
        if series.rate is None or not 0 < series.rate < np.inf or not np.isfinite(start):
            raise InputError(
                f"{path} has rate {series.rate} and starting time {start}, and no timestamps; its samples cannot be "
                "placed in time: please correct the file"
            )
        return start + np.arange(count) / float(series.rate)
    times = np.asarray(series.timestamps[:], np.float64)
    if len(times) != count:
        hint = "; the data must have time first" if len(times) in getattr(series.data, "shape", ()) else ""
        raise InputError(f"{path} has {len(times)} timestamps for {count} samples{hint}: please correct the file")
    return times


def _check_order(times: NDArray[np.float64], *, path: str) -> None:
    wrong = np.flatnonzero(np.diff(times) <= 0)
    if len(wrong):
        raise InputError(
            f"{path} has timestamps that do not increase, the first at sample {wrong[0] + 1}: please correct the file"
        )


class Channels:
    """A few channels over the whole session, such as running speed, in memory.

    Samples whose value or timestamp is NaN are missing ones.

    Parameters
    ----------
    series
        A pynwb.TimeSeries of shape (samples,) or (samples, channels).
    path
        Its name in messages.
    channels
        How many it must have.
    """

    def __init__(self, series: Any, *, path: str, channels: int) -> None:
        values = as_float(series, np.asarray(series.data[:]))
        values = values[:, None] if values.ndim == 1 else values
        times = _stored_times(series, path=path, count=len(values))
        if values.shape[1:] != (channels,):
            raise InputError(
                f"{path} has shape {tuple(series.data.shape)}; it must be (samples, {channels}), time first: please "
                "correct the file, choose another series, or none"
            )
        recorded = np.isfinite(values).all(axis=1) & np.isfinite(times)
        _check_order(times[recorded], path=path)
        self.path, self.values, self.clock = path, values[recorded], Clock(times[recorded])

    def at(self, frames_s: NDArray[np.float64], *, frame_s: float) -> NDArray[np.float32]:
        """(channels, frames)."""
        return self.clock.on_frames(lambda rows: self.values[rows], frames_s, frame_s=frame_s)


def as_float(series: Any, values: NDArray[Any]) -> NDArray[np.floating[Any]]:
    """Stored numbers in the unit of the series, as its conversion and offset say; float32 unless stored finer."""
    values = values.astype(np.result_type(values.dtype, np.float32), copy=False)
    conversion, offset = float(series.conversion or 1.0), float(series.offset or 0.0)
    return values if (conversion, offset) == (1.0, 0.0) else values * conversion + offset

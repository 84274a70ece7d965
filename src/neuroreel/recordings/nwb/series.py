"""Numerical series in an NWB file, aligned to the frames of a movie: responses, running speed, pupil."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuroreel.errors import InputError
from neuroreel.recordings.clock import Clock
from neuroreel.recordings.nwb.contents import Found

_KEPT_BYTES = 256 * 2**20  # cache per series, so that chunks are unpacked once instead of once per trial


@dataclass(frozen=True)
class Signal:
    """One or more channels over the whole session.

    Parameters
    ----------
    path
        Its name in messages.
    clock
        Times of its samples.
    read
        Maps the needed samples to (samples, channels).
    """

    path: str
    clock: Clock
    read: Callable[[slice], NDArray[Any]]

    def at(self, frames_s: NDArray[np.float64], *, frame_s: float) -> NDArray[np.float32]:
        """(channels, frames)."""
        return self.clock.on_frames(self.read, frames_s, frame_s=frame_s)


@dataclass(frozen=True)
class Responses:
    """One or more series of responses; the neurons of several (for instance planes) are concatenated.

    Attributes
    ----------
    signals
        The responses of all neurons.
    keep
        (neurons,): indices of the neurons to keep.
    ids
        (neurons,): IDs from the table of regions if it has unique ones, else 0, 1, 2, ...
    coordinates
        (neurons, axes), or None; see :func:`_positions`.
    """

    signals: list[Signal]
    keep: NDArray[np.int64]
    ids: NDArray[Any]
    coordinates: NDArray[np.float64] | None

    @classmethod
    def of(cls, found: Sequence[Found], *, keep: NDArray[Any] | None) -> Responses:
        """From some series, whose responses are read in chunks."""
        regions = [_regions(each) for each in found]
        ids = np.concatenate([ids for ids, _ in regions])
        kept = _kept(keep, len(ids))
        places = [place for _, place in regions if place is not None]
        known = len(places) == len(found) and len({place.shape[1] for place in places}) == 1
        return cls(
            signals=[Signal(each.path, clock_of(each), _Stretches(each.series).read) for each in found],
            keep=kept,
            ids=(ids if len(np.unique(ids)) == len(ids) else np.arange(len(ids)))[kept],
            coordinates=np.concatenate(places)[kept] if known else None,
        )

    def at(self, frames_s: NDArray[np.float64], *, frame_s: float) -> NDArray[np.float32]:
        """(neurons, frames)."""
        return np.concatenate([signal.at(frames_s, frame_s=frame_s) for signal in self.signals])[self.keep]


def behavior_of(found: Found, *, channels: int) -> Signal:
    """A few channels, such as running speed, in memory; samples whose value or timestamp is NaN count as missing.

    InputError unless there are ``channels`` of them.
    """
    series, path = found.series, found.path
    values = _as_float(series, np.asarray(series.data[:]))
    values = values[:, None] if values.ndim == 1 else values
    clock = _stored_clock(series, path=path, count=len(values))
    if values.shape[1:] != (channels,):
        raise InputError(
            f"{path} has shape {tuple(series.data.shape)}; it must be (samples, {channels}), time first: please "
            "correct the file, choose another series, or none"
        )
    recorded = np.isfinite(values).all(axis=1) & np.isfinite(clock.times)
    values, clock = values[recorded], Clock(clock.times[recorded])
    clock.check(what=path)
    return Signal(path, clock, lambda rows: values[rows])


def clock_of(found: Found, *, count: int | None = None) -> Clock:
    """The sample times of a series, in seconds on the session's clock; InputError unless there are ``count``."""
    clock = _stored_clock(found.series, path=found.path, count=found.shape[0] if count is None else count)
    clock.check(what=found.path)
    return clock


def _stored_clock(series: Any, *, path: str, count: int) -> Clock:
    """The clock as stored: timestamps may be NaN."""
    if series.timestamps is None:
        return Clock.of_rate(series.rate, start_s=float(series.starting_time or 0.0), count=count, what=path)
    times = np.asarray(series.timestamps[:], np.float64)
    if len(times) != count:
        hint = "; the data must have time first" if len(times) in getattr(series.data, "shape", ()) else ""
        raise InputError(f"{path} has {len(times)} timestamps for {count} samples{hint}: please correct the file")
    return Clock(times)


def _as_float(series: Any, values: NDArray[Any]) -> NDArray[np.floating[Any]]:
    """Stored numbers in the series' unit, by its conversion and offset; float32 unless stored in more precision."""
    values = values.astype(np.result_type(values.dtype, np.float32), copy=False)
    conversion, offset = float(series.conversion or 1.0), float(series.offset or 0.0)
    return values if (conversion, offset) == (1.0, 0.0) else values * conversion + offset


class _Stretches:
    """The responses of one series, with one stretch in memory."""

    def __init__(self, series: Any) -> None:
        self._series, self._first = series, 0
        self._stretch = np.zeros((0, 1), np.float32)

    def read(self, rows: slice) -> NDArray[np.floating[Any]]:
        """(samples, neurons) of some samples, read in whole chunks if these have a reasonable size."""
        data = self._series.data
        if rows.start < self._first or rows.stop > self._first + len(self._stretch):
            chunk = int((getattr(data, "chunks", None) or (1,))[0])
            first, last = rows.start // chunk * chunk, -(-rows.stop // chunk) * chunk
            if (last - first) * math.prod(data.shape[1:]) * data.dtype.itemsize > _KEPT_BYTES:
                first, last = rows.start, rows.stop
            self._first, self._stretch = first, self._stretch[:0]  # free the old one before reading the new one
            values = np.asarray(data[first:last])
            self._stretch = _as_float(self._series, values[:, None] if values.ndim == 1 else values)
        return self._stretch[rows.start - self._first : rows.stop - self._first]


def _regions(found: Found) -> tuple[NDArray[Any], NDArray[np.float64] | None]:
    """(neurons,) IDs and (neurons, axes) positions of a series' neurons; InputError if it cannot be responses."""
    if len(found.shape) not in (1, 2) or 0 in found.shape:
        raise InputError(f"{found} holds no responses (time, neurons)")
    neurons = 1 if len(found.shape) == 1 else found.shape[1]
    regions = getattr(found.series, "rois", None)
    if regions is None:
        return np.arange(neurons), None
    rows = np.asarray(regions.data[:], np.int64)
    if len(rows) != neurons:
        first = "; the data seem to have neurons first, but must have time first" * (len(rows) == found.shape[0])
        raise InputError(f"{found.path} has {neurons} columns for {len(rows)} regions{first}: please correct the file")
    return np.asarray(regions.table.id[:])[rows], _positions(regions.table, rows)


def _kept(keep: NDArray[Any] | None, neurons: int) -> NDArray[np.int64]:
    """The indices of the neurons to keep, from booleans or indices."""
    if keep is None:
        return np.arange(neurons)
    keep = np.asarray(keep)
    if keep.dtype == bool and keep.shape == (neurons,) and keep.any():
        return np.flatnonzero(keep)
    if keep.dtype.kind in "iu" and keep.ndim == 1 and len(keep) and keep.min() >= 0 and keep.max() < neurons:
        return keep.astype(np.int64)
    raise InputError(
        f"neurons has shape {keep.shape} and type {keep.dtype}; the file has {neurons} neurons: give as many booleans, "
        "at least one of them true, or numbers from 0"
    )


def _positions(table: Any, rows: NDArray[np.int64]) -> NDArray[np.float64] | None:
    """(neurons, axes): the columns x, y and z of a table of regions, else the centers of their masks.

    Centers are in pixels, or in the unit of the imaging plane's ``grid_spacing`` if it has one.
    """
    columns = [name for name in ("x", "y", "z") if name in table.colnames]
    if len(columns) >= 2:
        return np.stack([np.asarray(table[name].data[:], np.float64)[rows] for name in columns], axis=1)
    name = next((name for name in _WEIGHTS if name in table.colnames), None)
    if name is None:
        return None
    centres = np.array([_centre(*_WEIGHTS[name](table[name][int(row)])) for row in rows])
    spacing = getattr(table.imaging_plane, "grid_spacing", None)
    if spacing is not None and len(spacing) >= centres.shape[1]:
        centres = centres * np.asarray(spacing[: centres.shape[1]], np.float64)
    return centres if np.isfinite(centres).all() else None


def _of_pixels(pixels: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Places and weights from (x, y, weight) or (x, y, z, weight), one per pixel."""
    table = np.array([tuple(pixel) for pixel in pixels], np.float64)
    return table[:, :-1], table[:, -1]


def _of_image(image: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Places and weights from an image of weights, (x, y) or (x, y, z)."""
    weights = np.asarray(image, np.float64)
    where = np.argwhere(weights != 0)
    return where.astype(np.float64), weights[tuple(where.T)]


_WEIGHTS = {"voxel_mask": _of_pixels, "pixel_mask": _of_pixels, "image_mask": _of_image}


def _centre(places: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    if not len(places) or not weights.sum():
        return np.full(places.shape[1], np.nan)
    return np.average(places, axis=0, weights=weights)

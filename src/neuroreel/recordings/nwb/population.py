"""The neurons of an NWB file: their responses, read a stretch at a time, their ids and where they lie."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuroreel.errors import InputError
from neuroreel.recordings.clock import Clock
from neuroreel.recordings.nwb.contents import Found
from neuroreel.recordings.nwb.series import as_float, times_of

_KEPT_BYTES = 256 * 2**20  # of one series: chunks are read and unpacked once, not once a trial


class Population:
    """One or more series of responses; where there are several (planes, say), their neurons follow each other.

    Attributes
    ----------
    neurons
        How many.
    ids
        (neurons,): those of the table of regions where it has them and they differ, else 0, 1, 2, ...
    coordinates
        (neurons, axes), or None; see :func:`_positions`.
    """

    def __init__(self, found: Sequence[Found], *, keep: NDArray[Any] | None) -> None:
        self._series = [_Series(each) for each in found]
        there = sum(series.neurons for series in self._series)
        self._keep = _kept(keep, there)
        self.neurons = len(self._keep)
        ids = np.concatenate([series.ids for series in self._series])
        self.ids = (ids if len(np.unique(ids)) == len(ids) else np.arange(there))[self._keep]
        places = [_positions(series.regions, series.rows) for series in self._series]
        known = (
            all(place is not None for place in places)
            and len({place.shape[1] for place in places if place is not None}) == 1
        )
        self.coordinates = np.concatenate([p for p in places if p is not None])[self._keep] if known else None

    def farthest(self, frames_s: NDArray[np.float64]) -> float:
        """Seconds from the nearest sample to the frame that is worst off, in the worst series."""
        return max(series.clock.farthest(frames_s) for series in self._series)

    def in_gaps(self, frames_s: NDArray[np.float64]) -> dict[str, int]:
        """By the name of each series: how many frames lie where samples are missing."""
        return {series.path: int(series.clock.in_gaps(frames_s).sum()) for series in self._series}

    def at(self, frames_s: NDArray[np.float64], *, frame_s: float) -> NDArray[np.float32]:
        """(neurons, frames)."""
        return np.concatenate([series.at(frames_s, frame_s=frame_s) for series in self._series])[self._keep]


class _Series:
    """The responses of one series, of which one stretch is in memory."""

    def __init__(self, found: Found) -> None:
        self.path, self.series = found.path, found.series
        data = self.series.data
        if data is None or len(data.shape) not in (1, 2) or 0 in data.shape:
            raise InputError(f"{found} holds no responses (time, neurons)")
        self.regions = getattr(self.series, "rois", None)
        self.neurons = 1 if len(data.shape) == 1 else int(data.shape[1])
        self.rows = np.arange(self.neurons) if self.regions is None else np.asarray(self.regions.data[:], np.int64)
        if len(self.rows) != self.neurons:
            turned = (
                "; the data seem to have neurons first, and must have time first"
                if len(self.rows) == data.shape[0]
                else ""
            )
            raise InputError(
                f"{self.path} has {self.neurons} columns for {len(self.rows)} regions{turned}: please correct the file"
            )
        self.ids = self.rows if self.regions is None else np.asarray(self.regions.table.id[:])[self.rows]
        self.clock = Clock(times_of(self.series, path=self.path, count=int(data.shape[0])))
        self._first, self._stretch = 0, np.zeros((0, self.neurons), np.float32)

    def at(self, frames_s: NDArray[np.float64], *, frame_s: float) -> NDArray[np.float32]:
        return self.clock.on_frames(self._read, frames_s, frame_s=frame_s)

    def _read(self, rows: slice) -> NDArray[np.floating[Any]]:
        """(samples, neurons) of some samples, from whole chunks as long as these are of reasonable size."""
        if rows.start < self._first or rows.stop > self._first + len(self._stretch):
            chunk = int((getattr(self.series.data, "chunks", None) or (1,))[0])
            first, last = rows.start // chunk * chunk, -(-rows.stop // chunk) * chunk
            if (last - first) * self.neurons * self.series.data.dtype.itemsize > _KEPT_BYTES:
                first, last = rows.start, rows.stop
            self._first, self._stretch = first, self._stretch[:0]  # let go of the old one before the new one is read
            values = np.asarray(self.series.data[first:last])
            self._stretch = as_float(self.series, values[:, None] if values.ndim == 1 else values)
        return self._stretch[rows.start - self._first : rows.stop - self._first]


def _kept(keep: NDArray[Any] | None, neurons: int) -> NDArray[np.int64]:
    """The numbers of the neurons to keep, from booleans or numbers."""
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


def _positions(regions: Any, rows: NDArray[np.int64]) -> NDArray[np.float64] | None:
    """(neurons, axes): the columns x, y and z of the regions' table, else the centres of their masks.

    Centres are in pixels, or in the unit of the imaging plane's ``grid_spacing`` where it has one.
    """
    if regions is None:
        return None
    table = regions.table
    columns = [name for name in ("x", "y", "z") if name in table.colnames]
    if len(columns) >= 2:
        return np.stack([np.asarray(table[name].data[:], np.float64)[rows] for name in columns], axis=1)
    centre = next((_CENTRES[name] for name in _CENTRES if name in table.colnames), None)
    if centre is None:
        return None
    name = next(name for name in _CENTRES if name in table.colnames)
    centres = np.array([centre(table[name][int(row)]) for row in rows])
    spacing = getattr(table.imaging_plane, "grid_spacing", None)
    if spacing is not None and len(spacing) >= centres.shape[1]:
        centres = centres * np.asarray(spacing[: centres.shape[1]], np.float64)
    return centres if np.isfinite(centres).all() else None


def _centre_of_pixels(pixels: Any) -> NDArray[np.float64]:
    """Of (x, y, weight), or (x, y, z, weight), one a pixel."""
    table = np.array([tuple(pixel) for pixel in pixels], np.float64)
    return _weighted(table[:, :-1], table[:, -1])


def _centre_of_image(image: Any) -> NDArray[np.float64]:
    """Of an image (x, y), or (x, y, z), of weights."""
    weights = np.asarray(image, np.float64)
    where = np.argwhere(weights != 0)
    return _weighted(where.astype(np.float64), weights[tuple(where.T)])


def _weighted(places: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    if not len(places) or not weights.sum():
        return np.full(places.shape[1], np.nan)
    return np.average(places, axis=0, weights=weights)


_CENTRES = {"voxel_mask": _centre_of_pixels, "pixel_mask": _centre_of_pixels, "image_mask": _centre_of_image}

"""The images of a stimulus series, read when they are asked for and turned into grey levels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuroreel.errors import InputError
from neuroreel.recordings.movie_file import read_movie
from neuroreel.recordings.nwb.clock import times_of, typical_interval
from neuroreel.recordings.nwb.contents import Found

_LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601, as video files have it


@dataclass(frozen=True)
class Stimulus:
    """Images and when they came on.

    Parameters
    ----------
    path
        Its name in messages.
    times
        (samples,) seconds: when each image came on; it stays until the next.
    read
        Takes whole numbers (frames,) below ``len(times)``, gives (frames, height, width) or with colours last.
    restarts
        The samples at which a movie starts again from an earlier image.
    """

    path: str
    times: NDArray[np.float64]
    read: Callable[[NDArray[np.int64]], NDArray[Any]]
    restarts: NDArray[np.int64]

    @property
    def image_s(self) -> float:
        """How long an image usually stays, in seconds."""
        return typical_interval(self.times)


@dataclass(frozen=True)
class Look:
    """How stored images become frames of a movie.

    Parameters
    ----------
    grey_levels
        The stored values of black and white, which become 0 and 255.
    size
        (height, width) to which frames are scaled; None leaves them as they are.
    """

    grey_levels: tuple[float, float] = (0.0, 255.0)
    size: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        black, white = self.grey_levels
        if not (np.isfinite([black, white]).all() and black != white):
            raise InputError(f"grey_levels is {self.grey_levels}; give the values of black and white, such as 0 and 1")
        if self.size is not None and min(self.size) < 1:
            raise InputError(f"size is {self.size}; give a height and a width of at least one pixel")

    def __call__(self, images: NDArray[Any], *, what: str) -> NDArray[Any]:
        """(frames, height, width) in grey levels 0..255 from images with or without colours."""
        if images.ndim == 4 and images.shape[-1] in (3, 4):
            images = images[..., :3].astype(np.float32) @ _LUMA
        if images.ndim != 3:
            raise InputError(f"{what} has images of shape {images.shape[1:]}; they must be (height, width), or RGB")
        black, white = self.grey_levels
        if (black, white) == (0, 255):
            if images.dtype.kind == "f" and 0 < images.max() <= 1:
                raise InputError(
                    f"{what}: the largest grey level is {images.max():g}; where white is 1, say --grey-levels 0 1"
                )
        else:
            images = (images.astype(np.float32) - black) * (255 / (white - black))
        return images if self.size is None else _scaled(images, self.size)


def open_stimulus(found: Found, *, folder: Path) -> Stimulus:
    """The stimulus of an ImageSeries, OpticalSeries or IndexSeries; ``folder`` is where its file lies."""
    from pynwb.image import IndexSeries

    series, path = found.series, found.path
    if not isinstance(series, IndexSeries):
        read, count = _reader_of(series, path=path, folder=folder)
        return Stimulus(path, times_of(series, path=path, count=count), read, np.zeros(0, np.int64))
    shown = np.asarray(series.data[:], np.int64)
    template, count = _template_of(series, path=path, folder=folder)
    if len(shown) and (shown.min() < 0 or shown.max() >= count):
        raise InputError(f"{path} shows image {shown.max()} or {shown.min()}, but there are {count}: mend the file")
    times = times_of(series, path=path, count=len(shown))
    return Stimulus(path, times, lambda numbers: template(shown[numbers]), np.flatnonzero(np.diff(shown) < 0) + 1)


def _template_of(series: Any, *, path: str, folder: Path) -> tuple[Callable[[NDArray[np.int64]], NDArray[Any]], int]:
    """What an IndexSeries points into, and how many images that has."""
    if series.indexed_timeseries is not None:
        return _reader_of(series.indexed_timeseries, path=path, folder=folder)
    if series.indexed_images is None:
        raise InputError(f"{path} points to no images; it cannot be shown")
    order = series.indexed_images.order_of_images
    images = list(order.data) if order is not None else list(series.indexed_images.images.values())
    shapes = {tuple(image.data.shape) for image in images}
    if len(shapes) != 1:
        raise InputError(f"{path} shows images of different shapes, {sorted(shapes)}; a movie needs one")

    def read(numbers: NDArray[np.int64]) -> NDArray[Any]:
        different, inverse = np.unique(numbers, return_inverse=True)
        return np.stack([np.asarray(images[number].data[:]) for number in different])[inverse]

    return read, len(images)


def _reader_of(series: Any, *, path: str, folder: Path) -> tuple[Callable[[NDArray[np.int64]], NDArray[Any]], int]:
    if series.external_file is not None and len(series.external_file):
        films = _Films(series, path=path, folder=folder)
        return films.read, films.count
    if series.data is None or len(series.data.shape) not in (3, 4):
        raise InputError(f"{path} holds no images (frames, height, width)")
    return lambda numbers: read_rows(series.data, numbers), int(series.data.shape[0])


class _Films:
    """The movie files beside an NWB file; the one that was looked at last is in memory."""

    def __init__(self, series: Any, *, path: str, folder: Path) -> None:
        self.files = [folder / str(name) for name in series.external_file]
        starts = [0] if series.starting_frame is None else list(series.starting_frame)
        for file in self.files:
            if not file.is_file():
                raise InputError(f"{path} lies in the file {file}, which is not there; copy it beside the NWB file")
        self.starts = np.asarray(starts[: len(self.files)], np.int64)
        self._last: tuple[int, NDArray[Any]] | None = None
        stamps = series.timestamps
        told = getattr(series, "num_samples", None) if stamps is None else len(stamps)  # older files do not tell
        self.count = int(self.starts[-1]) + len(self._film(len(self.files) - 1)) if told is None else int(told)

    def read(self, numbers: NDArray[np.int64]) -> NDArray[Any]:
        which = np.searchsorted(self.starts, numbers, "right") - 1
        pieces, places = [], []
        for film in np.unique(which):
            inside = numbers[which == film] - self.starts[film]
            frames = self._film(int(film))
            if inside.max() >= len(frames):
                raise InputError(f"{self.files[film]} has {len(frames)} frames, frame {inside.max()} is asked for")
            pieces.append(frames[inside])
            places.append(np.flatnonzero(which == film))
        return np.concatenate(pieces)[np.argsort(np.concatenate(places))]

    def _film(self, which: int) -> NDArray[Any]:
        if self._last is None or self._last[0] != which:
            self._last = (which, read_movie(self.files[which])[0])
        return self._last[1]


def read_rows(data: Any, numbers: NDArray[np.int64]) -> NDArray[Any]:
    """Some rows of an array on disk, in any order, with repeats."""
    rows, inverse = np.unique(numbers, return_inverse=True)
    first, last = int(rows[0]), int(rows[-1])
    if last - first < 4 * len(rows):  # one sweep is faster than many seeks
        return np.asarray(data[first : last + 1])[rows - first][inverse]
    return np.stack([np.asarray(data[int(row)]) for row in rows])[inverse]


def _scaled(frames: NDArray[Any], size: Sequence[int]) -> NDArray[np.float32]:
    """Scaled so that a pixel is the mean of what it covers."""
    from PIL import Image

    height, width = size
    if frames.shape[1:] == (height, width):
        return frames.astype(np.float32, copy=False)
    pictures = (Image.fromarray(np.ascontiguousarray(frame, np.float32)) for frame in frames)
    return np.stack([np.asarray(picture.resize((width, height), Image.Resampling.BOX)) for picture in pictures])

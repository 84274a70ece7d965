"""The images of a stimulus series, read on demand and converted to gray levels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from neuroreel.errors import InputError
from neuroreel.grey import check_white
from neuroreel.recordings.clock import Clock
from neuroreel.recordings.disk import check_fetched
from neuroreel.recordings.movie_file import read_movie
from neuroreel.recordings.nwb.contents import Found
from neuroreel.recordings.nwb.series import clock_of

_LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601, as video files have it


BLANK = -1  # stands for no image: a gray screen
GREY = 127
_LARGEST = 2**32 - 1  # -1 in NWB's type for such numbers

ImageAxes = Literal["auto", "height-width", "width-height"]


@dataclass(frozen=True)
class Stimulus:
    """Images and their onsets.

    Parameters
    ----------
    path
        Its name in messages.
    clock
        Onset of each image, which stays until the next.
    shown
        (samples,): the number of the image that came on, or ``BLANK``.
    images
        The images, by number.
    """

    path: str
    clock: Clock
    shown: NDArray[np.int64]
    images: Images

    @property
    def restarts(self) -> NDArray[np.int64]:
        """The samples at which a movie restarts from an earlier image; a blank belongs to what came before it."""
        latest = np.maximum.accumulate(np.where(self.shown == BLANK, 0, np.arange(len(self.shown))))
        return np.flatnonzero(np.diff(self.shown[latest]) < 0) + 1

    def read(self, samples: NDArray[np.int64], look: Look, *, what: str) -> NDArray[Any]:
        """The images (samples, height, width) shown at some samples, in gray levels, in any order."""
        numbers = self.shown[samples]
        frames = look(self.images.read(np.maximum(numbers, 0)), what=f"{self.path}, {what}")
        frames[numbers == BLANK] = GREY
        return frames


@dataclass(frozen=True)
class Images:
    """Images by number, from 0 to ``count - 1``, and how they are stored.

    Attributes
    ----------
    read
        Maps image numbers (frames,) to a new array (frames, height, width), perhaps with colors last.
    count
        Number of images.
    axes
        Order of the axes in the file, in words.
    """

    read: Callable[[NDArray[np.int64]], NDArray[Any]]
    count: int
    axes: str

    def size(self) -> tuple[int, int]:
        """(height, width) of the first image."""
        height, width = self.read(np.zeros(1, np.int64)).shape[1:3]
        return height, width


@dataclass(frozen=True)
class Look:
    """How stored images become frames of a movie.

    Parameters
    ----------
    grey_levels
        The stored values of black and white, which become 0 and 255.
    size
        (height, width) to which frames are scaled; None keeps their size.
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
        """(frames, height, width) in gray levels 0..255 from images with or without colors."""
        if images.ndim == 4 and images.shape[-1] in (3, 4):
            images = images[..., :3].astype(np.float32) @ _LUMA
        if images.ndim != 3:
            raise InputError(f"{what} has images of shape {images.shape[1:]}; they must be (height, width), or RGB")
        black, white = self.grey_levels
        if (black, white) == (0, 255):
            check_white(images, what=what, advice="pass grey_levels=(0, 1)")
        else:
            images = (images.astype(np.float32) - black) * (255 / (white - black))
        return images if self.size is None else _scaled(images, self.size)


def open_stimulus(found: Found, *, folder: Path, axes: ImageAxes) -> Stimulus:
    """The stimulus of an ImageSeries, OpticalSeries or IndexSeries; ``folder`` contains its file."""
    from pynwb.image import IndexSeries

    series, path = found.series, found.path
    if not isinstance(series, IndexSeries):
        images = _images_of(series, path=path, folder=folder, axes=axes)
        shown = np.arange(images.count)
    else:
        images = _template_of(series, path=path, folder=folder, axes=axes)
        shown = _numbers(np.asarray(series.data[:]), path=path, count=images.count)
    if not len(shown):
        raise InputError(f"{path} shows no image at all; choose another series with stimulus=")
    return Stimulus(path, clock_of(found, count=len(shown)), shown, images)


def _numbers(stored: NDArray[Any], *, path: str, count: int) -> NDArray[np.int64]:
    """(samples,) image numbers, ``BLANK`` for -1, which some writers store as the largest number."""
    with np.errstate(invalid="ignore"):  # NaN, which is refused
        numbers = stored.astype(np.int64)
    if stored.dtype.kind == "f" and (numbers != stored).any():
        raise InputError(f"{path} has numbers of images that are not whole; please correct the file")
    largest = np.iinfo(stored.dtype).max if stored.dtype.kind == "u" else _LARGEST
    numbers[(numbers >= count) & ((stored == _LARGEST) | (stored == largest))] = BLANK
    wrong = np.flatnonzero((numbers < BLANK) | (numbers >= count))
    if len(wrong):
        raise InputError(
            f"{path} shows image {stored[wrong[0]]}, but the images are numbered 0 to {count - 1} (-1 is a blank): "
            "please correct the file"
        )
    return numbers


def _template_of(series: Any, *, path: str, folder: Path, axes: ImageAxes) -> Images:
    """The images that an IndexSeries points to."""
    if series.indexed_timeseries is not None:
        return _images_of(series.indexed_timeseries, path=path, folder=folder, axes=axes)
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

    return _upright(read, len(images), axes=axes)


def _images_of(series: Any, *, path: str, folder: Path, axes: ImageAxes) -> Images:
    if series.external_file is not None and len(series.external_file):
        films = _Films(series, path=path, folder=folder)
        return Images(films.read, films.count, "(frame, height, width), in other files")
    shape = tuple(getattr(series.data, "shape", ()))
    if len(shape) not in (3, 4):
        raise InputError(f"{path} holds no images (frames, height, width)")
    dimension = [] if series.dimension is None else [int(length) for length in series.dimension[:2]]

    def read(numbers: NDArray[np.int64]) -> NDArray[Any]:
        return read_rows(series.data, numbers)

    if axes == "auto" and dimension == list(shape[1:3]) and shape[1] != shape[2]:
        return _upright(read, shape[0], axes="width-height", why=f", as its dimension {dimension} says")
    return _upright(read, shape[0], axes=axes)


def _upright(
    read: Callable[[NDArray[np.int64]], NDArray[Any]], count: int, *, axes: ImageAxes, why: str = ""
) -> Images:
    """Images with height first, whichever way they are stored."""
    if axes != "width-height":
        return Images(read, count, f"(frame, height, width){why}")
    return Images(lambda numbers: read(numbers).swapaxes(1, 2), count, f"(frame, width, height){why}")


class _Films:
    """The movie files next to an NWB file, addressed by frame number; the last one used is in memory."""

    def __init__(self, series: Any, *, path: str, folder: Path) -> None:
        self.path, self.files = path, [folder / str(name) for name in series.external_file]
        for file in self.files:
            check_fetched(file)
            if not file.is_file():
                raise InputError(f"{path} is in the file {file}, which does not exist; copy it next to the NWB file")
        stored = series.starting_frame
        starts = np.asarray([0] if stored is None else stored[:], np.int64)  # one file needs no start
        if len(starts) != len(self.files) or starts[0] != 0 or (np.diff(starts) <= 0).any():
            raise InputError(
                f"{path} has {len(self.files)} files and the starting frames {starts.tolist()}; there must be one for "
                "each file, from 0 and increasing: please correct the file"
            )
        self._last: tuple[int, NDArray[Any]] | None = None
        stamps = series.timestamps
        told = getattr(series, "num_samples", None) if stamps is None else len(stamps)
        if not told:  # older files do not say
            self._last = (len(starts) - 1, read_movie(self.files[-1], by_number=True)[0])
            told = starts[-1] + len(self._last[1])
        self.count = int(told)
        self._starts, self._ends = starts, np.append(starts[1:], self.count)

    def read(self, numbers: NDArray[np.int64]) -> NDArray[Any]:
        which = np.searchsorted(self._starts, numbers, "right") - 1
        pieces, places = [], []
        for film in np.unique(which):
            pieces.append(self._film(int(film))[numbers[which == film] - self._starts[film]])
            places.append(np.flatnonzero(which == film))
        return np.concatenate(pieces)[np.argsort(np.concatenate(places))]

    def _film(self, which: int) -> NDArray[Any]:
        if self._last is None or self._last[0] != which:
            self._last = (which, read_movie(self.files[which], by_number=True)[0])
            stored, told = len(self._last[1]), self._ends[which] - self._starts[which]
            if stored != told:
                raise InputError(
                    f"{self.files[which]} has {stored} frames, but {self.path} has timestamps or numbers for {told}; "
                    "the times of frames are unknown: please correct the NWB file"
                )
        return self._last[1]


def read_rows(data: Any, numbers: NDArray[np.int64]) -> NDArray[Any]:
    """Some rows of an array on disk, in any order, with repeats."""
    rows, inverse = np.unique(numbers, return_inverse=True)
    first, last = int(rows[0]), int(rows[-1])
    if last - first < 4 * len(rows):  # one sequential read is faster than many seeks
        return np.asarray(data[first : last + 1])[rows - first][inverse]
    return np.stack([np.asarray(data[int(row)]) for row in rows])[inverse]


def _scaled(frames: NDArray[Any], size: Sequence[int]) -> NDArray[np.float32]:
    """Scale so that a pixel is the mean of what it covers."""
    from PIL import Image

    height, width = size
    if frames.shape[1:] == (height, width):
        return frames.astype(np.float32, copy=False)
    pictures = (Image.fromarray(np.ascontiguousarray(frame, np.float32)) for frame in frames)
    return np.stack([np.asarray(picture.resize((width, height), Image.Resampling.BOX)) for picture in pictures])

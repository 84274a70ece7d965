"""Complete sets of noise and gratings as labeled arrays, from our generators or from the authors' files."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neuroreel.arguments import whole_number
from neuroreel.bauer_2026.files.results import read_published
from neuroreel.errors import InputError
from neuroreel.files import user_path
from neuroreel.stimuli.gratings import (
    PUBLISHED_DIRECTIONS,
    PUBLISHED_SPATIAL_FREQUENCIES,
    PUBLISHED_TEMPORAL_LABELS,
    drifting_grating,
)
from neuroreel.stimuli.noise import PUBLISHED_LENGTHS, PUBLISHED_REPEATS, gaussian_noise, shown_as_published
from neuroreel.stimuli.screen import SENSORIUM_SCREEN, Screen

MOVIE = ("frame", "height", "width")
UNITS = {
    "spatial_px": "pixels",
    "temporal_frames": "frames",
    "direction_deg": "degrees",
    "spatial_frequency": "cycles/degree",
    "temporal_frequency_hz": "Hz",
}
_Axes = Mapping[str, tuple[str, str | None]]  # our axis: the file's axis, and its labels
_NOISE_AXES: _Axes = {
    "repeat": ("repeat", None),
    "spatial_px": ("spatial", "spatial_length_px"),
    "temporal_frames": ("temporal", "temporal_length_frames"),
}
_GRATING_AXES: _Axes = {
    "direction_deg": ("direction", "direction_deg"),
    "spatial_frequency": ("spatial", "spatial_frequency_cpd"),
    "temporal_frequency_hz": ("temporal", "temporal_frequency_hz"),
}
_NEAR = 0.01  # two frequencies are the same if they differ by less than this fraction: labels are often rounded


def noise_stimuli(
    file: str | Path | None = None,
    *,
    repeats: Sequence[int] | int | None = None,
    spatial_px: Sequence[float] = PUBLISHED_LENGTHS,
    temporal_frames: Sequence[float] = PUBLISHED_LENGTHS,
    inverted: Sequence[bool] = (False, True),
    frames: int = 60,
    height: int = 36,
    width: int = 64,
    seed: int = 0,
) -> xr.DataArray:
    """Noise movies over length constants in space and time, ours or the authors', in one layout (Bauer et al. 2026).

    Parameters
    ----------
    file
        The authors' ``gaussian_noise_movies.npz``, converted with ``published_noise``. By default the movies are
        drawn with ``gaussian_noise``.
    repeats
        Number of repeats, or a list of their indices; by default five, or all in the file. Our movies with the same
        index share their white noise, and do not change with the other arguments.
    spatial_px, temporal_frames
        Length constants.
    inverted
        False for the movies, True for their negatives.
    frames, height, width, seed
        Size and seed of our movies; a file has its own.

    Returns
    -------
    xarray.DataArray
        (inverted, repeat, spatial_px, temporal_frames, frame, height, width) float32, gray levels 0..255. Choose by
        value: ``stimuli.sel(repeat=0, spatial_px=8, temporal_frames=4, inverted=False)``.

    Raises
    ------
    InputError
        A value out of range or not in the file; no such file, or a file of another kind.
    """
    video = None if file is None else _read(user_path(file), _NOISE_AXES, kind="noise")
    if repeats is None:
        repeats = PUBLISHED_REPEATS if video is None else video.sizes["repeat"]
    numbers = repeats if isinstance(repeats, Sequence | np.ndarray) else range(whole_number(repeats, name="repeats"))
    asked = {"repeat": numbers, "spatial_px": spatial_px, "temporal_frames": temporal_frames}
    _check_asked(asked | {"inverted": inverted})
    size: dict[str, Any] = {"frames": frames, "height": height, "width": width}

    def make(repeat: int, **lengths: Any) -> NDArray[np.float32]:
        return gaussian_noise(**lengths, **size, seed=(seed, repeat))

    movies = _made(make, asked, size) if video is None else _published_noise(video, asked, str(file))
    both = np.stack([255 - movies if negative else movies for negative in inverted])
    return _labeled(both, {"inverted": inverted, **asked}, source=file)


def grating_stimuli(
    file: str | Path | None = None,
    *,
    directions_deg: Sequence[float] = PUBLISHED_DIRECTIONS,
    spatial_frequencies: Sequence[float] = PUBLISHED_SPATIAL_FREQUENCIES,
    temporal_frequencies_hz: Sequence[float] = PUBLISHED_TEMPORAL_LABELS,
    frames: int = 60,
    height: int = 36,
    width: int = 64,
    frame_rate_hz: float = 30.0,
    screen: Screen = SENSORIUM_SCREEN,
    published_labels: bool = False,
) -> xr.DataArray:
    """Drifting gratings over direction and frequencies, ours or the authors', in one layout (Bauer et al. 2026).

    Parameters
    ----------
    file
        The authors' ``grating_movies.npz``, whose values are used unchanged, under the labels in the file. By
        default the gratings are made with ``drifting_grating``.
    directions_deg, spatial_frequencies, temporal_frequencies_hz
        Degrees, cycles per degree, Hz. Labels in a file are rounded and may differ by up to 1 %.
    frames, height, width, frame_rate_hz, screen, published_labels
        For our gratings, see ``drifting_grating``. A file has its own.

    Returns
    -------
    xarray.DataArray
        (direction_deg, spatial_frequency, temporal_frequency_hz, frame, height, width) float32, gray levels 0..255.

    Raises
    ------
    InputError
        Frequencies that these pixels and frames cannot show, or that are not in the file; no such file.
    """
    asked = dict(zip(_GRATING_AXES, (directions_deg, spatial_frequencies, temporal_frequencies_hz), strict=True))
    _check_asked(asked)
    size: dict[str, Any] = {"frames": frames, "height": height, "width": width}
    shown: dict[str, Any] = {"frame_rate_hz": frame_rate_hz, "screen": screen, "published_labels": published_labels}
    if file is None:
        movies = _made(partial(drifting_grating, **size, **shown), asked, size)
    else:
        movies = _published_gratings(user_path(file), asked)
    return _labeled(movies, asked, source=file)


def _made(
    make: Callable[..., NDArray[np.float32]], asked: Mapping[str, Sequence[Any]], size: Mapping[str, int]
) -> NDArray[np.float32]:
    """A movie for each combination of the requested values."""
    movies = np.empty((*map(len, asked.values()), *(whole_number(size[name], name=name) for name in size)), np.float32)
    for place in np.ndindex(movies.shape[: len(asked)]):
        movies[place] = make(**{name: asked[name][index] for name, index in zip(asked, place, strict=True)})
    return movies


def _published_noise(video: xr.DataArray, asked: Mapping[str, Sequence[Any]], file: str) -> NDArray[np.float32]:
    """The requested movies, scaled with the mean and deviation of all stimuli in the file."""
    everything = video.values.astype(np.float64)
    chosen = _chosen(video, _NOISE_AXES, asked, file).values.astype(np.float64)
    return shown_as_published(chosen, mean=float(everything.mean()), deviation=float(everything.std()))


def _published_gratings(file: Path, asked: Mapping[str, Sequence[Any]]) -> NDArray[np.float32]:
    video = _read(file, _GRATING_AXES, kind="gratings")
    if not 0 <= video.min() <= video.max() <= 255:
        raise InputError(f"{file}: its gratings are not grey levels in 0..255; the file is of another version")
    chosen = _chosen(video, _GRATING_AXES, asked, str(file))
    return np.asarray(chosen.transpose(*(axis for axis, _ in _GRATING_AXES.values()), *MOVIE), np.float32)


def _read(file: Path, axes: _Axes, *, kind: str) -> xr.DataArray:
    video = read_published(file).get("video")
    if video is None or not {axis for axis, _ in axes.values()} <= set(video.dims):
        raise InputError(f"{file} holds no {kind}; give the authors' file of {kind}, or no file for generated {kind}")
    return video


def _chosen(video: xr.DataArray, axes: _Axes, asked: Mapping[str, Sequence[Any]], file: str) -> xr.DataArray:
    """The stimuli of a file with the requested values, in that order."""
    for name, (axis, labels) in axes.items():
        if labels is not None and labels not in video.coords:
            raise InputError(
                f"{file} does not say what the {video.sizes[axis]} entries of its {axis} axis are (the published file "
                f"has {labels}); it is of another version"
            )
        there = np.arange(video.sizes[axis]) if labels is None else np.asarray(video[labels], np.float64)
        places = []
        for value in asked[name]:
            apart = np.abs(there - value)
            if apart.min() > _NEAR * abs(value):
                raise InputError(f"{file} has no {name} {value:g}; it has {', '.join(f'{each:.3g}' for each in there)}")
            places.append(int(apart.argmin()))
        video = video.isel({axis: places})
    return video


def _check_asked(asked: Mapping[str, Sequence[Any]]) -> None:
    for name, values in asked.items():
        if not len(values) or len(set(values)) < len(values):
            raise InputError(f"{name} is {list(values)!r}; give at least one, and each only once")


def _labeled(movies: NDArray[np.float32], axes: Mapping[str, Sequence[Any]], *, source: object) -> xr.DataArray:
    made_by = "neuroreel" if source is None else str(source)
    coordinates = {
        name: (name, np.asarray(values), {"units": UNITS[name]} if name in UNITS else {})
        for name, values in axes.items()
    }
    return xr.DataArray(
        movies,
        dims=(*axes, *MOVIE),
        coords=coordinates,
        name="video",
        attrs={"units": "grey levels 0..255", "source": made_by},
    )

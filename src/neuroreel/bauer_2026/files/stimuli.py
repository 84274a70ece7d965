"""The authors' stimuli, ``gaussian_noise_movies.npz`` and ``grating_movies.npz``, with labeled axes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neuroreel.bauer_2026.files.arrays import read_archive
from neuroreel.errors import InputError
from neuroreel.stimuli.noise import PUBLISHED_LENGTHS

_NOISE_SIZE = (36, 36)  # the noise is square; the rest of the screen is added before it is shown
_NOISE_AXES = ("height", "width", "frame", "repeat", "spatial", "temporal")
_GRATING_AXES = ("direction", "temporal", "spatial", "frame", "height", "width")
_GRATING_COORDINATES = {  # name in the file: axis, our name, unit
    "drifting_directions": ("direction", "direction_deg", "degrees"),
    "drifting_sf_in_deg": ("spatial", "spatial_frequency_cpd", "cycles/degree"),
    "drifting_sf_in_pix": ("spatial", "spatial_frequency_pix", "as in the file"),
    "drifting_temporal_frequencies": ("temporal", "temporal_frequency_hz", "Hz"),
}


def read_stimuli(file: Path) -> xr.Dataset:
    """See :func:`neuroreel.read_published`."""
    arrays = read_archive(file)
    video = arrays.pop("video", None)
    if video is None or video.ndim != 6:
        found = "no array `video`" if video is None else f"a `video` of shape {video.shape}"
        raise InputError(f"{file} holds {found}; the published stimuli are an array `video` with 6 axes")
    if not np.isfinite(video).all():
        raise InputError(f"{file}: its video holds NaN or infinite values: it is damaged; download it again")
    if video.shape[:2] == _NOISE_SIZE:
        dataset = with_length_constants(xr.Dataset({"video": (_NOISE_AXES, video)}))
    elif video.shape[-2:] == (36, 64):
        dataset = _with_frequencies(xr.Dataset({"video": (_GRATING_AXES, video)}), arrays, file)
    else:
        raise InputError(
            f"{file}: its video has shape {video.shape}; the published noise is (36, 36, frames, repeats, spatial, "
            "temporal), the published gratings are (directions, temporal, spatial, frames, 36, 64)"
        )
    return dataset.assign_attrs({name: array.tolist() for name, array in arrays.items() if array.ndim < 2})


def with_length_constants(dataset: xr.Dataset) -> xr.Dataset:
    """Add the noise's length constants to the axes ``spatial`` and ``temporal``, if these are numbered 0..6."""
    for axis, name, unit in (
        ("spatial", "spatial_length_px", "pixels"),
        ("temporal", "temporal_length_frames", "frames"),
    ):
        numbers = dataset[axis].values if axis in dataset.coords else np.arange(dataset.sizes[axis])
        complete = axis in dataset.coords or len(numbers) == len(PUBLISHED_LENGTHS)
        if complete and set(numbers) <= set(range(len(PUBLISHED_LENGTHS))):
            values = np.asarray(PUBLISHED_LENGTHS)[numbers]
            dataset = _with_index(dataset, name, axis, values, unit)
    return dataset


def _with_frequencies(dataset: xr.Dataset, arrays: dict[str, NDArray[Any]], file: Path) -> xr.Dataset:
    """Attach the file's directions and frequencies to their axes."""
    for stored, (axis, name, unit) in _GRATING_COORDINATES.items():
        if stored not in arrays:
            continue
        values = arrays.pop(stored).reshape(-1)
        if len(values) != dataset.sizes[axis]:
            raise InputError(
                f"{file}: {stored} has {len(values)} values, the video has {dataset.sizes[axis]} along {axis} "
                f"(its axes must be {', '.join(_GRATING_AXES)}); the file is of another version"
            )
        dataset = _with_index(dataset, name, axis, values, unit)
    return dataset


def _with_index(dataset: xr.Dataset, name: str, axis: str, values: NDArray[Any], unit: str) -> xr.Dataset:
    dataset = dataset.assign_coords({name: (axis, values, {"units": unit})})
    return dataset.set_xindex(name) if len(np.unique(values)) == len(values) else dataset

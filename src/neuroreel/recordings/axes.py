"""Coordinates of labeled arrays: times, neurons, and a screen that xarray draws right side up."""

from __future__ import annotations

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike

from neuroreel.arguments import positive_number
from neuroreel.errors import InputError

_SCREEN = ("height", "width", "canvas_height", "canvas_width")


def with_coordinates(
    dataset: xr.Dataset, *, neuron_ids: ArrayLike | None = None, pixels_per_degree: float | None = None
) -> xr.Dataset:
    """Add coordinates for the axes that the dataset has: ``frame``, ``time``, ``neuron``, ``height``, ``width``.

    Parameters
    ----------
    dataset
        With the attribute ``frame_rate_hz``.
    neuron_ids
        (neurons,): 0, 1, 2, ... by default.
    pixels_per_degree
        Adds ``elevation`` and ``azimuth`` in degrees from the middle of the screen.

    Raises
    ------
    InputError
        Not one ID per neuron, or a size that is not positive.
    """
    dataset = with_screen(dataset)
    if "frame" in dataset.sizes:
        frames = np.arange(dataset.sizes["frame"])
        seconds = xr.Variable(("frame",), frames / dataset.attrs["frame_rate_hz"], {"units": "s"})
        dataset = dataset.assign_coords(frame=frames, time=seconds)
    if "neuron" in dataset.sizes:
        ids = np.arange(dataset.sizes["neuron"]) if neuron_ids is None else np.asarray(neuron_ids)
        if ids.shape != (dataset.sizes["neuron"],):
            raise InputError(f"neuron_ids has shape {ids.shape}; it must be ({dataset.sizes['neuron']},)")
        text = ids.dtype.kind == "U"  # variable length, because Zarr has no stable type for fixed-length text
        dataset = dataset.assign_coords(neuron=ids.astype(object) if text else ids)
    if pixels_per_degree is not None:
        positive_number(pixels_per_degree, name="pixels_per_degree")
        rows, columns = (np.arange(size) - (size - 1) / 2 for size in (dataset.sizes["height"], dataset.sizes["width"]))
        up = xr.Variable(("height",), -rows / pixels_per_degree, {"units": "degree", "long_name": "elevation"})
        right = xr.Variable(("width",), columns / pixels_per_degree, {"units": "degree", "long_name": "azimuth"})
        dataset = dataset.assign_coords(elevation=up, azimuth=right)
        dataset.attrs["pixels_per_degree"] = float(pixels_per_degree)
    return dataset


def with_screen(dataset: xr.Dataset) -> xr.Dataset:
    """Add ``height`` and ``width`` in pixels if the dataset has these axes without coordinates.

    ``height`` counts up from the bottom row, so it decreases from the first row (the top) to the last: xarray then
    draws the movie right side up.
    """
    there = [axis for axis in _SCREEN if axis in dataset.sizes and axis not in dataset.coords]
    return dataset.assign_coords({axis: _screen_axis(axis, dataset.sizes[axis]) for axis in there})


def _screen_axis(axis: str, size: int) -> xr.Variable:
    down = axis.endswith("height")
    said = "height above the bottom row" if down else "distance from the left column"
    values = np.arange(size)
    return xr.Variable((axis,), values[::-1] if down else values, {"units": "pixels", "long_name": said})

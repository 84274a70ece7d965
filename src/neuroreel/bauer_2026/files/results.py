"""``nr.read_published``: the authors' result, mask and stimulus files as xarray datasets, on any machine, safely."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neuroreel.bauer_2026.files.arrays import explain_damage, read_header, read_plain_array
from neuroreel.bauer_2026.files.stimuli import read_stimuli
from neuroreel.bauer_2026.files.unpickle import read_pickle
from neuroreel.errors import InputError
from neuroreel.files import user_path
from neuroreel.recordings.axes import with_screen
from neuroreel.recordings.disk import check_fetched

FRAME_RATE_HZ = 30.0

_AXES = {
    "video_gt": ("frame", "height", "width"),
    "video_pred": ("frame", "height", "width"),
    "mask": ("canvas_height", "canvas_width"),
    "behavior": ("behavior_channel", "frame"),
    "pupil_center": ("pupil_channel", "frame"),
    "responses": ("neuron", "frame"),
    "responses_predicted_gt": ("neuron", "frame", "model"),
    "responses_predicted_full": ("neuron", "frame", "model"),
    "population_mask": ("neuron",),
    "motion_energy_gt": ("frame_step",),
    "motion_energy_recon": ("frame_step",),
    "video_itter": ("iteration",),
    "response_loss_full": ("iteration",),
    "response_corr_full": ("iteration",),
    "video_corr": ("iteration",),
    "video_RMSE": ("iteration",),
}
_NEEDED = ("video_gt", "video_pred")  # in every version of the published code
_FINITE = (*_NEEDED, "mask")
_LONGEST_ATTRIBUTE = 64  # values; a longer array is data, not a setting


def read_published(file: str | Path) -> xr.Dataset:
    """Read a file that the authors of Bauer et al. 2026 published, without executing anything in it.

    Needs neither a GPU nor PyTorch: tensors become arrays, whatever device they were on.

    Parameters
    ----------
    file
        ``reconstruction_summary_….npy`` (a result), ``mask_m….npy`` (a transparency mask),
        ``gaussian_noise_movies.npz`` or ``grating_movies.npz`` (stimuli).
        Encoding models (``.pth``) open with :func:`load_encoder`, whole folders of results with
        :func:`read_published_folder`.

    Returns
    -------
    xarray.Dataset
        Variables have the names of the published fields: ``video_pred`` is the reconstruction and ``video_gt`` the true
        movie (frame, height, width), gray 0..255; ``mask`` (canvas_height, canvas_width); ``responses`` (neuron,
        frame); ``video_corr`` and the other logs (iteration). Coordinates: ``time`` in seconds, the numbers of the
        logged iterations. Single values are attributes of types that NetCDF can hold (True becomes 1). Stimuli have one
        variable, ``video``, with named axes in the order of the file: (height, width, frame, repeat, spatial, temporal)
        for noise, (direction, temporal, spatial, frame, height, width) for gratings. Length constants (pixels, frames),
        directions (degrees) and frequencies (cycles/degree, Hz) are coordinates to select by, if the file has them.

    Raises
    ------
    RefusedError
        The file contains something that published files do not have (the message names it); nothing was run.
    InputError
        No such file, a damaged file, another kind or version of file, NaN in a video or mask.
    """
    file = user_path(file)
    if file.is_dir():
        raise InputError(f"{file} is a folder; read the results in it with nr.read_published_folder")
    check_fetched(file)
    if not file.is_file():
        raise InputError(f"there is no file {file}; give the path of a published result, mask or stimulus file")
    if file.suffix == ".npz":
        return read_stimuli(file)
    if file.suffix == ".npy":
        return _array_file(file)
    raise InputError(
        f"{file} ends in {file.suffix!r}; published results and masks end in .npy, stimuli in .npz "
        "(encoding models, .pth, open with nr.load_encoder)"
    )


def _array_file(file: Path) -> xr.Dataset:
    with explain_damage(file):
        stream = io.BytesIO(file.read_bytes())
        _, _, dtype = read_header(stream)
        if dtype.hasobject:
            return _result(read_pickle(stream, where=str(file)), file)
        stream.seek(0)
        mask = read_plain_array(stream)
    if mask.ndim != 2:
        raise InputError(f"{file} holds an array of shape {mask.shape}; a published mask is one image")
    if not np.isfinite(mask).all():
        raise InputError(f"{file} holds NaN or infinite values; a mask must be finite: download it again")
    return xr.Dataset({"mask": (_AXES["mask"], mask)})


def _result(fields: Any, file: Path) -> xr.Dataset:
    missing = [name for name in _NEEDED if not isinstance(fields, dict) or fields.get(name) is None]
    if missing:
        lacks = f"it has no {', no '.join(missing)}"
        raise InputError(f"{file} is not a published result, or of another version: {lacks}")
    variables: dict[str, xr.Variable] = {}
    attributes: dict[str, Any] = {}
    for name, value in fields.items():
        if not name.isidentifier():  # the authors' fields have no such names, and NetCDF could not hold them
            raise InputError(f"{file} has a field {name[:50]!a}; it is not a published result of a known version")
        if name in _AXES and value is not None:
            variables[name] = _variable(name, value, file)
        elif isinstance(value, np.ndarray) and value.size > _LONGEST_ATTRIBUTE:  # of an unknown version
            variables[name] = xr.Variable([f"{name}_axis_{axis}" for axis in range(value.ndim)], value.copy())
        else:
            attributes[name] = _plain_attribute(value)
    try:
        dataset = xr.Dataset(variables, attrs=attributes)
    except ValueError as error:
        raise InputError(f"{file} is not a published result of a known version: {error}") from error
    return _with_coordinates(dataset)


def _with_coordinates(dataset: xr.Dataset) -> xr.Dataset:
    time = xr.Variable("frame", np.arange(dataset.sizes["frame"]) / FRAME_RATE_HZ, {"units": "s"})
    dataset = dataset.assign_coords(time=time)
    if "video_itter" in dataset and len(np.unique(dataset["video_itter"])) == dataset.sizes["iteration"]:
        dataset = dataset.assign_coords(iteration=dataset["video_itter"].values)
    return with_screen(dataset)


def _variable(name: str, value: Any, file: Path) -> xr.Variable:
    axes = _AXES[name]
    try:
        array: NDArray[Any] = np.array(value)  # a copy, because the file's content is read-only
    except ValueError as error:  # a list of lists of several lengths
        raise InputError(f"{file}: {name} is not an array ({error}); the file is of another version") from error
    if name == "population_mask":
        array = array.reshape(-1)
    axes = axes[:-1] if array.ndim == len(axes) - 1 and axes[-1] == "model" else axes
    if array.ndim != len(axes) or array.dtype.kind not in "biuf":
        raise InputError(
            f"{file}: {name} is an array of shape {array.shape} and type {array.dtype.name}; in the published files it "
            f"holds numbers ({', '.join(axes)}): the file is of another version, or damaged"
        )
    if name in _FINITE and not np.isfinite(array).all():
        raise InputError(f"{file}: {name} holds NaN or infinite values; the file is damaged: download it again")
    return xr.Variable(axes, array)


def _plain_attribute(value: Any) -> Any:
    """A setting as a NetCDF attribute: a number, a string, or a list of either."""
    if isinstance(value, bool | np.bool_):
        return int(value)
    if isinstance(value, float | str) or (isinstance(value, int) and abs(value) < 2**63):
        return value
    if isinstance(value, np.ndarray | np.generic):
        array = np.asarray(value)
        return _plain_attribute(array.item() if array.size == 1 else array.tolist())
    if isinstance(value, list) and value:
        items = [_plain_attribute(item) for item in value]
        same = len({type(item) for item in items}) == 1 and not isinstance(items[0], list)
        return items if same else json.dumps(items)
    if isinstance(value, dict):
        return json.dumps({name: _plain_attribute(item) for name, item in value.items()})
    return "[]" if isinstance(value, list) else str(value)

"""``nr.read_published``: the authors' result, mask and stimulus files as xarray datasets, on any machine, safely."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray

from neuroreel.errors import InputError
from neuroreel.published.unpickle import read_pickled_array

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
_NOISE_AXES = ("height", "width", "frame", "repeat", "spatial", "temporal")
_GRATING_AXES = ("direction", "temporal", "spatial", "frame", "height", "width")


def read_published(file: str | Path) -> xr.Dataset:
    """Read a file that the authors of Bauer et al. 2026 published, without executing anything in it.

    Parameters
    ----------
    file
        ``reconstruction_summary_….npy`` (a result), ``mask_m….npy`` (a transparency mask),
        ``gaussian_noise_movies.npz`` or ``grating_movies.npz`` (stimuli).
        Encoding models (``.pth``) open with ``nr.load_encoder``.

    Returns
    -------
    xarray.Dataset
        Variables have the names of the published fields: ``video_pred`` is the reconstruction and ``video_gt`` the true
        movie (frame, height, width), ``mask`` (canvas_height, canvas_width), ``responses`` (neuron, frame),
        ``video_corr`` and the other logs (iteration, numbered by ``video_itter``). Single values are attributes.

    Raises
    ------
    InputError
        No such file, a damaged one, another kind; a pickle that asks for any type that these files do not hold is
        refused before anything of it runs.
    """
    file = Path(file)
    if not file.is_file():
        raise InputError(f"there is no file {file}; give the path of a published result, mask or stimulus file")
    if file.suffix == ".npz":
        return _stimuli(file)
    if file.suffix == ".npy":
        return _array_file(file)
    raise InputError(
        f"{file} ends in {file.suffix!r}; published results and masks end in .npy, stimuli in .npz "
        "(encoding models, .pth, open with nr.load_encoder)"
    )


def _array_file(file: Path) -> xr.Dataset:
    try:
        mask = np.load(file, allow_pickle=False)
    except ValueError:  # holds an object: a result
        return _result(read_pickled_array(file), file)
    except (OSError, EOFError) as error:
        raise InputError(f"{file} is truncated or damaged ({error})") from error
    if mask.ndim != 2:
        raise InputError(f"{file} holds an array of shape {mask.shape}; a published mask is one image")
    return xr.Dataset({"mask": (_AXES["mask"], mask)})


def _result(fields: Any, file: Path) -> xr.Dataset:
    if not isinstance(fields, Mapping) or not {"video_pred", "video_gt"} <= fields.keys():
        raise InputError(f"{file} is no published result: it has no video_pred and video_gt")
    variables: dict[str, xr.Variable] = {}
    attributes: dict[str, Any] = {}
    for name, value in fields.items():
        axes = _AXES.get(name)
        if axes is None or value is None:
            attributes[name] = _plain(value)
        else:
            variables[name] = _variable(name, axes, value, file)
    try:
        dataset = xr.Dataset(variables, attrs=attributes)
    except ValueError as error:
        raise InputError(f"{file} is no published result of a known version: {error}") from error
    time = xr.Variable("frame", np.arange(dataset.sizes["frame"]) / FRAME_RATE_HZ, {"units": "s"})
    return dataset.assign_coords(time=time)


def _variable(name: str, axes: tuple[str, ...], value: Any, file: Path) -> xr.Variable:
    array = _numbers(value)
    if name == "population_mask":
        array = array.reshape(-1)
    axes = axes[:-1] if array.ndim == len(axes) - 1 and axes[-1] == "model" else axes
    if array.ndim != len(axes):
        raise InputError(f"{file}: {name} has shape {array.shape}; in the published files it is ({', '.join(axes)})")
    return xr.Variable(axes, array)


def _numbers(value: Any) -> NDArray[Any]:
    return value.detach().numpy() if isinstance(value, torch.Tensor) else np.asarray(value)


def _plain(value: Any) -> Any:
    """A setting as something that NetCDF attributes can hold."""
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, torch.Tensor | np.ndarray | np.generic):
        array = _numbers(value)
        return array.item() if array.size == 1 else array.tolist()
    return value if isinstance(value, str | int | float) else str(value)


def _stimuli(file: Path) -> xr.Dataset:
    try:
        with np.load(file, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(f"{file} is truncated, damaged or no published stimulus file ({error})") from error
    video = arrays.pop("video", None)
    if video is None or video.ndim != 6:
        raise InputError(f"{file} holds no stimuli: it needs an array `video` with 6 axes")
    axes = _NOISE_AXES if video.shape[:2] == (36, 36) else _GRATING_AXES
    return xr.Dataset({"video": (axes, video)}, attrs={name: array.tolist() for name, array in arrays.items()})

"""Predicted responses to one movie, on disk."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from neuroreel.recordings.axes import with_coordinates
from neuroreel.recordings.trial import Trial
from neuroreel.results.datasets import read_dataset, write_dataset
from neuroreel.results.provenance import collect_provenance, format_of, to_json

KIND = "prediction"


def save_prediction(
    path: str | Path,
    predicted: NDArray[np.float32],
    *,
    trial: Trial,
    settings: Mapping[str, Any],
    hashes: Mapping[str, str],
    neuron_ids: ArrayLike | None = None,
    device: object = None,
    overwrite: bool = False,
) -> Path:
    """Write predicted responses (neurons, frames) with the ids of their neurons, times, and how they were made.

    The name ends in ``.nc`` (NetCDF, which any NetCDF reader opens) or ``.zarr``.

    Raises
    ------
    InputError
        The file exists, or there is not one ID per neuron.
    ResourceError
        The disk is full, or the folder is not writable.
    """
    attributes = {"long_name": "predicted responses", "units": "as recorded"}
    dataset = xr.Dataset({"predicted": (("neuron", "frame"), predicted, attributes)})
    dataset.attrs = {
        **format_of(KIND),
        "frame_rate_hz": float(trial.frame_rate_hz),
        "trial": trial.name,
        "recording": trial.recording,
        "simulated": int(trial.simulated),
        "provenance": to_json(collect_provenance(settings=settings, hashes=hashes, device=device)),
    }
    return write_dataset(with_coordinates(dataset, neuron_ids=neuron_ids), path, overwrite=overwrite)


def load_prediction(path: str | Path) -> xr.Dataset:
    """Read what :func:`save_prediction` wrote: ``predicted`` (neuron, frame), into memory.

    Raises
    ------
    InputError
        The file does not exist, is damaged, holds something else, or was written by a newer neuroreel.
    """
    return read_dataset(path, kind=KIND)

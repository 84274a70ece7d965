"""The arrays of a reconstruction: names, axes and units, checks, and access."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from neuroreel.arguments import as_array
from neuroreel.errors import InputError
from neuroreel.masks import Mask
from neuroreel.recordings.axes import with_screen
from neuroreel.results.provenance import check_format

if TYPE_CHECKING:
    from pandas import DataFrame

KIND = "reconstruction"
_MOVIE = ("frame", "height", "width")
_ACTIVITY = ("neuron", "frame")

VARIABLES: dict[str, tuple[tuple[str, ...], str, str]] = {  # name: axes, what it is, unit
    "video": (_MOVIE, "reconstruction", "grey level 0..255"),
    "truth": (_MOVIE, "true movie", "grey level 0..255"),
    "start": (_MOVIE, "movie that the optimization started from", "grey level 0..255"),
    "samples": (("sample", *_MOVIE), "draws from the posterior", "grey level 0..255"),
    "deviation": (_MOVIE, "posterior standard deviation", "grey levels"),
    "model_video": (("model", *_MOVIE), "reconstruction from each model of the ensemble", "grey level 0..255"),
    "mask": (("height", "width"), "transparency mask", "1"),
    "neuron_mask": (("neuron",), "neurons that the reconstruction was given", "1"),
    "responses": (_ACTIVITY, "recorded responses", "as recorded"),
    "predicted": (_ACTIVITY, "responses predicted from the reconstruction", "as recorded"),
    "predicted_truth": (_ACTIVITY, "responses predicted from the true movie", "as recorded"),
}


def reconstruction_dataset(
    arrays: Mapping[str, ArrayLike | None], *, history: Mapping[str, Sequence[float]]
) -> xr.Dataset:
    """The known arrays (of ``VARIABLES``) and the history, on labeled axes.

    Raises
    ------
    InputError
        An array of another rank or size, gray levels outside 0..255, NaN; a history of several lengths.
    """
    variables = {name: _variable(name, array) for name, array in arrays.items() if array is not None}
    _check_sizes(variables)
    return xr.Dataset(variables | _history(history))


class ReconstructedMovie:
    """Access to the arrays and facts of a reconstruction; methods that act are in ``Reconstruction``.

    Parameters
    ----------
    dataset
        See :class:`~neuroreel.results.reconstruction.Reconstruction`.
    """

    def __init__(self, dataset: xr.Dataset) -> None:
        check_format(dataset.attrs, where="the dataset", kind=KIND)
        for name, (axes, _, _) in VARIABLES.items():
            if name in dataset and dataset[name].dims != axes:
                raise InputError(
                    f"{name} has the axes {dataset[name].dims}; they must be {axes}: use dataset.transpose"
                )
        missing = {"video"} - set(dataset) | {"frame_rate_hz", "provenance"} - set(dataset.attrs)
        if missing:
            raise InputError(f"the dataset has no {', no '.join(sorted(missing))}; make it with Reconstruction.build")
        self.dataset = with_screen(dataset)

    @property
    def video(self) -> NDArray[np.float32]:
        """The reconstruction (frames, height, width), gray 0..255."""
        return np.asarray(self.dataset["video"].values, np.float32)

    @property
    def truth(self) -> NDArray[np.float32] | None:
        """The true movie (frames, height, width), gray 0..255; None if unknown."""
        return self._array("truth")

    @property
    def mask(self) -> Mask | None:
        """The transparency mask (height, width); None if none was used."""
        mask = self._array("mask")
        return None if mask is None else mask.view(Mask)

    @property
    def samples(self) -> NDArray[np.float32] | None:
        """Draws from the posterior (samples, frames, height, width), gray 0..255; None if none were made."""
        return self._array("samples")

    @property
    def deviation(self) -> NDArray[np.float32] | None:
        """Posterior standard deviation of each pixel (frames, height, width), gray levels; None without samples."""
        return self._array("deviation")

    @property
    def neuron_mask(self) -> NDArray[np.bool_] | None:
        """The neurons whose responses were used, (neurons,) boolean; None if unknown."""
        return np.asarray(self.dataset["neuron_mask"].values, bool) if "neuron_mask" in self.dataset else None

    @property
    def responses(self) -> NDArray[np.float32] | None:
        """Recorded responses (neurons, frames); None if they were not saved."""
        return self._array("responses")

    @property
    def predicted(self) -> NDArray[np.float32] | None:
        """Responses predicted from the reconstruction (neurons, frames); None if not computed."""
        return self._array("predicted")

    @property
    def predicted_truth(self) -> NDArray[np.float32] | None:
        """Responses predicted from the true movie (neurons, frames); None if not computed."""
        return self._array("predicted_truth")

    @property
    def history(self) -> DataFrame:
        """The history, one row per iteration: ``loss``, ``video_correlation`` and the like."""
        import pandas as pd

        named = {name: each.values for name, each in self.dataset.items() if each.dims == ("iteration",)}
        return pd.DataFrame(named, index=self.dataset["iteration"].to_index() if named else None)

    def _array(self, name: str) -> NDArray[np.float32] | None:
        return np.asarray(self.dataset[name].values, np.float32) if name in self.dataset else None

    @property
    def frame_rate_hz(self) -> float:
        """Frames per second."""
        return float(self.dataset.attrs["frame_rate_hz"])

    @property
    def simulated(self) -> bool:
        """True if no animal was recorded."""
        return bool(self.dataset.attrs.get("simulated", 0))

    @property
    def trained_on(self) -> bool:
        """True if an encoding model declares this movie to be in its training set."""
        return bool(self.settings.get("trained_on", False))

    @property
    def name(self) -> str:
        """The trial, and its recording if known."""
        trial, recording = (str(self.dataset.attrs.get(key, "")) for key in ("trial", "recording"))
        if "/" in trial:  # a recording's trials are called "mouse/trial 7"
            return trial
        return " of ".join(part for part in (trial or "trial", recording) if part)

    @property
    def provenance(self) -> dict[str, Any]:
        """Versions, settings, hashes of weights and data, device, seed and date."""
        return dict(json.loads(self.dataset.attrs["provenance"]))

    @property
    def settings(self) -> dict[str, Any]:
        """The settings that the reconstruction was made with."""
        return dict(self.provenance["settings"])

    def needs_truth(self) -> NDArray[np.float32]:
        """The true movie (frames, height, width); InputError if unknown."""
        if self.truth is None:
            raise InputError(f"the true movie of {self.name} is not known, and this step needs it")
        return self.truth


def _variable(name: str, array: ArrayLike) -> xr.Variable:
    axes, what, unit = VARIABLES[name]
    values = as_array(array, name=name)
    if values.ndim != len(axes) or values.size == 0:
        raise InputError(f"{name} has shape {values.shape}; it must be ({', '.join(axes)}), none of them 0")
    if values.dtype.kind not in "fiub" or not np.isfinite(values).all():
        raise InputError(f"{name} (type {values.dtype}) must hold real numbers without NaN or infinite values")
    if name == "video" and (values.min() < -1e-3 or values.max() > 255 + 1e-3):  # float32 rounding is harmless
        raise InputError(f"video has grey levels from {values.min():g} to {values.max():g}; they must lie in 0..255")
    kind = bool if name == "neuron_mask" else np.float32
    return xr.Variable(axes, values.astype(kind), {"long_name": what, "units": unit})


def _check_sizes(variables: Mapping[str, xr.Variable]) -> None:
    known: dict[Any, tuple[str, int]] = {}
    for name, variable in variables.items():
        for axis, size in variable.sizes.items():
            first, expected = known.setdefault(axis, (name, size))
            if size != expected:
                raise InputError(
                    f"{name} has {size} on its axis {axis!r}, but {first} has {expected}; cut them to the same size"
                )


def _history(history: Mapping[str, Sequence[float]]) -> dict[str, xr.Variable]:
    lengths = {name: len(values) for name, values in history.items()}
    if len(set(lengths.values())) > 1:
        raise InputError(
            f"the recorded values have different lengths: {lengths}; record all of them at the same iterations"
        )
    taken = set(history) & (set(VARIABLES) | set(_MOVIE) | set(_ACTIVITY) | {"model", "time"})
    if taken:
        raise InputError(f"history may not use the names {sorted(taken)}; rename them")
    values = {name: xr.Variable(("iteration",), np.asarray(values, np.float64)) for name, values in history.items()}
    if values:
        numbers = np.asarray(history.get("iteration", range(len(next(iter(history.values()))))))
        values["iteration"] = xr.Variable(("iteration",), numbers.astype(np.int64))
    return values

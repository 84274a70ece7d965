"""``nr.read_published_folder``: a folder of the authors' results as one dataset."""

from __future__ import annotations

import math
from collections.abc import Collection
from pathlib import Path
from typing import Any, Literal

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neuroreel.bauer_2026.files.find import MODEL, Found, find_results
from neuroreel.bauer_2026.files.results import FRAME_RATE_HZ, read_published
from neuroreel.bauer_2026.files.stimuli import with_length_constants
from neuroreel.errors import InputError, ResourceError
from neuroreel.files import user_path
from neuroreel.memory import free_bytes, in_words
from neuroreel.progress import progress as progress_bar

_RESPONSES = ("responses", "responses_predicted_gt", "responses_predicted_full")
_OF_THE_MOUSE = ("mask", "neurons")  # the same for all movies and models
_OF_THE_MOVIE = ("video_gt", "behavior", "pupil_center", "responses", "population_mask", "motion_energy_gt", "frames")
_OF_THE_PLACE = {  # settings that identify movie and model: the dataset has axes for them
    *("mouse_index", "trial", "rep", "spatial_length_constant", "temporal_length_constant"),
    *("model_list", "video_length"),
}
_FILL: dict[str, tuple[Any, type]] = {"file": ("", object), "frames": (0, int), "neurons": (0, int)}  # others: NaN


def read_published_folder(
    folder: str | Path,
    *,
    run: str = "*",
    variables: Collection[str] | Literal["all"] | None = None,
    progress: bool = True,
) -> xr.Dataset:
    """Read the results of one of the authors' runs (Bauer et al. 2026), all movies and models, into one dataset.

    Parameters
    ----------
    folder
        A folder of ``reconstruction_summary_….npy``, or the folder above the models' folders
        (``modelfold[0]_datafold_0_pop100_…``, ``modelfold[1]_…``).
    run
        Which run, if the folder has several: the name of the models' folders without ``modelfold[0]_``. Wildcards
        ``*`` and ``?`` are allowed.
    variables
        Names of the published fields to read. By default all but the recorded and predicted responses, which make
        up most of a file; ``"all"`` reads them too.
    progress
        Show a progress bar, which also says how much memory the dataset takes.

    Returns
    -------
    xarray.Dataset
        Axes (mouse, trial, model) before those that :func:`read_published` gives; (mouse, repeat, spatial, temporal,
        model) for noise, (mouse, direction, spatial, temporal, model) for gratings. They are labeled with the numbers
        in the file names; noise also has its length constants. What is the same for all models
        (``video_gt``, ``responses``, ``behavior``, …) has no axis ``model``; ``mask`` is (mouse, canvas_height,
        canvas_width). Shorter movies and smaller populations are padded with
        NaN; ``frames`` (mouse, trial) and ``neurons`` (mouse) give the numbers. Values that differ between
        results, such as ``response_corr_gt``, are variables; common settings are attributes. ``population`` is the
        fraction of neurons used. The attribute ``missing`` lists results without a file; they are NaN.

    Raises
    ------
    InputError
        No results, several runs, two files for one result, names that cannot be parsed, results that do not belong
        together, an unknown variable, or a file that :func:`read_published` refuses.
    ResourceError
        The dataset would not fit into memory.
    """
    found = find_results(user_path(folder), run)
    first = read_published(found[0].file)
    wanted = _wanted(first, variables, found[0].file)
    needed = _bytes_needed(first, wanted, found)
    available = free_bytes()
    if available is not None and needed > available:
        raise ResourceError(
            f"the {len(found)} results in {folder} take {in_words(needed)} of memory, {in_words(available)} are free; "
            "choose some of their variables, for instance variables=('video_corr',), or one model's folder"
        )
    reading = _Reading(found, wanted)
    for result in progress_bar(
        found, description=f"Reading {len(found)} results ({needed / 1e9:.2g} GB)", enabled=progress
    ):
        reading.add(result, read_published(result.file))
    return reading.dataset()


def _wanted(first: xr.Dataset, variables: Collection[str] | str | None, file: Path) -> list[str]:
    there = [str(name) for name in first.data_vars]
    if variables is None:
        return [name for name in there if name not in _RESPONSES]
    asked = there if variables == "all" else [variables] if isinstance(variables, str) else list(variables)
    if unknown := [name for name in asked if name not in there]:
        raise InputError(f"{file} has no variable {', '.join(unknown)}; it has {', '.join(there)}")
    return asked


def _bytes_needed(first: xr.Dataset, wanted: list[str], found: list[Found]) -> int:
    """How large the dataset will be if all results are as large as the first."""
    sizes = {axis: len({result.place[axis] for result in found}) for axis in found[0].place}
    return sum(first[name].nbytes * math.prod(sizes[axis] for axis in _axes_of(name, found[0])) for name in wanted)


def _axes_of(name: str, result: Found) -> tuple[str, ...]:
    """The axes along which a variable differs between results."""
    axes = tuple(result.place)
    return ("mouse",) if name in _OF_THE_MOUSE else axes[:-1] if name in _OF_THE_MOVIE else axes


class _Reading:
    """What was read so far: each variable's values by place, the result's labels along the variable's axes."""

    def __init__(self, found: list[Found], wanted: list[str]) -> None:
        self._found = found
        self._wanted = wanted
        self._labels = {axis: sorted({result.place[axis] for result in found}) for axis in found[0].place}
        self._values: dict[str, dict[tuple[Any, ...], tuple[Path, xr.Variable]]] = {}
        self._settings: dict[str, list[Any]] = {}
        self._renamed: list[str] = []

    def add(self, result: Found, dataset: xr.Dataset) -> None:
        if missing := [name for name in self._wanted if name not in dataset]:
            raise InputError(f"{result.file} has no {', '.join(missing)}, which {self._found[0].file} has")
        for name in self._wanted:
            self._put(name, result, dataset[name].variable)
        for name, axis in (("frames", "frame"), ("neurons", "neuron")):
            if axis in dataset.sizes:
                self._put(name, result, xr.Variable((), dataset.sizes[axis]))
        for name, value in dataset.attrs.items():
            self._settings.setdefault(str(name), []).append(value)
        said = (dataset.attrs.get("mouse_index"), dataset.attrs.get("trial", result.place.get("trial")))
        if said[0] is not None and said != (result.place["mouse"], result.place.get("trial", said[1])):
            self._renamed.append(f"{result.file.name} contains mouse {said[0]}, trial {said[1]}")

    def _put(self, name: str, result: Found, values: xr.Variable) -> None:
        if values.sizes.get("model") == 1:  # a result of one model does not need the axis
            values = values.isel(model=0)
        if "model" in values.dims:  # of an ensemble: the models that made the result together
            values = xr.Variable([f"ensemble_{axis}" if axis == "model" else axis for axis in values.dims], values.data)
        there = self._values.setdefault(name, {})
        _, first = next(iter(there.values()), (result.file, values))
        if values.dims != first.dims:
            raise InputError(f"{result.file}: {name} has the axes {values.dims}, other results have {first.dims}")
        place = tuple(result.place[axis] for axis in _axes_of(name, result))
        file, kept = there.setdefault(place, (result.file, values))
        if not np.array_equal(kept.values, values.values, equal_nan=values.dtype.kind == "f"):
            raise InputError(
                f"{name} differs between {file} and {result.file}, which should have it in common; are they results "
                "of one run?"
            )

    def _together(self, name: str) -> xr.Variable:
        """All values of a variable in one array as large as the largest; padded where a result has none."""
        values = {place: each for place, (_, each) in self._values.pop(name).items()}
        axes = _axes_of(name, self._found[0])
        dims = next(iter(values.values())).dims
        fill, dtype = _FILL.get(name, (np.nan, np.result_type(*map(_float_type, values.values()))))
        shape = np.max([each.shape for each in values.values()], axis=0).astype(int)
        whole = np.empty((*(len(self._labels[axis]) for axis in axes), *shape), dtype)
        for index in np.ndindex(whole.shape[: len(axes)]):
            target = whole[(*index, ...)]
            # popped, so that memory holds each value only once
            each = values.pop(tuple(self._labels[axis][n] for axis, n in zip(axes, index, strict=True)), None)
            if each is None or each.shape != target.shape:
                target[...] = fill
            if each is not None:
                target[tuple(map(slice, each.shape))] = each.values if each.ndim else each.values.item()
        return xr.Variable((*axes, *dims), whole)

    def dataset(self) -> xr.Dataset:
        """All results read, as one dataset."""
        attributes = self._common_settings()
        for result in self._found:
            self._put("file", result, xr.Variable((), str(result.file.relative_to(result.file.parents[1]))))
        variables = {name: self._together(name) for name in list(self._values)}
        counts = {name: variables.pop(name) for name in ("frames", "neurons") if name in variables}
        coordinates: dict[str, Any] = {axis: list(labels) for axis, labels in self._labels.items()}
        dataset = xr.Dataset(variables, coords=coordinates | counts)
        if "frame" in dataset.sizes:
            time = xr.Variable("frame", np.arange(dataset.sizes["frame"]) / FRAME_RATE_HZ, {"units": "s"})
            dataset = dataset.assign_coords(time=time)
        reduction = attributes.get("population_reduction")
        if isinstance(reduction, int | float):
            dataset = dataset.assign_coords(population=1.0 - reduction)
        dataset = _with_iterations(dataset)
        if "repeat" in self._labels:
            dataset = with_length_constants(dataset)
        return dataset.assign_attrs(attributes | self._missing(dataset["file"].values != ""))

    def _common_settings(self) -> dict[str, Any]:
        """Settings that are the same everywhere; numbers that differ become variables."""
        attributes: dict[str, Any] = {"run": self._found[0].run}
        for name, values in self._settings.items():
            if name in _OF_THE_PLACE or len(values) < len(self._found):
                continue
            if all(value == values[0] for value in values):
                attributes[name] = values[0]
            elif all(isinstance(value, int | float) for value in values):
                for result, value in zip(self._found, values, strict=True):
                    self._put(name, result, xr.Variable((), value))
        return attributes

    def _missing(self, there: NDArray[np.bool_]) -> dict[str, list[str]]:
        """Missing files (a movie missing from all models is listed once), and names that contradict their content."""
        *movie_axes, (_, models) = self._labels.items()
        missing = []
        for place in np.ndindex(there.shape[:-1]):
            movie = " ".join(f"{axis} {labels[n]}" for (axis, labels), n in zip(movie_axes, place, strict=True))
            lacking = [f"{movie} {MODEL} {models[n]}" for n in np.flatnonzero(~there[place])]
            missing += [movie] if len(lacking) == len(models) else lacking
        return {"missing": missing} | ({"renamed": self._renamed} if self._renamed else {})


def _float_type(values: xr.Variable) -> np.dtype[Any]:
    """A type that has NaN: booleans become single precision, integers double."""
    return values.dtype if values.dtype.kind == "f" else np.dtype("f4" if values.dtype.kind == "b" else "f8")


def _with_iterations(dataset: xr.Dataset) -> xr.Dataset:
    """Number the logged iterations, if all results logged the same ones."""
    if "video_itter" not in dataset:
        return dataset
    rows = dataset["video_itter"].values.reshape(-1, dataset.sizes["iteration"])
    rows = np.unique(rows[~np.isnan(rows).all(axis=1)], axis=0)
    if len(rows) != 1 or np.isnan(rows).any():
        return dataset
    return dataset.drop_vars("video_itter").assign_coords(iteration=rows[0].astype(int))

"""An array that grows while results of several sizes are put into it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neuroreel.bauer_2026.files.find import Found
from neuroreel.errors import InputError


class Grid:
    """One variable of many results.

    Parameters
    ----------
    name
        Of the variable, for messages.
    labels
        The axes along which results differ, and their labels in order.
    fill
        Where there is no result, and after the end of those that are shorter than others: NaN of measured values,
        0 of counts, "" of texts.
    """

    def __init__(self, name: str, labels: Mapping[str, Sequence[Any]], *, fill: Any = np.nan) -> None:
        self._name = name
        self._index = {axis: {label: number for number, label in enumerate(each)} for axis, each in labels.items()}
        self._fill = fill
        self._axes: tuple[Any, ...] | None = None  # of a single result, once there is one
        self._array: NDArray[Any] = np.empty(0)
        self._sources: dict[tuple[int, ...], tuple[Path, tuple[int, ...]]] = {}

    def put(self, result: Found, values: xr.Variable) -> None:
        """Put a result's values into their place; InputError if other values are there already."""
        array = self._as_stored(values.values)
        if self._axes is None:
            self._axes = values.dims
            self._array = self._unfilled(array.shape, array.dtype)
        if values.dims != self._axes:
            raise InputError(f"{result.file}: {self._name} has the axes {values.dims}, other results have {self._axes}")
        place = tuple(numbers[result.place[axis]] for axis, numbers in self._index.items())
        if place in self._sources:
            self._check_same(place, array, result.file)
            return
        self._grow(array)
        self._write(self._array, place, array)
        self._sources[place] = (result.file, array.shape)

    def variable(self) -> xr.Variable:
        """The whole of it."""
        for place in np.ndindex(*map(len, self._index.values())):
            if place not in self._sources:
                self._array[place] = self._fill
        return xr.Variable((*self._index, *(self._axes or ())), self._array)

    def _write(self, target: NDArray[Any], place: tuple[int, ...], values: NDArray[Any]) -> None:
        index: Any = (*place, *map(slice, values.shape))
        if values.shape != target.shape[len(place) :]:
            target[place] = self._fill
        target[index] = values if values.ndim else values.item()

    def _as_stored(self, array: NDArray[Any]) -> NDArray[Any]:
        """As a type that has the fill value: what is true or false becomes single precision."""
        if isinstance(self._fill, int | str):
            return array.astype(int if isinstance(self._fill, int) else object)
        return array if array.dtype.kind == "f" else array.astype(np.float32 if array.dtype.kind == "b" else np.float64)

    def _unfilled(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
        """Takes no memory before it is written to."""
        return np.empty((*(len(numbers) for numbers in self._index.values()), *shape), dtype)

    def _grow(self, array: NDArray[Any]) -> None:
        old = self._array
        shape = tuple(np.maximum(old.shape[len(self._index) :], array.shape).tolist())
        dtype = np.result_type(old.dtype, array.dtype)
        if (shape, dtype) != (old.shape[len(self._index) :], old.dtype):
            self._array = self._unfilled(shape, dtype)
            for place in self._sources:
                self._write(self._array, place, old[place])

    def _check_same(self, place: tuple[int, ...], array: NDArray[Any], file: Path) -> None:
        other, shape = self._sources[place]
        index: Any = (*place, *map(slice, shape))
        if shape != array.shape or not np.array_equal(self._array[index], array, equal_nan=array.dtype.kind == "f"):
            raise InputError(
                f"{self._name} differs between {other} and {file}, which should have it in common; are they results of "
                "one run?"
            )

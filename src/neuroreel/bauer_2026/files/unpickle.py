"""The authors' pickled results as numbers, strings and paths; tensors become NumPy arrays, whatever their device.

The files are NumPy object arrays that hold one dictionary. Python's own reader would run any code in them and
needs a GPU for their CUDA tensors. Here :class:`~neuroreel.bauer_2026.files.machine.Machine`
reads them: nothing that a file names is ever imported or called.
"""

from __future__ import annotations

import io
import math
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from neuroreel.bauer_2026.files.arrays import array_from_bytes
from neuroreel.bauer_2026.files.machine import Builder, Machine, Named, Pending

_DEEPEST, _MOST_ITEMS = 8, 200_000  # the published files have 3 and about 1,000
_NUMBERS = ("b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8")
_OBJECTS = ("O", "O8")
_MAGIC, _VERSION = 0x1950A86A20F9469CFC6C, 1001
_STORAGES = {
    "torch.DoubleStorage": "<f8",
    "torch.FloatStorage": "<f4",
    "torch.HalfStorage": "<f2",
    "torch.LongStorage": "<i8",
    "torch.IntStorage": "<i4",
    "torch.ShortStorage": "<i2",
    "torch.CharStorage": "i1",
    "torch.ByteStorage": "u1",
    "torch.BoolStorage": "?",
}


def read_pickle(stream: BinaryIO, *, where: str) -> Any:
    """The content of the pickle at the stream's position: dictionaries, lists, numbers, strings, paths and arrays.

    Raises
    ------
    RefusedError
        The file names a type that is not on the list; nothing was run.
    Exception
        Nearly any, if the file is damaged; the caller explains it.
    """
    builders = _BUILDERS | {"torch.storage._load_from_bytes": _storage_reader(where)}
    return _Settling().settle(Machine(stream, where=where, builders=builders).run())


class _Type(Pending):
    """A NumPy type: of plain numbers, or of objects."""

    def __init__(self, code: Any, *_: Any) -> None:
        if code not in _NUMBERS + _OBJECTS:
            raise TypeError("an array of a type that no published file has")
        self.objects = code in _OBJECTS
        self.dtype = np.dtype("u1" if self.objects else code)

    def fill(self, state: Any) -> None:
        """Set the byte order; all else in a type's state (fields, sizes, flags) must be empty."""
        version, order, subtype, names, fields, size, alignment = state[:7]
        if version != 3 or order not in ("<", ">", "|", "=") or (size, alignment) != (-1, -1):
            raise TypeError("a type of another version")
        if (subtype, names, fields) != (None, None, None):
            raise TypeError("a type with fields")
        self.dtype = self.dtype.newbyteorder("=" if order == "|" else order)


class _Array(Pending):
    """A NumPy array, or a list if it holds objects."""

    def __init__(self, subtype: Any, *_: Any) -> None:
        if subtype != Named("numpy.ndarray"):
            raise TypeError("an array of a kind that no published file has")
        self.value: NDArray[Any] | list[Any] | None = None

    def fill(self, state: Any) -> None:
        """Fill from (version, shape, type, whether in Fortran order, content)."""
        _, shape, kind, fortran, content = state
        count = math.prod(_sizes(shape))
        if kind.objects:
            if type(content) is not list or len(content) != count:
                raise ValueError(f"an array of {count} objects holds another number of them")
            self.value = content
        else:
            self.value = array_from_bytes(content, kind.dtype, count).reshape(shape, order="F" if fortran else "C")


def _sizes(shape: Any) -> tuple[int, ...]:
    if type(shape) is not tuple or len(shape) > 8 or not all(type(n) is int and n >= 0 for n in shape):
        raise ValueError("an impossible shape")
    return shape


def _scalar(kind: Any, content: Any) -> Any:
    if kind.objects:
        raise TypeError("a number that is an object")
    return array_from_bytes(content, kind.dtype, 1)[0]


@dataclass(frozen=True)
class _Storage:
    """The values that tensors are views of; a separate type, so that a view cannot pass as storage."""

    values: NDArray[Any]


def _storage_reader(where: str) -> Callable[[Any], _Storage]:
    """The replacement for ``torch.storage._load_from_bytes`` in the file ``where``.

    The storage of a pickled tensor is a byte string: five pickles (a magic number, a version, the machine, the storage,
    its key), then the number of values and the values.
    """
    named: dict[str, Builder | None] = dict.fromkeys(_STORAGES)

    def read(content: Any) -> _Storage:
        if type(content) is not bytes:
            raise TypeError("a tensor's storage that is not bytes")
        stream = io.BytesIO(content)
        magic, version, machine, (dtype, count), keys = (
            Machine(stream, where=where, builders=named, persistent=_type_and_count).run() for _ in range(5)
        )
        if (magic, version) != (_MAGIC, _VERSION) or machine["little_endian"] is not True:
            raise ValueError("a tensor's storage of another version")
        if len(keys) != 1 or struct.unpack("<q", stream.read(8)) != (count,):
            raise ValueError("a tensor's storage that contradicts itself")
        return _Storage(array_from_bytes(content[stream.tell() :], dtype, count))

    return read


def _type_and_count(identifier: Any) -> tuple[np.dtype[Any], int]:
    """Type and number of values; the storage's device does not matter."""
    kind, storage, _key, _device, count, view = identifier
    if kind != "storage" or not isinstance(storage, Named) or view is not None or type(count) is not int:
        raise ValueError("a tensor's storage of another version")
    return np.dtype(_STORAGES[storage.name]), count


def _rebuild_tensor(storage: Any, offset: Any, size: Any, stride: Any, *_: Any) -> NDArray[Any]:
    """A view (as ``torch.Tensor.stride`` counts, in values) of a storage, within its bounds.

    Raises
    ------
    ValueError
        The view reaches beyond the storage, or has more values than it.
    """
    if not isinstance(storage, _Storage) or len(size) != len(stride) or len(size) > 8:
        raise ValueError("an invalid tensor")
    if not all(type(n) is int and n >= 0 for n in (offset, *size, *stride)):
        raise ValueError("a tensor of impossible shape")
    last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    count, values = math.prod(size), storage.values
    if count == 0:
        return np.empty(size, values.dtype)
    if count > len(values) or last >= len(values):
        raise ValueError("a tensor that reaches beyond its storage")
    steps = [step * values.itemsize for step in stride]
    return np.lib.stride_tricks.as_strided(values[offset:], size, steps, writeable=False)


def _device(kind: Any, index: Any = None) -> str:
    if type(kind) is not str or type(index) not in (int, type(None)):
        raise TypeError("an invalid device")
    return kind if index is None else f"{kind}:{index}"


class _Settling:
    """Replaces pending objects with their values; limits depth and count, because a file can refer to itself."""

    def __init__(self) -> None:
        self._items = 0

    def settle(self, value: Any, depth: int = 0) -> Any:
        self._items += 1
        if depth > _DEEPEST or self._items > _MOST_ITEMS:
            raise ValueError("far more items, or deeper nested ones, than a published file has")
        if isinstance(value, dict):
            return {name: self.settle(item, depth + 1) for name, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.settle(item, depth + 1) for item in value]
        if isinstance(value, _Array):
            if isinstance(value.value, list):
                items = self.settle(value.value, depth + 1)
                return items[0] if len(items) == 1 else items
            return value.value
        if value is None or isinstance(value, str | int | float | np.ndarray | np.generic | PurePosixPath):
            return value
        raise TypeError("something in place of a value")


_BUILDERS: dict[str, Builder | None] = {
    "collections.OrderedDict": lambda: {},
    "numpy.ndarray": None,  # named as an array's class, never called
    "numpy.dtype": _Type,
    "pathlib.PosixPath": PurePosixPath,
    "pathlib.PurePosixPath": PurePosixPath,
    "torch.device": _device,
    "torch._utils._rebuild_tensor_v2": _rebuild_tensor,
}
for _module in ("numpy.core.multiarray", "numpy._core.multiarray"):  # before and after NumPy 2
    _BUILDERS[f"{_module}._reconstruct"] = _Array
    _BUILDERS[f"{_module}.scalar"] = _scalar

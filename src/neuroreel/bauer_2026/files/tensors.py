"""PyTorch's tensors inside a pickle, read by NumPy: neither PyTorch nor a GPU is needed.

The storage of a pickled tensor is a text of bytes: five pickles of their own (a magic number, a version, the machine,
the storage, its key), then the number of values and the values.
"""

from __future__ import annotations

import io
import math
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuroreel.bauer_2026.files.arrays import as_array
from neuroreel.bauer_2026.files.machine import Builder, Machine, Named

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


@dataclass(frozen=True)
class Storage:
    """The values that tensors are views of. A type of its own, so that no view passes for one."""

    values: NDArray[Any]


def storage_reader(where: str) -> Callable[[Any], Storage]:
    """What stands in for ``torch.storage._load_from_bytes`` in the file ``where``."""
    named: dict[str, Builder | None] = dict.fromkeys(_STORAGES)

    def read(content: Any) -> Storage:
        if type(content) is not bytes:
            raise TypeError("a tensor's storage that is no bytes")
        stream = io.BytesIO(content)
        magic, version, machine, (dtype, count), keys = (
            Machine(stream, where=where, builders=named, persistent=_type_and_count).run() for _ in range(5)
        )
        if (magic, version) != (_MAGIC, _VERSION) or machine["little_endian"] is not True:
            raise ValueError("a tensor's storage of another version")
        if len(keys) != 1 or struct.unpack("<q", stream.read(8)) != (count,):
            raise ValueError("a tensor's storage that contradicts itself")
        return Storage(as_array(content[stream.tell() :], dtype, count))

    return read


def _type_and_count(identifier: Any) -> tuple[np.dtype[Any], int]:
    """Type and number of values; the device that the storage lay on does not matter here."""
    kind, storage, _key, _device, count, view = identifier
    if kind != "storage" or not isinstance(storage, Named) or view is not None or type(count) is not int:
        raise ValueError("a tensor's storage of another version")
    return np.dtype(_STORAGES[storage.name]), count


def rebuild_tensor(storage: Any, offset: Any, size: Any, stride: Any, *_: Any) -> NDArray[Any]:
    """A view (as ``torch.Tensor.stride`` counts, in values) of a storage, within its bounds.

    Raises
    ------
    ValueError
        The view reaches beyond the storage, or has more values than it.
    """
    if not isinstance(storage, Storage) or len(size) != len(stride) or len(size) > 8:
        raise ValueError("a tensor that is none")
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

"""A restricted reader of the authors' pickled result files: it makes numbers, texts and paths, and runs nothing.

The files are NumPy object arrays that hold one dictionary. Opened plainly they would run any code they contain, and
the CUDA tensors in them open only where there is a GPU. Here every type named in a file must be on a short list, and
tensors land on the CPU.
"""

from __future__ import annotations

import io
import pickle
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import torch

from neuroreel.errors import InputError


class RefusedError(InputError):
    """A file asks for a type that no published result holds."""


def read_pickled_array(file: str | Path) -> Any:
    """The object in a ``.npy`` file of one pickled object.

    Raises
    ------
    InputError
        No such file, a truncated or damaged one, or another kind of file.
    RefusedError
        The file names a type that is not on the list; nothing of it was run.
    """
    try:
        with Path(file).open("rb") as stream:
            version = np.lib.format.read_magic(stream)
            header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            _shape, _order, dtype = header(stream)
            if not dtype.hasobject:
                raise InputError(f"{file} holds a plain array of {dtype}, not a result; open it with numpy.load")
            array = _Reader(stream, file=file).load()
    except FileNotFoundError as error:
        raise InputError(f"there is no file {file}") from error
    except (InputError, MemoryError):
        raise
    # a damaged pickle can fail in any way that its instructions can: each of them means the same to the user
    except Exception as error:
        raise InputError(f"{file} is truncated, damaged or of another kind ({error!r})") from error
    return array.item() if isinstance(array, np.ndarray) and array.size == 1 else array


class _Reader(pickle.Unpickler):
    """Finds only what is on the list."""

    def __init__(self, stream: io.BufferedIOBase, *, file: str | Path) -> None:
        super().__init__(stream)
        self._file = file

    def find_class(self, module: str, name: str) -> Any:
        """The allowed stand-in for a type or function that the file names."""
        if (module, name) not in _ALLOWED:
            raise RefusedError(
                f"{self._file} asks for {module}.{name}, which no published result holds; it may be made to run code. "
                "Nothing was run. Do not open it with numpy.load(allow_pickle=True)"
            )
        return _ALLOWED[module, name]

    def persistent_load(self, _name: Any) -> Any:
        """No published result refers to anything outside itself."""
        raise RefusedError(f"{self._file} refers to data outside itself, which no published result does")


def _array(subtype: Any, shape: Any, code: Any) -> np.ndarray:
    if subtype is not np.ndarray:
        raise InputError(f"an array of type {subtype} is no plain array")
    return np.ndarray.__new__(np.ndarray, shape, code)


def _scalar(dtype: np.dtype, value: bytes) -> Any:
    if dtype.hasobject or not isinstance(value, bytes):
        raise InputError("a scalar that holds an object is no number")
    return np.frombuffer(value, dtype)[0]


def _storage(content: bytes) -> Any:
    return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)


def _tensor(storage: Any, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *_: Any) -> torch.Tensor:
    return torch._utils._rebuild_tensor(storage, offset, size, stride)


def _device(*_: Any) -> str:
    return "cpu"


_ALLOWED: dict[tuple[str, str], Callable[..., Any]] = {
    ("collections", "OrderedDict"): OrderedDict,
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("pathlib", "PosixPath"): PurePosixPath,
    ("pathlib", "PurePosixPath"): PurePosixPath,
    ("torch", "device"): _device,
    ("torch.storage", "_load_from_bytes"): _storage,
    ("torch._utils", "_rebuild_tensor_v2"): _tensor,
}
for _module in ("numpy.core.multiarray", "numpy._core.multiarray"):  # before and since NumPy 2
    _ALLOWED[_module, "_reconstruct"] = _array
    _ALLOWED[_module, "scalar"] = _scalar

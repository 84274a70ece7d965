"""Plain NumPy files, read within bounds: a damaged header cannot claim memory that the file does not fill."""

from __future__ import annotations

import io
import math
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from neuroreel.errors import InputError

_MOST_BYTES = 2 << 30  # unpacked; the published stimuli have 0.15 GB


@contextmanager
def explain_damage(file: Path) -> Iterator[None]:
    """Turn any error from a damaged file into an InputError that names the file."""
    try:
        yield
    except (InputError, MemoryError):
        raise
    # a damaged file can raise any error of its reader: all mean the same to the user
    except Exception as error:
        said = f"{type(error).__name__}: {str(error)[:200]!a}"  # it may quote a megabyte of the file
        raise InputError(f"{file} is truncated, damaged or of another kind ({said}); download it again") from None


def read_header(stream: BinaryIO) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Shape, whether in Fortran order, and type of the array whose .npy header is next in the stream."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about headers written by old NumPy versions, and damaged ones
        version = np.lib.format.read_magic(stream)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, fortran, dtype = read(stream)
    return shape, fortran, dtype


def read_plain_array(stream: BinaryIO) -> NDArray[Any]:
    """The array of real numbers in a .npy file; ValueError for anything else, and for missing or extra bytes."""
    shape, fortran, dtype = read_header(stream)
    if dtype.hasobject:
        raise ValueError("it holds pickled objects, which are not read: they may be made to run code")
    if dtype.kind not in "biuf":
        raise ValueError(f"it holds {dtype.name} in place of real numbers")
    if any(size < 0 for size in shape):
        raise ValueError(f"it has the impossible shape {shape}")
    array = array_from_bytes(stream.read(), dtype, math.prod(shape))
    return array.reshape(shape, order="F" if fortran else "C").copy()


def array_from_bytes(content: Any, dtype: np.dtype[Any], count: int) -> NDArray[Any]:
    """Exactly ``count`` numbers from bytes, without a copy; ValueError for any other length."""
    if type(content) is not bytes or len(content) != count * dtype.itemsize:
        raise ValueError(f"{count} numbers of type {dtype} have another number of bytes")
    array = np.frombuffer(content, np.uint8 if dtype.kind == "b" else dtype)
    return array != 0 if dtype.kind == "b" else array  # NumPy accepts only the bytes 0 and 1 as booleans


def read_archive(file: Path) -> dict[str, NDArray[Any]]:
    """The arrays of a .npz file."""
    with explain_damage(file), zipfile.ZipFile(file) as archive:
        members = archive.infolist()
        unpacked = sum(member.file_size for member in members)
        if unpacked > _MOST_BYTES:
            raise InputError(f"{file} unpacks to {unpacked / 1e9:.1f} GB; the published stimuli have 0.15 GB")
        arrays = {}
        for member in members:
            try:
                array = read_plain_array(io.BytesIO(archive.read(member)))
            except ValueError as error:
                raise InputError(f"{file}: its array {member.filename!r} cannot be read: {error}") from error
            arrays[member.filename.removesuffix(".npy")] = array
        return arrays

"""Read arrays and JSON from disk, with clear errors for damaged or missing files."""

from __future__ import annotations

import contextlib
import errno
import json
import os
from pathlib import Path
from tokenize import TokenError
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuroreel.errors import InputError, ResourceError


def read_array(path: Path, *, rank: int | tuple[int, ...], kinds: str = "fiub") -> NDArray[Any]:
    """The array in a .npy file, memory-mapped and read-only: only what is accessed is read.

    Parameters
    ----------
    path
        The file.
    rank
        Required number of axes, or several allowed numbers.
    kinds
        NumPy's letters for the allowed types; by default real numbers.

    Raises
    ------
    InputError
        The file is missing, not fetched, truncated, not a .npy file, or of another rank or type.
    ResourceError
        Too many files are open; each memory-mapped array is one.
    """
    try:
        array: NDArray[Any] = np.lib.format.open_memmap(path, mode="r")
    except FileNotFoundError as error:
        check_fetched(path)
        raise InputError(f"{path} is missing; copy the recording again") from error
    except (OSError, ValueError, EOFError, TokenError, OverflowError) as error:
        if isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE):
            raise ResourceError(
                f"too many files are open to open {path}; go through recording.trials one at a time instead of "
                "keeping them in a list, or raise the limit (ulimit -n 8192)"
            ) from error
        check_fetched(path)
        raise InputError(
            f"{path} cannot be read as a NumPy array ({error}); it may be truncated: copy it again"
        ) from error
    ranks = (rank,) if isinstance(rank, int) else rank
    if array.ndim not in ranks:
        raise InputError(f"{path} has shape {array.shape}; it must have {' or '.join(map(str, ranks))} axes")
    if array.dtype.kind not in kinds:
        raise InputError(f"{path} has type {array.dtype}; it must hold {'words' if 'U' in kinds else 'real numbers'}")
    return array


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file; InputError if it does not hold one."""
    check_fetched(path)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read as JSON ({error}); correct or delete it") from error
    if not isinstance(content, dict):
        raise InputError(f"{path} holds a JSON {type(content).__name__}; it must be an object: correct or delete it")
    return content


def frames_before_nan(row: NDArray[Any]) -> int:
    """Number of values (frames,) before the first NaN; all if there is none."""
    nan = np.isnan(row)
    return int(nan.argmax()) if nan.any() else len(row)


def check_fetched(path: Path) -> None:
    """Raise InputError if a file is only a placeholder for content that git-annex, DataLad or Git LFS has not fetched.

    Every reader calls this before it calls a file missing or damaged.
    """
    if path.is_symlink() and not path.exists():
        target = os.path.realpath(path)
        if "annex/objects/" in target:
            raise _not_fetched(path, *_ANNEX)
        raise InputError(f"{path} is a link to {target}, which does not exist; copy that file, or correct the link")
    start = b""
    with contextlib.suppress(OSError):  # the reader will report unreadable files
        if path.is_file() and path.stat().st_size < _LONGEST_POINTER:
            start = path.read_bytes()
    for words, told in _POINTERS.items():
        if start.startswith(words):
            raise _not_fetched(path, *told)


_LONGEST_POINTER = 2048  # bytes; a git-annex key ends in a checksum and an extension, Git LFS has three short lines
_ANNEX = ("git-annex", "datalad get", "git annex get")
_POINTERS = {b"/annex/objects/": _ANNEX, b"version https://git-lfs.github.com/spec/": ("Git LFS", "git lfs pull")}


def _not_fetched(path: Path, keeper: str, *commands: str) -> InputError:
    run = " or ".join(f"'{command}'" for command in commands)
    return InputError(
        f"{path} has not been fetched: it is a placeholder for content that {keeper} stores elsewhere; run {run} "
        "on it, or on its folder"
    )


def absolute(path: str | os.PathLike[str]) -> Path:
    """The absolute path under the name it was given: links are not followed: their names may identify sessions."""
    path = Path(path).expanduser()
    return path.resolve() if ".." in path.parts else path.absolute()  # "link/.." is not the folder of the link

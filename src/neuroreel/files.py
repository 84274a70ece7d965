"""Writing files so that a crash, a full disk or Ctrl-C never leaves half of one behind."""

from __future__ import annotations

import errno
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from neuroreel.errors import InputError, ResourceError


@contextmanager
def atomic_path(target: str | Path, *, overwrite: bool = False) -> Iterator[Path]:
    """Hand out a temporary name beside ``target``; rename it to ``target`` when the block ends without an error.

    The block may write a file or create a folder at the temporary name. Whatever it wrote is deleted if it raises.

    Raises
    ------
    InputError
        ``target`` exists and ``overwrite`` is False.
    ResourceError
        The disk is full, or the folder may not be written.
    """
    target = Path(target)
    refuse_existing(target, overwrite=overwrite)
    with explain_disk_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        workplace = Path(tempfile.mkdtemp(prefix=f".{target.name}.", suffix=".partial", dir=target.parent))
        try:
            partial = workplace / target.name
            yield partial
            if target.is_dir() and overwrite:  # a folder cannot be renamed onto a full one: move the old one aside
                target.replace(workplace / "old")
            partial.replace(target)
        finally:
            shutil.rmtree(workplace, ignore_errors=True)


def refuse_existing(target: str | Path, *, overwrite: bool) -> None:
    """Raise InputError if ``target`` exists and must not be replaced: called before long work starts."""
    if Path(target).exists() and not overwrite:
        raise InputError(f"{target} exists already and is not overwritten; choose another name or pass overwrite=True")


@contextmanager
def explain_disk_errors(target: Path) -> Iterator[None]:
    """Within the block, a full disk or a folder that may not be written raises ResourceError, naming ``target``."""
    try:
        yield
    except OSError as error:
        # NumPy reports a short write without an error number
        short_write = error.errno is None and "written" in str(error)
        if short_write or error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise ResourceError(f"no space left on the disk while writing {target}; free some and run again") from error
        if error.errno in (errno.EACCES, errno.EROFS, errno.EPERM):
            why = f"{target.parent} may not be written ({error.strerror})"
            raise ResourceError(f"{why}; choose another folder") from error
        raise

"""Write files so that a crash, a full disk or Ctrl-C never leaves half a file or loses the old one."""

from __future__ import annotations

import errno
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from neuroreel.errors import ExistsError, InputError, ResourceError

_PARTIAL = re.compile(r"\..+\.[a-z0-9_]{8}\.partial")
_ASIDE = ".neuroreel-replaced"
_TAKEN = (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR)  # the name was taken in the meantime
_NO_LINKS = (errno.EPERM, errno.EXDEV, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)  # disks without hard links


@contextmanager
def atomic_path(target: str | os.PathLike[str], *, overwrite: bool = False) -> Iterator[Path]:
    """Yield a temporary name next to ``target``; rename it to ``target`` when the block ends without an error.

    The block may write a file or create a folder at the temporary name. Whatever it wrote is deleted if it raises, and
    an old ``target`` stays. To replace a folder, the old one is first renamed to ``.NAME.neuroreel-replaced``; if the
    process is killed right then, the next call for that target, or :func:`sweep`, renames it back.

    Raises
    ------
    ExistsError
        ``target`` exists and ``overwrite`` is False, even if another process made it during the block.
    ResourceError
        The disk is full, the folder is not writable, or another process is replacing it.
    """
    target = user_path(target)
    refuse_existing(target, overwrite=overwrite)
    with explain_disk_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        workplace = Path(tempfile.mkdtemp(prefix=f".{target.name}.", suffix=".partial", dir=target.parent))
        try:
            partial = workplace / target.name
            yield partial
            _sync(partial)
            if overwrite:
                _replace(target, partial)
            else:
                _publish(partial, target)
        finally:
            shutil.rmtree(workplace, ignore_errors=True)


def move_new(path: Path, target: Path) -> None:
    """Rename a finished file or folder; ExistsError if the new name is taken."""
    _publish(path, target)
    if path.exists():  # a file that now has two names
        path.unlink()


def user_path(path: str | os.PathLike[str]) -> Path:
    """A path with ``~`` expanded."""
    return Path(os.path.expanduser(path))  # noqa: PTH111 - pathlib raises for unknown users


def free_bytes(folder: Path) -> int:
    """What is free on the disk of a folder, which need not be there yet."""
    there = next(path for path in (folder.resolve(), *folder.resolve().parents) if path.exists())
    return shutil.disk_usage(there).free


def refuse_existing(target: str | os.PathLike[str], *, overwrite: bool) -> None:
    """Raise ExistsError if ``target`` exists and must not be replaced; called before long work starts."""
    target = user_path(target)
    _put_back(target)
    if not overwrite and os.path.lexists(target):
        raise _exists(target)


def sweep(folder: Path) -> None:
    """Delete what killed processes left in an unused folder; put back folders that were moved aside."""
    for path in list(folder.rglob(".*")):
        if path.name.endswith(_ASIDE):
            target = path.with_name(path.name[1:].removesuffix(_ASIDE))
            _put_back(target)
            _delete(path)
        elif _PARTIAL.fullmatch(path.name):
            _delete(path)


def _publish(partial: Path, target: Path) -> None:
    """Rename the finished file unless the name is taken; check and rename are one atomic step."""
    try:
        if partial.is_dir() and not partial.is_symlink():
            partial.rename(target)  # fails if the target is a file or a folder that is not empty
            return
        try:
            os.link(partial, target, follow_symlinks=False)
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            target.touch(exist_ok=False)
            partial.replace(target)
    except OSError as error:
        if error.errno in _TAKEN:
            raise _exists(target) from error
        raise


def _exists(target: Path) -> ExistsError:
    return ExistsError(f"{target} already exists and is not overwritten; choose another name or pass overwrite=True")


def _replace(target: Path, partial: Path) -> None:
    """Replace an existing target. A folder cannot be renamed onto a full one, so the old one is moved aside first."""
    if not partial.is_dir():
        if target.is_dir():
            raise InputError(f"{target} is a folder; a file never replaces one: choose another name")
        partial.replace(target)
        return
    try:
        if os.path.lexists(target):
            _delete(_aside(target))  # left by a process killed after its new folder got the name
            target.rename(_aside(target))
        partial.rename(target)
    except OSError as error:
        if error.errno in _TAKEN:
            raise ResourceError(f"another process is replacing {target}; run again") from error
        raise
    finally:
        _put_back(target)
    _delete(_aside(target))


def _aside(target: Path) -> Path:
    return target.with_name(f".{target.name}{_ASIDE}")


def _put_back(target: Path) -> None:
    """Move what was moved aside back to its name, unless that name is taken."""
    if os.path.lexists(_aside(target)) and not os.path.lexists(target):
        _aside(target).rename(target)


def _delete(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    """Flush a file, or all of a folder, to disk, so that no name survives a power cut without its content."""
    for file in path.rglob("*") if path.is_dir() else [path]:
        if not (file.is_dir() or file.is_symlink()):
            with file.open("rb") as stream:
                os.fsync(stream.fileno())


@contextmanager
def explain_disk_errors(target: Path) -> Iterator[None]:
    """Within the block, a full disk or a read-only folder raises ResourceError, naming ``target``."""
    try:
        yield
    except OSError as error:
        # NumPy reports a short write without an error number
        short_write = error.errno is None and "written" in str(error)
        if short_write or error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise ResourceError(f"no space left on the disk while writing {target}; free some and run again") from error
        if error.errno in (errno.EACCES, errno.EROFS, errno.EPERM):
            why = f"{target.parent} is not writable ({error.strerror})"
            raise ResourceError(f"{why}; choose another folder") from error
        raise

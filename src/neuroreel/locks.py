"""One process at a time, at a piece of work or in a folder. The system opens the lock of a process that was killed."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from neuroreel.errors import InputError, ResourceError
from neuroreel.files import explain_disk_errors

LOCK = ".neuroreel.lock"
_NO_LOCKS = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS)  # a few network disks have none


@contextmanager
def file_lock(file: Path, *, wait: bool = True) -> Iterator[TextIO | None]:
    """Hold the lock of a file, which is made where it is missing, until the block ends; hands out the open file.

    Without ``wait`` it hands out None where another process holds the lock. On a disk without locks, which a few
    network disks are, nobody is kept out: what is written there must be written whole.

    Raises
    ------
    ResourceError
        The file may not be written.
    """
    with explain_disk_errors(file):
        file.parent.mkdir(parents=True, exist_ok=True)
        stream = file.open("a+", encoding="utf-8")
    with stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            yield None
            return
        except OSError:
            pass
        yield stream


@contextmanager
def folder_lock(folder: str | Path, *, what: str = "run") -> Iterator[None]:
    """Keep ``folder`` to this process until the block ends; it is made where it is missing.

    The lock is the system's own, on the file ``.neuroreel.lock``: it opens by itself when a process is killed, so
    that file need not be deleted, and nothing has to be waited for. Jobs of one run that share a folder on purpose
    must not take it each.

    Parameters
    ----------
    folder
        The folder.
    what
        What is being done there, for the message of the other one: "download", "workflow".

    Raises
    ------
    InputError
        A file is in its place.
    ResourceError
        Another process has it, or the folder may not be written. The message names that process and its machine.
    """
    file = Path(folder) / LOCK
    try:
        with explain_disk_errors(file):
            file.parent.mkdir(parents=True, exist_ok=True)
            stream = file.open("a+", encoding="utf-8")
    except (FileExistsError, NotADirectoryError) as error:
        raise InputError(f"{folder} is, or lies in, a file; give the name of a folder") from error
    with stream:
        _take(stream, folder=Path(folder))
        stream.truncate(0)
        stream.write(f"{what}, process {os.getpid()} on {socket.gethostname()}")
        stream.flush()
        try:
            yield
        finally:
            stream.truncate(0)


def _take(stream: TextIO, *, folder: Path) -> None:
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in _NO_LOCKS:
            return
        if error.errno not in (errno.EAGAIN, errno.EACCES):
            raise
        stream.seek(0)
        who = stream.read().strip() or "another process"
        raise ResourceError(
            f"another run of neuroreel works in {folder} ({who}); wait until it ends, stop it, or choose another folder"
        ) from error

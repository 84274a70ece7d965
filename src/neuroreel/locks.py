"""One process at a time per job or folder. The system frees the lock of a killed process."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from neuroreel.errors import InputError, ResourceError
from neuroreel.files import explain_disk_errors, user_path

LOCK = ".neuroreel.lock"


@contextmanager
def file_lock(
    file: Path,
    *,
    what: str = "run",
    wait: bool = True,
    tidy: bool = False,
    say: Callable[[str], object] = lambda line: None,
) -> Iterator[bool]:
    """Hold a lock until the block ends; yields whether this process has it.

    Parameters
    ----------
    file
        The lock's file, created if missing; keep nothing in it. While the lock is held, a note next to it names the
        process that has it.
    what
        What is being done, for the process that waits: "download", "training".
    wait
        Wait for the process that has the lock; otherwise yield False.
    tidy
        Delete the lock's file at the end, to keep it out of results. Not for locks that many processes request at
        once: some may then fail to take it.
    say
        Called with a line of text that names the other process.

    Raises
    ------
    InputError
        The folder of the lock's file is a file, or inside one.
    ResourceError
        The file is not writable, or its file system has no locks.
    """
    lock, note = FileLock(file), _note(file)
    with _explained(file):
        file.parent.mkdir(parents=True, exist_ok=True)
        held = _acquire(lock, timeout=0)
    if not held and not wait:
        yield False
        return
    if not held:
        say(f"waiting for another process ({holder(file)})")
        with _explained(file):
            _acquire(lock, timeout=-1)
    try:
        with suppress(OSError):  # a full disk: the lock holds without the note
            since = time.strftime("%Y-%m-%d %H:%M:%S")
            note.write_text(f"{what}, process {os.getpid()} on {socket.gethostname()}, since {since}", encoding="utf-8")
        yield True
    finally:
        for left in (note, file) if tidy else (note,):
            left.unlink(missing_ok=True)
        lock.release()


@contextmanager
def folder_lock(folder: str | Path, *, what: str = "run") -> Iterator[None]:
    """Reserve ``folder`` for this process until the block ends; it is created if missing.

    The lock is the system's own, on the file ``.neuroreel.lock``: it is released when a process is killed, so
    the file need not be deleted and nothing has to time out. Jobs that share a folder on purpose must not each take it.

    Parameters
    ----------
    folder
        The folder.
    what
        What is being done there, for the other process's message: "download", "workflow".

    Raises
    ------
    InputError
        ``folder`` is a file.
    ResourceError
        Another process has it, the folder is not writable, or its file system has no locks. The message names that
        process, its machine and its start time.
    """
    with exclusive(user_path(folder) / LOCK, what=what, place=Path(folder)):
        yield


@contextmanager
def exclusive(file: Path, *, what: str, place: Path, tidy: bool = False) -> Iterator[None]:
    """Hold a lock until the block ends; ResourceError, which names ``place``, if another process has it."""
    with file_lock(file, what=what, wait=False, tidy=tidy) as held:
        if not held:
            raise ResourceError(
                f"another run of neuroreel works in {place} ({holder(file)}); wait until it ends, stop it, or choose "
                "another folder"
            )
        yield


def lock_of(file: Path) -> Path:
    """The lock file of the process that makes ``file``."""
    return file.with_name(f".{file.name}.lock")


def holder(file: Path) -> str:
    """Who has a lock and since when, in words."""
    try:
        return _note(file).read_text(encoding="utf-8") or "starting just now"
    except OSError:
        return "which left no name"


def _note(file: Path) -> Path:
    return file.with_name(f"{file.name}.holder")


def _acquire(lock: FileLock, *, timeout: float) -> bool:
    try:
        lock.acquire(timeout=timeout, poll_interval=0.2)
    except Timeout:
        return False
    return True


@contextmanager
def _explained(file: Path) -> Iterator[None]:
    """Within the block, errors of the file system are explained."""
    try:
        with explain_disk_errors(file):
            yield
    except (FileExistsError, NotADirectoryError) as error:
        raise InputError(f"{file.parent} is a file, or inside one; give the name of a folder") from error
    except OSError as error:
        raise ResourceError(
            f"{file} cannot be locked ({error.strerror or error}): its file system has no working locks, which keep "
            "two runs from doing the same work; choose a folder on another disk"
        ) from error

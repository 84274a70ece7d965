"""One process at a time at a piece of work, or in a folder. The system frees the lock of a process that was killed."""

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
    """Hold a lock until the block ends; hands out whether this process has it.

    Parameters
    ----------
    file
        The lock's file, made where it is missing; nothing may be kept in it. While the lock is held, a note beside it
        says who has it.
    what
        What is being done, for whoever waits: "download", "training".
    wait
        Wait for a process that has the lock; else hand out False.
    tidy
        Delete the lock's file at the end: among results it would be litter. Not for locks that many processes take at
        once, some of which may then be told that the lock cannot be taken.
    say
        Called with a line of text that says who is waited for.

    Raises
    ------
    InputError
        The folder of the lock's file is, or lies in, a file.
    ResourceError
        The file may not be written, or its file system has no locks.
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
        Another process has it, the folder may not be written, or its file system has no locks. The message names that
        process, its machine and when it began.
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
    """The lock of whoever makes a file."""
    return file.with_name(f".{file.name}.lock")


def holder(file: Path) -> str:
    """Who has a lock and since when, in words."""
    try:
        return _note(file).read_text(encoding="utf-8") or "starting just now"
    except OSError:
        return "which did not leave its name"


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
    """Within the block, what keeps a lock from being taken is said in words."""
    try:
        with explain_disk_errors(file):
            yield
    except (FileExistsError, NotADirectoryError) as error:
        raise InputError(f"{file.parent} is, or lies in, a file; give the name of a folder") from error
    except OSError as error:
        raise ResourceError(
            f"{file} cannot be locked ({error.strerror or error}): its file system has no working locks, which keep "
            "two runs from doing the same work; choose a folder on another disk"
        ) from error

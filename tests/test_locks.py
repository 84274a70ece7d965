"""One process at a time: who comes second is told who has the lock, and a lock that fails is an error."""

from __future__ import annotations

import errno
import os
import re
import socket
import subprocess
import sys
import threading
from pathlib import Path

import filelock
import pytest

from neuroreel.errors import InputError, ResourceError
from neuroreel.locks import exclusive, file_lock, folder_lock, holder

US = f"process {os.getpid()} on {re.escape(socket.gethostname())}, since 20"


def test_the_second_is_told_who_has_it(tmp_path: Path) -> None:
    lock = tmp_path / "folder" / "lock"
    with file_lock(lock, what="training") as held:
        assert held
        with file_lock(lock, wait=False) as second:
            assert not second
        assert re.match(f"training, {US}", holder(lock))
        with pytest.raises(ResourceError, match=rf"works in model\.nc \(training, {US}"):
            exclusive(lock, what="training", place=Path("model.nc")).__enter__()
    with file_lock(lock, wait=False) as third:
        assert third


def test_folders(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="is a file, or inside one; give the name of a folder"):
        folder_lock(tmp_path / "file").__enter__()
    with (
        folder_lock(tmp_path / "folder", what="download"),
        pytest.raises(ResourceError, match=rf"works in \S+folder \(download, {US}"),
    ):
        folder_lock(tmp_path / "folder").__enter__()


def test_waiting_says_for_whom(tmp_path: Path) -> None:
    lock, said, done = tmp_path / "lock", [], []

    def second() -> None:
        with file_lock(lock, say=said.append):
            done.append("second")

    with file_lock(lock, what="training"):
        thread = threading.Thread(target=second)
        thread.start()
        while not said:
            thread.join(0.01)
        done.append("first")
    thread.join(10)
    assert done == ["first", "second"] and re.match(rf"waiting for another process \(training, {US}", said[0])


def test_a_killed_process_has_no_lock(tmp_path: Path) -> None:
    code = (
        "import os, sys; from pathlib import Path; from neuroreel.locks import file_lock\n"
        "with file_lock(Path(sys.argv[1])): os._exit(9)"
    )
    assert subprocess.run([sys.executable, "-c", code, tmp_path / "lock"], check=False).returncode == 9
    with file_lock(tmp_path / "lock", wait=False) as held:
        assert held


def test_a_tidy_lock_leaves_nothing(tmp_path: Path) -> None:
    with file_lock(tmp_path / "lock", tidy=True):
        assert (tmp_path / "lock").exists()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.EIO, errno.EOPNOTSUPP])
def test_a_lock_that_fails_is_not_held(code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(filelock.FileLock, "acquire", broken)
    with pytest.raises(ResourceError, match=rf"cannot be locked \({os.strerror(code)}\): its file system has no"):
        file_lock(tmp_path / "lock").__enter__()


def test_a_folder_that_may_not_be_written(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(ResourceError, match="/proc/neuroreel"):
        folder_lock("/proc/neuroreel").__enter__()


def test_no_lock_of_our_own() -> None:
    """The module that Windows lacks is imported nowhere."""
    code = "import sys; sys.modules['fcntl'] = None; import neuroreel.locks, neuroreel.files"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

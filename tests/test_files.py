"""Files and folders appear whole, replace old ones without ever losing them, and never replace what nobody gave up."""

from __future__ import annotations

import errno
import os
import pickle
import re
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest

import neuroreel as nr
from neuroreel.errors import ExistsError, InputError, ResourceError
from neuroreel.files import atomic_path, move_new, refuse_existing, sweep, user_path

FILE, FOLDER = "file", "folder"
KINDS = pytest.mark.parametrize("kind", [FILE, FOLDER])


def write(path: Path, text: str, kind: str) -> None:
    if kind == FOLDER:
        path.mkdir()
    (path / "text" if kind == FOLDER else path).write_text(text)


def read(path: Path) -> str:
    return (path / "text" if path.is_dir() else path).read_text()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


class StoppedError(Exception):
    """Whatever ends a block."""


@KINDS
def test_what_was_written_appears_whole(kind: str, tmp_path: Path) -> None:
    with atomic_path(tmp_path / "made") as partial:
        write(partial, "new", kind)
        assert not (tmp_path / "made").exists()
    assert read(tmp_path / "made") == "new" and names(tmp_path) == ["made"]


@KINDS
@pytest.mark.parametrize("overwrite", [False, True])
def test_a_failed_block_leaves_nothing_new_and_everything_old(kind: str, overwrite: bool, tmp_path: Path) -> None:
    target = tmp_path / "made"
    if overwrite:
        write(target, "old", kind)

    def stopped() -> None:
        with atomic_path(target, overwrite=overwrite) as partial:
            write(partial, "new", kind)
            raise StoppedError

    with pytest.raises(StoppedError):
        stopped()
    assert names(tmp_path) == (["made"] if overwrite else []) and (not overwrite or read(target) == "old")


@KINDS
def test_a_block_that_wrote_nothing_keeps_the_old(kind: str, tmp_path: Path) -> None:
    write(tmp_path / "made", "old", kind)
    with pytest.raises(FileNotFoundError), atomic_path(tmp_path / "made", overwrite=True):
        pass
    assert read(tmp_path / "made") == "old" and names(tmp_path) == ["made"]


def test_a_folder_is_back_when_its_replacement_gets_no_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target, real = tmp_path / "made", Path.rename
    write(target, "old", FOLDER)

    def interrupted(self: Path, to: Path) -> Path:
        if to == target and self.parent.suffix == ".partial":
            raise KeyboardInterrupt
        return real(self, to)

    monkeypatch.setattr(Path, "rename", interrupted)
    with pytest.raises(KeyboardInterrupt), atomic_path(target, overwrite=True) as partial:
        write(partial, "new", FOLDER)
    assert read(target) == "old" and names(tmp_path) == ["made"]


KILLED_BETWEEN_RENAMES = """
import os, sys
from pathlib import Path
from neuroreel.files import atomic_path
rename, renamed = Path.rename, []
def killed(self, to):
    if renamed:
        os._exit(9)
    renamed.append(to)
    return rename(self, to)
Path.rename = killed
with atomic_path(sys.argv[1], overwrite=True) as partial:
    partial.mkdir()
    (partial / "text").write_text("new")
"""


@pytest.mark.parametrize("comes_next", ["sweep", "write", "refuse"])
def test_a_folder_returns_after_a_kill(comes_next: str, tmp_path: Path) -> None:
    target = tmp_path / "made"
    write(target, "old", FOLDER)
    killed = subprocess.run([sys.executable, "-c", KILLED_BETWEEN_RENAMES, target], check=False)
    assert killed.returncode == 9 and not target.exists()
    if comes_next == "sweep":
        sweep(tmp_path)
        assert names(tmp_path) == ["made"]
    elif comes_next == "write":
        with pytest.raises(StoppedError), atomic_path(target, overwrite=True):
            raise StoppedError
    else:
        with pytest.raises(ExistsError):
            refuse_existing(target, overwrite=False)
    assert read(target) == "old"


def test_sweeping_keeps_the_new_where_both_are_there(tmp_path: Path) -> None:
    """Killed after the new folder got its name and before the old one was deleted."""
    write(tmp_path / "made", "new", FOLDER)
    write(tmp_path / ".made.neuroreel-replaced", "old", FOLDER)
    sweep(tmp_path)
    assert names(tmp_path) == ["made"] and read(tmp_path / "made") == "new"


@KINDS
def test_replacing(kind: str, tmp_path: Path) -> None:
    for text in ("old", "new"):
        with atomic_path(tmp_path / "made", overwrite=True) as partial:
            write(partial, text, kind)
    assert read(tmp_path / "made") == "new" and names(tmp_path) == ["made"]


def test_a_file_never_replaces_a_folder(tmp_path: Path) -> None:
    write(tmp_path / "made", "old", FOLDER)
    with pytest.raises(InputError, match="is a folder"), atomic_path(tmp_path / "made", overwrite=True) as partial:
        write(partial, "new", FILE)
    assert read(tmp_path / "made") == "old"


def test_a_folder_that_is_replaced_twice_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target, real = tmp_path / "made", Path.rename
    write(target, "old", FOLDER)

    def overtaken(self: Path, to: Path) -> Path:
        if to == target:
            monkeypatch.undo()
            write(target, "other", FOLDER)
        return real(self, to)

    monkeypatch.setattr(Path, "rename", overtaken)
    with pytest.raises(ResourceError, match="another process"), atomic_path(target, overwrite=True) as partial:
        write(partial, "new", FOLDER)
    assert read(target) == "other"


@KINDS
@pytest.mark.parametrize("links", [True, False])
def test_of_many_writers_one_gets_the_name(
    kind: str, links: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_links(*_: object, **__: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    if not links:
        monkeypatch.setattr(os, "link", no_links)
    writers, target = 8, tmp_path / "made"
    together = Barrier(writers)

    def writer(number: int) -> str | None:
        try:
            with atomic_path(target) as partial:
                write(partial, str(number), kind)
                together.wait(timeout=10)
        except ExistsError:
            return None
        return str(number)

    with ThreadPoolExecutor(writers) as pool:
        won = [number for number in pool.map(writer, range(writers)) if number is not None]
    assert won == [read(target)] and names(tmp_path) == ["made"]


@KINDS
def test_moving_to_a_name_that_is_taken(kind: str, tmp_path: Path) -> None:
    for name, text in (("old", "old"), ("one", "one"), ("two", "two")):
        write(tmp_path / name, text, kind)
    with pytest.raises(ExistsError, match="old already exists"):
        move_new(tmp_path / "one", tmp_path / "old")
    move_new(tmp_path / "two", tmp_path / "free")
    assert [read(tmp_path / name) for name in names(tmp_path)] == ["two", "old", "one"]


@KINDS
def test_content_is_on_the_disk_before_it_has_its_name(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target, real, synced = tmp_path / "made", os.fsync, []

    def sync(descriptor: int) -> None:
        assert not target.exists()
        synced.append(os.fstat(descriptor).st_ino)
        real(descriptor)

    monkeypatch.setattr(os, "fsync", sync)
    with atomic_path(target) as partial:
        write(partial, "new", kind)
    file = target / "text" if kind == FOLDER else target
    assert synced == [file.stat().st_ino]


def test_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    with atomic_path("~/made") as partial:
        write(partial, "new", FILE)
    assert read(tmp_path / "made") == "new"
    with pytest.raises(ExistsError):
        refuse_existing("~/made", overwrite=False)
    assert user_path("~not a user/made") == Path("~not a user/made")


@pytest.mark.parametrize(
    ("read_file", "name"),
    [
        (nr.open_recording, "mouse"),
        (nr.load_encoder, "encoder.safetensors"),
        (nr.load_mask, "mask.npy"),
        (nr.RidgeDecoder.load, "decoder.safetensors"),
        (nr.Reconstruction.load, "movie.nc"),
        (nr.read_published, "result.npy"),
        (nr.read_published_folder, "modelfold0"),
        (lambda file: nr.import_nwb(file, "~/out"), "session.nwb"),
        (lambda file: nr.import_table(file, "~/out"), "trials.csv"),
        (lambda file: nr.noise_stimuli(file=file), "noise.npz"),
        (lambda file: nr.grating_stimuli(file=file), "gratings.npz"),
    ],
)
def test_home_at_every_door(
    read_file: Callable[[str], object], name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(InputError, match=re.escape(f"{tmp_path}/{name}")):
        read_file(f"~/{name}")


def test_the_error_crosses_processes(tmp_path: Path) -> None:
    with pytest.raises(ExistsError) as raised:
        refuse_existing(tmp_path, overwrite=False)
    assert str(pickle.loads(pickle.dumps(raised.value))) == str(raised.value)
    assert str(raised.value).endswith("not overwritten; choose another name or pass overwrite=True")

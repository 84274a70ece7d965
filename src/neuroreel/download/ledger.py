"""Records of finished downloads: checksums of files, and lists of files of recordings."""

from __future__ import annotations

import json
import threading
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from neuroreel.download.checksums import Expected, pieces_of, problem_of
from neuroreel.errors import InputError
from neuroreel.files import atomic_path, user_path
from neuroreel.progress import progress as progress_bar
from neuroreel.recordings.disk import read_json
from neuroreel.recordings.sensorium import FOLDS

WORKPLACE = ".neuroreel-download"
LEDGER = "checksums.json"


class Ledger:
    """``checksums.json`` in the user's folder: size and SHA-256 of each file when it was first downloaded.

    A file that is downloaded again must be the same, even if the archive has no checksums.
    """

    def __init__(self, to: Path) -> None:
        self.file = to / LEDGER
        self._lock = threading.Lock()
        self._entries: dict[str, Any] = read_json(self.file) if self.file.exists() else {}

    def expected(self, key: str) -> Expected | None:
        """A file's size and checksum at its first download; None if it was never downloaded."""
        entry = self._entries.get(key)
        try:
            return entry and Expected(int(entry["size"]), f"sha256:{entry['sha256']}", self.file.name)
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"{self.file}: the entry of {key} has no size and sha256; delete it") from error

    def record(self, key: str, file: Path, sha256: str, expected: Expected, *, local: str | None = None) -> None:
        """Record a file; ``local`` is its future path in the folder, None for a zip, which is not kept."""
        checked = expected.source if expected.checksum else "first download"
        entry = {"size": file.stat().st_size, "sha256": sha256, "checked": checked}
        with self._lock:
            self._entries[key] = entry if local is None else {**entry, "local": local}
            _write_json(self.file, self._entries)

    def files(self) -> Iterator[tuple[Path, Expected]]:
        """The downloaded files that are kept: path, size and checksum."""
        for key, entry in self._entries.items():
            expected = self.expected(key)
            if expected and "local" in entry:
                yield self.file.parent / str(entry["local"]), expected


def write_manifest(to: Path, unpacked: Path, *, folder: Path, check_stopped: Callable[[], None]) -> None:
    """Record size and CRC of every unpacked file, before ``unpacked`` is renamed to ``folder``."""
    paths = sorted(path for path in unpacked.rglob("*") if path.is_file())
    files = {}
    for path in paths:
        check_stopped()
        files[path.relative_to(unpacked).as_posix()] = _size_and_crc(path)
    inside = folder.relative_to(to).as_posix()
    _write_json(_manifests(to) / f"{inside.replace('/', '.')}.json", {"folder": inside, "files": files})


def check_downloads(to: str | Path) -> list[str]:
    """Read everything that was downloaded into a folder again; what is not as it was, one line each.

    Raises
    ------
    InputError
        Nothing was downloaded into the folder.
    """
    to = user_path(to)
    known: list[tuple[Path, Expected | list[int]]] = [*Ledger(to).files(), *_files_of_recordings(to)]
    if not known:
        raise InputError(f"{to} contains no downloads; give the folder that was given to the download")
    bar = progress_bar(known, description="Checking")
    return [fault for path, seen in bar if (fault := _fault(path, seen))]


def _files_of_recordings(to: Path) -> Iterator[tuple[Path, list[int]]]:
    for manifest in sorted(_manifests(to).glob("*.json")):
        content = read_json(manifest)
        folder = to / content["folder"]
        if folder.exists():  # otherwise it was deleted on purpose
            for name, seen in content["files"].items():
                if name != FOLDS.as_posix():  # written when folds are first requested
                    yield folder / name, seen


def _fault(path: Path, seen: Expected | list[int]) -> str | None:
    """What is wrong with a file; only files of recordings must not be deleted."""
    if not path.exists():
        return None if isinstance(seen, Expected) else f"{path} is missing"
    same = problem_of(path, seen)[1] is None if isinstance(seen, Expected) else _size_and_crc(path) == seen
    return None if same else f"{path} has changed since it was downloaded"


def _manifests(to: Path) -> Path:
    return to / WORKPLACE / "manifests"


def _size_and_crc(file: Path) -> list[int]:
    """Size and CRC-32, as in zip files."""
    crc = 0
    for piece in pieces_of(file):
        crc = zlib.crc32(piece, crc)
    return [file.stat().st_size, crc]


def _write_json(file: Path, content: object) -> None:
    with atomic_path(file, overwrite=True) as partial:
        partial.write_text(json.dumps(content, indent=1, sort_keys=True) + "\n", encoding="utf-8")

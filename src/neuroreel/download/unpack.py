"""Unpack an untrusted zip: nothing leaves the folder, no zip bombs, all files complete."""

from __future__ import annotations

import os
import stat
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from neuroreel.errors import InputError, NeuroreelError, RefusedError
from neuroreel.files import explain_disk_errors
from neuroreel.recordings.sensorium import TIERS

MOST_EXPANSION = 100
"""A recording unpacks to a few times the size of its zip; more than this many times is refused."""
_SMALL = 64 * 1024**2
_COPY = 4 << 20
_LITTER = ("__MACOSX", ".DS_Store", "Thumbs.db")


class Packed:
    """A recording in an open zip; see :func:`opened`.

    Parameters
    ----------
    archive
        The zip.
    source
        Its name in messages.
    check_stopped
        Called now and then; raises if the work should end.

    Attributes
    ----------
    members
        The recording's files by their path in its folder, which is the one with ``meta/trials/tiers.npy``, whatever its
        parent folders are called.

    Raises
    ------
    RefusedError
        A path that leaves the folder, a link or anything else that is not a file, two files with one name, or a zip
        that would unpack to more than a recording can be.
    InputError
        No recording, several recordings, or files outside of one.
    """

    def __init__(self, archive: zipfile.ZipFile, *, source: str, check_stopped: Callable[[], None]) -> None:
        self._archive, self._check_stopped = archive, check_stopped
        self.source = source
        paths = _safe_files(archive, source=source)
        roots = [path.parents[2] for path in paths if path.parts[-3:] == TIERS.parts]
        if len(roots) != 1:
            raise InputError(
                f"{source} has {len(roots)} recordings in it; it must have one, with a file {TIERS.as_posix()}"
            )
        outside = [str(path) for path in paths if not path.is_relative_to(roots[0])]
        if outside:
            raise InputError(f"{source} has files outside the recording: {', '.join(outside[:3])}; nothing is unpacked")
        self.members = {path.relative_to(roots[0]): info for path, info in paths.items()}

    @property
    def size(self) -> int:
        """Size of all files on disk."""
        return sum(info.file_size for info in self.members.values())

    def write_all(self, folder: Path) -> None:
        """Unpack all of it."""
        for path in self.members:
            self.write(path, folder / path)

    def write(self, path: PurePosixPath | Path, target: Path) -> None:
        """Unpack one file; its length and CRC are checked."""
        info = self.members[PurePosixPath(path)]
        target.parent.mkdir(parents=True, exist_ok=True)
        written = 0
        with explain_disk_errors(target), target.open("wb") as out, self._archive.open(info) as packed:
            while piece := packed.read(_COPY):
                self._check_stopped()
                written += out.write(piece)
            out.flush()
            os.fsync(out.fileno())
        if written != info.file_size:
            raise zipfile.BadZipFile(f"{info.filename} has {written} bytes instead of {info.file_size}")


@contextmanager
def opened(file: Path, *, source: str, check_stopped: Callable[[], None] = lambda: None) -> Iterator[Packed]:
    """The recording in a zip; InputError if it is damaged, even if that is found within the block."""
    try:
        with zipfile.ZipFile(file) as archive:
            yield Packed(archive, source=source, check_stopped=check_stopped)
    except NeuroreelError:  # some are RuntimeErrors too
        raise
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, UnicodeError) as error:
        raise InputError(f"{source} is damaged or not a readable zip ({error})") from error


def safe_path(name: str, *, source: str) -> PurePosixPath:
    """An untrusted name as a relative path that stays in its folder, on any system.

    Raises
    ------
    RefusedError
        It is empty or absolute, or contains "..", a backslash, a drive or a control character.
    """
    parts = name.split("/")
    if parts[-1] == "" and len(parts) > 1:  # a folder's name ends in a slash
        parts.pop()
    if any(part in ("", ".", "..") for part in parts) or set("\\:") & set(name) or not name.isprintable():
        raise RefusedError(
            f"{source} has a file named {name!r}, which could be written outside its folder; nothing is unpacked"
        )
    return PurePosixPath(*parts)


def _safe_files(archive: zipfile.ZipFile, *, source: str) -> dict[PurePosixPath, zipfile.ZipInfo]:
    """The files of a zip by path, without those that operating systems add."""
    paths: dict[PurePosixPath, zipfile.ZipInfo] = {}
    for info in archive.infolist():
        for name in {info.filename, info.orig_filename}:  # zipfile corrects some names while reading
            path = safe_path(name, source=source)
        if stat.S_IFMT(info.external_attr >> 16) not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise RefusedError(f"{source}: {info.filename} is a link or a device, not a file; nothing is unpacked")
        if info.flag_bits & 0x1:
            raise RefusedError(f"{source}: {info.filename} is encrypted; nothing is unpacked")
        if info.is_dir() or path.parts[0] in _LITTER or path.name in _LITTER or path.name.startswith("._"):
            continue
        if path in paths:
            raise RefusedError(f"{source} has two files named {path}; nothing is unpacked")
        paths[path] = info
    packed, unpacked = (sum(getattr(info, size) for info in paths.values()) for size in ("compress_size", "file_size"))
    if unpacked > max(MOST_EXPANSION * packed, _SMALL):
        raise RefusedError(
            f"{source} has {packed / 1e9:.2f} GB in it that would become {unpacked / 1e9:.2f} GB; no recording shrinks "
            "so far, and nothing is unpacked"
        )
    return paths

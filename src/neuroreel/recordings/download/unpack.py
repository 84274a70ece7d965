"""Unpacking a zip that came from elsewhere: nothing leaves the folder, nothing is half-written, nothing explodes."""

from __future__ import annotations

import os
import stat
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO

from neuroreel.errors import InputError, NeuroreelError, RefusedError
from neuroreel.files import explain_disk_errors
from neuroreel.recordings.download.paths import safe_path
from neuroreel.recordings.sensorium import TIERS

MOST_EXPANSION = 100
"""A recording unpacks to a few times the size of its zip; what would become more than this many times is refused."""
_SMALL = 64 * 1024**2
_COPY = 4 << 20
_LITTER = ("__MACOSX/", ".DS_Store", "Thumbs.db")


@contextmanager
def opened(stream: Path | IO[bytes], *, source: str) -> Iterator[zipfile.ZipFile]:
    """The zip in a file or file object; a damaged one, also one found damaged in the block, raises InputError."""
    try:
        with zipfile.ZipFile(stream) as archive:
            yield archive
    except NeuroreelError:  # one of them is a RuntimeError too
        raise
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, UnicodeError) as error:
        raise InputError(f"{source} is damaged, or no zip that can be read ({error})") from error


def members_of(archive: zipfile.ZipFile, *, source: str) -> dict[PurePosixPath, zipfile.ZipInfo]:
    """Files in the recording that a zip holds, by their path inside the recording's folder.

    The recording is where ``meta/trials/tiers.npy`` is, whatever the folders around it are called.

    Raises
    ------
    RefusedError
        A path that leaves the folder, a link or other thing that is no file, two files of one name, a zip that would
        unpack to more than a recording can be.
    InputError
        No recording in it, or several; files outside it.
    """
    paths: dict[PurePosixPath, zipfile.ZipInfo] = {}
    for info in archive.infolist():
        for name in {info.filename, info.orig_filename}:  # zipfile mends some names as it reads them
            path = safe_path(name, source=source)
        _refuse_special(info, source=source)
        if info.is_dir() or info.filename.startswith(_LITTER[0]) or path.name in _LITTER or path.name.startswith("._"):
            continue
        if path in paths:
            raise RefusedError(f"{source} has two files named {path}; nothing is unpacked")
        paths[path] = info
    _refuse_bomb(paths.values(), source=source)
    roots = [path.parents[2] for path in paths if path.parts[-3:] == TIERS.parts]
    if len(roots) != 1:
        raise InputError(
            f"{source} has {len(roots)} recordings in it; it must have one, with a file {TIERS.as_posix()}"
        )
    outside = [str(path) for path in paths if not path.is_relative_to(roots[0])]
    if outside:
        raise InputError(f"{source} has files outside the recording: {', '.join(outside[:3])}; nothing is unpacked")
    return {path.relative_to(roots[0]): info for path, info in paths.items()}


def _refuse_special(info: zipfile.ZipInfo, *, source: str) -> None:
    kind = stat.S_IFMT(info.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise RefusedError(f"{source}: {info.filename} is a link or a device, not a file; nothing is unpacked")
    if info.flag_bits & 0x1:
        raise RefusedError(f"{source}: {info.filename} is encrypted; nothing is unpacked")


def _refuse_bomb(infos: Iterable[zipfile.ZipInfo], *, source: str) -> None:
    packed = unpacked = 0
    for info in infos:
        packed, unpacked = packed + info.compress_size, unpacked + info.file_size
    if unpacked > max(MOST_EXPANSION * packed, _SMALL):
        raise RefusedError(
            f"{source} has {packed / 1e9:.2f} GB in it that would become {unpacked / 1e9:.2f} GB; no recording shrinks "
            "so far, and nothing is unpacked"
        )


def write_member(
    archive: zipfile.ZipFile,
    info: zipfile.ZipInfo,
    target: Path,
    *,
    check_stopped: Callable[[], None] = lambda: None,
) -> None:
    """Unpack one file; its length and CRC are checked, and it appears when it is whole.

    A file that is there already, as long as it should be and with the same CRC, is kept: an earlier run wrote it.
    """
    if target.exists():
        if (target.stat().st_size, crc_of(target)) == (info.file_size, info.CRC):
            return
        target.unlink()
    target.parent.mkdir(parents=True, exist_ok=True)
    writing = target.with_name(f"{target.name}.writing")
    with explain_disk_errors(target), writing.open("wb") as out, archive.open(info) as packed:
        written = 0
        while piece := packed.read(_COPY):
            check_stopped()
            out.write(piece)
            written += len(piece)
        out.flush()
        os.fsync(out.fileno())
    if written != info.file_size:
        raise zipfile.BadZipFile(f"{info.filename} has {written} bytes instead of {info.file_size}")
    writing.replace(target)


def crc_of(file: Path) -> int:
    """The CRC-32 of a file, as zip files keep it."""
    crc = 0
    with file.open("rb") as stream:
        while piece := stream.read(_COPY):
            crc = zlib.crc32(piece, crc)
    return crc

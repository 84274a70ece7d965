"""What finished downloads consist of, and whether they still do."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from neuroreel.errors import InputError
from neuroreel.files import atomic_path, user_path
from neuroreel.progress import progress as progress_bar
from neuroreel.recordings.disk import read_json
from neuroreel.recordings.download.checksums import Ledger, checksum_of
from neuroreel.recordings.download.unpack import crc_of

WORKPLACE = ".neuroreel-download"
LEDGER = "checksums.json"
_OURS = ("folds.json",)  # written into a recording when its folds are first asked for


@dataclass(frozen=True)
class _Known:
    """A file, how to look at it, and what was seen when it was downloaded."""

    path: Path
    look: Callable[[Path], object]
    seen: object
    may_be_missing: bool = False


def manifest_file(to: Path, folder: Path) -> Path:
    """Where the list of a recording's files is kept."""
    return to / WORKPLACE / "manifests" / f"{folder.relative_to(to).as_posix().replace('/', '.')}.json"


def write_manifest(to: Path, unpacked: Path, *, folder: Path, crcs: Mapping[str, int] | None = None) -> None:
    """Keep length and CRC of every file that was unpacked, before ``unpacked`` is renamed to ``folder``.

    Where the CRCs are known, because unpacking has just checked them, the files are not read again.
    """
    files: dict[str, tuple[int, int]] = {}
    for path in sorted(path for path in unpacked.rglob("*") if path.is_file()):
        name = path.relative_to(unpacked).as_posix()
        known = (crcs or {}).get(name)
        files[name] = (path.stat().st_size, crc_of(path) if known is None else known)
    content = {"folder": folder.relative_to(to).as_posix(), "files": files}
    with atomic_path(manifest_file(to, folder), overwrite=True) as partial:
        partial.write_text(json.dumps(content), encoding="utf-8")


def check_downloads(to: str | Path, *, progress: bool = True) -> list[str]:
    """Read everything that was downloaded into a folder again; what is not as it was, one line each.

    Raises
    ------
    InputError
        Nothing was downloaded there.
    """
    to = user_path(to)
    known = [*_kept_files(to), *_recordings(to)]
    if not known:
        raise InputError(f"nothing that was downloaded is in {to}; give the folder that the download was given")
    bar = progress_bar(known, description="Checking", enabled=progress)
    return [line for each in bar if (line := _fault(each))]


def _kept_files(to: Path) -> Iterator[_Known]:
    ledger = Ledger(to / LEDGER)
    for key, local in ledger.files():
        expected = ledger.expected(key)
        yield _Known(to / local, _sha256, expected and expected.checksum, may_be_missing=True)


def _recordings(to: Path) -> Iterator[_Known]:
    for manifest in sorted(manifest_file(to, to / "any").parent.glob("*.json")):
        content = read_json(manifest)
        folder = to / content["folder"]
        if folder.exists():  # else it was deleted on purpose
            wanted = {name: seen for name, seen in content["files"].items() if Path(name).name not in _OURS}
            yield from (_Known(folder / name, _size_and_crc, tuple(seen)) for name, seen in wanted.items())


def _fault(known: _Known) -> str | None:
    if not known.path.exists():
        return None if known.may_be_missing else f"{known.path} is missing"
    return None if known.look(known.path) == known.seen else f"{known.path} has changed since it was downloaded"


def _sha256(file: Path) -> object:
    return checksum_of(file, "sha256")


def _size_and_crc(file: Path) -> object:
    return file.stat().st_size, crc_of(file)

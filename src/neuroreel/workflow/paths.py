"""Where a configuration names files: the one list of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from neuroreel.files import user_path
from neuroreel.recordings.disk import read_json

NAMED = (
    "recordings/*/folder",
    "downloads/catalogue",
    "encoders/files/*",
    "encoders/train/settings",
    "encoders/train/teachers/*",
    "masks/files/*",
    "experiments/*/settings",
    "experiments/*/stimuli",
)


@dataclass(frozen=True, kw_only=True)
class NamedFile:
    """A path in a configuration.

    Attributes
    ----------
    where
        The way to it, in words: "masks: files: mouse".
    path
        It may be a pattern.
    block, key
        ``block[key]`` is the path.
    """

    where: str
    path: str
    block: Any
    key: Any


def is_downloaded(path: str) -> bool:
    """Whether it comes with the downloads: it lies in the workflow's folder, and need not be there yet."""
    return path.startswith("downloads/")


def named_files(raw: Any) -> Iterator[NamedFile]:
    """All of a configuration, checked or not: what is no path where one is expected is left to the check."""
    for way in NAMED:
        yield from _along(raw, way.split("/"), where="")


def make_absolute(raw: Any, base: Path) -> None:
    """Paths are meant from the configuration's folder on; those of downloads from the workflow's."""
    for named in named_files(raw):
        if not is_downloaded(named.path):
            named.block[named.key] = str(base / user_path(named.path))


def read_settings(raw: Any) -> None:
    """Put what files of settings hold in place of their names: once such a file is edited, the settings are others."""
    for named in named_files(raw):
        if named.key == "settings" and Path(named.path).is_file():
            named.block[named.key] = read_json(Path(named.path))


def file_versions(raw: Any) -> dict[str, list[int]]:
    """Size and time of the files that a configuration names: others may take the same names later."""
    named = [file.path for file in named_files(raw) if not is_downloaded(file.path)]
    there = [(file, file.stat()) for path in named for file in files_at(path) if file.is_file()]
    return {str(file): [stat.st_size, stat.st_mtime_ns] for file, stat in there}


def files_at(path: str) -> list[Path]:
    """The file at a path, or those that a pattern matches; none where nothing is there."""
    whole = user_path(path).absolute()
    return [whole] if whole.exists() else sorted(Path(whole.anchor).glob(str(whole.relative_to(whole.anchor))))


def _along(block: Any, way: list[str], *, where: str) -> Iterator[NamedFile]:
    keys = _keys(block) if way[0] == "*" else [way[0]]
    for key in keys:
        try:
            value = block[key]
        except (KeyError, IndexError, TypeError):
            continue
        words = where if isinstance(block, list) else f"{where}: {key}" if where else str(key)
        if len(way) > 1:
            yield from _along(value, way[1:], where=words)
        elif isinstance(value, str):
            yield NamedFile(where=words, path=value, block=block, key=key)


def _keys(block: Any) -> list[Any]:
    if isinstance(block, dict):
        return list(block)
    return list(range(len(block))) if isinstance(block, list) else []

"""All places where a configuration names files."""

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
        Its place, in words: "masks: files: mouse".
    path
        The path, perhaps a pattern.
    block, key
        ``block[key]`` is the path.
    """

    where: str
    path: str
    block: Any
    key: Any


def is_downloaded(path: str) -> bool:
    """Whether a path is in the downloads, inside the workflow's folder, and need not exist yet."""
    return path.startswith("downloads/")


def named_files(raw: Any) -> Iterator[NamedFile]:
    """All files in a configuration, checked or not; anything that is not a path is left to the check."""
    for way in NAMED:
        yield from _along(raw, way.split("/"), where="")


def make_absolute(raw: Any, base: Path) -> None:
    """Paths are relative to the configuration's folder; those of downloads to the workflow's."""
    for named in named_files(raw):
        if not is_downloaded(named.path):
            named.block[named.key] = str(base / user_path(named.path))


def read_settings(raw: Any) -> None:
    """Replace names of settings files by their content, so that editing such a file changes the settings."""
    for named in named_files(raw):
        if named.key == "settings" and Path(named.path).is_file():
            named.block[named.key] = read_json(Path(named.path))


def file_versions(raw: Any) -> dict[str, list[int]]:
    """Size and time of the files that a configuration names, because they may be replaced later."""
    named = [file.path for file in named_files(raw) if not is_downloaded(file.path)]
    there = [(file, file.stat()) for path in named for file in files_at(path) if file.is_file()]
    return {str(file): [stat.st_size, stat.st_mtime_ns] for file, stat in there}


def files_at(path: str) -> list[Path]:
    """The file at a path, or those that a pattern matches; empty if there are none."""
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

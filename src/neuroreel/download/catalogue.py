"""What can be downloaded: ``catalogue.toml`` as objects, with selection by name and part."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import quote

from neuroreel.download.checksums import Expected
from neuroreel.errors import InputError
from neuroreel.files import user_path
from neuroreel.recordings.splits import is_fold

FILE = Path(__file__).with_name("catalogue.toml")
ALL = "all"
RECORDINGS = "recordings"
_MOST_NAMES = 24  # in a message


@dataclass(frozen=True)
class Remote:
    """One file in the archive.

    Attributes
    ----------
    name
        Its name for the user: "dynamic29515-10-12", "weights/fold_0".
    path
        Its path in the repository.
    local
        Its path in the user's folder; for a recording, the folder it is unpacked to.
    expected
        Its size and checksum, as far as they are known.
    """

    name: str
    group: Group
    path: str
    local: PurePosixPath
    about: str
    expected: Expected

    @property
    def key(self) -> str:
        """Its key in checksums.json."""
        return f"{self.group.repository}/{self.path}"

    @property
    def is_recording(self) -> bool:
        """Whether it is the zip of a recording."""
        return self.group.is_recording

    @property
    def part(self) -> str:
        """Its name for ``only``, within its group."""
        return self.name.removeprefix(f"{self.group.name}/")


@dataclass(frozen=True)
class Group:
    """Files with one name for the user; without ``files``, the archive must be asked for the list."""

    name: str
    about: str
    repository: str
    branch: str
    folder: str
    is_recording: bool
    gigabytes: float | None
    leave_out: tuple[str, ...]
    files: tuple[Remote, ...] = ()

    def file(self, inner: str, expected: Expected, *, name: str | None = None, about: str = "") -> Remote:
        """The file at a path inside the group's folder."""
        local = PurePosixPath(inner).with_suffix("") if self.is_recording else PurePosixPath(self.name, inner)
        full = (name or inner) if self.is_recording else f"{self.name}/{name or inner}"
        return Remote(full, self, f"{self.folder}/{inner}".lstrip("/"), local, about, expected)

    def listed(self, known: Mapping[str, Expected]) -> list[Remote]:
        """The files in the group's folder, out of all files of the repository."""
        inside = {path.removeprefix(f"{self.folder}/"): path for path in known if path.startswith(f"{self.folder}/")}
        return [
            self.file(inner, known[path])
            for inner, path in sorted(inside.items())
            if not any(PurePosixPath(inner).match(pattern) for pattern in self.leave_out)
        ]


@dataclass(frozen=True)
class Catalogue:
    """All groups of one archive.

    Attributes
    ----------
    archive
        URL of the archive.
    file, snapshot
        URLs of a file and of a repository's snapshot, with placeholders for archive, repository, branch and path.
    """

    archive: str
    file: str
    snapshot: str
    groups: tuple[Group, ...]

    def url(self, remote: Remote) -> str:
        """URL of a file's content."""
        return self._address(self.file, remote.group, path=remote.path)

    def snapshot_of(self, group: Group) -> str:
        """URL of the snapshot of a group's repository."""
        return self._address(self.snapshot, group)

    def _address(self, pattern: str, group: Group, *, path: str = "") -> str:
        places = {"repository": quote(group.repository), "branch": quote(group.branch, safe=""), "path": quote(path)}
        return pattern.format(archive=self.archive, **places)

    def lines(self) -> list[str]:
        """The list of downloads, for the terminal."""
        lines = [f"from {self.archive}; sizes with a ~ are estimates, the archive is asked when a download starts"]
        for group in self.groups:
            lines += ["", f"{group.name}: {group.about} ({group.repository})"]
            size = "" if group.gigabytes is None else f"~{group.gigabytes:g} GB"
            lines += [f"  {file.name:<22} {size:>9}  {file.about}".rstrip() for file in group.files]
        return [*lines, "", f"{RECORDINGS}: new and old", f"{ALL}: everything"]

    @property
    def names(self) -> list[str]:
        """Every name that can be requested."""
        return [ALL, RECORDINGS, *(g.name for g in self.groups), *(f.name for g in self.groups for f in g.files)]


def load_catalogue(file: str | Path = FILE) -> Catalogue:
    """The catalogue in a TOML file; InputError if it is not one."""
    try:
        content = tomllib.loads(user_path(file).read_text(encoding="utf-8"))
        url, pattern, snapshot = (str(content["archive"][name]) for name in ("url", "file", "snapshot"))
        return Catalogue(url, pattern, snapshot, tuple(map(_group, content["group"])))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{file} is not a catalogue of downloads ({error!r}); it must be like {FILE.name}") from error


def _group(entry: dict[str, object]) -> Group:
    bare = Group(
        name=str(entry["name"]),
        about=str(entry.get("about", "")),
        repository=str(entry["repository"]),
        branch=str(entry.get("branch", "master")),
        folder=str(entry.get("folder", "")),
        is_recording=entry.get("kind") == "recording",
        gigabytes=float(str(entry["gigabytes"])) if "gigabytes" in entry else None,
        leave_out=tuple(map(str, _rows(entry, "leave_out"))),
    )
    files = []
    for row in _rows(entry, "files"):
        expected = Expected(row.get("size"), row.get("checksum"), FILE.name)
        files.append(bare.file(row["path"], expected, name=row["name"], about=row.get("about", "")))
    return replace(bare, files=tuple(files))


def _rows(entry: dict[str, object], key: str) -> list[dict[str, Any]]:
    rows = entry.get(key, [])
    if not isinstance(rows, list):
        raise TypeError(f"{key} must be a list")
    return rows


def choose(
    catalogue: Catalogue,
    names: Sequence[str],
    only: Sequence[str] = (),
    *,
    listing: Callable[[Group], Sequence[Remote]] = lambda group: (),
) -> list[Remote]:
    """The files that names and parts select, each once.

    Parameters
    ----------
    names
        Groups ("new", "weights"), files ("weights/fold_0"), mice ("dynamic29515-10-12", or a unique part of it),
        "recordings" for all mice, "all".
    only
        Parts: folds and tiers of recordings ("fold_0", "oracle"), see :func:`parts_of`; for other files the part of the
        name after the group, or a pattern for it ("fold_0", "m1", "noise", "*_pop100_*").
    listing
        Asks the archive for the files of a group that the catalogue does not list.

    Raises
    ------
    InputError
        An unknown name or part.
    """
    if not names:
        raise InputError(f"nothing was requested; name some of {', '.join(catalogue.names)}")
    found = {name: _named(catalogue, name) for name in names}  # before the archive is asked
    chosen: dict[str, Remote] = {}
    for name, groups in found.items():
        files = [file for group in groups for file in group.files or listing(group)]
        fitting = {file.key: file for file in files if file.is_recording or _is_meant(file, only)}
        if files and not fitting:
            parts = sorted({file.part.partition("/")[0] for file in files})
            there = ", ".join(parts[:_MOST_NAMES] + ["…"] * (len(parts) > _MOST_NAMES))
            raise InputError(f"{name} has no part {', '.join(only)}; its parts are {there}")
        chosen |= fitting
    return list(chosen.values())


def parts_of(files: Sequence[Remote], only: Sequence[str]) -> tuple[str, ...]:
    """The folds and tiers of recordings to keep; InputError for anything else.

    A recording's tiers are only known when it is read.
    """
    parts = tuple(sorted(set(only))) if any(file.is_recording for file in files) else ()
    for part in parts:
        if not part.isidentifier() or (part.startswith("fold") and not is_fold(part)):
            raise InputError(
                f"a recording has no part {part!r}; its parts are folds (fold_0 to fold_6) and tiers (train, oracle, …)"
            )
    return parts


def _is_meant(file: Remote, only: Sequence[str]) -> bool:
    """Whether ``only`` selects this file by its part, its top folder, or a pattern."""
    words = (file.part, file.part.partition("/")[0])
    return not only or any(word == wanted or fnmatchcase(word, wanted) for word in words for wanted in only)


def _named(catalogue: Catalogue, name: str) -> list[Group]:
    """The groups that a name selects; for the name of a file, a group of one file."""
    groups = [
        group for group in catalogue.groups if name in (group.name, ALL) or (name == RECORDINGS and group.is_recording)
    ]
    if groups:
        return groups
    everything = [file for group in catalogue.groups for file in group.files]
    exact = [file for file in everything if name in (file.name, file.local.name)]
    found = exact or [file for file in everything if file.is_recording and file.local.name.startswith(name)]
    if len(found) != 1:
        said = f"{name!r} fits {', '.join(file.name for file in found)}" if found else f"there is no {name!r}"
        raise InputError(f"{said}; what can be downloaded: {', '.join(catalogue.names)}")
    return [replace(found[0].group, files=(found[0],))]

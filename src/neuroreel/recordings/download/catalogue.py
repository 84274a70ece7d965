"""What can be downloaded: ``catalogue.toml`` as objects, and the choice among them by name and by part."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from urllib.parse import quote

from neuroreel.errors import InputError
from neuroreel.files import user_path
from neuroreel.recordings.splits import is_fold

FILE = Path(__file__).with_name("catalogue.toml")
ALL = "all"
RECORDINGS = "recordings"


@dataclass(frozen=True)
class Archive:
    """Where files lie: URLs with places for the repository, the branch and the path."""

    url: str
    file: str
    contents: str
    snapshot: str
    token_variable: str

    def address(self, pattern: str, *, repository: str, branch: str, path: str = "") -> str:
        """The URL that a pattern gives for a path."""
        return pattern.format(
            archive=self.url, repository=quote(repository), branch=quote(branch, safe=""), path=quote(path)
        )


@dataclass(frozen=True)
class Remote:
    """One file in the archive.

    Attributes
    ----------
    name
        What the user calls it: "dynamic29515-10-12", "weights/fold_0".
    path
        Where it lies in the repository.
    local
        Where it goes in the user's folder; for a recording, the folder that it is unpacked to.
    """

    name: str
    group: str
    repository: str
    branch: str
    path: str
    local: PurePosixPath
    is_recording: bool = False
    about: str = ""
    gigabytes: float | None = None

    @property
    def key(self) -> str:
        """What it is called in checksums.json."""
        return f"{self.repository}/{self.path}"

    @property
    def part(self) -> str:
        """What ``only`` calls it within its group."""
        return self.name.removeprefix(f"{self.group}/")


@dataclass(frozen=True)
class Group:
    """Files that are asked for under one name."""

    name: str
    about: str
    repository: str
    branch: str
    folder: str
    is_recording: bool
    gigabytes: float | None
    leave_out: tuple[str, ...]
    files: tuple[Remote, ...]

    @property
    def is_listed(self) -> bool:
        """Whether the archive has to be asked which files there are."""
        return not self.files

    def file(self, inner: str, *, name: str | None = None, about: str = "") -> Remote:
        """The file at a path inside the group's folder."""
        local = PurePosixPath(inner).with_suffix("") if self.is_recording else PurePosixPath(self.name, inner)
        return Remote(
            name=(name or inner) if self.is_recording else f"{self.name}/{name or inner}",
            group=self.name,
            repository=self.repository,
            branch=self.branch,
            path=f"{self.folder}/{inner}".lstrip("/"),
            local=local,
            is_recording=self.is_recording,
            about=about,
            gigabytes=self.gigabytes,
        )


@dataclass(frozen=True)
class Catalogue:
    """All groups of one archive."""

    archive: Archive
    groups: tuple[Group, ...]

    def url(self, remote: Remote) -> str:
        """Where the content of a file is."""
        return self.archive.address(
            self.archive.file, repository=remote.repository, branch=remote.branch, path=remote.path
        )

    def lines(self) -> list[str]:
        """What there is, for the person at the terminal."""
        lines = [f"from {self.archive.url}; sizes with a ~ are guesses, the archive is asked when a download starts"]
        for group in self.groups:
            lines += ["", f"{group.name}: {group.about} ({group.repository})"]
            size = "" if group.gigabytes is None else f"~{group.gigabytes:g} GB"
            lines += [f"  {file.name:<22} {size:>9}  {file.about}".rstrip() for file in group.files]
        return [*lines, "", f"{RECORDINGS}: new and old", f"{ALL}: everything"]

    @property
    def names(self) -> list[str]:
        """Every name that may be asked for."""
        return [ALL, RECORDINGS, *(g.name for g in self.groups), *(f.name for g in self.groups for f in g.files)]


@dataclass(frozen=True)
class Choice:
    """What was asked for.

    Attributes
    ----------
    files
        Files that the catalogue names.
    listed
        Groups whose files the archive must be asked for.
    parts
        Of recordings: folds and tiers to keep; all trials where there are none.
    only
        The words that were given, for groups that are still to be listed.
    """

    files: list[Remote] = field(default_factory=list)
    listed: list[Group] = field(default_factory=list)
    parts: tuple[str, ...] = ()
    only: tuple[str, ...] = ()


def load_catalogue(file: str | Path = FILE) -> Catalogue:
    """The catalogue in a TOML file; InputError if it is none."""
    try:
        content = tomllib.loads(user_path(file).read_text(encoding="utf-8"))
        return Catalogue(Archive(**content["archive"]), tuple(map(_group, content["group"])))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{file} is no catalogue of downloads ({error!r}); it must be like {FILE.name}") from error


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
        files=(),
    )
    files = (bare.file(row["path"], name=row["name"], about=row.get("about", "")) for row in _rows(entry, "files"))
    return replace(bare, files=tuple(files))


def _rows(entry: dict[str, object], key: str) -> list[dict[str, str]]:
    rows = entry.get(key, [])
    if not isinstance(rows, list):
        raise TypeError(f"{key} must be a list")
    return rows


def choose(catalogue: Catalogue, names: Sequence[str], only: Sequence[str] = ()) -> Choice:
    """The files that names and parts stand for, each once.

    Parameters
    ----------
    names
        Groups ("new", "weights"), files ("weights/fold_0"), mice ("dynamic29515-10-12", or as much of it as is
        unique), "recordings" for all mice, "all".
    only
        Parts. Of recordings folds and tiers ("fold_0", "oracle"); of the others the part of the name behind the
        group, or a pattern of it ("fold_0", "m1", "noise", "*_pop100_*").

    Raises
    ------
    InputError
        A name or part that is not there.
    """
    if not names:
        raise InputError(f"nothing was asked for; name some of {', '.join(catalogue.names)}")
    files: dict[str, Remote] = {}
    listed: dict[str, Group] = {}
    for name in names:
        found = _named(catalogue, name)
        groups = [each for each in found if isinstance(each, Group)]
        named = [each for each in found if isinstance(each, Remote)]
        chosen = [file for file in named if file.is_recording or matches(file, only)]
        if not chosen and not groups:
            there = ", ".join(file.part for file in named)
            raise InputError(f"{name} has no part {', '.join(only)}; its parts are {there}")
        files |= {file.key: file for file in chosen}
        listed |= {group.name: group for group in groups}
    parts = tuple(sorted(set(only))) if any(file.is_recording for file in files.values()) else ()
    _check_parts(parts)
    return Choice(list(files.values()), list(listed.values()), parts, tuple(only))


def matches(file: Remote, only: Sequence[str]) -> bool:
    """Whether ``only`` means this file: by its part, the folder at the head of it, or a pattern."""
    words = (file.part, file.part.partition("/")[0])
    return not only or any(word == wanted or fnmatchcase(word, wanted) for word in words for wanted in only)


def _named(catalogue: Catalogue, name: str) -> list[Remote | Group]:
    groups = [
        group for group in catalogue.groups if name in (group.name, ALL) or (name == RECORDINGS and group.is_recording)
    ]
    if groups:
        return [found for group in groups for found in ([group] if group.is_listed else group.files)]
    everything = [file for group in catalogue.groups for file in group.files]
    exact = [file for file in everything if name in (file.name, file.local.name)]
    found = exact or [file for file in everything if file.is_recording and file.local.name.startswith(name)]
    if len(found) != 1:
        said = f"{name!r} fits {', '.join(file.name for file in found)}" if found else f"there is no {name!r}"
        raise InputError(f"{said}; what can be downloaded: {', '.join(catalogue.names)}")
    return list(found)


def _check_parts(parts: Sequence[str]) -> None:
    """Which tiers a recording has is only known when it is read; what can be no word of one is refused here."""
    for part in parts:
        if not part.isidentifier() or (part.startswith("fold") and not is_fold(part)):
            raise InputError(
                f"a recording has no part {part!r}; its parts are folds (fold_0 to fold_6) and tiers (train, oracle, …)"
            )

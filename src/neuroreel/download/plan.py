"""The plan of a download: which files, from where, how large. Shown before anything is fetched."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePosixPath

from neuroreel.download.catalogue import Catalogue, Group, Remote, choose, parts_of
from neuroreel.download.checksums import Expected
from neuroreel.download.client import Client, part_file
from neuroreel.download.ledger import WORKPLACE, Ledger
from neuroreel.download.snapshot import read_snapshot
from neuroreel.errors import InputError, ResourceError
from neuroreel.files import free_bytes
from neuroreel.memory import in_words
from neuroreel.recordings.sensorium import check_layout

MOST_LINES = 24
"""Most files to list one by one."""
_GUESSED_BYTES_A_SECOND = 100e6 / 8


@dataclass(frozen=True)
class Transfer:
    """One file to fetch, or one recording to fetch and unpack.

    Attributes
    ----------
    target
        The file, or the recording's folder.
    workplace
        Where partial data are kept until complete.
    parts
        Folds and tiers of a recording; empty for all of it.
    expected
        What is known about the file; its size is always known, except for a zip from the user.
    brought
        The recording's zip, if the user has put it into the folder.
    """

    remote: Remote
    url: str
    target: Path
    workplace: Path
    parts: tuple[str, ...]
    expected: Expected
    brought: Path | None

    @property
    def part(self) -> Path:
        """The partial data of the file."""
        return part_file(self.workplace, PurePosixPath(self.remote.path).name, self.expected)

    @property
    def size(self) -> int:
        """Bytes to download."""
        return 0 if self.brought else self.expected.size or 0

    @property
    def begun(self) -> int:
        """Bytes already downloaded by an earlier run."""
        return self.part.stat().st_size if self.part.exists() else 0

    def __str__(self) -> str:
        parts = ", ".join(self.parts)
        if self.brought:
            return f"{parts} {self.remote.name}, from {self.brought}".lstrip()
        return f"{self.remote.name}{f', all of it, to keep {parts}' if parts else ''}"


@dataclass(frozen=True)
class Transfers:
    """All files of a download, and existing ones."""

    to: Path
    transfers: list[Transfer]
    there: list[Path]
    parallel: int

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(transfer.size for transfer in self.transfers)

    @property
    def begun(self) -> int:
        """Bytes already downloaded by an earlier run."""
        return sum(transfer.begun for transfer in self.transfers)

    @property
    def needed(self) -> int:
        """Disk space needed at least: all files, plus zips next to what is unpacked from them."""
        zips = sorted(transfer.size for transfer in self.transfers if transfer.remote.is_recording)
        brought = sum(transfer.brought.stat().st_size for transfer in self.transfers if transfer.brought)
        return max(0, self.size + brought + sum(zips[-self.parallel :]) - self.begun)

    def lines(self) -> list[str]:
        """The plan for the terminal: a line per file, or per folder if there are many."""
        lines = [f"{path} already exists" for path in self.there]
        if len(lines) > MOST_LINES:
            lines = [f"{len(self.there)} files already exist"]
        if not self.transfers:
            return lines
        if len(self.transfers) <= MOST_LINES:
            lines += [f"{in_words(transfer.size):>9}  {transfer}" for transfer in self.transfers]
        else:
            folders: dict[str, list[int]] = {}
            for transfer in self.transfers:
                folders.setdefault("/".join(transfer.remote.name.split("/")[:2]), []).append(transfer.size)
            lines += [f"{in_words(sum(sizes)):>9}  {name} ({len(sizes)} files)" for name, sizes in folders.items()]
        resumed = f", of which {in_words(self.begun)} are already downloaded" if self.begun else ""
        minutes = (self.size - self.begun) / _GUESSED_BYTES_A_SECOND / 60
        time = f"{minutes / 60:.1f} h" if minutes >= 60 else f"{max(1, round(minutes))} min"
        return [
            *lines,
            f"{in_words(self.size)} to download{resumed}, to {self.to}",
            f"{in_words(free_bytes(self.to))} of disk are free there, at least {in_words(self.needed)} are needed; "
            f"at 100 Mbit/s it takes {time}",
        ]


def plan_transfers(
    client: Client, catalogue: Catalogue, names: Sequence[str], *, to: Path, only: Sequence[str], parallel: int
) -> Transfers:
    """Ask the archive about everything that was named and does not exist yet.

    Raises
    ------
    InputError
        An unknown name or part, or something else in the place of a download.
    ResourceError
        The archive cannot be reached, or does not list its files.
    """

    @cache
    def snapshot(url: str) -> dict[str, Expected] | None:
        return read_snapshot(client, url)

    def listing(group: Group) -> list[Remote]:
        known = snapshot(catalogue.snapshot_of(group))
        if known is None:
            raise ResourceError(
                f"the archive does not list {group.repository}/{group.folder}: its snapshot cannot be read; try again "
                "later, or name the files in a copy of catalogue.toml, which --catalogue takes"
            )
        return group.listed(known)

    def expected_of(remote: Remote) -> Expected:
        if (known := ledger.expected(remote.key) or remote.expected).checksum:
            return known
        return (snapshot(catalogue.snapshot_of(remote.group)) or {}).get(remote.path, known)

    ledger = Ledger(to)
    remotes = choose(catalogue, names, only, listing=listing)
    parts = parts_of(remotes, only)
    transfers, there = [], []
    for remote in remotes:
        # parts of recordings have their own folder, fold_0/dynamic29515-…; they share partial data with the whole
        target = to / ("_".join(parts) if remote.is_recording else "") / remote.local
        workplace = to / WORKPLACE / "arriving" / remote.local
        if _is_there(target, remote, ledger):
            there.append(target)
            shutil.rmtree(workplace, ignore_errors=True)  # from a run that was killed before it cleaned up
            continue
        url, expected = catalogue.url(remote), expected_of(remote)
        zipped = to / PurePosixPath(remote.path).name
        brought = zipped if remote.is_recording and zipped.is_file() else None
        if brought is None and (expected.size is None or expected.checksum is None):
            expected = client.ask(url, expected)
        transfers.append(
            Transfer(remote, url, target, workplace, parts if remote.is_recording else (), expected, brought)
        )
    return Transfers(to, transfers, there, parallel)


def check_space(to: Path, needed: int, *, what: str) -> None:
    """ResourceError if ``needed`` bytes do not fit on the disk of a folder."""
    free = free_bytes(to)
    if needed > free:
        raise ResourceError(
            f"{what} needs {in_words(needed)} of disk in {to}, of which {in_words(free)} are free; free some, choose "
            "another folder with to=, or ask for less at once"
        )


def _is_there(target: Path, remote: Remote, ledger: Ledger) -> bool:
    if not target.exists():
        return False
    if remote.is_recording:
        check_layout(target)
        return True
    expected = ledger.expected(remote.key)
    if expected is None:
        raise InputError(
            f"{target} exists, but was not downloaded by neuroreel; move it away, or choose another folder"
        )
    if target.stat().st_size != expected.size:
        raise InputError(
            f"{target} has {target.stat().st_size} bytes, and had {expected.size} when it was downloaded; delete it"
        )
    return True

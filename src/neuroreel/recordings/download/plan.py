"""What a download will do: which files, from where, how large. Made and shown before anything is fetched."""

from __future__ import annotations

import math
import shutil
from dataclasses import dataclass
from pathlib import Path

from neuroreel.errors import ResourceError
from neuroreel.recordings.download.catalogue import Remote
from neuroreel.recordings.download.checksums import Expected
from neuroreel.recordings.download.manifest import WORKPLACE, manifest_file
from neuroreel.recordings.download.transfer import Offer

MOST_LINES = 24
"""How many files are named one by one."""
_GUESSED_BYTES_A_SECOND = 100e6 / 8


@dataclass(frozen=True)
class Job:
    """One file to fetch, or one recording to fetch and unpack.

    Attributes
    ----------
    target
        The file, or the recording's folder.
    parts
        Folds and tiers of a recording; all of it where there are none.
    offer
        What the server says of the file.
    expected
        What the archive's checksums, or those of an earlier download, say of it.
    download
        Bytes to download.
    disk
        Bytes on disk in the end; None where that cannot be told yet.
    brought
        The recording's zip, where the user has put it into the folder.
    """

    remote: Remote
    url: str
    target: Path
    parts: tuple[str, ...]
    offer: Offer
    expected: Expected
    download: int
    disk: int | None = None
    brought: Path | None = None

    @property
    def by_pieces(self) -> bool:
        """Whether only the wanted parts of a zip are fetched."""
        return bool(self.parts) and self.offer.ranges


@dataclass(frozen=True)
class Plan:
    """All jobs of a download, and what is there already."""

    to: Path
    jobs: list[Job]
    there: list[Path]
    parallel: int

    @property
    def begun(self) -> int:
        """Bytes that an earlier run has left."""
        return sum(begun(self.to, job) for job in self.jobs)

    @property
    def download(self) -> int:
        """Bytes that are still to be fetched."""
        return sum(job.download for job in self.jobs) - self.begun

    @property
    def needed(self) -> int:
        """Bytes of disk at least: everything, and the zips that lie beside what is unpacked from them."""
        zips = sorted(job.download for job in self.jobs if job.remote.is_recording and not job.by_pieces)
        kept = sum(job.download if job.disk is None else job.disk for job in self.jobs)
        return kept + sum(zips[-self.parallel :]) - self.begun

    def lines(self) -> list[str]:
        """The plan for the person at the terminal."""
        lines = [f"{path} is there already" for path in self.there]
        if len(lines) > MOST_LINES:
            lines = [f"{len(self.there)} files are there already"]
        lines += self._files()
        if self.jobs:
            if any(job.remote.is_recording and not (job.offer.ranges or job.brought) for job in self.jobs):
                lines.append(
                    "the archive sends only whole files: a recording whose transfer is interrupted starts anew"
                )
            resumed = f", of which {_size(self.begun)} have arrived before" if self.begun else ""
            hours = self.download / _GUESSED_BYTES_A_SECOND / 3600
            lines += [
                f"{_size(sum(job.download for job in self.jobs))} to download{resumed}, to {self.to}",
                f"{_size(_free(self.to))} of disk are free there, at least {_size(max(0, self.needed))} are needed; "
                f"at 100 Mbit/s it takes {_time(hours)}",
            ]
        return lines

    def _files(self) -> list[str]:
        """One line a file; where there are many, one a folder."""
        if len(self.jobs) <= MOST_LINES:
            return [f"{_size(job.download):>9}  {_what(job)}" for job in self.jobs]
        folders: dict[str, list[int]] = {}
        for job in self.jobs:
            folders.setdefault("/".join(job.remote.name.split("/")[:2]), []).append(job.download)
        return [f"{_size(sum(sizes)):>9}  {name} ({len(sizes)} files)" for name, sizes in folders.items()]

    def check_space(self) -> None:
        """ResourceError if the disk cannot hold it."""
        check_space(self.to, self.needed, what="the download")


def staging(to: Path, target: Path) -> Path:
    """Where a recording is unpacked before it is renamed."""
    return to / WORKPLACE / manifest_file(to, target).stem


def begun(to: Path, job: Job) -> int:
    """Bytes of a job that an earlier run has left."""
    name = job.target.name if not job.remote.is_recording else f"{job.remote.local.name}.zip"
    place = workplace(to, job.remote)
    found = [path for path in (place / name, place / f"{name}.part") if path.exists()]
    return min(job.download, found[0].stat().st_size) if found and not job.by_pieces else 0


def workplace(to: Path, remote: Remote) -> Path:
    """Where what has arrived of a file is kept: files of one name in two folders are kept apart."""
    return to / WORKPLACE / "arriving" / remote.local.parent


def check_space(to: Path, needed: int, *, what: str) -> None:
    """ResourceError if ``needed`` bytes do not fit on the disk of a folder."""
    free = _free(to)
    if needed > free:
        raise ResourceError(
            f"{what} needs {_size(needed)} of disk in {to}, of which {_size(free)} are free; free some, choose another "
            "folder with --to, or ask for less at once"
        )


def _free(folder: Path) -> int:
    there = next(parent for parent in (folder.absolute(), *folder.absolute().parents) if parent.exists())
    return shutil.disk_usage(there).free


def _what(job: Job) -> str:
    if job.brought:
        return f"{' '.join(job.parts)} {job.remote.name}, from {job.brought}".lstrip()
    if not job.parts:
        return f"{job.remote.name}"
    parts = ", ".join(job.parts)
    if job.by_pieces:
        return f"about, for {parts} of {job.remote.name}"
    return f"{job.remote.name}, all of it, to keep {parts}: the archive does not send parts of files"


def _size(count: float) -> str:
    exponent = 0 if count < 1000 else min(4, int(math.log10(count) / 3))
    return f"{count / 1000**exponent:.3g} {('B', 'kB', 'MB', 'GB', 'TB')[exponent]}"


def _time(hours: float) -> str:
    return f"{hours:.1f} h" if hours >= 1 else f"{max(1, round(hours * 60))} min"

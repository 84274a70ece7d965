"""What a download will do: which files, from where, how large. Made and shown before anything is fetched."""

from __future__ import annotations

import math
import shutil
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from neuroreel.errors import InputError, ResourceError
from neuroreel.recordings.download.catalogue import Catalogue, Choice, Group, Remote, choose, matches
from neuroreel.recordings.download.checksums import Expected, Ledger
from neuroreel.recordings.download.listing import known_of, list_folder
from neuroreel.recordings.download.manifest import LEDGER, WORKPLACE, manifest_file
from neuroreel.recordings.download.part import Packed, part_cost
from neuroreel.recordings.download.ranges import reading
from neuroreel.recordings.download.transfer import Offer, probe
from neuroreel.recordings.download.unpack import members_of, opened
from neuroreel.recordings.download.web import Web
from neuroreel.recordings.sensorium import check_layout

MOST_LINES = 24
"""How many files are named one by one."""
_ATTEMPTS = 4
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


def make_plan(
    web: Web, catalogue: Catalogue, names: Sequence[str], *, to: Path, only: Sequence[str], parallel: int
) -> Plan:
    """Ask the archive about everything that was named and is not there.

    Raises
    ------
    InputError
        A name or part that is not there, or something else in the place of what is to be downloaded.
    ResourceError
        The archive cannot be reached, or does not tell what it has.
    """
    ledger = Ledger(to / LEDGER)
    choice = choose(catalogue, names, only)
    remotes, known = _listed(web, catalogue, choice)
    targets = {remote: _target(to, remote, choice.parts) for remote in remotes}
    there = [target for remote, target in targets.items() if _is_there(target, remote, ledger)]
    missing = [remote for remote, target in targets.items() if target not in there]
    known |= _checksums(web, catalogue, [remote for remote in missing if remote.key not in known])
    jobs = [
        Job(
            remote,
            catalogue.url(remote),
            targets[remote],
            parts=choice.parts if remote.is_recording else (),
            offer=Offer(None, None, ranges=False),
            expected=_expected(ledger, remote, known.get(remote.key)),
            download=0,
        )
        for remote in missing
    ]
    patient = web.hurried(_ATTEMPTS)
    with ThreadPoolExecutor(parallel) as pool:
        try:
            jobs = list(pool.map(lambda job: _asked(patient, job, to=to), jobs))
        except BaseException:  # one of them cannot be had, or Ctrl-C: do not wait for the others
            web.stop()
            raise
    return Plan(to, jobs, there, parallel)


def _listed(web: Web, catalogue: Catalogue, choice: Choice) -> tuple[list[Remote], dict[str, Expected]]:
    """All files that were asked for, with those of groups that only the archive can list."""
    remotes, known = list(choice.files), {}
    for group in choice.listed:
        place = {"repository": group.repository, "branch": group.branch, "folder": group.folder}
        listing = list_folder(web, catalogue.archive, **place)
        if listing is None:
            raise ResourceError(
                f"the archive does not list {group.repository}/{group.folder}; set {catalogue.archive.token_variable} "
                f"to an access token of {catalogue.archive.url}, which any account there can make"
            )
        for path, expected in sorted(listing.items()):
            remote = _listed_file(group, path, choice.only)
            if remote is not None:
                remotes.append(remote)
                known[remote.key] = expected
    if not remotes:
        raise InputError(f"the archive has no part {', '.join(choice.only)} of what was named")
    return remotes, known


def _listed_file(group: Group, path: str, only: Sequence[str]) -> Remote | None:
    inner = PurePosixPath(path).relative_to(group.folder)
    if any(inner.match(pattern) for pattern in group.leave_out):
        return None
    remote = group.file(inner.as_posix())
    return remote if matches(remote, only) else None


def _checksums(web: Web, catalogue: Catalogue, remotes: Sequence[Remote]) -> dict[str, Expected]:
    """What the archive says of files that the catalogue names, as far as it does."""
    found: dict[str, Expected] = {}
    for repository, branch in sorted({(remote.repository, remote.branch) for remote in remotes}):
        paths = [remote.path for remote in remotes if (remote.repository, remote.branch) == (repository, branch)]
        known = known_of(web, catalogue.archive, repository=repository, branch=branch, paths=paths)
        found |= {f"{repository}/{path}": expected for path, expected in known.items()}
    return found


def _target(to: Path, remote: Remote, parts: tuple[str, ...]) -> Path:
    """Parts of recordings have their own folder: ``fold_0/dynamic29515-…``."""
    return to / ("_".join(parts) if remote.is_recording else "") / remote.local


def _is_there(target: Path, remote: Remote, ledger: Ledger) -> bool:
    if not target.exists():
        return False
    if remote.is_recording:
        check_layout(target)
        return True
    expected = ledger.expected(remote.key)
    if expected is None:
        raise InputError(
            f"{target} is there, but was not downloaded by neuroreel; move it away, or choose another folder"
        )
    if target.stat().st_size != expected.size:
        raise InputError(
            f"{target} has {target.stat().st_size} bytes, and had {expected.size} when it was downloaded; delete it"
        )
    return True


def _expected(ledger: Ledger, remote: Remote, listed: Expected | None) -> Expected:
    """By the archive, or by the first download; InputError if they disagree."""
    first = ledger.expected(remote.key)
    if first is None or listed is None:
        return first or listed or Expected()
    if listed.size not in (None, first.size):
        raise InputError(
            f"{remote.key} has {listed.size} bytes in the archive, and had {first.size} when it was first downloaded "
            f"here: the archive has changed it. To take the new one, delete its entry in {ledger.file}"
        )
    return first if listed.checksum is None else listed


def _asked(web: Web, job: Job, *, to: Path) -> Job:
    """With what the server says of the file, and what it costs."""
    if not job.remote.is_recording and job.expected.size is not None:
        return replace(job, download=job.expected.size)
    brought = to / PurePosixPath(job.remote.path).name
    if job.remote.is_recording and brought.is_file():
        return replace(job, brought=brought, disk=brought.stat().st_size)
    offer = probe(web, job.url)
    size = job.expected.size if offer.size is None else offer.size
    if size is None:
        raise ResourceError(f"{job.url}: the server does not say how large it is; try again later")
    job = replace(job, offer=offer, download=size)
    if not job.by_pieces:
        return job
    with reading(web, job.url, offer) as stream, opened(stream, source=job.url) as archive:
        members = members_of(archive, source=job.url)
        packed = Packed(archive, members, job.remote.local.name, staging(to, job))
        download, disk = part_cost(packed, job.parts)
    return replace(job, download=min(download, size), disk=disk)


def staging(to: Path, job: Job) -> Path:
    """Where a recording is unpacked before it is renamed."""
    return to / WORKPLACE / manifest_file(to, job.target).stem


def begun(to: Path, job: Job) -> int:
    """Bytes of a job that an earlier run has left."""
    name = job.target.name if not job.remote.is_recording else f"{job.remote.local.name}.zip"
    found = [path for path in (workplace(to, job) / name, workplace(to, job) / f"{name}.part") if path.exists()]
    return min(job.download, found[0].stat().st_size) if found and not job.by_pieces else 0


def workplace(to: Path, job: Job) -> Path:
    """Where what has arrived of a job is kept: files of one name in two folders are kept apart."""
    return to / WORKPLACE / "arriving" / job.remote.local.parent


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

"""Asking the archive what a download would be: which files are missing, their sizes, their checksums."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path, PurePosixPath

from neuroreel.errors import InputError, ResourceError
from neuroreel.recordings.download.catalogue import Catalogue, Choice, Group, Remote, choose, matches
from neuroreel.recordings.download.checksums import Expected, Ledger
from neuroreel.recordings.download.listing import known_of, list_folder
from neuroreel.recordings.download.manifest import LEDGER
from neuroreel.recordings.download.part import Packed, part_cost
from neuroreel.recordings.download.plan import Job, Plan, staging, workplace
from neuroreel.recordings.download.ranges import reading
from neuroreel.recordings.download.transfer import Offer, probe
from neuroreel.recordings.download.unpack import members_of, opened
from neuroreel.recordings.download.web import Web
from neuroreel.recordings.sensorium import check_layout

_ATTEMPTS = 4


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
    for remote in set(remotes) - set(missing):
        _clear_away(to, remote, targets[remote], parts=choice.parts)
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


def _clear_away(to: Path, remote: Remote, target: Path, *, parts: tuple[str, ...]) -> None:
    """What is left where a run was killed between giving a recording its name and tidying up."""
    if remote.is_recording:
        shutil.rmtree(staging(to, target), ignore_errors=True)
        if not parts:
            (workplace(to, remote) / f"{remote.local.name}.zip").unlink(missing_ok=True)


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
        packed = Packed(archive, members, job.remote.local.name, staging(to, job.target))
        download, disk = part_cost(packed, job.parts)
    return replace(job, download=min(download, size), disk=disk)

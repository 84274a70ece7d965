"""``nr.download``: recordings and the authors' files, from the archive into a folder."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import IO

from neuroreel.errors import ExistsError, InputError, NeuroreelError
from neuroreel.files import explain_disk_errors, move_new, user_path
from neuroreel.locks import folder_lock
from neuroreel.progress import above_bars, bar_of
from neuroreel.recordings.download.asking import make_plan
from neuroreel.recordings.download.catalogue import Catalogue, load_catalogue
from neuroreel.recordings.download.checksums import Ledger, checksum_of
from neuroreel.recordings.download.manifest import LEDGER, write_manifest
from neuroreel.recordings.download.part import Packed, unpack_part, unpack_whole
from neuroreel.recordings.download.plan import MOST_LINES, Job, Plan, check_space, staging, workplace
from neuroreel.recordings.download.ranges import reading
from neuroreel.recordings.download.transfer import Fetched, fetch
from neuroreel.recordings.download.unpack import members_of, opened
from neuroreel.recordings.download.web import Patience, Web

MOST_PARALLEL = 16


def download(
    *names: str,
    to: str | Path,
    only: Sequence[str] = (),
    parallel: int = 4,
    catalogue: Catalogue | None = None,
    patience: Patience | None = None,
    progress: bool = True,
    say: Callable[[str], object] = lambda line: None,
    confirm: Callable[[], bool] = lambda: True,
) -> list[Path]:
    """Download recordings of Sensorium 2023 and the files of the paper's authors, and unpack them.

    It goes on where an earlier run stopped or was killed, whatever the moment. What is there already is kept. A file
    appears under its name when all of it has arrived and its length and checksum fit: the archive's own (git-annex)
    where it tells them, else those of the first download into this folder, which ``checksums.json`` there keeps.

    Parameters
    ----------
    names
        "new" and "old" (five mice each), "recordings" (all ten), one mouse ("dynamic29515-10-12"), "weights", "masks",
        "stimuli", "reconstructions", one of their files ("weights/fold_0"), or "all".
    to
        Folder; recordings become folders in it, the other files lie in folders named after their group.
    only
        Parts: of recordings folds and tiers ("fold_0", "oracle"), which make a smaller recording in a folder of that
        name; of the others the name behind the group, or a pattern ("fold_0", "m1", "*_pop100_*").
    parallel
        How many files are fetched at once, 1 to 16.
    catalogue
        What there is and where; by default what this package knows.
    patience
        How long to try.
    progress
        Show a bar, in a terminal or a notebook.
    say
        Called with lines for the user, such as ``print``: sizes, free disk and a guess of the time before the start,
        then what is done.
    confirm
        Called when the plan has been said; False ends it there.

    Returns
    -------
    list of Path
        The files, and the folders of the recordings, those that were there already first.

    Raises
    ------
    InputError
        A name that is not there, a file that is not what it should be, a zip that is damaged or hostile.
    ResourceError
        No connection, no space, no permission, or another run in the same folder. What has arrived is kept.
    """
    if not 1 <= parallel <= MOST_PARALLEL:
        raise InputError(f"parallel is {parallel}; it must be 1 to {MOST_PARALLEL}, out of regard for the archive")
    to = user_path(to)
    known = catalogue or load_catalogue()
    web = Web(patience, notice=lambda line: _say_above_bars(say, line))
    with folder_lock(to, what="download"):
        plan = make_plan(web, known, names, to=to, only=only, parallel=parallel)
        for line in plan.lines():
            say(line)
        plan.check_space()
        if plan.jobs and confirm():
            with bar_of(
                plan.download + plan.begun, description="Downloading", done=plan.begun, enabled=progress, unit="B"
            ) as advance:
                _Run(web, plan, _one_at_a_time(advance), say).all()
            return [*plan.there, *(job.target for job in plan.jobs)]
    return plan.there


class _Run:
    """The jobs of a plan, some at a time."""

    def __init__(self, web: Web, plan: Plan, advance: Callable[[int], object], say: Callable[[str], object]) -> None:
        self.web, self.plan, self.advance, self.say = web, plan, advance, say
        self.to = plan.to
        self.ledger = Ledger(plan.to / LEDGER)

    def all(self) -> None:
        """Do them; a file that the archive does not have does not keep the others from arriving."""
        failures: list[NeuroreelError] = []
        with ThreadPoolExecutor(self.plan.parallel, thread_name_prefix="download") as pool:
            futures: set[Future[None]] = {pool.submit(self._do, job) for job in self.plan.jobs}
            try:
                while futures:
                    done, futures = wait(futures, return_when=FIRST_COMPLETED)
                    for future in done:
                        try:
                            future.result()
                        except InputError as error:
                            failures.append(error)
            except BaseException:  # no network, no space, Ctrl-C: end the others too, at their next byte
                self.web.stop()
                pool.shutdown(cancel_futures=True)
                raise
        if len(self.plan.jobs) > MOST_LINES:
            self.say(f"{len(self.plan.jobs) - len(failures)} files are complete")
        if failures:
            more = f" (and {len(failures) - 1} more: {'; '.join(map(str, failures[1:]))})" if failures[1:] else ""
            raise type(failures[0])(f"{failures[0]}{more}")

    def _do(self, job: Job) -> None:
        with explain_disk_errors(job.target):
            if not job.remote.is_recording:
                local = job.target.relative_to(self.to).as_posix()
                self._fetch(job, job.target, checked=lambda fetched: self._record(job, fetched, local=local))
            elif job.brought:
                self._unpack_brought(job, job.brought)
            elif job.by_pieces:
                with reading(self.web, job.url, job.offer, advance=self.advance) as stream:
                    self._unpack(job, stream)
            else:
                self._fetch_and_unpack(job)
        if len(self.plan.jobs) <= MOST_LINES:
            _say_above_bars(self.say, f"{job.target} is complete")

    def _fetch(self, job: Job, target: Path, *, checked: Callable[[Fetched], object] = lambda fetched: None) -> Fetched:
        return fetch(
            self.web,
            job.url,
            target,
            workplace=workplace(self.to, job.remote),
            expected=job.expected,
            advance=self.advance,
            checked=checked,
        )

    def _record(self, job: Job, fetched: Fetched, *, local: str | None = None) -> None:
        checked = job.expected.source if job.expected.checksum else ""
        self.ledger.record(job.remote.key, size=fetched.size, sha256=fetched.sha256, checked=checked, local=local)

    def _unpack_brought(self, job: Job, zipped: Path) -> None:
        """A zip that the user has put there: checked like one that was fetched, and left there."""
        if job.expected.size not in (None, zipped.stat().st_size):
            raise InputError(
                f"{zipped} has {zipped.stat().st_size} bytes where {job.expected.size} are expected "
                f"({job.expected.source}); delete it, or fetch it again"
            )
        known = job.expected.checksum
        if known and checksum_of(zipped, known.algorithm) != known:
            raise InputError(
                f"{zipped} has another {known.algorithm} checksum than {job.expected.source}; fetch it again"
            )
        with zipped.open("rb") as stream:
            self._unpack(job, stream)

    def _fetch_and_unpack(self, job: Job) -> None:
        zipped = workplace(self.to, job.remote) / f"{job.remote.local.name}.zip"
        fetched = None if zipped.exists() else self._fetch(job, zipped)  # killed while it was unpacked: it was checked
        try:
            with zipped.open("rb") as stream:
                self._unpack(job, stream)
        except ExistsError:  # nothing is wrong with the zip
            raise
        except InputError:  # damaged or hostile; no part of it is kept, and its checksum is not learned
            zipped.unlink()
            shutil.rmtree(staging(self.to, job.target), ignore_errors=True)
            raise
        if fetched is None:
            fetched = Fetched(zipped.stat().st_size, checksum_of(zipped, "sha256").digest)
        self._record(job, fetched)
        zipped.unlink()

    def _unpack(self, job: Job, stream: IO[bytes]) -> None:
        """To a folder beside, then under its name."""
        place = staging(self.to, job.target)
        with opened(stream, source=job.url) as archive:
            members = members_of(archive, source=job.url)
            packed = Packed(archive, members, job.remote.local.name, place, self.web.check_stopped)
            if job.parts:
                folder = unpack_part(packed, job.parts, source=job.url)
                crcs = None
            else:
                unpacked = sum(info.file_size for info in members.values())
                check_space(self.to, unpacked, what=f"unpacking {job.remote.name}")
                _say_above_bars(self.say, f"unpacking {job.remote.name}")
                folder = unpack_whole(packed)
                crcs = {path.as_posix(): info.CRC for path, info in members.items()}
        write_manifest(self.to, folder, folder=job.target, crcs=crcs)
        job.target.parent.mkdir(parents=True, exist_ok=True)
        move_new(folder, job.target)
        shutil.rmtree(place, ignore_errors=True)


def _say_above_bars(say: Callable[[str], object], line: str) -> None:
    with above_bars():
        say(line)


def _one_at_a_time(advance: Callable[[int], object]) -> Callable[[int], None]:
    """The bar counts with plain additions, some of which threads would lose."""
    lock = threading.Lock()

    def counted(count: int) -> None:
        with lock:
            advance(count)

    return counted

"""``nr.download``: recordings and the authors' files, from the archive into a folder."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from neuroreel.defaults import PARALLEL_DOWNLOADS
from neuroreel.download.catalogue import Catalogue, load_catalogue
from neuroreel.download.checksums import problem_of
from neuroreel.download.client import Client, patient
from neuroreel.download.ledger import Ledger, write_manifest
from neuroreel.download.part import PartError, unpack_part
from neuroreel.download.plan import MOST_LINES, Transfer, Transfers, check_space, plan_transfers
from neuroreel.download.unpack import opened
from neuroreel.errors import InputError, NeuroreelError
from neuroreel.files import explain_disk_errors, move_new, user_path
from neuroreel.locks import folder_lock
from neuroreel.progress import above_bars, bar_of

if TYPE_CHECKING:
    from urllib3 import Retry

MOST_PARALLEL = 16


def download(
    *names: str,
    to: str | Path,
    only: Sequence[str] = (),
    parallel: int = PARALLEL_DOWNLOADS,
    catalogue: Catalogue | None = None,
    retries: Retry | None = None,
    timeout_s: tuple[float, float] = (20.0, 60.0),
    progress: bool = True,
    say: Callable[[str], object] = lambda line: None,
    confirm: Callable[[], bool] = lambda: True,
) -> list[Path]:
    """Download recordings of Sensorium 2023 and the files of the paper's authors, and unpack them.

    It resumes where an earlier run stopped or was killed. Existing files are kept. A file appears under its name when
    it is complete and its size and checksum match those of the catalogue or of the archive (git-annex) if known, else
    those of the first download into this folder, which ``checksums.json`` there records.

    Parameters
    ----------
    names
        "new" and "old" (five mice each), "recordings" (all ten), one mouse ("dynamic29515-10-12"), "weights", "masks",
        "stimuli", "reconstructions", one of their files ("weights/fold_0"), or "all".
    to
        Folder; recordings become folders in it, other files go to folders named after their group.
    only
        Parts: folds and tiers of recordings ("fold_0", "oracle"), which make a smaller recording in a folder of that
        name; for other files the name after the group, or a pattern ("fold_0", "m1", "*_pop100_*").
    parallel
        How many files are fetched at once, 1 to 16.
    catalogue
        The catalogue of files; by default the package's own.
    retries, timeout_s
        How long to try: a ``urllib3.Retry``, by default eight attempts with waits up to a minute, and the seconds
        within which a server must answer or continue sending.
    progress
        Show a bar, in a terminal or a notebook.
    say
        Called with lines for the user, such as ``print``: the plan, then what is done.
    confirm
        Called after the plan has been shown; False stops there.

    Returns
    -------
    list of Path
        The files and the folders of recordings, existing ones first.

    Raises
    ------
    InputError
        An unknown name, a file that is not as expected, or a zip that is damaged or malicious.
    ResourceError
        No connection, no space, no permission, or another run in the same folder. Partial data are kept.
    """
    if not 1 <= parallel <= MOST_PARALLEL:
        raise InputError(f"parallel is {parallel}; it must be 1 to {MOST_PARALLEL}, to spare the archive")
    to = user_path(to)

    def say_above_bars(line: str) -> None:
        with above_bars():
            say(line)

    client = Client(retries or patient(), timeout_s=timeout_s, notice=say_above_bars)
    with folder_lock(to, what="download"):
        plan = plan_transfers(client, catalogue or load_catalogue(), names, to=to, only=only, parallel=parallel)
        for line in plan.lines():
            say(line)
        check_space(to, plan.needed, what="the download")
        if not plan.transfers or not confirm():
            return plan.there
        with bar_of(plan.size, description="Downloading", done=plan.begun, enabled=progress, unit="B") as advance:
            _Downloads(client, plan, Ledger(to), advance, say_above_bars).all()
    return [*plan.there, *(transfer.target for transfer in plan.transfers)]


@dataclass(frozen=True)
class _Downloads:
    """The transfers of a plan, some at a time."""

    client: Client
    plan: Transfers
    ledger: Ledger
    advance: Callable[[int], object]
    say: Callable[[str], object]
    lock: threading.Lock = field(default_factory=threading.Lock)

    def all(self) -> None:
        """Run them; a file that the archive does not have does not stop the others."""
        failures: list[NeuroreelError] = []
        with ThreadPoolExecutor(self.plan.parallel, thread_name_prefix="download") as pool:
            futures = {pool.submit(self._do, transfer) for transfer in self.plan.transfers}
            try:
                while futures:
                    done, futures = wait(futures, return_when=FIRST_COMPLETED)
                    for future in done:
                        try:
                            future.result()
                        except InputError as error:
                            failures.append(error)
            except BaseException:  # no network, no space, Ctrl-C: stop the others too, at their next byte
                self.client.stopping.set()
                pool.shutdown(cancel_futures=True)
                raise
        if len(self.plan.transfers) > MOST_LINES:
            self.say(f"{len(self.plan.transfers) - len(failures)} files are complete")
        if failures:
            more = f" (and {len(failures) - 1} more: {'; '.join(map(str, failures[1:]))})" if failures[1:] else ""
            raise type(failures[0])(f"{failures[0]}{more}")

    def _do(self, transfer: Transfer) -> None:
        """Transfer one file or recording; it gets its name after it is recorded, and temporary files are deleted."""
        with explain_disk_errors(transfer.target):
            if transfer.remote.is_recording:
                self._unpacked(transfer)
            else:
                sha256 = self._fetch(transfer)
                local = transfer.target.relative_to(self.plan.to).as_posix()
                self.ledger.record(transfer.remote.key, transfer.part, sha256, transfer.expected, local=local)
                transfer.target.parent.mkdir(parents=True, exist_ok=True)
                move_new(transfer.part, transfer.target)
        shutil.rmtree(transfer.workplace, ignore_errors=True)
        if len(self.plan.transfers) <= MOST_LINES:
            self.say(f"{transfer.target} is complete")

    def _fetch(self, transfer: Transfer) -> str:
        return self.client.fetch(transfer.url, transfer.part, transfer.expected, advance=self._advance)

    def _advance(self, count: int) -> None:
        with self.lock:  # the bar's additions are not thread-safe
            self.advance(count)

    def _unpacked(self, transfer: Transfer) -> None:
        """Fetch the zip, or use the one from the user, and unpack it to a folder next to it."""
        zipped, check_stopped = transfer.brought or transfer.part, self.client.check_stopped
        if transfer.brought:
            sha256, problem = problem_of(zipped, transfer.expected, check_stopped=check_stopped)
            if problem:
                raise InputError(f"{zipped}: {problem}; delete it, or fetch it again")
        else:
            sha256 = self._fetch(transfer)
        place = transfer.workplace / "unpacked"
        folder = place / transfer.target.name
        shutil.rmtree(place, ignore_errors=True)  # from a killed run
        try:
            with opened(zipped, source=transfer.url, check_stopped=check_stopped) as packed:
                if transfer.parts:
                    unpack_part(packed, folder, transfer.parts, scratch=place / "whole")
                else:
                    check_space(self.plan.to, packed.size, what=f"unpacking {transfer.remote.name}")
                    self.say(f"unpacking {transfer.remote.name}")
                    packed.write_all(folder)
        except PartError:
            raise
        except InputError:  # damaged or malicious: nothing is kept, and its checksum is not recorded
            shutil.rmtree(transfer.workplace, ignore_errors=True)
            raise
        write_manifest(self.plan.to, folder, folder=transfer.target, check_stopped=check_stopped)
        self.ledger.record(transfer.remote.key, zipped, sha256, transfer.expected)
        transfer.target.parent.mkdir(parents=True, exist_ok=True)
        move_new(folder, transfer.target)

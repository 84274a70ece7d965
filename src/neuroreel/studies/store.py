"""The files of a study: a task is done when its record exists, and nothing is made twice or lost."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping, Set
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from glob import escape
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

from neuroreel import __version__
from neuroreel.errors import InputError
from neuroreel.files import atomic_path
from neuroreel.locks import file_lock, holder
from neuroreel.results.provenance import plain
from neuroreel.studies.task import Task

FILES = (".nc", ".npy", ".npz")  # extensions of results that are one file
State = Literal["done", "stale", "missing"]


@dataclass(frozen=True)
class Store:
    """The folder of a study.

    Each result has a record, which is written last and holds the fingerprint of everything that determined the result.
    Results with other fingerprints go to a folder ``replaced``; ``.locks`` has a lock for each fingerprint.
    """

    folder: Path

    def file(self, place: str) -> Path:
        """The file of a result."""
        return self.folder / place

    def record_file(self, place: str) -> Path:
        """The file of its record."""
        file = self.file(place)
        # an encoding model has a side-car with the shorter name, and folder names may contain a dot
        return file.with_suffix(".json") if file.suffix in FILES else file.with_name(f"{file.name}.json")

    def snapshot_file(self, task: Task) -> Path:
        """The snapshot of a running task; its name depends on the settings, so others are not resumed."""
        file = self.file(task.place)
        return file.with_name(f".{file.stem}-{task.hash[:8]}.pt")

    def state(self, place: str, fingerprint: str) -> State:
        """Whether the result exists, exists with another fingerprint, or is missing."""
        record = self.record(place)
        if record is None:
            return "missing"  # or killed between writing the result and its record
        return "done" if record["hash"] == fingerprint else "stale"

    def record(self, place: str) -> dict[str, Any] | None:
        """The record of a result; None unless both exist."""
        file = self.record_file(place)
        return read_record(file) if file.exists() and self.file(place).exists() else None

    def records(self, place: str) -> list[dict[str, Any]]:
        """The records of all jobs of an experiment in a folder, by name."""
        files = sorted(self.file(place).glob("[!.]*.json"))
        needed = {"key", "columns", "common", "fitted"}
        return [read_record(file, needed=needed) for file in files if file.with_suffix(".nc").exists()]

    @contextmanager
    def claim(self, task: Task, *, wait: bool = False) -> Iterator[bool]:
        """Within the block no other process makes the result with this fingerprint; yields False if one is doing so.

        The operating system releases the lock when its process ends, however that happens.
        """
        with file_lock(self._lock(task), what="study", wait=wait) as held:
            yield held

    def running(self, task: Task) -> bool:
        """Whether another process is making the result."""
        if not self._lock(task).exists():
            return False
        with self.claim(task) as held:
            return not held

    def holder(self, task: Task) -> str:
        """Which process is making the result, and since when."""
        return holder(self._lock(task))

    def _lock(self, task: Task) -> Path:
        return self.folder / ".locks" / task.hash

    def save(self, task: Task, result: Any, record: Mapping[str, Any]) -> None:
        """Write a result, or link to an equal one, then its record; an earlier result is moved aside."""
        self.move_aside(task.place)
        file = self.file(task.place)
        if isinstance(result, Equal):
            with atomic_path(file, overwrite=True) as partial:
                _link(result.file, partial)
        else:
            task.write(result, file)
            with atomic_path(self._noted(task), overwrite=True) as partial:
                partial.write_text(task.place, encoding="utf-8")
        self.write_record(task, record)
        for snapshot in file.parent.glob(f".{escape(file.stem)}-????????*.pt"):
            snapshot.unlink(missing_ok=True)

    def write_record(self, task: Task, record: Mapping[str, Any]) -> None:
        """Write the record of a result: from now on the task is done."""
        versions = {"neuroreel": __version__, "torch": version("torch")}
        made = {"versions": versions, "date": datetime.now(UTC).isoformat(timespec="seconds")}
        whole = {**task.described(), "hash": task.hash, "decided_by": task.decided_by, **record, **made}
        write_json(self.record_file(task.place), whole)

    def move_aside(self, place: str) -> None:
        """Move a finished result and its record to ``replaced``: the result first: a leftover record is ignored."""
        record, file = self.record(place), self.file(place)
        if record is None:  # a result without a record was never finished, a record without a result is ignored
            self.record_file(place).unlink(missing_ok=True)
            return
        aside = self.folder / Path(place).parts[0] / "replaced" if "/" in place else self.folder / "replaced"
        parts = [file, self.record_file(place)]
        parts += [file.with_suffix(".json")] if file.suffix == ".safetensors" else []
        for part in parts:
            target = aside / f"{file.stem}-{record['hash'][:8]}{part.name.removeprefix(file.stem)}"
            if part.exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                if target.is_dir():
                    shutil.rmtree(target)
                part.replace(target)

    def equal(self, task: Task) -> Equal | None:
        """A result with this fingerprint in another place, or among those replaced; None if there is none."""
        noted, suffix = self._noted(task), Path(task.place).suffix
        if suffix not in FILES:
            return None  # folders and files with a side-car are not linked
        files = [self.folder / noted.read_text(encoding="utf-8")] if noted.exists() else []
        files += sorted(self.folder.glob(f"*/replaced/*-{task.hash[:8]}{suffix}"))
        for file in files:
            record = self.record(str(file.relative_to(self.folder)))
            if record is not None and record["hash"] == task.hash:
                return Equal(file=file, record=record)
        return None

    def _noted(self, task: Task) -> Path:
        """File next to the lock with the result's place, for other tasks with the same fingerprint."""
        return self.folder / ".locks" / f"{task.hash}.place"


@dataclass(frozen=True, kw_only=True)
class Equal:
    """A finished result with the same fingerprint."""

    file: Path
    record: dict[str, Any]


def read_record(file: Path, *, needed: Set[str] = frozenset()) -> dict[str, Any]:
    """A record; InputError if it is damaged."""
    try:
        record: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        if not {"hash", "scores", "scoring", *needed} <= set(record):
            raise ValueError("fields are missing")
    except (OSError, ValueError, TypeError) as error:
        raise InputError(f"{file} is damaged ({error}); delete it, and its job runs again") from error
    return record


def write_json(file: Path, content: Mapping[str, Any]) -> None:
    """Write JSON, whole or not at all; NaN and infinity become words."""
    with atomic_path(file, overwrite=True) as partial:
        partial.write_text(json.dumps(plain(content), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _link(source: Path, target: Path) -> None:
    """The same file under another name; a copy if the file system has no links."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)

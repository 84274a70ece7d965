"""Where results of experiments lie: a result is done when its record is there, and is never made twice nor lost."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from glob import escape
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import xarray as xr

from neuroreel import __version__
from neuroreel.errors import InputError
from neuroreel.files import atomic_path
from neuroreel.locks import file_lock, holder
from neuroreel.results.datasets import write_dataset
from neuroreel.results.provenance import plain

State = Literal["done", "stale", "missing"]


@dataclass(frozen=True, kw_only=True)
class Store:
    """The folder of one experiment, ``out/experiment``.

    A job called KEY has its result in ``jobs/KEY.nc`` and its record in ``jobs/KEY.json``, which is written last and
    holds the fingerprint of all that decided the result. Results of other fingerprints go to ``replaced``.
    """

    out: Path
    experiment: str

    @property
    def folder(self) -> Path:
        """Of the experiment."""
        return self.out / self.experiment

    def result_file(self, key: str) -> Path:
        """Where the result of a job lies, once it is done."""
        return self.folder / "jobs" / f"{key}.nc"

    def record_file(self, key: str) -> Path:
        """Where the record of a job lies."""
        return self.folder / "jobs" / f"{key}.json"

    def snapshot_file(self, key: str, fingerprint: str) -> Path:
        """Where the progress of a job lies while it runs; that of other settings is not taken up."""
        return self.folder / "jobs" / f".{key}-{fingerprint[:8]}.pt"

    def state(self, key: str, fingerprint: str) -> State:
        """Whether the job is done, was done with other settings, or is missing."""
        if not self.result_file(key).exists():
            return "missing"
        record = self.record(key)
        if record is None:
            return "missing"  # killed between writing the result and its record
        return "done" if record["hash"] == fingerprint else "stale"

    def record(self, key: str) -> dict[str, Any] | None:
        """The record of a job; None where there is none."""
        file = self.record_file(key)
        return read_record(file) if file.exists() else None

    def records(self) -> list[dict[str, Any]]:
        """The records of all jobs whose results are there, by key."""
        files = sorted((self.folder / "jobs").glob("[!.]*.json"))
        return [read_record(file) for file in files if file.with_suffix(".nc").exists()]

    @contextmanager
    def claim(self, fingerprint: str) -> Iterator[Claim | None]:
        """Within the block no other process makes the result of this fingerprint; None if one does just now.

        The lock is the operating system's, so it goes with its process, however that ends.
        """
        with file_lock(self._lock(fingerprint), what=f"experiment {self.experiment}", wait=False) as held:
            yield Claim(self.out, fingerprint) if held else None

    def holder(self, fingerprint: str) -> str:
        """Which process makes the result of this fingerprint, and since when."""
        return holder(self._lock(fingerprint))

    def _lock(self, fingerprint: str) -> Path:
        return self.out / ".locks" / fingerprint

    def save(self, key: str, result: xr.Dataset | Path, record: Mapping[str, Any]) -> None:
        """Write a result, or link to an equal one, then its record; what was there before is moved aside."""
        self._move_aside(key)
        file = self.result_file(key)
        if isinstance(result, Path):
            with atomic_path(file, overwrite=True) as partial:
                _link(result, partial)
        else:
            write_dataset(result, file, overwrite=True)
        self.write_record(key, record)
        for snapshot in file.parent.glob(f".{escape(key)}-????????*.pt"):
            snapshot.unlink(missing_ok=True)

    def write_record(self, key: str, record: Mapping[str, Any]) -> None:
        """Write the record of a job: from now on it is done."""
        versions = {"neuroreel": __version__, "torch": version("torch")}
        made = {"versions": versions, "date": datetime.now(UTC).isoformat(timespec="seconds")}
        whole = {"key": key, "experiment": self.experiment, **record, **made}
        write_json(self.record_file(key), whole)

    def _move_aside(self, key: str) -> None:
        """The result first: a record without a result is no finished job."""
        record = self.record(key)
        if record is None:
            return  # a result without a record was never finished
        for file in (self.result_file(key), self.record_file(key)):
            if file.exists():
                target = self.folder / "replaced" / f"{key}-{record['hash'][:8]}{file.suffix}"
                target.parent.mkdir(parents=True, exist_ok=True)
                file.replace(target)


@dataclass(frozen=True)
class Claim:
    """The right to make a result; a file beside the lock keeps where it was put, for experiments that need it too."""

    out: Path
    fingerprint: str

    @property
    def _place(self) -> Path:
        return self.out / ".locks" / f"{self.fingerprint}.place"

    def equal_result(self) -> Path | None:
        """A result of this fingerprint, in another experiment or among those replaced; None if there is none."""
        files = [self.out / self._place.read_text(encoding="utf-8")] if self._place.exists() else []
        files += sorted(self.out.glob(f"*/replaced/*-{self.fingerprint[:8]}.nc"))
        return next((file for file in files if self._is_equal(file)), None)

    def _is_equal(self, file: Path) -> bool:
        record = file.with_suffix(".json")
        return file.exists() and record.exists() and read_record(record)["hash"] == self.fingerprint

    def remember(self, file: Path) -> None:
        """Where the result lies."""
        with atomic_path(self._place, overwrite=True) as partial:
            partial.write_text(str(file.relative_to(self.out)), encoding="utf-8")


def read_record(file: Path) -> dict[str, Any]:
    """A record; InputError if it is damaged."""
    try:
        record: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        if not {"key", "hash", "columns", "scores", "scoring", "common"} <= set(record):
            raise ValueError("fields are missing")
    except (OSError, ValueError, TypeError) as error:
        raise InputError(f"{file} is damaged ({error}); delete it, and its job is done again") from error
    return record


def write_json(file: Path, content: Mapping[str, Any]) -> None:
    """Write JSON, whole or not at all; numbers that are none become words."""
    with atomic_path(file, overwrite=True) as partial:
        partial.write_text(json.dumps(plain(content), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _link(source: Path, target: Path) -> None:
    """The same file under another name; a copy where the file system has no such thing."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)

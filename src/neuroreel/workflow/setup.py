"""What the Snakefile does before its rules: check the configuration, lock the folder, write files for commands."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from neuroreel.errors import InputError
from neuroreel.files import atomic_path, sweep
from neuroreel.locks import folder_lock
from neuroreel.recordings.disk import read_json
from neuroreel.workflow.configuration import check_configuration
from neuroreel.workflow.paths import files_at, is_downloaded
from neuroreel.workflow.plan import Plan
from neuroreel.workflow.step import busy

RECORD = "workflow.json"
DECIDES = ("recordings", "encoders", "masks")  # results of these are kept, so they must not change

_held = ExitStack()  # holds the lock while the process lives
_taken: set[Path] = set()


def open_workflow(raw: Mapping[str, Any], *, main: bool) -> Plan:
    """The plan of a configuration; the main process also checks the files that it names.

    Snakemake also reads the Snakefile in each job's process, where everything has been checked.
    """
    plan = Plan(check_configuration(raw))
    if main:
        check_files(plan)
    return plan


def step_command(plan: Plan) -> str:
    """How rules call a step: with this Python, or with the container's."""
    python = "python3" if plan.configuration.container else shlex.quote(sys.executable)
    return f"{python} -m neuroreel.workflow.step"


def take_folder(folder: Path, plan: Plan, raw: Mapping[str, Any]) -> None:
    """Lock the folder until the process ends, and record there what is made in it.

    Raises
    ------
    ResourceError
        Another run is using it, or it is not writable.
    InputError
        It holds the results of other settings.
    """
    folder = folder.resolve()
    if folder in _taken:
        return
    _held.enter_context(folder_lock(folder, what="workflow"))
    _taken.add(folder)
    claim(folder, raw)
    if not busy(folder):
        sweep(folder)
    for file, text in plan.settings_files().items():
        if not (folder / file).exists() or (folder / file).read_text() != text:
            with atomic_path(folder / file, overwrite=True) as partial:
                partial.write_text(text)


def claim(folder: Path, raw: Mapping[str, Any]) -> None:
    """Record what is made here; InputError if results were made with other recordings, encoders or masks."""
    record = folder / RECORD
    wanted = json.loads(json.dumps(dict(raw)))
    if record.exists():
        found = read_json(record)
        for way, before, now in _changes(_deciding(found), _deciding(wanted)):
            raise InputError(
                f"{folder} was made with {way}: {before}, but the configuration now has {now}; choose another folder "
                f"with --out, or delete what was made with it there and {record.name}"
            )
        if found == wanted:
            return
    with atomic_path(record, overwrite=True) as partial:
        partial.write_text(json.dumps(wanted, indent=1) + "\n")


def _deciding(raw: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a configuration that must not change; seeds, recordings or masks may be added."""
    decides: dict[str, Any] = {key: raw.get(key) for key in DECIDES}
    encoders = {key: value for key, value in (decides["encoders"] or {}).items() if key != "seeds"}
    return {**decides, "encoders": encoders}


def _changes(before: Any, now: Any, way: str = "") -> list[tuple[str, Any, Any]]:
    """Places where both have a value but the values differ: (place, before, now)."""
    if isinstance(before, dict) and isinstance(now, dict):
        return [
            change
            for key in before
            if key in now
            for change in _changes(before[key], now[key], f"{way}: {key}" if way else key)
        ]
    return [] if before == now else [(way, before, now)]


def check_files(plan: Plan) -> None:
    """Raise InputError for missing files that the configuration names; downloads come later.

    Recordings must have all their files, too.
    """
    from neuroreel.recordings.recording import open_recording

    for name, source in plan.configuration.recordings.items():
        if source.folder is not None and not is_downloaded(source.folder):
            try:
                open_recording(source.folder)
            except InputError as error:
                raise InputError(f"recordings: {name}: {error}") from error
    for file in plan.configuration.files:
        if not is_downloaded(file.path) and not files_at(file.path):
            raise InputError(f"{file.where}: {file.path} does not exist; fix the path, or copy the file to it")

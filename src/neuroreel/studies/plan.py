"""The list of an experiment's jobs, checked before any of them runs, and its parts."""

from __future__ import annotations

import re
from collections.abc import Sequence
from fnmatch import fnmatch
from pathlib import Path
from statistics import median
from typing import Any

from neuroreel.errors import InputError
from neuroreel.studies.animals import Animal
from neuroreel.studies.declarations import EXPERIMENTS, Declaration
from neuroreel.studies.grid import Grid
from neuroreel.studies.jobs import Job
from neuroreel.studies.method import Method
from neuroreel.studies.store import Store
from neuroreel.studies.work import Work


def expand(
    experiments: Sequence[str | Declaration], animals: Sequence[Animal], *, grid: Grid, method: Method
) -> list[Work]:
    """All jobs of some experiments, numbered and checked in advance, so that the last one cannot fail after hours.

    Raises
    ------
    InputError
        An unknown experiment, no animals or two with the same name, two jobs with the same key, or a job that cannot
        run.
    """
    names = [animal.name for animal in animals]
    if not animals or len(set(names)) < len(names):
        raise InputError(f"the recordings are {names or 'none'}; give at least one, with different names")
    works: list[Work] = []
    for experiment in experiments:
        name, declare = declaration_of(experiment)
        jobs = list(declare(animals, grid))
        if not jobs:
            raise InputError(f"{name} has no jobs with this grid: it yields none")
        _check_keys(name, jobs)
        for job in jobs:
            animal = _animal_of(job, animals, name)
            works.append(Work(job=job, animal=animal, method=method, experiment=name, number=len(works)))
    for work in works:
        work.check()
        _ = work.hash  # reads the movie, and checks that it can be shown
    return works


def declaration_of(experiment: str | Declaration) -> tuple[str, Declaration]:
    """An experiment's name and its function."""
    if callable(experiment):
        return experiment.__name__, experiment
    if experiment not in EXPERIMENTS:
        raise InputError(f"there is no experiment {experiment!r}; there are {', '.join(EXPERIMENTS)}")
    return experiment, EXPERIMENTS[experiment]


def choose(works: Sequence[Work], *, part: str | None = None, jobs: Sequence[str] = ()) -> list[Work]:
    """The jobs of a part "2/10", or those with these numbers or with keys that match these patterns.

    Jobs are dealt to the parts in turn; together the parts are all jobs, each once.

    Raises
    ------
    InputError
        An invalid part, or a number or pattern without any job.
    """
    chosen = list(works)
    if jobs:
        chosen = []
        for word in jobs:
            found = [work for work in works if word == str(work.number) or fnmatch(work.job.key, word)]
            if not found:
                raise InputError(f"no job is called {word!r}; see --list for numbers and keys")
            chosen += [work for work in found if work not in chosen]
    if part is None:
        return chosen
    match = re.fullmatch(r"(\d+)/(\d+)", part)
    if match is None or not 1 <= int(match[1]) <= int(match[2]):
        raise InputError(f"the part is {part!r}; it must be I/N with I from 1 to N, for instance 3/10")
    return chosen[int(match[1]) - 1 :: int(match[2])]


def seconds_a_unit(works: Sequence[Work], store: Store) -> float | None:
    """Seconds per unit of cost in finished jobs; None before the first."""
    folders = dict.fromkeys(str(Path(work.place).parent) for work in works)
    records = [record for folder in folders for record in store.records(folder)]
    took = [record["seconds"] / record["cost"] for record in records if record.get("seconds") and record.get("cost")]
    return median(took) if took else None


def as_rows(works: Sequence[Work], store: Store) -> list[dict[str, Any]]:
    """The list as plain data: number, experiment, key, state, file, passes, seconds (estimated; None if unknown)."""
    unit = seconds_a_unit(works, store)
    return [
        {
            "number": work.number,
            "experiment": work.experiment,
            "key": work.job.key,
            "state": state_of(work, store),
            "file": str(store.file(work.place)),
            "passes": work.passes,
            "seconds": None if unit is None else float(f"{unit * work.cost:.3g}"),
        }
        for work in works
    ]


def state_of(work: Work, store: Store) -> str:
    """done, stale, missing, or running in another process."""
    state = store.state(work.place, work.hash)
    return "running" if state != "done" and store.running(work) else state


def format_rows(rows: Sequence[dict[str, Any]]) -> str:
    """The list as text, and below it a summary of what is left to do."""
    width = max(len(row["key"]) for row in rows)
    first = max(len(row["experiment"]) for row in rows)
    lines = [f"{'job':>5}  {'experiment':{first}}  {'key':{width}}  {'state':8}{'passes':>7}{'seconds':>9}"]
    for row in rows:
        seconds = "?" if row["seconds"] is None else f"{row['seconds']:.0f}"
        lines.append(
            f"{row['number']:>5}  {row['experiment']:{first}}  {row['key']:{width}}  {row['state']:8}"
            f"{row['passes']:>7}{seconds:>9}"
        )
    todo = [row for row in rows if row["state"] != "done"]
    known = [row["seconds"] for row in todo if row["seconds"] is not None]
    about = f", about {sum(known):,.0f} s on the same machine" if todo and len(known) == len(todo) else ""
    return "\n".join([*lines, f"{len(rows)} jobs, {len(rows) - len(todo)} done, {len(todo)} to do{about}"])


def _animal_of(job: Job, animals: Sequence[Animal], experiment: str) -> Animal:
    for animal in animals:
        if animal.name == job.recording:
            return animal
    raise InputError(f"{experiment} has a job about {job.recording!r}, which is not one of the recordings given")


def _check_keys(experiment: str, jobs: Sequence[Job]) -> None:
    keys = [job.key for job in jobs]
    twice = sorted({key for key in keys if keys.count(key) > 1}) if len(set(keys)) < len(keys) else []
    if twice:
        raise InputError(f"{experiment} has several jobs called {', '.join(twice[:3])}; each must differ in something")

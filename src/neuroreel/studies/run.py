"""Doing jobs: one after another, in any order and in several processes, none of them twice."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from neuroreel import __version__
from neuroreel.evaluation.comparison import evaluation_mask
from neuroreel.files import user_path
from neuroreel.progress import bar_of
from neuroreel.results.datasets import read_dataset
from neuroreel.results.provenance import plain
from neuroreel.studies.animals import Animal
from neuroreel.studies.declarations import Declaration
from neuroreel.studies.grid import FULL, Grid
from neuroreel.studies.method import Method
from neuroreel.studies.plan import Entry, choose, declaration_of, expand
from neuroreel.studies.store import Claim, read_record, write_json
from neuroreel.studies.table import experiment_table

if TYPE_CHECKING:
    import pandas as pd

WAIT_S = 1.0  # before asking again whether another process has finished
REMIND_S = 300.0  # before saying again who is waited for
FEW_PIXELS = 0.01  # of the movie: scores over fewer say little


def run_experiment(
    experiment: str | Declaration,
    animals: Sequence[Animal],
    *,
    out: str | Path,
    grid: Grid = FULL,
    method: Method | None = None,
    part: str | None = None,
    device: str = "auto",
    say: Callable[[str], object] = lambda _: None,
) -> pd.DataFrame:
    """Do the jobs of an experiment that are not done yet.

    A killed run goes on where it was; finished jobs are never done again, unless something that decides their results
    was changed: then the old results are moved to the folder ``replaced``.

    Parameters
    ----------
    experiment
        The name of one of the paper's, or a function of one's own ``(animals, grid) -> jobs``, whose name it takes.
    animals
        Recordings and what was fitted to them.
    out
        Folder; the experiment gets one of its own in it.
    grid
        Which movies and conditions.
    method
        How movies are reconstructed and scored; by default under the posterior.
    part
        "2/10": every tenth job, from the second on. Parts may run at the same time, on several machines.
    device
        "auto", "cpu", "cuda", "cuda:1", "mps".
    say
        Called with a line of text before each job.

    Returns
    -------
    pandas.DataFrame
        The table of all jobs finished so far: :func:`~neuroreel.studies.table.experiment_table`.

    Raises
    ------
    InputError
        A job that cannot be done: before the first one starts.
    ResourceError
        The device is not there, or the disk is full.
    """
    entries = expand([experiment], animals, out=user_path(out), grid=grid, method=method or Method())
    write_plans(entries, grid=grid)
    do_jobs(choose(entries, part=part), device=device, say=say)
    return experiment_table(user_path(out) / declaration_of(experiment)[0])


def write_plans(entries: Sequence[Entry], *, grid: Grid) -> None:
    """Write ``experiment.json`` of each experiment: what was asked, with the fingerprint of each job."""
    for store in dict.fromkeys(entry.store for entry in entries):
        own = [entry for entry in entries if entry.store == store]
        animals = list(dict.fromkeys(entry.work.animal for entry in own))
        method = own[0].work.method
        asked = {
            "experiment": store.experiment,
            "recordings": [str(animal.recording.folder) for animal in animals],
            "simulated": any(animal.recording.simulated for animal in animals),
            "models": {animal.name: list(animal.model_hashes) for animal in animals},
            "masks": {animal.name: animal.mask_hash for animal in animals},
            "method": method.method,
            "settings": dict(method.settings),
            "seed": method.seed,
            "scoring": method.scoring,
            "grid": {name: _text(value) for name, value in vars(grid).items()},
            "versions": {"neuroreel": __version__},
            "jobs": {entry.key: entry.work.hash for entry in own},
        }
        write_json(store.folder / "experiment.json", asked)


def do_jobs(entries: Sequence[Entry], *, device: str, say: Callable[[str], object]) -> None:
    """Do what is not done yet; wait for jobs of other processes, saying again and again which process that is."""
    _check_scored_pixels(entries, say=say)
    left, say_at = list(entries), 0.0
    with bar_of(len(left), description="Jobs") as advance:
        while left:
            busy = []
            for entry in left:
                with entry.store.claim(entry.work.hash) as claim:
                    if claim is None:
                        busy.append(entry)
                        continue
                    _do(entry, claim, device=device, say=say)
                advance()
            if len(busy) == len(left):
                if time.monotonic() >= say_at:
                    say(_waiting_for(busy))
                    say_at = time.monotonic() + REMIND_S
                time.sleep(WAIT_S)
            left = busy


def _waiting_for(busy: Sequence[Entry]) -> str:
    first = f"{busy[0].store.experiment}/{busy[0].key} ({busy[0].store.holder(busy[0].work.hash)})"
    more = f" and {len(busy) - 1} more" if len(busy) > 1 else ""
    return f"waiting for {first}{more}: if that process hangs, stop it, and its jobs are done here"


def _check_scored_pixels(entries: Sequence[Entry], *, say: Callable[[str], object]) -> None:
    """Say where a mask leaves next to nothing to score; InputError if it leaves nothing."""
    works = [entry.work for entry in entries if entry.work.job.product != "fields"]
    for animal, threshold in dict.fromkeys((work.animal, float(work.scoring["mask_threshold"])) for work in works):
        scored = evaluation_mask(animal.mask, animal.recording.video_size, threshold=threshold)
        if scored.mean() < FEW_PIXELS:
            say(
                f"{animal.name}: {scored.sum()} of {scored.size} pixels are scored, those where the mask is at least "
                f"{threshold:g}: so few say little. Learn the mask for longer, or score with a lower threshold"
            )


def _do(entry: Entry, claim: Claim, *, device: str, say: Callable[[str], object]) -> None:
    """One job: kept if it is done, taken over from another experiment if an equal one is, else done now."""
    work, store, key = entry.work, entry.store, entry.key
    name = f"{store.experiment}/{key}"
    if store.state(key, work.hash) == "done":
        _rescore(entry, device=device)
        say(f"{name} is there already")
        return
    began = time.perf_counter()
    equal = claim.equal_result()
    if equal is not None:
        record = read_record(equal.with_suffix(".json"))
        result = read_dataset(equal, kind=_kind(work.job.product))
        say(f"{name} is the same as {equal.relative_to(store.out)}")
    else:
        record = {}
        say(f"{name} ...")
        snapshot = store.snapshot_file(key, work.hash)
        snapshot.parent.mkdir(parents=True, exist_ok=True)
        result = work.result(device=device, out=store.out, snapshot=snapshot)
    scores = work.scores(result, device=device)
    seconds = record.get("seconds", time.perf_counter() - began)
    content = {**_record(entry, scores), "seconds": round(seconds, 3)}
    store.save(key, equal if equal is not None else result, content)
    if equal is None:
        claim.remember(store.result_file(key))
        say(f"{name}: {_headline(scores)}{seconds:.1f} s")


def _record(entry: Entry, scores: dict[str, float]) -> dict[str, Any]:
    work = entry.work
    return {
        "hash": work.hash,
        "columns": work.columns,
        "scores": scores,
        "scoring": work.scoring,
        "common": work.common,
        "fitted": work.fitted,
        "settings": {} if work.job.product == "fields" else work.settings,
        "cost": entry.cost,
        "decided_by": work.decided_by,
    }


def _rescore(entry: Entry, *, device: str) -> None:
    """Scores of a finished job anew, where they were made in another way than is asked now."""
    record = entry.store.record(entry.key)
    assert record is not None  # the job is done
    if record["scoring"] == plain(entry.work.scoring):
        return
    result = read_dataset(entry.store.result_file(entry.key), kind=_kind(entry.work.job.product))
    scores = entry.work.scores(result, device=device)
    entry.store.write_record(entry.key, {**_record(entry, scores), "seconds": record.get("seconds")})


def _kind(product: str) -> str:
    return "receptive_fields" if product == "fields" else "reconstruction"


def _headline(scores: dict[str, float]) -> str:
    value = scores.get("video_correlation")
    return "" if value is None else f"video correlation {value:.3f}, "


def _text(value: Any) -> Any:
    return str(value) if isinstance(value, Path) else value

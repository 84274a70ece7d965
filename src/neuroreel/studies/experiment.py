"""An experiment from its declaration to its table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from neuroreel import __version__
from neuroreel.evaluation.comparison import evaluation_mask
from neuroreel.files import user_path
from neuroreel.studies.animals import Animal
from neuroreel.studies.declarations import Declaration
from neuroreel.studies.grid import FULL, Grid
from neuroreel.studies.method import Method
from neuroreel.studies.plan import choose, declaration_of, expand
from neuroreel.studies.run import Runner
from neuroreel.studies.store import Store, write_json
from neuroreel.studies.table import experiment_table
from neuroreel.studies.work import Work

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
    """Run the unfinished jobs of an experiment.

    A killed run resumes; finished jobs are not run again unless something that affects their results has changed, in
    which case the old results are moved to the folder ``replaced``.

    Parameters
    ----------
    experiment
        The name of one of the paper's experiments, or your own function ``(animals, grid) -> jobs``, which names it.
    animals
        Recordings with their models and masks.
    out
        Folder; the experiment gets a subfolder.
    grid
        Which movies and conditions.
    method
        How to reconstruct and score movies; by default with the posterior.
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
        A job that cannot run; raised before the first one starts.
    ResourceError
        The device does not exist, or the disk is full.
    """
    out = user_path(out)
    works = expand([experiment], animals, grid=grid, method=method or Method())
    do_jobs(choose(works, part=part), of=works, out=out, grid=grid, device=device, say=say)
    return experiment_table(out / declaration_of(experiment)[0])


def do_jobs(
    works: Sequence[Work],
    *,
    of: Sequence[Work],
    out: Path,
    grid: Grid,
    device: str,
    say: Callable[[str], object],
) -> None:
    """Record all jobs ``of`` the experiments as requested, and run the unfinished ones among some of them."""
    store = Store(out)
    for name in dict.fromkeys(work.experiment for work in of):
        asked = [work for work in of if work.experiment == name]
        write_json(out / name / "experiment.json", _asked(asked, grid))
    _check_scored_pixels(works, say=say)
    Runner(store, device=device, say=say).run(works)


def _asked(works: Sequence[Work], grid: Grid) -> dict[str, Any]:
    """What was requested of one experiment, with the fingerprint of each job."""
    animals = list(dict.fromkeys(work.animal for work in works))
    method = works[0].method
    return {
        "experiment": works[0].experiment,
        "recordings": [str(animal.recording.folder) for animal in animals],
        "simulated": any(animal.recording.simulated for animal in animals),
        "models": {animal.name: list(animal.model_hashes) for animal in animals},
        "masks": {animal.name: animal.mask_hash for animal in animals},
        "method": method.method,
        "settings": dict(method.settings),
        "seed": method.seed,
        "scoring": method.scoring,
        "grid": vars(grid),
        "versions": {"neuroreel": __version__},
        "jobs": {work.job.key: work.hash for work in works},
    }


def _check_scored_pixels(works: Sequence[Work], *, say: Callable[[str], object]) -> None:
    """Warn if a mask leaves very few pixels to score; InputError if it leaves none."""
    movies = [work for work in works if work.job.product != "fields"]
    for animal, threshold in dict.fromkeys((work.animal, float(work.scoring["mask_threshold"])) for work in movies):
        scored = evaluation_mask(animal.mask, animal.recording.video_size, threshold=threshold)
        if scored.mean() < FEW_PIXELS:
            say(
                f"{animal.name}: {scored.sum()} of {scored.size} pixels are scored, those where the mask is at least "
                f"{threshold:g}: so few say little. Learn the mask for longer, or score with a lower threshold"
            )

"""What ``neuroreel experiment`` does with what was typed."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from neuroreel.devices import choose_device
from neuroreel.errors import InputError
from neuroreel.recordings.disk import read_json
from neuroreel.studies.animals import Animal
from neuroreel.studies.declarations import EXPERIMENTS
from neuroreel.studies.experiment import do_jobs
from neuroreel.studies.grid import FULL, QUICK, Grid
from neuroreel.studies.matching import open_animals
from neuroreel.studies.method import Method
from neuroreel.studies.plan import as_rows, choose, expand, format_rows
from neuroreel.studies.quick import simulated_animals
from neuroreel.studies.store import Store
from neuroreel.studies.table import experiment_table
from neuroreel.studies.work import Work


@dataclass(frozen=True, kw_only=True)
class ExperimentCommand:
    """The options of the command; see ``neuroreel experiment --help``."""

    experiment: str
    out: Path
    recordings: Sequence[Path] = ()
    encoders: Sequence[Path] = ()
    masks: Sequence[Path] = ()
    sessions: Sequence[int | str] = ()
    method: str = "posterior"
    quick: bool = False
    settings: Path | None = None
    changes: dict[str, Any]  # of the grid, typed as options of their own
    passes: int | None = None
    stimuli: Path | None = None
    seed: int = 0
    device: str = "auto"

    def entries(self, say: Callable[[str], None]) -> list[Work]:
        """All jobs; simulated mice are made first where they are asked for."""
        names = list(EXPERIMENTS) if self.experiment == "all" else [self.experiment]
        unknown = [name for name in names if name not in EXPERIMENTS]
        if unknown:
            raise InputError(f"there is no experiment {unknown[0]!r}; there are {', '.join([*EXPERIMENTS, 'all'])}")
        choose_device(self.device)
        grid, method = self.grid, self.how  # what is wrong with them is said before mice are made
        return expand(names, self._animals(say), grid=grid, method=method)

    @property
    def grid(self) -> Grid:
        """Of the paper, or the quick one, with what was changed."""
        changes = {**self._file.get("grid", {}), **self.changes}
        if self.stimuli is not None:
            if self.experiment not in ("noise", "gratings"):
                raise InputError("--stimuli goes with the experiments noise and gratings")
            changes[{"noise": "noise_file", "gratings": "grating_file"}[self.experiment]] = self.stimuli
        return (QUICK if self.quick else FULL).changed(changes)

    @property
    def how(self) -> Method:
        """How movies are reconstructed and scored."""
        settings = dict(self._file.get("settings", {}))
        if self.passes is not None:
            settings["iterations" if self.method == "bauer_2026" else "passes"] = self.passes
        scoring = self._file.get("scoring", {})
        if unknown := set(scoring) - {"skip", "evaluation_threshold", "smoothing"}:
            raise InputError(
                f"{self.settings}: scoring has {sorted(unknown)}; it may have skip, evaluation_threshold and smoothing"
            )
        return Method(method=self.method, settings=settings, seed=self.seed, **scoring)

    @property
    def _file(self) -> dict[str, Any]:
        content = {} if self.settings is None else read_json(self.settings)
        parts = ("settings", "grid", "scoring")
        if set(content) - set(parts) or not all(isinstance(each, dict) for each in content.values()):
            raise InputError(f"{self.settings} may have {', '.join(parts)}, each an object; it has {sorted(content)}")
        return content

    def _animals(self, say: Callable[[str], None]) -> list[Animal]:
        if self.recordings:
            return open_animals(
                recordings=self.recordings,
                encoders=self.encoders,
                masks=self.masks,
                sessions=self.sessions,
            )
        if not self.quick or self.encoders or self.masks:
            raise InputError(
                "no recording was given; give --recordings, or --quick alone to try the experiment on simulated mice"
            )
        return simulated_animals(self.out / "simulated", seed=self.seed, say=say)


def list_jobs(
    command: ExperimentCommand, *, part: str | None, jobs: Sequence[str], as_json: bool, say: Callable[[str], None]
) -> str:
    """The jobs, as text or as JSON; none is done, but mice are simulated where they are needed."""
    entries = choose(command.entries(say), part=part, jobs=jobs)
    rows = as_rows(entries, Store(command.out))
    if not as_json:
        return format_rows(rows)
    return json.dumps({"experiment": command.experiment, "out": str(command.out), "jobs": rows}, indent=1)


def run_command(
    command: ExperimentCommand, *, part: str | None, jobs: Sequence[str], say: Callable[[str], None]
) -> None:
    """Do the jobs that are not done, and say what came out."""
    entries = command.entries(say)
    chosen = choose(entries, part=part, jobs=jobs)
    do_jobs(chosen, of=entries, out=command.out, grid=command.grid, device=command.device, say=say)
    for folder in dict.fromkeys(command.out / work.experiment for work in chosen):
        table = experiment_table(folder)
        scored = table["video_correlation"].dropna()
        mean = f", mean video correlation {scored.mean():.3f}" if len(scored) else ""
        say(f"{folder}: {len(table)} jobs done{mean}")
    if any(work.animal.recording.simulated for work in chosen):
        say("(simulated mice, not real ones)")

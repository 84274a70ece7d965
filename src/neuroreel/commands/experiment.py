"""``neuroreel experiment``: list or run the jobs of an experiment."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from tyro.conf import Positional, arg

from neuroreel.arguments import refuse_unknown
from neuroreel.commands.files import say
from neuroreel.commands.options import Device, List, Method, Seed
from neuroreel.errors import InputError
from neuroreel.recordings.disk import read_json

if TYPE_CHECKING:
    from collections.abc import Callable

    from neuroreel.studies import Animal, Grid
    from neuroreel.studies import Method as How
    from neuroreel.studies.work import Work


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """Run an experiment of the paper.

    NAME is natural, gradient_ensembling, predicted_activity, masks, ablation, noise, gratings, receptive_fields,
    responses, or all. Each is a list of jobs, most of them reconstructions. Finished jobs are kept, and run again if
    something that affects their result has changed; an interrupted job resumes. `neuroreel experiment all
    --quick` does everything on simulated mice.

    Args:
        name: Which experiment.
        out: Folder; each experiment gets a subfolder.
        recordings: Folders of recordings; with --quick and none given, mice are simulated.
        encoders: Encoding models; with several recordings, in paths that contain their names, or with a session for
            each.
        masks: One transparency mask (.npy) for each recording.
        sessions: One for each recording, if the models' sessions have no names (published .pth).
        quick: Fewer movies and conditions.
        settings: JSON file {"settings": {...}, "grid": {...}, "scoring": {...}} with changed values.
        trials: Numbers of trials in each recording, instead of the first ones of the fold.
        fold: Which trials; fold_0 by default.
        movies: How many of the fold; 10 by default, 2 with --quick.
        fractions: For ablation: which fractions of the neurons to keep.
        repeats: For ablation: how often to draw each fraction.
        stimuli: For noise and gratings: the authors' movies (.npz) instead of generated ones.
        passes: Most passes of a movie through the models; 25 by default, 1000 with bauer_2026.
        show: Print the jobs with their state and cost, without running them.
        as_json: With --list: print JSON.
        part: Run part I of N (every Nth job, starting at job I), for instance 3/10.
        jobs: Run only these: numbers from the list, or patterns of keys.
    """

    name: Annotated[str, Positional, arg(metavar="NAME")]
    out: Path = Path("neuroreel-experiments")
    recordings: tuple[Path, ...] = ()
    encoders: tuple[Path, ...] = ()
    masks: tuple[Path, ...] = ()
    sessions: Annotated[tuple[int | str, ...], arg(metavar="N|NAME ...")] = ()
    method: Method = "posterior"
    quick: bool = False
    settings: Path | None = None
    trials: tuple[int, ...] = ()
    fold: str | None = None
    movies: int | None = None
    fractions: tuple[float, ...] = ()
    repeats: int | None = None
    stimuli: Path | None = None
    passes: int | None = None
    seed: Seed = 0
    show: List = False
    as_json: Annotated[bool, arg(name="json")] = False
    part: Annotated[str | None, arg(metavar="I/N")] = None
    jobs: Annotated[tuple[str, ...], arg(metavar="JOB ...")] = ()
    device: Device = "auto"

    def __call__(self) -> None:
        """Print the jobs, or run the missing ones and print their scores."""
        if self.as_json and not self.show:
            raise InputError("--json goes with --list")
        if self.show:
            self._list()
        else:
            self._run()

    @cached_property
    def grid(self) -> Grid:
        """The paper's grid or the quick one, with the changes."""
        from neuroreel.studies import FULL, QUICK

        typed = {name: getattr(self, name) for name in ("trials", "fold", "movies", "fractions", "repeats")}
        changes = dict(self._file.get("grid", {}))
        changes |= {name: value for name, value in typed.items() if value not in (None, ())}
        if self.stimuli is not None:
            if self.name not in ("noise", "gratings"):
                raise InputError("--stimuli goes with the experiments noise and gratings")
            changes[{"noise": "noise_file", "gratings": "grating_file"}[self.name]] = self.stimuli
        return (QUICK if self.quick else FULL).changed(changes)

    @cached_property
    def how(self) -> How:
        """How to reconstruct and score movies."""
        from neuroreel.studies import Method as How

        settings = dict(self._file.get("settings", {}))
        if self.passes is not None:
            settings["iterations" if self.method == "bauer_2026" else "passes"] = self.passes
        scoring = self._file.get("scoring", {})
        if unknown := set(scoring) - {"skip", "evaluation_threshold", "smoothing"}:
            raise InputError(
                f"{self.settings}: scoring has {sorted(unknown)}; it may have skip, evaluation_threshold and smoothing"
            )
        return How(method=self.method, settings=settings, seed=self.seed, **scoring)

    @cached_property
    def _file(self) -> dict[str, Any]:
        content = {} if self.settings is None else read_json(self.settings)
        parts = ("settings", "grid", "scoring")
        if set(content) - set(parts) or not all(isinstance(each, dict) for each in content.values()):
            raise InputError(f"{self.settings} may have {', '.join(parts)}, each an object; it has {sorted(content)}")
        return content

    def _entries(self, say: Callable[[str], None]) -> list[Work]:
        """All jobs; simulated mice are made first if requested."""
        from neuroreel.devices import choose_device
        from neuroreel.studies import EXPERIMENTS
        from neuroreel.studies.plan import expand

        names = list(EXPERIMENTS) if self.name == "all" else [self.name]
        refuse_unknown(names, [*EXPERIMENTS, "all"], what="experiment")
        choose_device(self.device)
        grid, how = self.grid, self.how  # errors in them appear before mice are made
        return expand(names, self._animals(say), grid=grid, method=how)

    def _animals(self, say: Callable[[str], None]) -> list[Animal]:
        from neuroreel.studies import open_animals
        from neuroreel.studies.quick import simulated_animals

        if self.recordings:
            return open_animals(
                recordings=self.recordings, encoders=self.encoders, masks=self.masks, sessions=self.sessions
            )
        if not self.quick or self.encoders or self.masks:
            raise InputError(
                "no recording was given; give --recordings, or --quick alone to try the experiment on simulated mice"
            )
        return simulated_animals(self.out / "simulated", seed=self.seed, say=say)

    def _list(self) -> None:
        from neuroreel.studies.plan import as_rows, choose, format_rows
        from neuroreel.studies.store import Store

        aside = partial(print, file=sys.stderr, flush=True)  # a program may read stdout
        rows = as_rows(choose(self._entries(aside), part=self.part, jobs=self.jobs), Store(self.out))
        if self.as_json:
            say(json.dumps({"experiment": self.name, "out": str(self.out), "jobs": rows}, indent=1))
        else:
            say(format_rows(rows))

    def _run(self) -> None:
        from neuroreel.studies import experiment_table
        from neuroreel.studies.experiment import do_jobs
        from neuroreel.studies.plan import choose

        entries = self._entries(say)
        chosen = choose(entries, part=self.part, jobs=self.jobs)
        do_jobs(chosen, of=entries, out=self.out, grid=self.grid, device=self.device, say=say)
        for folder in dict.fromkeys(self.out / work.experiment for work in chosen):
            table = experiment_table(folder)
            scored = table["video_correlation"].dropna()
            mean = f", mean video correlation {scored.mean():.3f}" if len(scored) else ""
            say(f"{folder}: {len(table)} jobs done{mean}")
        if any(work.animal.recording.simulated for work in chosen):
            say("(simulated mice, not real ones)")

"""Commands of many steps: demo, comparison of methods, figures; and the check of the machine."""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from neuroreel.commands.files import say
from neuroreel.commands.options import Overwrite, Seed


@dataclass(frozen=True, kw_only=True)
class Demo:
    """Run every step on a simulated mouse and write a report.

    Takes about 4 minutes on two cores. Finished steps are kept; an interrupted run resumes.

    Args:
        out: Folder for everything that is made.
        quick: A smaller mouse and less training: under a minute.
    """

    out: Path = Path("neuroreel-demo")
    quick: bool = False
    seed: Seed = 0

    def __call__(self) -> None:
        """Run the missing steps."""
        from neuroreel.demo import run_demo

        run_demo(self.out, quick=self.quick, seed=self.seed, say=say)


@dataclass(frozen=True, kw_only=True)
class Benchmark:
    """Compare all reconstruction methods on the same data.

    Ridge, convolutional decoder, posterior and others, on simulated mice or on your own recordings. Each method is
    fitted to folds 2 to 6, validated on fold 1, and scored once on fold 0. Finished parts are kept; an interrupted run
    resumes. Methods, movies and recordings can be added later.

    Args:
        name: What to compare: quality is that of the movies.
        out: Folder for everything: table.csv, summary.csv, summary.json, quality.png, quality.pdf.
        recordings: Folders of recordings in the Sensorium layout, instead of simulated mice.
        neurons: Simulated mice: numbers of neurons; one mouse for each size, noise level and seed.
        signal_to_noise: Simulated mice: signal variance divided by noise variance.
        seeds: Simulated mice: random seeds.
        trials: Simulated mice: movies of 10 s in each recording.
        methods: Methods to compare; by default all but the slow ones ('bauer_2026', 'mean of samples').
        movies: Test movies of each recording.
        models: Number of encoding models in the ensemble.
        epochs: Training epochs of each model.
        decoder_steps: Training steps of the convolutional decoder.
        samples: Draws from the posterior, to test its intervals; each costs as much as the movie.
        iterations: Iterations of the published method.
        published_mask: Also score inside the mask that the published rule learns.
        quick: One small mouse, two movies, little training: shows in 3 minutes that everything works, not how well.
    """

    name: Annotated[Literal["quality"], Positional] = "quality"
    out: Path = Path("neuroreel-benchmark")
    recordings: tuple[Path, ...] = ()
    neurons: tuple[int, ...] = (400,)
    signal_to_noise: tuple[float, ...] = (0.4,)
    seeds: tuple[int, ...] = (21, 22, 23)
    trials: int = 84
    methods: tuple[str, ...] = ()
    movies: int = 12
    models: int = 2
    epochs: int = 3
    decoder_steps: int = 350
    samples: int = 0
    iterations: int = 1000
    published_mask: bool = False
    quick: bool = False
    seed: Seed = 0

    def __call__(self) -> None:
        """Fit, reconstruct and score what is missing, then print the summary."""
        from neuroreel.recordings.recording import open_recordings
        from neuroreel.studies import quality as study
        from neuroreel.studies.mouse import SimulatedMouse, Training
        from neuroreel.studies.quality_files import write_comparison

        request = study.Quality(
            methods=self.methods,
            movies=self.movies,
            training=Training(models=self.models, epochs=self.epochs, batches_per_epoch=30),
            decoder_steps=self.decoder_steps,
            samples=self.samples,
            iterations=self.iterations,
            published_mask=self.published_mask,
        )
        seeds = self.seeds
        mice = [
            SimulatedMouse(trials=self.trials, seconds=10.0, neurons=count, signal_to_noise=noise)
            for count in self.neurons
            for noise in self.signal_to_noise
        ]
        if self.quick:
            small = {name: getattr(study.QUICK, name) for name in ("movies", "training", "decoder_steps")}
            request, mice, seeds = replace(request, **small), [study.QUICK_MOUSE], seeds[:1]
        found = open_recordings(self.recordings) if self.recordings else None
        count = (len(found) if found else len(mice) * len(seeds)) * request.movies
        say(
            f"{count} movies. On two cores a mouse of 400 neurons takes about ten minutes to fit, and each of its "
            "movies of 10 s about a minute; larger ones in proportion."
            + (" This is the quick version: minutes." if self.quick else "")
        )
        chosen = study.simulated_recordings(self.out / "recordings", mice, seeds) if found is None else found
        table = study.compare_methods(self.out, chosen, request, seed=self.seed, say=say)
        say(write_comparison(table, self.out, request, seed=self.seed))


@dataclass(frozen=True, kw_only=True)
class Figures:
    """Draw the paper's figures, with their numbers, tests and captions.

    Each figure becomes a folder with PDF, SVG and PNG, the numbers of each panel as CSV, the tests, and a caption.
    EXPERIMENT is natural, gradient_ensembling, predicted_activity, masks, ablation, noise, gratings, receptive_fields,
    responses, or all. Incomplete results are drawn as far as they go, and marked as partial.

    Args:
        experiment: Which experiment's figures; "all" draws every experiment that has results.
        results: Folder that `neuroreel experiment` wrote into.
        published: Instead, a folder of the authors' results (reconstruction_summary_*.npy, in folders modelfold*).
        out: Folder; each figure gets a subfolder.
    """

    experiment: Annotated[str, Positional, arg(metavar="EXPERIMENT")]
    results: Path | None = None
    published: Path | None = None
    out: Path = Path("figures")
    overwrite: Overwrite = False

    def __call__(self) -> None:
        """Draw them, and say what is missing."""
        from neuroreel.figures.command import draw_figures

        draw_figures(
            self.experiment,
            results=self.results,
            published=self.published,
            out=self.out,
            overwrite=self.overwrite,
            say=say,
        )


@dataclass(frozen=True, kw_only=True)
class Doctor:
    """Say what this machine has, what is missing, and how to get it.

    Missing software is listed with the commands that need it. The exit status is 1 if something that every command
    needs is broken.

    Args:
        as_json: Print it as JSON.
    """

    as_json: Annotated[bool, arg(name="json")] = False

    def __call__(self) -> None:
        """Print the findings; exit with 1 if something that every command needs is broken."""
        from neuroreel.doctor import examine

        health = examine()
        say(health.to_json() if self.as_json else str(health))
        if health.broken:
            sys.exit(1)

"""Commands that do many steps: the demo, experiments and their figures, a whole workflow; and the machine for them."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import tyro

from neuroreel.commands.files import say
from neuroreel.errors import InputError


def demo(*, out: Path = Path("neuroreel-demo"), quick: bool = False, seed: int = 0) -> None:
    """Run the whole chain on a simulated mouse and write a report; a killed run goes on where it was.

    Args:
        out: Folder for everything that is made.
        quick: A smaller mouse and less training: under a minute.
        seed: Of everything random.
    """
    from neuroreel.demo import run_demo

    run_demo(out, quick=quick, seed=seed, say=say)


def benchmark(
    name: Annotated[Literal["quality"], tyro.conf.Positional] = "quality",
    /,
    *,
    out: Path = Path("neuroreel-benchmark"),
    recordings: tuple[Path, ...] = (),
    neurons: tuple[int, ...] = (400,),
    signal_to_noise: tuple[float, ...] = (0.4,),
    seeds: tuple[int, ...] = (21, 22, 23),
    trials: int = 84,
    methods: tuple[str, ...] = (),
    movies: int = 12,
    models: int = 2,
    epochs: int = 3,
    decoder_steps: int = 350,
    samples: int = 0,
    iterations: int = 1000,
    published_mask: bool = False,
    quick: bool = False,
    seed: int = 0,
) -> None:
    """Compare every way to reconstruct a movie on the same data: ridge, convolutional decoder, posterior, and others.

    On simulated mice, or on your own recordings. Each is fitted to folds 2 to 6; fold 1 validates, fold 0 is scored
    once. Finished parts are kept, a killed run resumes; methods, movies and recordings can be added later.

    Args:
        name: What to compare: the quality of the movies.
        out: Folder for everything: table.csv, summary.csv, summary.json, quality.png, quality.pdf.
        recordings: Folders of recordings in the Sensorium layout, in place of simulated mice.
        neurons: Simulated mice: one for each of these sizes, noise levels and seeds.
        signal_to_noise: Simulated mice: variance of the signal over that of the noise.
        seeds: Simulated mice: random seeds.
        trials: Simulated mice: movies of 10 s in each recording.
        methods: Some of the methods; all but the slow ones by default ('bauer_2026', 'mean of samples').
        movies: Test movies of each recording.
        models: Encoding models in the ensemble.
        epochs: Training epochs of each.
        decoder_steps: Training steps of the convolutional decoder.
        samples: Draws of the posterior, for the coverage of its intervals; each costs as much as the movie.
        iterations: Of the published method.
        published_mask: Also score inside the mask that the published rule learns.
        quick: One small mouse, two movies: shows in under 3 minutes that everything works, not how well.
        seed: Random seed of all that is fitted.
    """
    from neuroreel.studies import quality as study
    from neuroreel.studies.mouse import SimulatedMouse, Training
    from neuroreel.studies.quality_files import write_comparison

    wish = study.Quality(
        methods=methods,
        movies=movies,
        training=Training(models=models, epochs=epochs, batches_per_epoch=30),
        decoder_steps=decoder_steps,
        samples=samples,
        iterations=iterations,
        published_mask=published_mask,
    )
    mice = [
        SimulatedMouse(trials=trials, seconds=10.0, neurons=count, signal_to_noise=noise)
        for count in neurons
        for noise in signal_to_noise
    ]
    if quick:
        wish, mice, seeds = study.QUICK, [study.QUICK_MOUSE], seeds[:1]
    found = study.opened(recordings) if recordings else None
    count = (len(found) if found else len(mice) * len(seeds)) * wish.movies
    say(
        f"{count} movies. On two cores a mouse of 400 neurons takes some ten minutes to fit, and each of its movies of "
        f"10 s about a minute; larger ones in proportion.{' This is the quick version: minutes.' if quick else ''}"
    )
    chosen = study.simulated_recordings(out / "recordings", mice, seeds) if found is None else found
    table = study.compare_methods(out, chosen, wish, seed=seed, say=say)
    say(write_comparison(table, out, wish, seed=seed))


def experiment(
    name: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="NAME")],
    /,
    *,
    out: Path = Path("neuroreel-experiments"),
    recordings: tuple[Path, ...] = (),
    encoders: tuple[Path, ...] = (),
    masks: tuple[Path, ...] = (),
    sessions: tuple[int | str, ...] = (),
    method: Literal["posterior", "bauer_2026"] = "posterior",
    quick: bool = False,
    settings: Path | None = None,
    trials: tuple[int, ...] = (),
    fold: str | None = None,
    movies: int | None = None,
    fractions: tuple[float, ...] = (),
    repeats: int | None = None,
    stimuli: Path | None = None,
    passes: int | None = None,
    seed: int = 0,
    list: bool = False,
    json: bool = False,
    part: str | None = None,
    jobs: tuple[str, ...] = (),
    device: str = "auto",
) -> None:
    """Do an experiment of the paper: a list of jobs, of which finished ones are kept and a killed one resumes.

    NAME is natural, gradient_ensembling, predicted_activity, masks, ablation, noise, gratings, receptive_fields,
    responses, or all. `neuroreel experiment all --quick` does everything on simulated mice.

    Args:
        name: Which experiment.
        out: Folder; each experiment gets one of its own in it.
        recordings: Folders of recordings; with --quick and none given, mice are simulated.
        encoders: Encoding models; with several recordings, in paths that have their names, or with sessions for each.
        masks: One transparency mask (.npy) for each recording.
        sessions: One for each recording, where the models' sessions have no names (published .pth).
        method: The posterior, or the published method to the letter.
        quick: Fewer movies and conditions.
        settings: JSON file {"settings": {...}, "grid": {...}, "scoring": {...}} with what differs.
        trials: Numbers of trials within each recording, instead of the first of the fold.
        fold: Which trials; fold_0 by default.
        movies: How many of the fold; 10 by default, 2 with --quick.
        fractions: Of the neurons that are kept, in ablation.
        repeats: Draws of each fraction.
        stimuli: The authors' movies (.npz) in place of ours, in noise and gratings.
        passes: How many at most; 30 by default, 1000 with bauer_2026.
        seed: Of everything random.
        list: Print the jobs with their state and cost, and do none.
        json: With --list, print JSON.
        part: I/N does every Nth job from the Ith on (3/10); the N parts together are all jobs.
        jobs: Only these: numbers of the list, or patterns of keys.
        device: auto, cpu, cuda, cuda:1, mps.
    """
    from neuroreel.studies.command import ExperimentCommand, list_jobs, run_command

    if json and not list:
        raise InputError("--json goes with --list")
    typed = {"trials": trials, "fold": fold, "movies": movies, "fractions": fractions, "repeats": repeats}
    command = ExperimentCommand(
        experiment=name,
        out=out,
        recordings=recordings,
        encoders=encoders,
        masks=masks,
        sessions=sessions,
        method=method,
        quick=quick,
        settings=settings,
        changes={option: value for option, value in typed.items() if value not in (None, ())},
        passes=passes,
        stimuli=stimuli,
        seed=seed,
        device=device,
    )
    if list:
        aside = partial(print, file=sys.stderr, flush=True)  # what is printed may be read by a program
        say(list_jobs(command, part=part, jobs=jobs, as_json=json, say=aside))
    else:
        run_command(command, part=part, jobs=jobs, say=say)


def figures(
    experiment: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="EXPERIMENT")],
    /,
    *,
    results: Path | None = None,
    published: Path | None = None,
    out: Path = Path("figures"),
    overwrite: bool = False,
) -> None:
    """Draw the paper's figures: PDF, SVG and PNG, the numbers of each panel as CSV, the tests, and a caption.

    EXPERIMENT is natural, gradient_ensembling, predicted_activity, masks, ablation, noise, gratings, receptive_fields,
    responses, or all. Of incomplete results what is there is drawn, marked as partial.

    Args:
        experiment: Whose figures; all draws what there are results of.
        results: Folder that neuroreel experiment wrote into.
        published: In its place, a folder of the authors' results (reconstruction_summary_*.npy, in folders modelfold*).
        out: Folder; each figure gets one of its own in it.
        overwrite: Replace figures that are there.
    """
    from neuroreel.figures.command import draw_figures

    draw_figures(experiment, results=results, published=published, out=out, overwrite=overwrite, say=say)


def workflow(
    config: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="CONFIG")] = "quick",
    /,
    *,
    out: Path | None = None,
    profile: Literal["local", "slurm"] = "local",
    dry_run: bool = False,
    cores: int | None = None,
    show: bool = False,
    snakefile: bool = False,
    table: Path | None = None,
) -> None:
    """Run a whole study, from recordings to figures, on one machine or on Slurm; killed, it goes on where it was.

    Args:
        config: A YAML file, or one that comes with neuroreel: quick (a simulated mouse, minutes), paper.
        out: Folder for everything that is made; neuroreel-CONFIG by default.
        profile: One machine, or Slurm.
        dry_run: Only print the jobs that are left, their GPU-hours, memory and disk.
        cores: How many cores of this machine may be used at once; all by default.
        show: Print the configuration, to start one's own from.
        snakefile: Print where the Snakefile is, for plain Snakemake.
        table: Write table.md and table.csv in this folder of a workflow, our numbers beside the published ones.
    """
    from neuroreel.workflow.run import SNAKEFILE, configuration_text, run_workflow

    if snakefile:
        say(str(SNAKEFILE))
    elif show:
        say(configuration_text(config))
    elif table is not None:
        from neuroreel.workflow.comparison import write_comparison

        say(write_comparison(table))
    else:
        folder = Path(f"neuroreel-{Path(config).stem}") if out is None else out
        run_workflow(config, out=folder, profile=profile, dry_run=dry_run, cores=cores, say=say)


def doctor(*, json: bool = False) -> None:
    """Say what this machine has and what is missing for which command, and how to get it.

    Args:
        json: Print it as JSON.
    """
    from neuroreel.doctor import examine

    health = examine()
    say(health.to_json() if json else str(health))
    if health.broken:
        sys.exit(1)

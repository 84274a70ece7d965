"""The command line: each command reads files, calls one function of the package, and writes files."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn

import tyro

from neuroreel.errors import InputError, NeuroreelError

Folder = Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="FOLDER")]


def demo(*, out: Path = Path("neuroreel-demo"), quick: bool = False, seed: int = 0) -> None:
    """Run the whole chain on a simulated mouse and write a report; a killed run goes on where it was.

    Args:
        out: Folder for everything that is made.
        quick: A smaller mouse and less training: under a minute.
        seed: Of everything random.
    """
    from neuroreel.demo import run_demo

    run_demo(out, quick=quick, seed=seed, say=_say)


def simulate(
    folder: Folder, /, *, trials: int = 60, seconds: float = 10.0, neurons: int = 400, seed: int = 0, repeats: int = 0
) -> None:
    """Simulate a recording of mouse visual cortex (it is no real mouse) in the Sensorium layout.

    Args:
        folder: Where to write the recording.
        trials: How many movies.
        seconds: Length of each movie.
        neurons: How many neurons.
        seed: The same seed gives the same recording.
        repeats: How often one further movie is repeated, to measure noise.
    """
    import neuroreel as nr

    _say(repr(nr.simulate(folder, trials=trials, seconds=seconds, neurons=neurons, seed=seed, repeats=repeats)))


def train(
    recordings: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="FOLDER [FOLDER ...]")],
    /,
    *,
    out: Path,
    kind: Literal["readout", "dwiseneuro"] = "readout",
    seeds: tuple[int, ...] = (0, 1),
    test_fold: str = "fold_0",
    validation_fold: str = "fold_1",
    epochs: int | None = None,
    settings: Path | None = None,
    teachers: tuple[Path, ...] = (),
    decoder: bool = True,
    device: str = "auto",
    devices: int = 1,
) -> None:
    """Train encoding models (one a seed) and linear decoders; finished ones are kept, a killed training resumes.

    With several recordings (dwiseneuro only) each model has a readout for each of them.

    Args:
        recordings: Folders of one or more recordings in the Sensorium layout.
        out: Folder for encoder_SEED.safetensors and decoder.safetensors (decoder_NAME.safetensors of several).
        kind: A small convolutional model that trains in a minute, or the published architecture.
        seeds: One encoding model for each; none to fit decoders only.
        test_fold: Trials never looked at here.
        validation_fold: Trials that stop the training early.
        epochs: How long at most; the kind decides by default.
        settings: JSON file {"recipe": {...}, "architecture": {...}} with what differs from the kind's own.
        teachers: Finished models of the same recordings: learn their predictions too (distillation).
        decoder: Also fit a linear decoder for each recording.
        device: auto, cpu, cuda, cuda:1, mps.
        devices: How many devices share each batch.
    """
    import neuroreel as nr
    from neuroreel.encoding.training.command import TrainCommand

    opened = _open_recordings(recordings)
    command = TrainCommand(
        out=out,
        kind=kind,
        trials={each.name: _training_trials(each, test_fold, validation_fold) for each in opened},
        epochs=epochs,
        settings=settings,
        teachers=teachers,
        device=device,
        devices=devices,
    )
    command.train(seeds, say=_say)
    for name, (training, _) in command.trials.items():
        file = out / ("decoder.safetensors" if len(opened) == 1 else f"decoder_{name}.safetensors")
        if decoder and not file.exists():
            _say(f"Fitting the linear decoder {file}")
            nr.fit_decoder(training).save(file)


def mask(
    recording: Folder,
    /,
    *,
    encoder: Path,
    out: Path,
    readout: int | str = 0,
    steps: int = 1000,
    test_fold: str = "fold_0",
    seed: int = 0,
    device: str = "auto",
) -> None:
    """Learn the transparency mask: which pixels the population sees.

    Args:
        recording: Folder of a recording.
        encoder: An encoding model of its neurons (.safetensors, or a published .pth).
        out: The mask, a .npy file.
        readout: Which mouse's neurons, in a model of several mice: by number from 0, or by the recording's name.
        steps: How many; 1000 in the paper.
        test_fold: Trials never looked at here.
        seed: Of the trials drawn.
        device: auto, cpu, cuda, cuda:1, mps.
    """
    import neuroreel as nr

    _refuse_existing(out)
    training, _ = _training_trials(nr.open_recording(recording), test_fold, None)
    model = nr.load_encoder(encoder, readout=readout)
    nr.save_mask(out, nr.learn_mask(model, training, steps=steps, seed=seed, device=device))
    _say(f"wrote {out}")


def reconstruct(
    recording: Folder,
    /,
    *,
    encoders: tuple[Path, ...],
    out: Path,
    mask: Path | None = None,
    decoder: Path | None = None,
    preset: Literal["default", "published"] = "default",
    fold: str = "fold_0",
    trials: tuple[int, ...] = (),
    readout: int | str = 0,
    iterations: int | None = None,
    mask_threshold: float | None = None,
    seed: int = 0,
    device: str = "auto",
    max_memory: str | None = None,
) -> None:
    """Reconstruct movies; finished ones are kept, a killed run resumes from its last snapshot.

    Args:
        recording: Folder of a recording.
        encoders: One or more encoding models of its neurons.
        out: Folder for one .nc file a trial.
        mask: Transparency mask, a .npy file.
        decoder: Linear decoder: start and prior of the default preset.
        preset: Our own settings, or the paper's rule to the letter.
        fold: Which trials.
        trials: Numbers of trials within the recording, instead of a fold.
        readout: Which mouse's neurons, in models of several mice: by number from 0, or by the recording's name.
        iterations: How many passes; the preset decides by default.
        mask_threshold: Pixels of at least this are updated; the preset decides by default.
        seed: Of everything random.
        device: auto, cpu, cuda, cuda:1, mps.
        max_memory: How much memory may be taken, for instance 8GB; all that is free by default.
    """
    import neuroreel as nr
    from neuroreel.encoding.checks import check_responses_fit

    opened = nr.open_recording(recording)
    numbers = _trial_numbers(opened, trials, fold)
    models = [nr.load_encoder(file, readout=readout) for file in encoders]
    options: dict[str, Any] = {"preset": preset, "seed": seed, "device": device, "max_memory": max_memory}
    options |= {} if iterations is None else {"iterations": iterations}
    options |= {} if mask_threshold is None else {"mask_threshold": mask_threshold}
    options["mask"] = None if mask is None else nr.load_mask(mask)
    options["decoder"] = None if decoder is None else nr.RidgeDecoder.load(decoder)
    for number in numbers:  # a damaged trial is found before hours of work on the others
        check_responses_fit(models[0], opened.trials[number])
    for number in numbers:
        file = out / f"trial_{number:03d}.nc"
        if file.exists():
            _say(f"{file} is there already")
            continue
        result = nr.reconstruct(opened.trials[number], models, snapshot=out / f"trial_{number:03d}.pt", **options)
        _say(f"wrote {result.save(file)}")


def predict(
    recording: Folder,
    /,
    *,
    encoders: tuple[Path, ...],
    out: Path,
    fold: str = "fold_0",
    trials: tuple[int, ...] = (),
    videos: tuple[Path, ...] = (),
    readout: int | str = 0,
    skip: int = 50,
    device: str = "auto",
) -> None:
    """Predict responses to movies, and say how well they match the recorded ones; finished files are kept.

    The last line is the single-trial correlation of the Sensorium 2023 competition.

    Args:
        recording: Folder of a recording.
        encoders: One or more encoding models of its neurons; their predictions are averaged.
        out: Folder for one .nc file a movie.
        fold: Which trials.
        trials: Numbers of trials within the recording, instead of a fold.
        videos: Movies in files (.npy, .tif, .mp4, ...), instead of trials; behaviour is held at the recording's mean.
        readout: Which mouse's neurons, in models of several mice: by number from 0, or by the recording's name.
        skip: Frames left out of the correlation at the start of each trial; 50 in the competition.
        device: auto, cpu, cuda, cuda:1, mps.
    """
    import neuroreel as nr
    from neuroreel.evaluation.predictions import predict_to_files
    from neuroreel.recordings.movie_file import movie_trial
    from neuroreel.recordings.recording import Trials

    if videos and trials:
        raise InputError("--videos and --trials were both given; predict one after the other")
    opened = nr.open_recording(recording)
    if videos:
        movies: Any = [movie_trial(file, opened) for file in videos]
        files = [out / f"{file.stem}.nc" for file in videos]
    else:
        numbers = _trial_numbers(opened, trials, fold)
        movies, files = Trials(opened, numbers), [out / f"trial_{number:03d}.nc" for number in numbers]
    models = [nr.load_encoder(file, readout=readout) for file in encoders]
    kept = [file for file in files if file.exists()]
    settings = {"readout": readout, "models": len(models)}
    table = predict_to_files(
        models, movies, files, neuron_ids=opened.unit_ids, settings=settings, skip=skip, device=device
    )
    for file in files:
        _say(f"{file} is there already" if file in kept else f"wrote {file}")
    _say(str(table))
    if opened.simulated:
        _say("(a simulated mouse, not a real one)")


def evaluate(
    results: Annotated[tuple[Path, ...], tyro.conf.Positional],
    /,
    *,
    decoder: Path | None = None,
    smooth: float | None = None,
    mask_threshold: float = 1.0,
    out: Path | None = None,
) -> None:
    """Score reconstructions, beside the baselines if the decoder is given.

    Of several movies it also says how often a frame or a clip is told from the others (nr.identify).

    Args:
        results: Files or folders that reconstruct wrote.
        decoder: Linear decoder: adds ridge, mean, grey and shuffled-neuron baselines.
        smooth: Also score the movie blurred with this sigma in all axes (0.5 in the paper).
        mask_threshold: Pixels of the mask of at least this are scored.
        out: Also write the scores of every trial to this JSON file.
    """
    import neuroreel as nr
    from neuroreel.evaluation.table import format_identification, format_table, score_table, table_json
    from neuroreel.files import atomic_path

    if out is not None:
        _refuse_existing(out)
    loaded = _load_results(results)
    ridge = None if decoder is None else nr.RidgeDecoder.load(decoder)
    table = score_table(loaded, decoder=ridge, smooth=smooth, mask_threshold=mask_threshold)
    _say(format_table(table))
    if identified := format_identification(loaded, mask_threshold=mask_threshold):
        _say(f"Of the reconstructions:\n{identified}")
    if any(result.simulated for result in loaded):
        _say("(a simulated mouse, not a real one)")
    if out is not None:
        with atomic_path(out) as partial:
            partial.write_text(table_json(table))


def report(
    results: Annotated[tuple[Path, ...], tyro.conf.Positional],
    /,
    *,
    out: Path,
    decoder: Path | None = None,
    mask_threshold: float = 1.0,
    title: str | None = None,
) -> None:
    """Write one HTML page with the movies playing side by side, scores, settings and provenance.

    Args:
        results: Files or folders that reconstruct wrote.
        out: The page, ending in .html.
        decoder: Linear decoder: adds the baselines to the table.
        mask_threshold: Pixels of the mask of at least this are scored.
        title: Heading of the page.
    """
    import neuroreel as nr
    from neuroreel.evaluation.table import score_table

    if out.suffix not in (".html", ".htm"):
        raise InputError(f"--out is {out}; the page's name must end in .html")
    _refuse_existing(out)
    loaded = _load_results(results)
    ridge = None if decoder is None else nr.RidgeDecoder.load(decoder)
    known = all(result.truth is not None for result in loaded)
    table = score_table(loaded, decoder=ridge, mask_threshold=mask_threshold) if known else None
    _say(f"wrote {nr.write_report(out, loaded, title=title, scores=table)}")


def convert(
    files: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="FILES")],
    /,
    *,
    out: Path,
    run: str = "*",
) -> None:
    """Convert the files of the paper's authors: weights to .safetensors, results and stimuli to .nc; none is executed.

    Masks (mask_m0.npy) need no conversion: --mask opens them as they are.

    Args:
        files: Encoding models (.pth), results (.npy), stimuli (.npz), or folders of results, each of which becomes one.
        out: Folder for what they are converted to; files that are there already are kept.
        run: Which run, where a folder of results has several, for instance "*_pop50_*".
    """
    import neuroreel as nr
    from neuroreel.published.convert import converted_names

    for file, name in converted_names(files, run=run).items():
        if (out / name).exists():
            _say(f"{out / name} is there already")
            continue
        _say(f"wrote {nr.convert_published(file, out / name, run=run)}")


def download(
    names: Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="[NAME ...]")] = (),
    /,
    *,
    to: Path = Path("data"),
    only: tuple[str, ...] = (),
    parallel: int = 4,
    yes: bool = False,
    show: Annotated[bool, tyro.conf.arg(name="list")] = False,
    check: bool = False,
    catalogue: Path | None = None,
) -> None:
    """Download the Sensorium 2023 recordings and the files of the paper's authors; a stopped download goes on.

    Args:
        names: new, old, recordings, weights, masks, stimuli, reconstructions, one mouse or file, or all; see --list.
        to: Folder for them.
        only: Parts, such as fold_0 or oracle of recordings, fold_0 of weights, m1 of masks.
        parallel: How many files are fetched at once.
        yes: Start without asking. Nothing is asked either where no terminal is there to answer.
        show: Print what can be downloaded, and stop.
        check: Read what was downloaded into the folder again, and say what has changed since.
        catalogue: A file like the package's catalogue.toml, for a mirror or another archive.
    """
    from neuroreel.recordings.download.catalogue import FILE, load_catalogue
    from neuroreel.recordings.download.manifest import check_downloads
    from neuroreel.recordings.download.run import download as download_files

    known = load_catalogue(catalogue or FILE)
    if show:
        _say("\n".join(known.lines()))
    elif check:
        if faults := check_downloads(to):
            raise InputError("\n".join([*faults, "delete what has changed and download it again"]))
        _say(f"everything that was downloaded into {to} is as it was")
    else:
        download_files(
            *names, to=to, only=only, parallel=parallel, catalogue=known, say=_say, confirm=lambda: yes or _agreed()
        )


def import_(
    source: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="FILE")],
    /,
    *,
    out: Path | None = None,
    show: Annotated[bool, tyro.conf.arg(name="list")] = False,
    responses: tuple[str, ...] = (),
    stimulus: tuple[str, ...] = (),
    trials: str = "auto",
    tier_column: str | None = None,
    trial_seconds: float | None = None,
    leave_out: tuple[int, ...] = (),
    pupil: str = "auto",
    running: str = "auto",
    pupil_center: str = "auto",
    neurons: Path | None = None,
    frame_rate_hz: float | None = None,
    grey_levels: tuple[float, float] = (0, 255),
    size: tuple[int, int] | None = None,
) -> None:
    """Make a recording of an NWB file, or of a table (.csv, .tsv) that names the files of each trial.

    Series of an NWB file are named by their path, its end, or a pattern. A table has the columns video, responses,
    behavior, pupil_center, tier and frame_rate_hz; of the options only --out and --frame-rate-hz go with it.

    Args:
        source: The NWB file (.nwb) or the table.
        out: Folder for the recording.
        show: Print what the NWB file holds, and stop.
        responses: Series of responses; the neurons of several follow each other.
        stimulus: Series of images.
        trials: Table of intervals that tells the trials, or "stimulus" to cut at its pauses.
        tier_column: Column of that table with a word a trial; "tier" or "split" by default.
        trial_seconds: Cut trials into pieces of this length.
        leave_out: Numbers of trials to leave out.
        pupil: Series of pupil dilation; "none" leaves it out.
        running: Series of running speed; "none" leaves it out.
        pupil_center: Series of the pupil's center; "none" leaves it out.
        neurons: A .npy file of booleans or numbers: which neurons to keep.
        frame_rate_hz: Frames a second; that of the stimulus by default.
        grey_levels: Stored values of black and white.
        size: Height and width to which frames are scaled.
    """
    from neuroreel.recordings.importing import import_file, list_file

    if show:
        _say("\n".join(list_file(source)))
        return
    choices: dict[str, Any] = {"responses": responses, "stimulus": stimulus, "trials": trials}
    choices |= {"tier_column": tier_column, "trial_seconds": trial_seconds, "leave_out": leave_out}
    choices |= {"pupil": pupil, "running": running, "pupil_center": pupil_center, "neurons": neurons}
    choices |= {"grey_levels": grey_levels, "size": size}
    _say(repr(import_file(source, out, frame_rate_hz=frame_rate_hz, choices=choices, say=_say)))


def export(
    results: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="RESULT [RESULT ...]")],
    /,
    *,
    to: str,
    metadata: Path | None = None,
    with_truth: bool = False,
    exact: bool = False,
) -> None:
    """Write reconstructions for other programs: NWB, TIFF (ImageJ) or MP4.

    Args:
        results: Files or folders that reconstruct wrote.
        to: A name ending in .nwb (all results in one file), .tif or .mp4; {} in it stands for each result's name.
        metadata: JSON file with fields of the NWB file, such as {"lab": "...", "subject": {"subject_id": "..."}}.
        with_truth: Put the true movie beside the reconstruction (TIFF and MP4; NWB has it anyway).
        exact: MP4 that is exact to the grey level, which some players do not show.
    """
    from neuroreel.results.exporting import export_results

    files = _result_files(results)
    if len({file.stem for file in files}) < len(files):
        raise InputError(f"{', '.join(map(str, files))}: some have the same name; export them one after the other")
    loaded = {file.stem: result for file, result in zip(files, _load_results(results), strict=True)}
    for file in export_results(loaded, to, metadata=metadata, with_truth=with_truth, exact=exact):
        _say(f"wrote {file}")


def doctor(*, json: bool = False) -> None:
    """Say what this machine has and what is missing for which command, and how to get it.

    Args:
        json: Print it as JSON.
    """
    from neuroreel.doctor import examine

    health = examine()
    _say(health.to_json() if json else str(health))
    if health.broken:
        sys.exit(1)


def _agreed() -> bool:
    """Ask somebody at a terminal; a script is not asked."""
    if not sys.stdin.isatty():
        return True
    return input("Go on? [y/N] ").strip().lower() in ("y", "yes")


def experiment(
    name: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="NAME")],
    /,
    *,
    out: Path = Path("neuroreel-experiments"),
    recordings: tuple[Path, ...] = (),
    encoders: tuple[Path, ...] = (),
    masks: tuple[Path, ...] = (),
    decoders: tuple[Path, ...] = (),
    readouts: tuple[int | str, ...] = (),
    preset: Literal["default", "published"] = "default",
    quick: bool = False,
    settings: Path | None = None,
    trials: tuple[int, ...] = (),
    fold: str | None = None,
    movies: int | None = None,
    fractions: tuple[float, ...] = (),
    repeats: int | None = None,
    stimuli: Path | None = None,
    iterations: int | None = None,
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
        encoders: Encoding models; with several recordings, in paths that have their names, or with readouts for each.
        masks: One transparency mask (.npy) for each recording.
        decoders: One linear decoder for each recording: start and prior of the default preset.
        readouts: One for each recording, where the models' readouts have no names (published .pth).
        preset: Our own settings, or the paper's rule to the letter.
        quick: Fewer movies and conditions.
        settings: JSON file {"settings": {...}, "grid": {...}, "scoring": {...}} with what differs.
        trials: Numbers of trials within each recording, instead of the first of the fold.
        fold: Which trials; fold_0 by default.
        movies: How many of the fold; 10 by default, 2 with --quick.
        fractions: Of the neurons that are kept, in ablation.
        repeats: Draws of each fraction.
        stimuli: The authors' movies (.npz) in place of ours, in noise and gratings.
        iterations: How many passes; the preset decides by default.
        seed: Of everything random.
        list: Print the jobs with their state and cost, and do none.
        json: With --list, print JSON.
        part: I/N does every Nth job from the Ith on (3/10); the N parts together are all jobs.
        jobs: Only these: numbers of the list, or patterns of keys.
        device: auto, cpu, cuda, cuda:1, mps.
    """
    from neuroreel.experiments.command import ExperimentCommand, list_jobs, run_command

    if json and not list:
        raise InputError("--json goes with --list")
    typed = {"trials": trials, "fold": fold, "movies": movies, "fractions": fractions, "repeats": repeats}
    command = ExperimentCommand(
        experiment=name,
        out=out,
        recordings=recordings,
        encoders=encoders,
        masks=masks,
        decoders=decoders,
        readouts=readouts,
        preset=preset,
        quick=quick,
        settings=settings,
        changes={option: value for option, value in typed.items() if value not in (None, ())},
        iterations=iterations,
        stimuli=stimuli,
        seed=seed,
        device=device,
    )
    if list:
        aside = partial(print, file=sys.stderr, flush=True)  # what is printed may be read by a program
        _say(list_jobs(command, part=part, jobs=jobs, as_json=json, say=aside))
    else:
        run_command(command, part=part, jobs=jobs, say=_say)


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

    draw_figures(experiment, results=results, published=published, out=out, overwrite=overwrite, say=_say)


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
        _say(str(SNAKEFILE))
    elif show:
        _say(configuration_text(config))
    elif table is not None:
        from neuroreel.workflow.comparison import write_comparison

        _say(write_comparison(table))
    else:
        folder = Path(f"neuroreel-{Path(config).stem}") if out is None else out
        run_workflow(config, out=folder, profile=profile, dry_run=dry_run, cores=cores, say=_say)


def _open_recordings(folders: tuple[Path, ...]) -> list[Any]:
    """Recordings of different names."""
    import neuroreel as nr

    if not folders:
        raise InputError("no recording was given; give the folder of at least one")
    opened = [nr.open_recording(folder) for folder in folders]
    names = [recording.name for recording in opened]
    if len(set(names)) < len(names):
        raise InputError(f"the recordings are called {', '.join(names)}; their folders must have different names")
    return opened


def _training_trials(opened: Any, test_fold: str, validation_fold: str | None) -> tuple[Any, Any]:
    """Trials of all folds but the test and validation ones, and those of the validation fold."""
    folds = sorted({word for word in opened.folds() if word.startswith("fold_")})
    for asked in (test_fold, validation_fold):
        if asked is not None and asked not in folds:
            raise InputError(f"the recording has no trials of {asked!r}; it has {', '.join(folds) or 'no folds'}")
    if test_fold == validation_fold:
        raise InputError(f"{test_fold} cannot be test and validation fold at once; it has {', '.join(folds)}")
    used = [fold for fold in folds if fold not in (test_fold, validation_fold)]
    if not used:
        raise InputError(f"no fold is left to train on beside {test_fold} and {validation_fold}")
    return opened.select(*used), None if validation_fold is None else opened.select(validation_fold)


def _trial_numbers(opened: Any, trials: tuple[int, ...], fold: str) -> tuple[int, ...]:
    """The trials asked for, each of them there."""
    last = len(opened.trials) - 1
    for number in trials:
        if not 0 <= number <= last:
            raise InputError(f"there is no trial {number} in {opened.name}; its trials are numbered 0 to {last}")
    return trials or tuple(opened.select(fold).indices)


def _refuse_existing(file: Path) -> None:
    """Before long work starts."""
    if file.exists():
        raise InputError(f"{file} exists already and is not overwritten; choose another name, or delete it first")


def _result_files(paths: tuple[Path, ...]) -> list[Path]:
    files = [file for path in paths for file in (sorted(path.glob("*.nc")) if path.is_dir() else [path])]
    if not files:
        raise InputError(f"no results in {', '.join(map(str, paths)) or 'nothing'}; give .nc files, or folders of them")
    return files


def _load_results(paths: tuple[Path, ...]) -> list[Any]:
    import neuroreel as nr

    return [nr.Reconstruction.load(file) for file in _result_files(paths)]


def _say(line: str) -> None:
    print(line, flush=True)


COMMANDS: dict[str, Callable[..., None]] = {
    "demo": demo,
    "simulate": simulate,
    "train": train,
    "mask": mask,
    "reconstruct": reconstruct,
    "predict": predict,
    "evaluate": evaluate,
    "report": report,
    "convert": convert,
    "download": download,
    "experiment": experiment,
    "figures": figures,
    "import": import_,
    "export": export,
    "doctor": doctor,
    "workflow": workflow,
}


def main(arguments: list[str] | None = None) -> None:
    """Run one command; a refusal prints its message alone and exits with status 2, Ctrl-C with 130."""
    given = sys.argv[1:] if arguments is None else arguments
    if given == ["--version"]:
        from neuroreel import __version__

        print(f"neuroreel {__version__}")
        return
    try:
        tyro.extras.subcommand_cli_from_dict(
            COMMANDS,
            prog="neuroreel",
            description="Reconstruct the movie an animal watched from the activity of its neurons.",
            args=given or ["--help"],
        )
    except KeyboardInterrupt:
        _stop("stopped; the same command goes on from what is finished", status=130)
    except Exception as error:
        message = _in_one_line(error)
        if message is None:  # a fault of ours: its traceback is what we need to see
            raise
        _stop(message, status=2)


def _in_one_line(error: Exception) -> str | None:
    """What an error that the user can mend says; None for a fault of the program."""
    if isinstance(error, NeuroreelError):
        return str(error)
    if isinstance(error, MemoryError | RuntimeError):
        from neuroreel.memory import first_line, is_out_of_memory  # imports PyTorch

        if not is_out_of_memory(error):
            return None
        return f"out of memory ({first_line(error)}); use fewer trials or neurons, or a smaller model"
    if isinstance(error, OSError):
        return f"{error}; check the path, its permissions and the space on its disk"
    return None


def _stop(message: str, *, status: int) -> NoReturn:
    print(f"neuroreel: {message}", file=sys.stderr)
    sys.exit(status)


if __name__ == "__main__":
    main()

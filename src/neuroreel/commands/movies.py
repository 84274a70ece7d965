"""Commands for reconstructions: made, scored, shown, exported, and those of the paper's authors converted."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from neuroreel.commands.files import (
    Folder,
    load_results,
    result_files,
    say,
    to_make,
    trial_numbers,
)
from neuroreel.errors import InputError
from neuroreel.files import atomic_path, refuse_existing


def reconstruct(
    recording: Folder,
    /,
    *,
    out: Path,
    posterior: Path | None = None,
    method: Literal["posterior", "bauer_2026"] = "posterior",
    encoders: tuple[Path, ...] = (),
    mask: Path | None = None,
    samples: int = 0,
    passes: int | None = None,
    fold: str = "fold_0",
    trials: tuple[int, ...] = (),
    session: int | str = 0,
    mask_threshold: float = 0.5,
    allow_trained_on: bool = False,
    seed: int = 0,
    device: str = "auto",
    max_memory: str | None = None,
) -> None:
    """Reconstruct movies; finished ones are kept, a killed run resumes from its last snapshot.

    Args:
        recording: Folder of a recording.
        out: Folder for one .nc file a trial.
        posterior: Folder that `neuroreel fit` wrote.
        method: The posterior, or the published method to the letter.
        encoders: With bauer_2026, one or more encoding models of the recording's neurons.
        mask: Transparency mask, a .npy file: the pixels that are scored (with bauer_2026 also those that may move).
        samples: Draws from the posterior beside the most likely movie: how sure it is.
        passes: How many at most; 30 by default, 1000 with bauer_2026.
        fold: Which trials.
        trials: Numbers of trials within the recording, instead of a fold.
        session: With bauer_2026, which mouse's neurons, in models of several mice: by number from 0, or by name.
        mask_threshold: With bauer_2026, pixels of at least this may move.
        allow_trained_on: Also movies that an encoding model declares to be in its training set; results say so.
        seed: Random seed.
        device: auto, cpu, cuda, cuda:1, mps.
        max_memory: How much memory may be taken, for instance 8GB; all that is free by default.
    """
    import neuroreel as nr
    from neuroreel.encoding.checks import check_responses_fit

    opened = nr.open_recording(recording)
    numbers = trial_numbers(opened, trials, fold)
    asked: dict[str, Any] = {"seed": seed, "mask": None if mask is None else nr.load_mask(mask)}
    asked["allow_trained_on"] = allow_trained_on
    make: Callable[..., nr.Reconstruction]
    if method == "bauer_2026":
        if not encoders or posterior is not None or samples:
            raise InputError("--method bauer_2026 takes --encoders, and neither --posterior nor --samples")
        models = [nr.load_encoder(file, session=session) for file in encoders]
        make = partial(nr.bauer_2026.reconstruct, models=models, mask_threshold=mask_threshold, **asked)
        asked_passes = {} if passes is None else {"iterations": passes}
    else:
        if posterior is None or encoders:
            raise InputError(
                "give --posterior, a folder that `neuroreel fit` wrote, and no --encoders: it has them in it"
            )
        fitted = nr.load_posterior(posterior)
        models = list(fitted.models)
        make = partial(nr.reconstruct, posterior=fitted, samples=samples, **asked)
        asked_passes = {} if passes is None else {"passes": passes}
    for number in numbers:  # a damaged trial is found before hours of work on the others
        check_responses_fit(models[0], opened.trials[number])
    for number in numbers:
        file = out / f"trial_{number:03d}.nc"
        with to_make(file, what="reconstruction") as missing:
            if not missing:
                say(f"{file} is there already")
                continue
            compute = nr.Compute(device=device, max_memory=max_memory, checkpoint=file.with_suffix(".pt"))
            say(f"wrote {make(opened.trials[number], compute=compute, **asked_passes).save(file)}")


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

    if out is not None:
        refuse_existing(out, overwrite=False)
    loaded = load_results(results)
    ridge = None if decoder is None else nr.RidgeDecoder.load(decoder)
    table = score_table(loaded, decoder=ridge, smooth=smooth, mask_threshold=mask_threshold)
    say(format_table(table))
    if identified := format_identification(loaded, mask_threshold=mask_threshold):
        say(f"Of the reconstructions:\n{identified}")
    if any(result.simulated for result in loaded):
        say("(a simulated mouse, not a real one)")
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
    overwrite: bool = False,
) -> None:
    """Write one HTML page with the movies playing side by side, scores, settings and provenance.

    Args:
        results: Files or folders that reconstruct wrote.
        out: The page, ending in .html.
        decoder: Linear decoder: adds the baselines to the table.
        mask_threshold: Pixels of the mask of at least this are scored.
        title: Heading of the page.
        overwrite: Replace a page that is there.
    """
    import neuroreel as nr
    from neuroreel.evaluation.table import score_table

    if out.suffix not in (".html", ".htm"):
        raise InputError(f"--out is {out}; the page's name must end in .html")
    refuse_existing(out, overwrite=overwrite)
    loaded = load_results(results)
    ridge = None if decoder is None else nr.RidgeDecoder.load(decoder)
    known = all(result.truth is not None for result in loaded)
    table = score_table(loaded, decoder=ridge, mask_threshold=mask_threshold) if known else None
    say(f"wrote {nr.write_report(out, loaded, title=title, scores=table, overwrite=overwrite)}")


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
        to: A name ending in .nwb (all results in one file), .tif, .mp4 or .gif; {} in it stands for each result's name.
        metadata: JSON file with fields of the NWB file, such as {"lab": "...", "subject": {"subject_id": "..."}}.
        with_truth: Put the true movie beside the reconstruction (TIFF, MP4 and GIF; NWB has it anyway).
        exact: MP4 that is exact to the grey level, which some players do not show.
    """
    from neuroreel.results.exporting import export_results

    files = result_files(results)
    if len({file.stem for file in files}) < len(files):
        raise InputError(f"{', '.join(map(str, files))}: some have the same name; export them one after the other")
    loaded = {file.stem: result for file, result in zip(files, load_results(results), strict=True)}
    for file in export_results(loaded, to, metadata=metadata, with_truth=with_truth, exact=exact):
        say(f"wrote {file}")


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
    from neuroreel.bauer_2026.files.convert import converted_names

    for file, name in converted_names(files, run=run).items():
        if (out / name).exists():
            say(f"{out / name} is there already")
            continue
        say(f"wrote {nr.convert_published(file, out / name, run=run)}")

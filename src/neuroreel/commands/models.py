"""Commands for encoding models: trained, their mask learned, their predictions."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from neuroreel.commands.files import (
    Folder,
    open_recordings,
    say,
    to_make,
    training_trials,
    trial_numbers,
)
from neuroreel.errors import InputError
from neuroreel.files import refuse_existing


def train(
    recordings: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="FOLDER [FOLDER ...]")],
    /,
    *,
    out: Path,
    kind: Literal["core_readout", "dwiseneuro"] = "core_readout",
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

    With several recordings (dwiseneuro only) each model has a session for each of them.

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

    opened = open_recordings(recordings)
    command = TrainCommand(
        out=out,
        kind=kind,
        trials={each.name: training_trials(each, test_fold, validation_fold) for each in opened},
        epochs=epochs,
        settings=settings,
        teachers=teachers,
        device=device,
        devices=devices,
    )
    command.train(seeds, say=say)
    for name, (training, _) in command.trials.items():
        file = out / ("decoder.safetensors" if len(opened) == 1 else f"decoder_{name}.safetensors")
        if not decoder:
            continue
        with to_make(file, what="linear decoder") as missing:
            if missing:
                say(f"Fitting the linear decoder {file}")
                nr.fit_decoder(training).save(file)


def mask(
    recording: Folder,
    /,
    *,
    out: Path,
    posterior: Path | None = None,
    encoder: Path | None = None,
    session: int | str = 0,
    steps: int = 1000,
    test_fold: str = "fold_0",
    seed: int = 0,
    device: str = "auto",
) -> None:
    """Learn the transparency mask: which pixels the population sees.

    From a posterior, by what responses tell of (seconds, and nearly the same mask from any seed); or from an encoding
    model, by the published rule.

    Args:
        recording: Folder of a recording.
        out: The mask, a .npy file.
        posterior: Folder that `neuroreel fit` wrote.
        encoder: In its place, an encoding model of its neurons (.safetensors, or a published .pth).
        session: Which mouse's neurons, in a model of several mice: by number from 0, or by the recording's name.
        steps: Of the published rule; 1000 in the paper.
        test_fold: Trials never looked at here.
        seed: Random seed.
        device: auto, cpu, cuda, cuda:1, mps.
    """
    import neuroreel as nr

    if (posterior is None) == (encoder is None):
        raise InputError("give either --posterior, a folder that `neuroreel fit` wrote, or --encoder")
    refuse_existing(out, overwrite=False)
    training, _ = training_trials(nr.open_recording(recording), test_fold, None)
    if posterior is not None:
        compute = nr.Compute(device=device)
        learned = nr.posterior_mask(nr.load_posterior(posterior), training, seed=seed, compute=compute)
    else:
        assert encoder is not None  # checked above
        model = nr.load_encoder(encoder, session=session)
        learned = nr.learn_mask(model, training, steps=steps, seed=seed, device=device)
    nr.save_mask(out, learned)
    say(f"wrote {out}; {int((learned >= 1).sum())} of its {learned.size} pixels reach 1: scored where the movie is")


def fit(
    recording: Folder,
    /,
    *,
    encoders: tuple[Path, ...],
    out: Path,
    session: int | str = 0,
    test_fold: str = "fold_0",
    validation_fold: str | None = "fold_1",
    factors: int = 8,
    likelihood_weight: float = 0.5,
    seed: int = 0,
    device: str = "auto",
    overwrite: bool = False,
) -> None:
    """Fit the posterior that movies are reconstructed from: what movies are like, and the noise of the responses.

    Args:
        recording: Folder of a recording.
        encoders: One or more encoding models of its neurons (.safetensors, or published .pth).
        out: Folder for the posterior, encoding models included.
        session: Which mouse's neurons, in models of several mice: by number from 0, or by the recording's name.
        test_fold: Trials never looked at here.
        validation_fold: Trials that the models were not trained on, which say how large their errors are; or None.
        factors: How many noise factors neurons share.
        likelihood_weight: Power of the likelihood.
        seed: Random seed.
        device: auto, cpu, cuda, cuda:1, mps.
        overwrite: Replace a posterior that is there.
    """
    import neuroreel as nr

    refuse_existing(out, overwrite=overwrite)
    training, validation = training_trials(nr.open_recording(recording), test_fold, validation_fold)
    fitted = nr.fit_posterior(
        [nr.load_encoder(file, session=session) for file in encoders],
        training,
        validation=() if validation is None else validation,
        seed=seed,
        compute=nr.Compute(device=device),
        factors=factors,
        likelihood_weight=likelihood_weight,
    )
    say(f"wrote {fitted.save(out, overwrite=overwrite)}: {fitted}")


def predict(
    recording: Folder,
    /,
    *,
    encoders: tuple[Path, ...],
    out: Path,
    fold: str = "fold_0",
    trials: tuple[int, ...] = (),
    videos: tuple[Path, ...] = (),
    session: int | str = 0,
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
        session: Which mouse's neurons, in models of several mice: by number from 0, or by the recording's name.
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
        numbers = trial_numbers(opened, trials, fold)
        movies, files = Trials(opened, numbers), [out / f"trial_{number:03d}.nc" for number in numbers]
    models = [nr.load_encoder(file, session=session) for file in encoders]
    kept = [file for file in files if file.exists()]
    settings = {"session": session, "models": len(models)}
    table = predict_to_files(
        models, movies, files, neuron_ids=opened.unit_ids, settings=settings, skip=skip, device=device
    )
    for file in files:
        say(f"{file} is there already" if file in kept else f"wrote {file}")
    say(str(table))
    if opened.simulated:
        say("(a simulated mouse, not a real one)")

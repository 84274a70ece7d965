"""Commands for what is fitted to a recording: posterior, mask, predictions."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from neuroreel.commands.files import (
    load_encoders,
    load_posterior,
    say,
    say_if_simulated,
    training_trials,
    trial_numbers,
)
from neuroreel.commands.options import Device, Fold, Overwrite, Recording, Seed, Session, TestFold, TrialNumbers, Trust
from neuroreel.defaults import COMPETITION_SKIP_FRAMES, FACTORS, LIKELIHOOD_WEIGHT, MASK_STEPS
from neuroreel.errors import InputError
from neuroreel.files import refuse_existing


@dataclass(frozen=True, kw_only=True)
class Fit:
    """Fit the posterior from which movies are reconstructed.

    It combines the encoding models with a movie prior and a noise model.

    Args:
        encoders: One or more encoding models of the recording's neurons (.safetensors, or published .pth).
        out: Folder for the posterior, encoding models included.
        validation_fold: Fold that the models were not trained on, used to measure their errors; or "none".
        factors: How many noise factors the neurons share.
        likelihood_weight: Power of the likelihood: how much to trust the responses over the movie prior, above 0, at
            most 1.
    """

    recording: Recording
    encoders: tuple[Path, ...]
    out: Path
    session: Session = 0
    trust: Trust = False
    test_fold: TestFold = "fold_0"
    validation_fold: str = "fold_1"
    factors: int = FACTORS
    likelihood_weight: float = LIKELIHOOD_WEIGHT
    seed: Seed = 0
    device: Device = "auto"
    overwrite: Overwrite = False

    def __call__(self) -> None:
        """Fit and save it, and say how good the models are."""
        import neuroreel as nr

        refuse_existing(self.out, overwrite=self.overwrite)
        training, validation = training_trials(nr.open_recording(self.recording), self.test_fold, self.validation_fold)
        fitted = nr.fit_posterior(
            load_encoders(self.encoders, session=self.session, trust=self.trust),
            training,
            validation=validation,
            factors=self.factors,
            likelihood_weight=self.likelihood_weight,
            seed=self.seed,
            compute=nr.Compute(device=self.device),
        )
        say(f"wrote {fitted.save(self.out, overwrite=self.overwrite)}: {fitted}")


@dataclass(frozen=True, kw_only=True)
class Mask:
    """Learn the transparency mask: which pixels affect the responses.

    Movies are scored inside it. It is learned from a posterior (in seconds, with nearly the same mask from any seed)
    or, by the paper's rule, from an encoding model.

    Args:
        out: The mask, a .npy file.
        posterior: Folder that `neuroreel fit` wrote.
        encoder: In its place, an encoding model of the recording's neurons (.safetensors, or a published .pth); or the
            one that the posterior was fitted to, where it is another lab's.
        steps: How many steps the paper's rule takes, with --encoder.
    """

    recording: Recording
    out: Path
    posterior: Path | None = None
    encoder: Path | None = None
    session: Session = 0
    trust: Trust = False
    steps: int = MASK_STEPS
    test_fold: TestFold = "fold_0"
    seed: Seed = 0
    device: Device = "auto"
    overwrite: Overwrite = False

    def __call__(self) -> None:
        """Learn and save it, and say how many pixels will be scored."""
        import neuroreel as nr

        if self.posterior is None and self.encoder is None:
            raise InputError("give either --posterior, a folder that `neuroreel fit` wrote, or --encoder")
        refuse_existing(self.out, overwrite=self.overwrite)
        training, _ = training_trials(nr.open_recording(self.recording), self.test_fold)
        files = () if self.encoder is None else (self.encoder,)
        models = load_encoders(files, session=self.session, trust=self.trust)
        if self.posterior is not None:
            posterior, compute = load_posterior(self.posterior, models), nr.Compute(device=self.device)
            learned = nr.posterior_mask(posterior, training, seed=self.seed, compute=compute)
        else:
            learned = nr.learn_mask(models[0], training, steps=self.steps, seed=self.seed, device=self.device)
        nr.save_mask(self.out, learned, overwrite=self.overwrite)
        scored = int((learned >= 1).sum())
        say(f"wrote {self.out}; {scored} of its {learned.size} pixels reach 1 and are scored")


@dataclass(frozen=True, kw_only=True)
class Predict:
    """Predict responses to movies, and compare them with recorded ones.

    The last line is the single-trial correlation of the Sensorium 2023 competition. Finished files are kept.

    Args:
        encoders: One or more encoding models of the recording's neurons; their predictions are averaged.
        out: Folder for one .nc file per movie.
        videos: Movie files (.npy, .tif, .mp4, ...) instead of trials; behavior is held at the recording's mean.
        skip: Frames at the start of each trial that do not count.
    """

    recording: Recording
    encoders: tuple[Path, ...]
    out: Path
    fold: Fold = "fold_0"
    trials: TrialNumbers = ()
    videos: tuple[Path, ...] = ()
    session: Session = 0
    trust: Trust = False
    skip: int = COMPETITION_SKIP_FRAMES
    device: Device = "auto"
    overwrite: Overwrite = False

    def __call__(self) -> None:
        """Write the predictions and print their correlations."""
        import neuroreel as nr
        from neuroreel.evaluation.predictions import predict_to_files
        from neuroreel.recordings.movie_file import movie_trial
        from neuroreel.recordings.recording import Trials

        if self.videos and self.trials:
            raise InputError("--videos and --trials were both given; predict one after the other")
        opened = nr.open_recording(self.recording)
        if self.videos:
            movies: Any = [movie_trial(file, opened) for file in self.videos]
            files = [self.out / f"{file.stem}.nc" for file in self.videos]
        else:
            numbers = trial_numbers(opened, self.trials, self.fold)
            movies, files = Trials(opened, numbers), [self.out / f"trial_{number:03d}.nc" for number in numbers]
        models = load_encoders(self.encoders, session=self.session, trust=self.trust)
        kept = [file for file in files if file.exists() and not self.overwrite]
        table = predict_to_files(
            models,
            movies,
            files,
            neuron_ids=opened.unit_ids,
            settings={"session": self.session, "models": len(models)},
            skip=self.skip,
            device=self.device,
            overwrite=self.overwrite,
        )
        for file in files:
            say(f"{file} already exists" if file in kept else f"wrote {file}")
        say(str(table))
        say_if_simulated(opened)

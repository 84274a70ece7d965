"""The fits to one recording that precede reconstruction, each a task of a study."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any

import neuroreel as nr
from neuroreel.errors import InputError
from neuroreel.files import atomic_path
from neuroreel.recordings.recording import Recording, Trials
from neuroreel.recordings.simulate.truth import load_truth
from neuroreel.results.provenance import hash_array
from neuroreel.studies.animals import hash_trial
from neuroreel.studies.simulator import TrueSimulator, load_noise, save_noise
from neuroreel.studies.store import Store
from neuroreel.studies.task import Fit

TEST_FOLD, VALIDATION_FOLD = "fold_0", "fold_1"
TRAINING_FOLDS = tuple(f"fold_{number}" for number in range(2, 7))
JUDGE = 1000  # added to the seed for the encoding model that judges
PUBLISHED_MASK_STEPS = 200


@dataclass(frozen=True, kw_only=True)
class SimulatedMouse:
    """Sizes of a simulated recording."""

    trials: int
    seconds: float
    neurons: int
    height: int = 36
    width: int = 64
    signal_to_noise: float = 0.4


@dataclass(frozen=True, kw_only=True)
class Training:
    """How many encoding models to train, and for how long."""

    models: int
    epochs: int
    batches_per_epoch: int


@dataclass(frozen=True, kw_only=True, eq=False)
class Mouse:
    """A recording split by folds, and the tasks that fit folds 2 to 6; fold 1 validates, fold 0 is for tests.

    Parameters
    ----------
    recording
        A recording with folds 0 to 6.
    training
        Training of the encoding models.
    home
        Folder of the fits, inside the folder of the study.
    seed
        Random seed of the first encoding model; the next ones count up.
    decoder_steps
        Training steps of the convolutional decoder.
    """

    recording: Recording
    training: Training
    home: str = ""
    seed: int = 0
    decoder_steps: int = 1

    @cached_property
    def train(self) -> Trials:
        """Folds 2 to 6."""
        return self.recording.select(*TRAINING_FOLDS)

    @cached_property
    def validation(self) -> Trials:
        """Fold 1."""
        return self.recording.select(VALIDATION_FOLD)

    @cached_property
    def test(self) -> Trials:
        """Fold 0."""
        return self.recording.select(TEST_FOLD)

    @cached_property
    def decoder(self) -> Fit:
        """Linear regression."""
        return self._fit(
            "decoder.safetensors",
            "Fit the linear decoder",
            fit=lambda given, compute: nr.fit_decoder(self.train),
            load=nr.load_decoder,
        )

    @cached_property
    def convolutional(self) -> Fit:
        """The convolutional decoder; the encoding models provide the receptive fields."""
        return self._fit(
            "convolutional.safetensors",
            "Train the convolutional decoder",
            settings={"steps": self.decoder_steps},
            inputs=self.encoders,
            fit=lambda given, compute: nr.fit_decoder(
                self.train,
                kind="convolutional",
                validation=self.validation,
                encoders=list(given.values()),
                steps=self.decoder_steps,
                seed=self.seed,
                checkpoint=compute.checkpoint,
            ),
            load=nr.load_decoder,
        )

    @cached_property
    def encoders(self) -> dict[str, Fit]:
        """The ensemble, by name."""
        count = self.training.models
        titles = [f"Train encoding model {number + 1} of {count}" for number in range(count)]
        return {f"encoder_{number}": self._encoder(self.seed + number, title) for number, title in enumerate(titles)}

    @cached_property
    def judge(self) -> Fit:
        """An encoding model with another seed, which no method inverts."""
        return self._encoder(self.seed + JUDGE, "Train the encoding model that judges; no method inverts it")

    def _encoder(self, seed: int, title: str) -> Fit:
        recipe = {"epochs": self.training.epochs, "batches_per_epoch": self.training.batches_per_epoch}
        return self._fit(
            f"encoder_{seed}.safetensors",
            title,
            settings={"recipe": recipe},
            fit=lambda given, compute: nr.fit_encoder(self.train, validation=self.validation, seed=seed, recipe=recipe),
            save=lambda made, file: nr.save_encoder(made, file, overwrite=True),
            load=nr.load_encoder,
        )

    @cached_property
    def posterior(self) -> Fit:
        """The posterior of the ensemble."""
        return self._posterior("posterior", "Fit the posterior: movie prior and noise model", self.encoders)

    @cached_property
    def one_model(self) -> Fit:
        """The posterior with only the first encoding model."""
        first = {"encoder_0": self.encoders["encoder_0"]}
        return self._posterior("posterior_1_model", "Fit the posterior with one encoding model", first)

    def _posterior(self, name: str, title: str, models: Mapping[str, Fit]) -> Fit:
        return self._fit(
            name,
            title,
            inputs=models,
            fit=lambda given, compute: nr.fit_posterior(
                list(given.values()), self.train, validation=self.validation, seed=self.seed
            ),
            load=nr.load_posterior,
        )

    @cached_property
    def simulator_noise(self) -> Fit:
        """The noise model with the simulation itself as encoding model, for a simulated recording."""
        return self._fit(
            "simulator_noise.safetensors",
            "Fit the noise model of the true simulator",
            inputs={"posterior": self.posterior},
            fit=lambda given, compute: (
                nr.fit_posterior(
                    TrueSimulator(load_truth(self.recording.folder)),
                    self.train,
                    validation=self.validation,
                    movie_prior=given["posterior"].movie_prior,
                    seed=self.seed,
                ).noise
            ),
            save=save_noise,
            load=load_noise,
        )

    @cached_property
    def mask(self) -> Fit:
        """The transparency mask."""
        return self._fit(
            "mask.npy",
            "Learn the mask",
            inputs={"posterior": self.posterior},
            fit=lambda given, compute: nr.posterior_mask(given["posterior"], self.train, seed=self.seed),
            save=lambda made, file: nr.save_mask(file, made, overwrite=True),
            load=nr.load_mask,
        )

    @cached_property
    def published_mask(self) -> Fit:
        """The mask of the published rule, from the first encoding model."""
        return self._fit(
            "published_mask.npy",
            "Learn the mask by the published rule",
            inputs={"encoder_0": self.encoders["encoder_0"]},
            fit=lambda given, compute: nr.learn_mask(
                given["encoder_0"], self.train, steps=PUBLISHED_MASK_STEPS, seed=self.seed
            ),
            save=lambda made, file: nr.save_mask(file, made, overwrite=True),
            load=nr.load_mask,
        )

    def reconstruction(self, index: int, *, samples: int) -> Fit:
        """A test movie reconstructed with the posterior, by its index in its fold."""
        trial = self.test[index]
        return self._fit(
            f"reconstruction_{index}.nc",
            settings={"samples": samples, "trial": hash_trial(trial)},
            inputs={"posterior": self.posterior, "mask": self.mask},
            fit=lambda given, compute: nr.reconstruct(
                trial, given["posterior"], mask=given["mask"], samples=samples, seed=self.seed
            ),
            load=nr.Reconstruction.load,
        )

    def _fit(
        self, name: str, title: str = "", *, settings: Mapping[str, Any] = MappingProxyType({}), **parts: Any
    ) -> Fit:
        """A task of this mouse, which also depends on seed, trials and statistics."""
        decides = {
            "what": name,
            "settings": {"seed": self.seed, **settings},
            "trials": [list(self.train.indices), list(self.validation.indices)],
            "statistics": hash_statistics(self.recording),
        }
        parts.setdefault("save", lambda made, file: made.save(file, overwrite=True))
        return Fit(place=f"{self.home}/{name}" if self.home else name, title=title, decides=decides, **parts)


def hash_statistics(recording: Recording) -> dict[str, str]:
    """Hashes of the means over a recording's training trials, by kind of data."""
    return {kind: hash_array(recording.statistics[kind].mean) for kind in sorted(recording.statistics)}


def simulated_mouse(store: Store, place: str, mouse: SimulatedMouse, *, seed: int, title: str = "") -> Fit:
    """The task that simulates a recording."""
    settings = asdict(mouse)
    return Fit(
        place=place,
        title=title,
        decides={"what": "simulated recording", "seed": seed, **settings},
        fit=lambda given, compute: nr.simulate(store.file(place), **settings, seed=seed, overwrite=True),
        save=lambda made, folder: None,
        load=nr.open_recording,
        in_place=True,
    )


def check_same_run(folder: Path, wanted: str, *, what: str) -> None:
    """Check that a folder holds only the run that ``wanted`` describes.

    Raises
    ------
    InputError
        The folder holds other files, or a run with other settings.
    """
    stamp = folder / f"{what}.txt"
    if folder.exists() and any(folder.iterdir()) and not stamp.exists():
        raise InputError(f"{folder} holds other files; choose a new or empty folder with out=")
    if not stamp.exists():
        with atomic_path(stamp) as partial:
            partial.write_text(wanted)
    if stamp.read_text() != wanted:
        raise InputError(
            f"{folder} holds a {what} with {stamp.read_text().strip()}, this one has {wanted.strip()}; "
            "choose another folder with out=, or delete it"
        )

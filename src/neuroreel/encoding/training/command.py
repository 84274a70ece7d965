"""What ``neuroreel train`` does: an ensemble, one model a seed, that the same command resumes after a kill."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from neuroreel.encoding.files import load_encoder, save_encoder
from neuroreel.encoding.interface import EncodingModel
from neuroreel.encoding.training.fit import fit_encoder
from neuroreel.encoding.training.recipe import WATCHED, Devices, Recipe, resolve_recipe
from neuroreel.errors import InputError
from neuroreel.locks import exclusive, file_lock, lock_of
from neuroreel.recordings.disk import read_json
from neuroreel.recordings.trial import Trial


@dataclass(frozen=True, kw_only=True)
class TrainCommand:
    """What the models of an ensemble share.

    ``trials`` has training and validation trials by recording; ``settings`` is a JSON file with "recipe" and
    "architecture", ``epochs`` goes before the recipe's.
    """

    out: Path
    kind: str
    trials: Mapping[str, tuple[Sequence[Trial], Sequence[Trial]]]
    epochs: int | None = None
    settings: Path | None = None
    teachers: Sequence[Path] = ()
    device: str = "auto"
    devices: int = 1

    def __post_init__(self) -> None:
        """Find what is wrong with the command before trials are read."""
        Devices.choose(self.device, count=self.devices, strategy="auto")
        if self.epochs is not None and self.epochs < 1:
            raise InputError(f"--epochs is {self.epochs}; it must be at least 1")
        _ = self._options

    @cached_property
    def _options(self) -> dict[str, Any]:
        """Arguments of ``fit_encoder``: what the file says, and the epochs."""
        options = {} if self.settings is None else read_json(self.settings)
        unknown = set(options) - {"recipe", "architecture"}
        if unknown:
            raise InputError(f"{self.settings} has {sorted(unknown)}; it may have 'recipe' and 'architecture'")
        if self.epochs is not None:
            options["recipe"] = {**options.get("recipe", {}), "epochs": self.epochs}
        options["architecture"] = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in options.get("architecture", {}).items()
        }
        return options

    def train(self, seeds: Sequence[int], *, say: Callable[[str], object]) -> None:
        """Train what is not there yet, one model a seed; what is shared on the way is deleted at the end."""
        wanted = [seed for seed in seeds if not self._file(seed).exists()]
        for seed in seeds:
            if seed not in wanted:
                say(f"{self._file(seed)} is there already")
        if wanted:
            say(cost_of(self.kind, resolve_recipe(self.kind, self._options.get("recipe")), models=len(wanted)))
        for seed in wanted:
            with exclusive(lock_of(self._file(seed)), what="training", place=self._file(seed), tidy=True):
                self._train_one(seed, say=say)
        if self._packed.is_dir():
            with self._packed_alone():
                if not list(self.out.glob("encoder_*.training")):  # no other command is training here
                    shutil.rmtree(self._packed, ignore_errors=True)

    def _train_one(self, seed: int, *, say: Callable[[str], object]) -> None:
        file, work = self._file(seed), self._work(seed)
        if file.exists():  # trained by another command since this one began
            say(f"{file} is there already")
            return
        say(f"Training {file}")
        with self._packed_alone():  # another command deletes the packed trials before this, or not at all
            work.mkdir(parents=True, exist_ok=True)
        model = self._fit(seed)
        save_encoder(model, file)
        shutil.rmtree(work)
        scores = [row[WATCHED] for row in model.training_log if WATCHED in row]
        say(f"{file}: validation correlation {max(scores, default=math.nan):.3f}")

    def _fit(self, seed: int) -> EncodingModel:
        training = {name: trials for name, (trials, _) in self.trials.items()}
        validation = {name: trials for name, (_, trials) in self.trials.items()}
        return fit_encoder(
            training,
            kind=self.kind,
            seed=seed,
            validation=validation,
            folder=self._work(seed),
            packed=self._packed,
            device=self.device,
            devices=self.devices,
            teachers=self._teachers,
            **self._options,
        )

    @cached_property
    def _teachers(self) -> list[EncodingModel]:
        return [load_encoder(file) for file in self.teachers]

    def _file(self, seed: int) -> Path:
        return self.out / f"encoder_{seed}.safetensors"

    def _work(self, seed: int) -> Path:
        return self.out / f"encoder_{seed}.training"

    def _packed_alone(self) -> AbstractContextManager[bool]:
        return file_lock(lock_of(self._packed), what="training", tidy=True)

    @property
    def _packed(self) -> Path:
        return self.out / "packed"


def cost_of(kind: str, recipe: Recipe, *, models: int) -> str:
    """What training takes, in a sentence; the progress bar estimates the time after the first batches."""
    batches = recipe.epochs * recipe.batches_per_epoch
    sample = "clips" if kind == "dwiseneuro" else "windows"
    epochs = f"{recipe.epochs} epochs of {recipe.batches_per_epoch:,} batches of {recipe.batch_size} {sample}"
    return (
        f"{models} model{'s' if models > 1 else ''} to train, each in at most {epochs}: "
        f"{batches * recipe.batch_size:,} {sample} a model, {models * batches:,} batches in all"
    )

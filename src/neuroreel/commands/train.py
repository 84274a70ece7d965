"""``neuroreel train``: an ensemble, one model per seed, and the linear decoders; run it again after a kill."""

from __future__ import annotations

import math
import shutil
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from tyro.conf import Positional, arg

from neuroreel.commands.files import say, to_make, training_trials
from neuroreel.commands.options import Device, Overwrite, TestFold
from neuroreel.errors import InputError
from neuroreel.locks import exclusive, file_lock, lock_of
from neuroreel.recordings.disk import read_json

if TYPE_CHECKING:
    from neuroreel.encoding.interface import EncodingModel
    from neuroreel.encoding.training.recipe import Recipe
    from neuroreel.recordings.trial import Trial


@dataclass(frozen=True, kw_only=True)
class Train:
    """Train encoding models, and a linear decoder as a baseline.

    Finished models are kept; an interrupted run resumes. With several recordings (dwiseneuro only) each model has
    a session for each of them.

    Args:
        recordings: Folders of one or more recordings in the Sensorium layout.
        out: Folder for encoder_SEED.safetensors and decoder.safetensors (decoder_NAME.safetensors with several
            recordings).
        kind: A small convolutional model that trains in a minute, or the architecture of the paper.
        seeds: Random seeds, one encoding model for each; give none to fit only decoders.
        validation_fold: Fold used for early stopping, or "none".
        epochs: Most epochs to train; by default it depends on the kind.
        settings: JSON file {"recipe": {...}, "architecture": {...}} with values that differ from the kind's defaults.
        teachers: Finished models of the same recordings: learn their predictions too (distillation).
        decoder: Also fit a linear decoder for each recording.
        devices: How many devices share each batch.
    """

    recordings: Annotated[tuple[Path, ...], Positional, arg(metavar="RECORDING ...")]
    out: Path
    kind: Literal["core_readout", "dwiseneuro"] = "core_readout"
    seeds: tuple[int, ...] = (0, 1)
    test_fold: TestFold = "fold_0"
    validation_fold: str = "fold_1"
    epochs: int | None = None
    settings: Path | None = None
    teachers: tuple[Path, ...] = ()
    decoder: bool = True
    device: Device = "auto"
    devices: int = 1
    overwrite: Overwrite = False

    def __call__(self) -> None:
        """Train what is missing, then fit the decoders."""
        from neuroreel.encoding.training.recipe import Devices

        Devices.choose(self.device, count=self.devices, strategy="auto")
        _ = self.options, self.trials  # errors in them appear before any training
        self.train_models()
        if self.decoder:
            self._fit_decoders()

    @cached_property
    def options(self) -> dict[str, Any]:
        """Recipe and architecture, with the epochs given."""
        if self.epochs is not None and self.epochs < 1:
            raise InputError(f"epochs is {self.epochs}; it must be at least 1")
        options = {} if self.settings is None else read_json(self.settings)
        if unknown := set(options) - {"recipe", "architecture"}:
            raise InputError(f"{self.settings} has {sorted(unknown)}; it may have 'recipe' and 'architecture'")
        if self.epochs is not None:
            options["recipe"] = {**options.get("recipe", {}), "epochs": self.epochs}
        options["architecture"] = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in options.get("architecture", {}).items()
        }
        return options

    @cached_property
    def trials(self) -> Mapping[str, tuple[Sequence[Trial], Sequence[Trial]]]:
        """Training and validation trials, by recording."""
        from neuroreel.recordings.recording import open_recordings

        opened = open_recordings(self.recordings)
        return {each.name: training_trials(each, self.test_fold, self.validation_fold) for each in opened}

    def train_models(self) -> None:
        """Train the missing models, one per seed; shared temporary files are deleted at the end."""
        from neuroreel.encoding.training.recipe import resolve_recipe

        wanted = [seed for seed in self.seeds if self._is_wanted(seed)]
        if wanted:
            say(cost_of(self.kind, resolve_recipe(self.kind, self.options.get("recipe")), models=len(wanted)))
        for seed in wanted:
            with exclusive(lock_of(self._file(seed)), what="training", place=self._file(seed), tidy=True):
                self._train_one(seed)
        if self._packed.is_dir():
            with self._packed_alone():
                if not list(self.out.glob("encoder_*.training")):  # no other command is training here
                    shutil.rmtree(self._packed, ignore_errors=True)

    def _is_wanted(self, seed: int) -> bool:
        if self._file(seed).exists() and not self.overwrite:
            say(f"{self._file(seed)} already exists")
            return False
        return True

    def _train_one(self, seed: int) -> None:
        from neuroreel.encoding.files import save_encoder
        from neuroreel.encoding.training.recipe import WATCHED

        file, work = self._file(seed), self._work(seed)
        if not self._is_wanted(seed):  # trained by another command in the meantime
            return
        say(f"Training {file}")
        with self._packed_alone():  # another command deletes the packed trials before this block, or not at all
            work.mkdir(parents=True, exist_ok=True)
        model = self._fit(seed)
        save_encoder(model, file, overwrite=self.overwrite)
        shutil.rmtree(work)
        scores = [row[WATCHED] for row in model.training_log if WATCHED in row]
        say(f"{file}: validation correlation {max(scores, default=math.nan):.3f}")

    def _fit(self, seed: int) -> EncodingModel:
        from neuroreel.encoding.training.fit import fit_encoder

        return fit_encoder(
            {name: trials for name, (trials, _) in self.trials.items()},
            kind=self.kind,
            seed=seed,
            validation={name: trials for name, (_, trials) in self.trials.items() if len(trials)} or None,
            folder=self._work(seed),
            packed=self._packed,
            device=self.device,
            devices=self.devices,
            teachers=self._teachers,
            **self.options,
        )

    def _fit_decoders(self) -> None:
        from neuroreel.decoding.fit import fit_decoder

        for name, (training, _) in self.trials.items():
            file = self.out / ("decoder.safetensors" if len(self.trials) == 1 else f"decoder_{name}.safetensors")
            with to_make(file, what="linear decoder", overwrite=self.overwrite) as missing:
                if missing:
                    say(f"Fitting the linear decoder {file}")
                    fit_decoder(training).save(file, overwrite=self.overwrite)

    @cached_property
    def _teachers(self) -> list[EncodingModel]:
        from neuroreel.encoding.files import load_encoder

        return [load_encoder(file) for file in self.teachers]

    def _file(self, seed: int) -> Path:
        return self.out / f"encoder_{seed}.safetensors"

    def _work(self, seed: int) -> Path:
        return self.out / f"encoder_{seed}.training"

    @property
    def _packed(self) -> Path:
        return self.out / "packed"

    def _packed_alone(self) -> AbstractContextManager[bool]:
        return file_lock(lock_of(self._packed), what="training", tidy=True)


def cost_of(kind: str, recipe: Recipe, *, models: int) -> str:
    """The size of a training run, in a sentence; the progress bar shows the time left after the first batches."""
    batches = recipe.epochs * recipe.batches_per_epoch
    sample = "clips" if kind == "dwiseneuro" else "windows"
    epochs = f"{recipe.epochs} epochs of {recipe.batches_per_epoch:,} batches of {recipe.batch_size} {sample}"
    return (
        f"{models} model{'s' if models > 1 else ''} to train, each in at most {epochs}: "
        f"{batches * recipe.batch_size:,} {sample} per model, {models * batches:,} batches in all"
    )

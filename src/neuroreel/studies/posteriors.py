"""The posterior of an animal's movies: fitted once for each group of its models, and saved with the results."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from neuroreel.compute import Compute
from neuroreel.posterior.fit import fit_posterior
from neuroreel.posterior.posterior import Posterior, load_posterior
from neuroreel.recordings.recording import Trials
from neuroreel.studies.animals import Animal
from neuroreel.studies.mouse import VALIDATION_FOLD, hash_statistics
from neuroreel.studies.task import RESULTS_VERSION, Task


@dataclass(frozen=True, kw_only=True, eq=False)
class AnimalPosterior(Task):
    """A posterior of some of an animal's models, fitted to all trials outside one fold.

    If there are enough other trials (twice as many), the fold that no model trained on measures the models' errors.

    Parameters
    ----------
    animal
        The animal, with recording and models.
    members
        Numbers of the models.
    held_out_fold
        Fold whose trials are left out because they are reconstructed.
    """

    animal: Animal
    members: tuple[int, ...]
    held_out_fold: str

    @property
    def place(self) -> str:  # type: ignore[override]
        """Named after what determines it, so that experiments share it."""
        return f"posteriors/{self.hash[:16]}"

    @cached_property
    def decided_by(self) -> Mapping[str, Any]:
        """Models, trials, and the recording's statistics."""
        return {
            "results_version": RESULTS_VERSION,
            "models": [self.animal.model_hashes[number] for number in self.members],
            "trials": [list(numbers) for numbers in self._trials],
            "statistics": hash_statistics(self.animal.recording),
        }

    @cached_property
    def _trials(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Numbers of the trials for training and for validation."""
        recording = self.animal.recording
        folds = recording.folds()
        outside = [number for number, fold in enumerate(folds) if fold != self.held_out_fold]
        usable = tuple(number for number in outside if recording.trial_spec(number).neurons)
        training = tuple(number for number in usable if folds[number] != VALIDATION_FOLD)
        validation = tuple(number for number in usable if folds[number] == VALIDATION_FOLD)
        return (training, validation) if len(training) >= 2 * len(validation) else (usable, ())

    def make(self, given: Mapping[str, Any], compute: Compute) -> Posterior:
        """Fit it."""
        training, validation = (Trials(self.animal.recording, numbers) for numbers in self._trials)
        models = [self.animal.models[number] for number in self.members]
        how = Compute(device=compute.device, progress=False)
        return fit_posterior(models, training, validation=validation, compute=how)

    def write(self, result: Posterior, file: Path) -> None:
        """Save it."""
        result.save(file, overwrite=True)

    def read(self, file: Path) -> Posterior:
        """Load it."""
        return load_posterior(file)

"""The posterior of an animal's movies: fitted once for each group of its models, and kept beside the results."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from neuroreel.compute import Compute
from neuroreel.locks import file_lock
from neuroreel.posterior.fit import fit_posterior
from neuroreel.posterior.posterior import Posterior, load_posterior
from neuroreel.recordings.recording import Trials
from neuroreel.results.provenance import hash_array
from neuroreel.studies.animals import Animal

KEPT_IN = "posteriors"
VALIDATION_FOLD = "fold_1"  # where `neuroreel train` stops early, and trains on nothing


@dataclass(frozen=True, kw_only=True, eq=False)
class AnimalPosterior:
    """What a posterior is fitted to: some of an animal's models, and all trials outside one fold.

    Trials of the validation fold, where there are twice as many others, say how large the models' errors are.

    Parameters
    ----------
    animal
        With its recording and models.
    members
        Numbers of the models.
    held_out_fold
        Whose trials are left out, for they are reconstructed.
    """

    animal: Animal
    members: tuple[int, ...]
    held_out_fold: str

    @cached_property
    def hash(self) -> str:
        """SHA-256 of what decides the posterior: models, which trials, the recording's statistics."""
        statistics = self.animal.recording.statistics
        decided_by = {
            "models": [self.animal.model_hashes[number] for number in self.members],
            "trials": [list(numbers) for numbers in self._trials],
            "statistics": {kind: hash_array(statistics[kind].mean) for kind in sorted(statistics)},
        }
        return hashlib.sha256(json.dumps(decided_by, sort_keys=True).encode()).hexdigest()

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

    def get(self, out: Path, *, device: str) -> Posterior:
        """The posterior: in memory, from the folder of results, or fitted now."""
        known = self.animal.posteriors
        if self.hash not in known:
            known[self.hash] = self._kept(out / KEPT_IN / self.hash[:16], device=device)
        return known[self.hash]

    def _kept(self, folder: Path, *, device: str) -> Posterior:
        with file_lock(folder.with_suffix(".lock"), what="posterior"):
            if folder.exists():
                return load_posterior(folder)
            training, validation = (Trials(self.animal.recording, numbers) for numbers in self._trials)
            fitted = fit_posterior(
                [self.animal.models[number] for number in self.members],
                training,
                validation=validation,
                compute=Compute(device=device, progress=False),
            )
            fitted.save(folder)
            return fitted

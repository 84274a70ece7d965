"""A job as a task of a study: its fingerprint before it is done, its result, and the result's scores."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neuroreel import bauer_2026
from neuroreel.compute import Compute
from neuroreel.encoding.predict import predict
from neuroreel.errors import InputError
from neuroreel.evaluation.comparison import evaluation_mask
from neuroreel.posterior.reconstruct import reconstruct
from neuroreel.recordings.trial import Trial
from neuroreel.results.datasets import read_dataset, write_dataset
from neuroreel.results.provenance import hash_array, plain
from neuroreel.results.reconstruction import Reconstruction
from neuroreel.studies.animals import Animal
from neuroreel.studies.jobs import Job
from neuroreel.studies.method import Method
from neuroreel.studies.posteriors import AnimalPosterior
from neuroreel.studies.scoring import score_fields, score_reconstruction, score_responses
from neuroreel.studies.task import RESULTS_VERSION, Task

HELD_OUT_FOLD = "fold_0"
SPOT_FRAMES = 45  # frames of the movie of one spot, at 30 Hz: 15 gray, 15 with the spot, 15 gray
EVERY_PIXEL = -1e9  # a threshold that every pixel of a mask reaches


@dataclass(frozen=True, kw_only=True, eq=False)
class Work(Task):
    """A job with its animal and method: everything that determines its result.

    ``experiment`` and ``number`` give its place in the list.
    """

    job: Job
    animal: Animal
    method: Method
    experiment: str = ""
    number: int = 0

    @property
    def place(self) -> str:  # type: ignore[override]
        """Its path, in the folder of its experiment."""
        return f"{self.experiment}/jobs/{self.job.key}.nc"

    @property
    def title(self) -> str:  # type: ignore[override]
        """The experiment and the job's key."""
        return f"{self.experiment}/{self.job.key}"

    @property
    def published(self) -> bool:
        """Whether it uses the published method."""
        return self.method.method == "bauer_2026"

    @cached_property
    def settings(self) -> dict[str, Any]:
        """The settings of the reconstruction, resolved."""
        if not self.published:
            return self.method.resolved(self.job.settings)
        threshold = 0.0 if self.job.threshold is None else self.job.threshold  # the paper's "no mask"
        # with one model both words mean the same, so they must give one result
        ensemble = self.job.ensemble if len(self.members) > 1 else "gradients"
        return self.method.resolved({**self.job.settings, "ensemble": ensemble, "mask_threshold": threshold})

    @property
    def needs(self) -> Mapping[str, Task]:
        """The posterior, unless it uses the published method or maps receptive fields."""
        return {} if self.published or self.job.product == "fields" else {"posterior": self.posterior}

    @cached_property
    def posterior(self) -> AnimalPosterior:
        """The posterior, fitted to trials outside the movie's fold, or outside fold_0 for other movies."""
        recording, trial = self.animal.recording, self.job.trial
        fold = HELD_OUT_FOLD if trial is None else recording.folds()[trial]
        return AnimalPosterior(animal=self.animal, members=self.members, held_out_fold=fold)

    @cached_property
    def members(self) -> tuple[int, ...]:
        """Indices of the animal's models to invert."""
        everyone = tuple(range(self.animal.model_count))
        if self.job.members is None:
            return everyone
        if missing := set(self.job.members) - set(everyone):
            raise InputError(f"{self.animal.name} has no encoding model {sorted(missing)}; it has {len(everyone)}")
        return self.job.members

    @cached_property
    def keep(self) -> NDArray[np.bool_]:
        """(neurons,) boolean: the neurons that are not ablated."""
        if self.job.trial is None:
            return np.ones(self.animal.recording.neurons, bool)
        return self.animal.kept_neurons(self.job.fraction, self.job.trial, repeat=self.job.repeat)

    @cached_property
    def decided_by(self) -> Mapping[str, Any]:
        """Everything that determines the result, but not its location or how it is scored."""
        if self.job.product == "fields":
            return {
                "results_version": RESULTS_VERSION,
                "models": list(self.animal.model_hashes),
                "fields": plain(self.job.settings),
                "behavior": self.animal.mean_behavior_hash(),
            }
        predicting = self.animal.model_hashes[: 1 if self.job.target_models == "first" else None]
        return {
            "results_version": RESULTS_VERSION,
            "method": self.method.method,
            "settings": plain(self.settings),
            "posterior": None if self.published else self.posterior.hash,
            "seed": self.method.seed,
            "inverting": [self.animal.model_hashes[number] for number in self.members],
            "predicting": list(predicting) if self.job.target == "predicted" else None,
            "movie": self._movie[0],
            "mask": self.animal.mask_hash,
            "neurons": hash_array(self.keep),
        }

    @property
    def fitted(self) -> dict[str, Any]:
        """Hashes of the animal's models and mask, which must be the same in all results that are compared."""
        models = {f"model {number}": self.animal.model_hashes[number] for number in self.members}
        return models | {"mask": self.animal.mask_hash}

    @cached_property
    def _movie(self) -> tuple[str, int]:
        """Hash and length of the movie and its behavior."""
        if self.job.trial is not None:
            fingerprint = self.animal.trial_hash(self.job.trial)
            return fingerprint, self.animal.recording.trial_spec(self.job.trial).frames
        shown = self._stimulus_trial.needs_video()
        return f"{hash_array(shown)} {self.animal.mean_behavior_hash()}", len(shown)

    @property
    def _stimulus_trial(self) -> Trial:
        assert self.job.stimulus is not None  # a job without a trial has one
        recording, stimulus = self.animal.recording, self.job.stimulus
        return recording.trial_showing(stimulus.movie(recording), name=f"{recording.name}/{stimulus.key}")

    @property
    def frames(self) -> int:
        """Length of the movie; of all spots, ON and OFF, for receptive fields."""
        if self.job.product != "fields":
            return self._movie[1]
        step = self.job.settings.get("step_px") or self.job.settings.get("size_px", 1)
        height, width = self.animal.recording.video_size
        return 2 * (height // step) * (width // step) * SPOT_FRAMES

    @property
    def passes(self) -> int:
        """How often the movie goes through a model: the cost of the work on any machine."""
        if self.job.product == "fields":
            return self.animal.model_count
        return int(self.settings["iterations" if self.published else "passes"]) * len(self.members)

    def check(self) -> None:
        """Raise InputError for problems that would only appear after the work."""
        scoring, mask = self.method.scoring, self.animal.mask
        if mask is not None:
            evaluation_mask(mask, self.animal.recording.video_size, threshold=scoring["mask_threshold"])
        if self.job.product == "fields":
            return
        if self.frames <= scoring["skip"] + 1:
            raise InputError(
                f"{self.job.key}: the movie has {self.frames} frames, but the first {scoring['skip']:g} are not "
                "scored; choose longer movies, or skip fewer frames (skip)"
            )
        threshold = self.settings["mask_threshold"] if self.published else self.scoring["mask_threshold"]
        if mask is not None and not (mask >= threshold).any():
            raise InputError(
                f"{self.job.key}: no pixel of the mask of {self.animal.name} reaches {threshold:g} "
                f"(its largest value is {mask.max():g}); leave this threshold out, or learn the mask for more steps"
            )

    def trial(self, device: str) -> Trial:
        """The trial to reconstruct, with recorded or predicted responses."""
        trial = self._stimulus_trial if self.job.trial is None else self.animal.trial(self.job.trial)
        if self.job.target == "recorded":
            return trial
        predicting = self.animal.models[: 1 if self.job.target_models == "first" else None]
        return trial.replace(responses=predict(predicting, trial, device=device))

    def make(self, given: Mapping[str, Any], compute: Compute) -> xr.Dataset:
        """Do the job."""
        if self.job.product == "fields":
            return self._fields(compute.device)
        asked: dict[str, Any] = {"mask": self.animal.mask, "neurons": self.keep, "seed": self.method.seed}
        asked |= {**self.settings, "compute": compute}
        trial = self.trial(compute.device)
        if self.published:
            return bauer_2026.reconstruct(trial, [self.animal.models[each] for each in self.members], **asked).dataset
        return reconstruct(trial, given["posterior"], **asked).dataset

    def _fields(self, device: str) -> xr.Dataset:
        from neuroreel.evaluation.receptive_fields import receptive_fields

        return receptive_fields(
            self.animal.models, self.animal.recording, device=device, progress=False, **self.job.settings
        )

    def write(self, result: xr.Dataset, file: Path) -> None:
        """A netCDF file."""
        write_dataset(result, file, overwrite=True)

    def read(self, file: Path) -> xr.Dataset:
        """The result, read from its file."""
        return read_dataset(file, kind="receptive_fields" if self.job.product == "fields" else "reconstruction")

    def scores(self, result: xr.Dataset, given: Mapping[str, Any], compute: Compute) -> dict[str, float]:
        """Scores, by name."""
        if self.job.product == "fields":
            return {} if self.animal.mask is None else score_fields(result, self.animal.mask, self.scoring)
        made = Reconstruction(result)
        values = score_reconstruction(made, self.scoring, keep=self.keep)
        if self.job.product == "responses":
            trial = self.trial(compute.device)
            models = [self.animal.models[number] for number in self.members]
            values |= score_responses(made, models, trial, self.scoring, device=compute.device)
        return values

    def described(self) -> dict[str, Any]:
        """Its columns in the table, and what must be the same in results that are compared."""
        return {
            "key": self.job.key,
            "experiment": self.experiment,
            "columns": self.columns,
            "common": self.common,
            "fitted": self.fitted,
            "settings": {} if self.job.product == "fields" else self.settings,
            "cost": self.cost,
        }

    @property
    def cost(self) -> int:
        """Cost in movie frames through one model, independent of the machine."""
        return self.passes * self.frames

    @property
    def scoring(self) -> Mapping[str, Any]:
        """What determines the scores of a result.

        With the posterior, a mask says which pixels are scored, not which may move.
        """
        scoring = {**self.method.scoring, "product": self.job.product}
        if self.published or self.job.product == "fields":
            return scoring
        if self.job.mask == "none":
            scoring["mask_threshold"] = EVERY_PIXEL
        elif self.job.mask == "strict" or self.job.mask_threshold is not None:
            scoring["mask_threshold"] = float(self.job.threshold or 0.0)
        return scoring

    @property
    def columns(self) -> dict[str, Any]:
        """Its columns in the table."""
        columns = {**self.job.columns, "simulated": self.animal.recording.simulated}
        if self.job.product == "fields":
            return columns | {"models": self.animal.model_count}
        columns |= {
            "ensemble": self.job.ensemble if len(self.members) > 1 else "single",
            "models": len(self.members),
            "neurons": int(self.keep.sum()),
            "method": self.method.method,
        }
        if self.animal.mask is None:
            return columns | {"mask": "none", "mask_threshold": None}
        if not self.published and self.job.mask != "none":
            columns["mask_threshold"] = self.scoring["mask_threshold"]
        return columns

    @property
    def common(self) -> dict[str, Any]:
        """What must be the same in all jobs of an experiment whose results are compared."""
        varying = {"ensemble", "mask_threshold", *self.job.settings}
        if self.job.product == "fields":
            return {"results_version": RESULTS_VERSION}
        settings = {name: value for name, value in self.settings.items() if name not in varying}
        return plain({"results_version": RESULTS_VERSION, "method": self.method.method, "settings": settings}) | {
            "seed": self.method.seed,
            "scoring": self.method.scoring,
        }

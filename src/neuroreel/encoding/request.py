"""What every way of reconstructing movies through encoding models is asked, and has in common with the others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuroreel.arguments import instance_of
from neuroreel.compute import Compute
from neuroreel.encoding.checks import check_movie_fits, check_not_trained_on, check_responses_fit, declared
from neuroreel.encoding.engine import arithmetic_of, precision_of
from neuroreel.encoding.interface import EncodingModel
from neuroreel.encoding.predict import predict
from neuroreel.errors import InputError
from neuroreel.masks import mask_on_video
from neuroreel.recordings.checks import TrialSpec, check_most_responses
from neuroreel.recordings.trial import Trial
from neuroreel.results.provenance import hash_array, hash_model
from neuroreel.results.reconstruction import Reconstruction
from neuroreel.snapshot import fingerprint


def check_trials_fit(
    trials: Sequence[Trial], models: Sequence[EncodingModel], *, allow_trained_on: bool = False
) -> list[TrialSpec]:
    """What the trials are; InputError unless all can be reconstructed through these models."""
    if not len(trials):
        raise InputError("no trials were given; pass one, or a list of them")
    specs = []
    for trial in trials:
        instance_of(trial, Trial, name="a trial")
        check_not_trained_on(models, trial, allow=allow_trained_on)
        for model in models:
            check_responses_fit(model, trial)
            if trial.video is not None:  # it is looked at for scores alone, but at the end of the work
                check_movie_fits(model, trial)
        specs.append(TrialSpec.of(trial))
    check_most_responses(specs, what="trials to reconstruct")
    return specs


@dataclass(frozen=True, kw_only=True)
class Request:
    """What is asked for every trial, checked; each way of reconstructing adds its own."""

    models: Sequence[EncodingModel]
    mask: NDArray[np.float32] | None
    kept: NDArray[np.bool_]
    seed: int
    compute: Compute

    @cached_property
    def model_hashes(self) -> list[str]:
        """Fingerprints of the models' weights, taken once for all trials."""
        return [hash_model(model) for model in self.models]

    def checkpoint(self, ending: str) -> Path | None:
        """Where the progress of one movie is kept, beside the file that was named; None where none was."""
        file = self.compute.checkpoint_file
        return None if file is None else file.with_name(f"{file.stem}{ending}{file.suffix or '.pt'}")

    def fingerprint(self, trial: Trial, engines: Sequence[EncodingModel], **own: Any) -> str:
        """Of everything that decides the trial's movie: ``own`` is what the way of reconstructing adds."""
        return fingerprint(
            models=self.model_hashes,
            responses=hash_array(trial.needs_responses()),
            covariates=hash_array(trial.covariates),
            kept=hash_array(self.kept),
            mask=None if self.mask is None else hash_array(self.mask),
            arithmetic=arithmetic_of(engines),
            **own,
        )

    def result(
        self,
        trial: Trial,
        video: NDArray[np.float32],
        engines: Sequence[EncodingModel],
        *,
        settings: Mapping[str, Any],
        hashes: Mapping[str, str] | None = None,
        **own: Any,
    ) -> Reconstruction:
        """The movie with all that belongs to it; ``own`` goes to :meth:`Reconstruction.build`."""
        shown = trial.replace(video=video, responses=None)
        return Reconstruction.build(
            video=video,
            frame_rate_hz=trial.frame_rate_hz,
            trial=trial,
            recording=trial.recording,
            simulated=trial.simulated,
            mask=None if self.mask is None else mask_on_video(self.mask, video.shape[1:]),
            predicted=predict(engines, shown),
            predicted_truth=None if trial.video is None else predict(engines, trial),
            neuron_mask=self.kept,
            settings={
                **settings,
                "neurons_kept": int(self.kept.sum()),
                "models": len(engines),
                "precision": ", ".join(sorted({precision_of(engine) for engine in engines})),
                **declared(self.models, trial),
            },
            hashes={
                "models": ", ".join(self.model_hashes),
                "responses": hash_array(trial.needs_responses()),
                **(hashes or {}),
            },
            seed=self.seed,
            device=self.compute.torch_device,
            **own,
        )

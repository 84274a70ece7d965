"""Predicted responses of many trials: one file per trial, and how well they match the recorded ones."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from neuroreel.defaults import COMPETITION_SKIP_FRAMES
from neuroreel.devices import choose_device
from neuroreel.encoding.checks import as_ensemble, check_can_be_scored, check_movie_fits
from neuroreel.encoding.correlation import RunningCorrelation, neuron_correlations
from neuroreel.encoding.interface import EncodingModel, frozen
from neuroreel.encoding.predict import predict
from neuroreel.errors import InputError
from neuroreel.evaluation.scores import format_score
from neuroreel.progress import progress
from neuroreel.recordings.trial import Trial
from neuroreel.results.prediction import load_prediction, save_prediction
from neuroreel.results.provenance import hash_array, hash_model, plain


@dataclass(frozen=True, kw_only=True)
class PredictedTrial:
    """One row of the table.

    Attributes
    ----------
    name, frames
        Name and length of the trial.
    file
        Its predicted responses.
    correlation
        Mean over neurons, for this trial only; nan if no responses were recorded.
    """

    name: str
    frames: int
    file: Path
    correlation: float


@dataclass(frozen=True, kw_only=True)
class PredictionTable:
    """Predicted trials, and how well they match the recorded responses.

    Attributes
    ----------
    trials
        One row for each trial.
    neurons
        Number of neurons that the models predict.
    skip
        Frames left out of the correlations at the start of each trial.
    single_trial_correlation
        Mean over neurons, over all frames of the trials that have responses; nan if none has.
    """

    trials: tuple[PredictedTrial, ...]
    neurons: int
    skip: int
    single_trial_correlation: float

    def __str__(self) -> str:
        scored = [trial for trial in self.trials if not np.isnan(trial.correlation)]
        width = max(len(trial.name) for trial in self.trials)
        lines = [f"{'':{width}}{'frames':>8}{'correlation':>14}"] if scored else [f"{'':{width}}{'frames':>8}"]
        for trial in self.trials:
            shown = format_score(trial.correlation) if trial in scored else "not recorded"
            lines.append(f"{trial.name:{width}}{trial.frames:>8}" + (f"{shown:>14}" if scored else ""))
        if scored:
            start = f", without the first {self.skip} frames of each" if self.skip else ""
            lines.append(
                f"single-trial correlation {format_score(self.single_trial_correlation)}: mean over {self.neurons} "
                f"neurons, {len(scored)} trials joined end to end{start}"
            )
        return "\n".join(lines)


def predict_to_files(
    models: EncodingModel | Sequence[EncodingModel],
    trials: Sequence[Trial],
    files: Sequence[Path],
    *,
    neuron_ids: ArrayLike | None = None,
    settings: Mapping[str, Any] | None = None,
    skip: int = COMPETITION_SKIP_FRAMES,
    device: str = "auto",
    overwrite: bool = False,
) -> PredictionTable:
    """Predict the responses to each trial's movie, write them, and compare them with the recorded ones.

    An existing file, made by the same models from the same movie and behavior, is kept and read. Trials are opened one
    at a time, and not kept.

    Parameters
    ----------
    settings
        What else distinguishes predictions, for the provenance; for instance the session.
    skip
        Frames left out of the correlations at the start of each trial: 50 in the Sensorium 2023 competition, whose
        single-trial correlation this is (see :func:`~neuroreel.encoding.correlation.encoder_correlation`).

    Raises
    ------
    InputError
        A trial that does not fit the models, or has responses but no more than ``skip`` frames; a file that holds
        something else. Raised before any work starts.
    ResourceError
        The device is not available, the disk is full, or a folder cannot be written.
    """
    if len(set(files)) < len(files):
        raise InputError(
            f"several movies would be written to {max(files, key=list(files).count)}: their names must differ"
        )
    ensemble, where = as_ensemble(models), choose_device(device)
    neurons = ensemble[0].neurons
    if neuron_ids is not None and len(np.asarray(neuron_ids)) != neurons:
        raise InputError(
            f"there are ids for {len(np.asarray(neuron_ids))} neurons, the models predict {neurons}: "
            "is it the readout of another recording?"
        )
    hashed = ", ".join(sorted(hash_model(model) for model in ensemble))
    for trial, file in zip(trials, files, strict=True):
        _check(trial, ensemble, skip=skip)
        if file.exists() and not overwrite:
            _check_is_the_same(file, trial, settings=plain(settings or {}), hashes=_hashes(trial, ensemble, hashed))
    with frozen(ensemble, device=where):
        for trial, file in progress(zip(trials, files, strict=True), description="Predicting", total=len(files)):
            if overwrite or not file.exists():
                save_prediction(
                    file,
                    predict(ensemble, trial),
                    trial=trial,
                    settings=settings or {},
                    hashes=_hashes(trial, ensemble, hashed),
                    neuron_ids=neuron_ids,
                    device=where,
                    overwrite=overwrite,
                )
    return _compare(trials, files, neurons=neurons, skip=skip)


def _check(trial: Trial, models: Sequence[EncodingModel], *, skip: int) -> None:
    """Check, before any work starts, that the trial fits."""
    if trial.responses is not None:
        check_can_be_scored(models, trial, skip=skip)
    else:
        for model in models:
            check_movie_fits(model, trial)


def _check_is_the_same(file: Path, trial: Trial, *, settings: Any, hashes: Mapping[str, str]) -> None:
    """Check, before any work starts, that an existing file matches this request."""
    made = json.loads(load_prediction(file).attrs["provenance"])
    if (made["settings"], made["hashes"]) != (settings, hashes):
        raise InputError(
            f"{file} already exists, predicted by other models or for another movie than {trial.name}; "
            "choose another folder, or pass overwrite=True"
        )


def _hashes(trial: Trial, models: Sequence[EncodingModel], hashed: str) -> dict[str, str]:
    """Hashes of the models (``hashed`` once for all trials) and of the trial's movie and behavior."""
    used = max(model.covariates for model in models)
    behavior = hash_array(trial.covariates[:used])
    return {"models": hashed, "video": hash_array(trial.needs_video()), "behavior": behavior}


def _compare(trials: Sequence[Trial], files: Sequence[Path], *, neurons: int, skip: int) -> PredictionTable:
    """Compare the predictions in the files with the recorded responses, one trial in memory at a time."""
    running, rows = RunningCorrelation(), []
    for trial, file in zip(trials, files, strict=True):
        correlation = float("nan")
        if trial.responses is not None:
            recorded = trial.needs_responses()[:, skip:]
            predicted = load_prediction(file)["predicted"].values[:, skip:]
            running.add(recorded, predicted)
            correlation = float(neuron_correlations(recorded, predicted).mean())
        rows.append(PredictedTrial(name=trial.name, frames=trial.frames, file=file, correlation=correlation))
    total = float("nan") if running.sums is None else float(running.rows(constant=0.0).mean())
    return PredictionTable(trials=tuple(rows), neurons=neurons, skip=skip, single_trial_correlation=total)

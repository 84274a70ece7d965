"""Check, before any work starts, that trials fit models."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neuroreel.arguments import as_array, instance_of, whole_number
from neuroreel.encoding.interface import EncodingModel
from neuroreel.errors import InputError
from neuroreel.recordings.clock import same_rate
from neuroreel.recordings.trial import Trial


def as_ensemble(models: EncodingModel | Sequence[EncodingModel]) -> list[EncodingModel]:
    """One model or several, as a list of models of the same neurons, movie size and frame rate."""
    ensemble: list[Any] = [models]
    if isinstance(models, Iterable) and not isinstance(models, EncodingModel):
        ensemble = list(models)
    if not ensemble:
        raise InputError("no encoding model was given; pass one, or a list of them as an ensemble")
    for model in ensemble:
        if not isinstance(model, EncodingModel):
            raise InputError(f"{type(model).__name__} is not an EncodingModel; wrap it (see 'Bring your own model')")
    first = ensemble[0]
    for index, model in enumerate(ensemble):
        same = {"neurons": model.neurons == first.neurons}
        same["frame_rate_hz"] = same_rate(model.frame_rate_hz, first.frame_rate_hz)
        for what, agreed in same.items():
            if not agreed:
                raise InputError(
                    f"the models of an ensemble must agree in {what}: model 0 has {getattr(first, what)}, "
                    f"model {index} has {getattr(model, what)}"
                )
        if model.canvas.video_size != first.canvas.video_size:
            raise InputError(
                f"the models of an ensemble must take movies of one size: model 0 takes {first.canvas.video_size}, "
                f"model {index} takes {model.canvas.video_size} (height, width)"
            )
    return ensemble


def check_movie_fits(model: EncodingModel, trial: Trial) -> None:
    """Raise InputError unless the model can predict responses to the trial's movie."""
    video = instance_of(trial, Trial, name="the trial").needs_video()
    if video.shape[1:] != model.canvas.video_size:
        height, width = model.canvas.video_size
        raise InputError(
            f"{trial.name}: the video is {video.shape[2]}x{video.shape[1]} pixels (width x height), the model takes "
            f"{width}x{height}: resize the video or train a model on this size"
        )
    check_clock_fits(model, trial)


def check_responses_fit(model: EncodingModel, trial: Trial) -> None:
    """Raise InputError unless the trial's responses are those of the model's neurons."""
    instance_of(trial, Trial, name="the trial").needs_responses()
    if trial.neurons != model.neurons:
        raise InputError(
            f"{trial.name} has {trial.neurons} neurons, the model predicts {model.neurons}: "
            "is it the readout of another recording?"
        )
    check_clock_fits(model, trial)


def checked_neurons(neurons: ArrayLike | None, count: int) -> NDArray[np.bool_]:
    """(neurons,) boolean: the neurons to use, all by default; InputError for anything else, or if none is left."""
    if neurons is None:
        return np.ones(count, bool)
    keep = as_array(neurons, name="neurons")
    if keep.dtype != bool or keep.shape not in ((count,), (count, 1)):  # published masks are columns
        raise InputError(
            f"neurons has shape {keep.shape} and type {keep.dtype}; it must be ({count},) boolean: "
            "True for the neurons to use"
        )
    if not keep.any():
        raise InputError("neurons keeps no neuron; at least one is needed to reconstruct anything")
    return keep.reshape(-1)


def check_can_be_scored(models: Sequence[EncodingModel], trial: Trial, *, skip: int) -> None:
    """Raise InputError unless the models can predict the trial and it has frames after ``skip``."""
    check_responses_fit(models[0], trial)
    for model in models:
        check_movie_fits(model, trial)
    if not 0 <= whole_number(skip, name="skip", least=-math.inf) < trial.frames:
        raise InputError(
            f"skip={skip} leaves none of the {trial.frames} frames of {trial.name} to compare; "
            f"it must be 0..{trial.frames - 1}, or leave out this trial"
        )


def check_not_trained_on(models: Sequence[EncodingModel], trial: Trial, *, allow: bool) -> None:
    """Raise InputError if a model declares that it was trained on the trial's movie, unless that is allowed."""
    for model in models:
        split = model.training_split
        if not allow and split is not None and split.refused and split.holds(trial):
            raise InputError(
                f"{type(model).__name__} was trained on the movie of {trial.name}, or may have been "
                f"({split.description}): a reconstruction of it says little about other movies. Use "
                "other trials, or pass allow_trained_on=True; the result is then marked"
            )


def declared(models: Sequence[EncodingModel], trial: Trial) -> dict[str, Any]:
    """What models declare about themselves, for a result's provenance; may be empty."""
    splits = [model.training_split for model in models if model.training_split is not None]
    facts: dict[str, Any] = {}
    if splits:
        facts["trained_on"] = any(split.holds(trial) for split in splits)
        facts["training_split"] = "; ".join(sorted({split.description for split in splits}))
    if licenses := sorted({model.license for model in models} - {""}):
        facts["license"] = "; ".join(licenses)
    return facts


def check_clock_fits(model: EncodingModel, trial: Trial) -> None:
    """Raise InputError unless frame rate, behavior channels and length suit the model."""
    if not same_rate(trial.frame_rate_hz, model.frame_rate_hz):
        raise InputError(
            f"{trial.name} runs at {trial.frame_rate_hz:g} Hz, the model at {model.frame_rate_hz:g} Hz: "
            "resample the trial or train a model at this rate"
        )
    covariates = len(trial.covariates)
    if covariates < model.covariates:
        raise InputError(
            f"{trial.name} has {covariates} behavior channels, the model needs {model.covariates} "
            "(behavior, then pupil center): record them, pass their means, or train a model without behavior"
        )
    if trial.frames < model.shortest_trial_frames:
        raise InputError(
            f"{trial.name} has {trial.frames} frames, the model's window is {model.shortest_trial_frames} frames: "
            "the trial is too short for it"
        )

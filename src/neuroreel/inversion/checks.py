"""Do trials, models, mask, neurons and settings fit each other? Asked before any work starts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from neuroreel.arguments import as_array, instance_of
from neuroreel.decoding.decoder import RidgeDecoder, check_decodable
from neuroreel.encoding.checks import check_movie_fits, check_responses_fit
from neuroreel.encoding.interface import EncodingModel
from neuroreel.errors import InputError
from neuroreel.inversion.presets import Settings
from neuroreel.inversion.windows import windows_for
from neuroreel.recordings.checks import TrialSpec, check_most_responses
from neuroreel.recordings.trial import Trial


def check_trials_fit(
    trials: Sequence[Trial], models: Sequence[EncodingModel], *, decoder: RidgeDecoder | None, settings: Settings
) -> list[int]:
    """The frames of each trial; InputError unless all can be reconstructed with these models and this decoder."""
    specs = []
    if not trials:
        raise InputError("no trials were given; pass one, or a list of them")
    for trial in trials:
        if not isinstance(trial, Trial):
            raise InputError(
                f"got a {type(trial).__name__} among the trials; pass nr.Trial(...), or a recording's trials"
            )
        for model in models:
            check_responses_fit(model, trial)
            windows_for(model, settings.windows).lay(trial.frames)
        if trial.video is not None:  # it is looked at for scores alone, but at the end of the work
            check_movie_fits(models[0], trial)
        if decoder is not None:
            check_decodable(decoder, trial)
        specs.append(TrialSpec.of(trial))
    check_most_responses(specs, what="trials to reconstruct")
    return [spec.frames for spec in specs]


def check_models_fit(models: Sequence[EncodingModel], *, decoder: RidgeDecoder | None, settings: Settings) -> None:
    """Raise InputError unless the models can share windows and canvas, and the decoder makes movies of their size."""
    first = models[0]
    size = first.canvas.video_size
    if decoder is not None:
        instance_of(decoder, RidgeDecoder, name="decoder")
        if (decoder.video_height, decoder.video_width) != size:
            raise InputError(
                f"the decoder makes movies of {decoder.video_width}x{decoder.video_height} pixels (width x height), "
                f"the model takes {size[1]}x{size[0]}: fit a decoder to the trials that the model was trained on"
            )
    for index, model in enumerate(models):
        if settings.optimize_padding and model.canvas != first.canvas:
            raise InputError(
                f"model {index} has another canvas than model 0 ({model.canvas} and {first.canvas}), and with "
                "optimize_padding they must share one: pass optimize_padding=False"
            )
        together = settings.ensemble == "gradients"
        if together and windows_for(model, settings.windows) != windows_for(first, settings.windows):
            raise InputError(
                f"model {index} sees other windows than model 0, so their gradients cannot be averaged: "
                "pass ensemble='videos', or models of one kind"
            )


def check_neurons(neurons: NDArray[np.bool_] | None, model: EncodingModel) -> NDArray[np.bool_]:
    """(neurons,) boolean of the neurons to use: all of them by default."""
    if neurons is None:
        return np.ones(model.neurons, bool)
    keep = as_array(neurons, name="neurons")
    if keep.dtype != bool or keep.shape not in ((model.neurons,), (model.neurons, 1)):  # published ones are columns
        raise InputError(
            f"neurons has shape {keep.shape} and type {keep.dtype}; it must be ({model.neurons},) boolean: "
            "True for the neurons to use"
        )
    if not keep.any():
        raise InputError("neurons keeps no neuron; at least one is needed to reconstruct anything")
    return keep.reshape(-1)


def update_mask_of(mask: NDArray[np.float32] | None, model: EncodingModel, settings: Settings) -> Tensor:
    """(height, width) of 0 and 1, on the canvas if its padding is optimized, else on the video."""
    canvas = model.canvas
    if mask is None:
        return torch.ones(canvas.size if settings.optimize_padding else canvas.video_size)
    values = torch.from_numpy(mask)
    if values.shape == canvas.size != canvas.video_size and not canvas.is_centered:
        raise InputError(
            f"the mask is {canvas.size} (height, width), the model's canvas, where the video does not lie in the "
            f"center: scores could not know which of its pixels are meant. Give the video's {canvas.video_size}: "
            "model.canvas.crop(mask), or learn it again"
        )
    if values.shape != canvas.size and values.shape != canvas.video_size:
        raise InputError(
            f"the mask is {tuple(values.shape)} (height, width); it must be {canvas.size}, the model's canvas, "
            f"or {canvas.video_size}, the video: learn it with this model"
        )
    on_canvas = values if values.shape == canvas.size else canvas.place(values, padding=-torch.inf)
    chosen = (on_canvas >= settings.mask_threshold).float()
    if not settings.optimize_padding:
        chosen = canvas.crop(chosen)
    if not chosen.any():
        raise InputError(
            f"no pixel of the mask reaches {settings.mask_threshold:g} (its largest value is {values.max():g}); "
            "lower mask_threshold or learn the mask for more steps"
        )
    return chosen

"""Responses of an encoding model or an ensemble to a whole trial."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from neuroreel.arguments import whole_number
from neuroreel.devices import choose_device
from neuroreel.encoding.checks import as_ensemble, check_movie_fits
from neuroreel.encoding.interface import EncodingModel, device_of, frozen
from neuroreel.errors import InputError
from neuroreel.recordings.trial import Trial


def predict(
    models: EncodingModel | Sequence[EncodingModel],
    trial: Trial,
    *,
    clips_at_once: int = 4,
    device: str | None = None,
) -> NDArray[np.float32]:
    """Predicted responses (neurons, frames) to a trial's movie and behavior, averaged over an ensemble.

    A model of fixed clip length sees the clip that ends at every frame it can; each frame's response is the mean over
    the clips that contain it (Baikulov 2023). A model of any length sees the trial at once.

    Parameters
    ----------
    models
        One encoding model, or several of the same neurons.
    trial
        Its video must have the models' size and frame rate.
    clips_at_once
        Number of clips that go through the model together; limits memory. A DwiseNeuro of the paper's size needs about
        0.6 GiB per clip.
    device
        "auto", "cpu", "cuda", "cuda:1", "mps"; the models are moved there and back. By default each runs on its own
        device.

    Raises
    ------
    InputError
        The trial does not fit the model (pixels, frame rate, behavior channels or length), or the predictions are not
        finite.
    ResourceError
        The device does not exist.
    """
    whole_number(clips_at_once, name="clips_at_once")
    ensemble = as_ensemble(models)
    for model in ensemble:
        check_movie_fits(model, trial)
    with frozen(ensemble, device=None if device is None else choose_device(device)):
        predictions = [_predict_one(model, trial, clips_at_once) for model in ensemble]
    responses: NDArray[np.float32] = np.asarray(np.mean(predictions, axis=0, dtype=np.float32))
    if not np.isfinite(responses).all():
        raise InputError(
            f"the models predict NaN or infinite responses to {trial.name}: the weights are unusable, or its behavior "
            "is far from their training data"
        )
    return responses


@torch.inference_mode()
def _predict_one(model: EncodingModel, trial: Trial, clips_at_once: int) -> NDArray[np.float32]:
    device = device_of(model)
    video = model.canvas.place(torch.tensor(trial.needs_video(), device=device))[None]
    covariates = torch.from_numpy(trial.covariates).to(device)[None]
    inputs = model.assemble(video, covariates)
    responses = model.responses(inputs)[0] if model.any_length else _blend_clips(model, inputs[0], clips_at_once)
    return responses.cpu().numpy()


def _blend_clips(model: EncodingModel, inputs: Tensor, clips_at_once: int) -> Tensor:
    """(channels, frames, height, width) to (neurons, frames): every clip that fits, averaged where they overlap.

    A clip's responses in its warm-up count only where no clip has more of the past: at the beginning.
    """
    frames = inputs.shape[1]
    offsets = torch.arange(0, model.clip_frames * model.clip_stride, model.clip_stride, device=inputs.device)
    starts = torch.arange(frames - int(offsets[-1]), device=inputs.device)
    total = torch.zeros(model.neurons, frames, device=inputs.device)
    count = torch.zeros(frames, device=inputs.device)
    for chunk in starts.split(clips_at_once):
        where = chunk[:, None] + offsets  # (clips, clip frames)
        counts = ((offsets >= model.warmup_frames) | (where < model.warmup_frames)).float()
        responses = model.responses(inputs[:, where].movedim(1, 0)) * counts[:, None]
        total.index_add_(1, where.flatten(), responses.movedim(1, 0).flatten(1))
        count.index_add_(0, where.flatten(), counts.flatten())
    return total / count.clamp_min(1)

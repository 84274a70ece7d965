"""Responses of an ensemble to a whole movie, differentiable in the movie, in memory that can be bounded."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from neuroreel.encoding.interface import EncodingModel


def ensemble_responses(
    models: Sequence[EncodingModel], video: Tensor, covariates: Tensor, *, keep_graphs: bool = True
) -> Tensor:
    """Mean response (neurons, frames) of the models to a movie (frames, height, width), with covariates.

    A model of any length sees the whole movie. Others see windows laid end to end, the last one moved in; a frame in
    two windows gets the mean. Windows of a model that warms up overlap by as much, and only the first one's warm-up is
    kept.

    Parameters
    ----------
    models
        An ensemble of the same neurons.
    video
        Grey levels 0..255.
    covariates
        (channels, frames): behavior and pupil center; each model takes as many as it knows.
    keep_graphs
        Keep what the gradient of every window needs, or compute each window again for its gradient: half as much
        time again, in the memory of one window.
    """
    total = torch.zeros((), device=video.device)
    for model in models:
        total = total + _responses(model, video, covariates, keep_graphs=keep_graphs)
    return total / len(models)


def _responses(model: EncodingModel, video: Tensor, covariates: Tensor, *, keep_graphs: bool) -> Tensor:
    def window(clip: Tensor, channels: Tensor) -> Tensor:
        inputs = model.assemble(model.canvas.place(clip)[None], channels[None])
        return model.window_responses(inputs)[0]

    frames = len(video)
    length = frames if model.any_length else model.window_frames
    warmup = model.warmup_frames
    starts = window_starts(frames, length, warmup=warmup)
    total = video.new_zeros(model.neurons, frames)
    count = video.new_zeros(frames)
    for start in starts:
        here = slice(start, start + length)
        if keep_graphs or not video.requires_grad:
            found = window(video[here], covariates[:, here])
        else:
            found = checkpoint(window, video[here], covariates[:, here], use_reentrant=False)
        skip = warmup if start else 0
        total = total + torch.nn.functional.pad(found[:, skip:], (start + skip, frames - start - length))
        count[start + skip : start + length] += 1
    return total / count


def window_starts(frames: int, length: int, *, warmup: int = 0) -> list[int]:
    """First frames of as few windows as cover the movie, each but the first one after its warm-up; the last moved in.

    A window as long as the movie is the only one.
    """
    return [min(start, frames - length) for start in range(0, max(frames - warmup, 1), max(length - warmup, 1))]

"""Responses of an ensemble to a whole movie, differentiable with respect to the movie, in bounded memory."""

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

    A model of any length sees the whole movie. Others see windows laid end to end, the last one shifted to end with the
    movie; a frame in two windows gets the mean. Windows of a model that warms up overlap by its warm-up, which is kept
    only for the first.

    Parameters
    ----------
    models
        An ensemble of the same neurons.
    video
        Gray levels 0..255.
    covariates
        (channels, frames): behavior and pupil center; each model uses as many as it was trained with.
    keep_graphs
        Keep every window's graph for the gradient; otherwise compute each window again: 50% more time, in the memory
        of one window.
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
    """First frames of the fewest windows that cover the movie, warm-ups overlapping; the last ends with the movie.

    A window as long as the movie needs no others.
    """
    return [min(start, frames - length) for start in range(0, max(frames - warmup, 1), max(length - warmup, 1))]

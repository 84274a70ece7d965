"""Checks that models and mask fit each other, made before any work starts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from neuroreel.bauer_2026.likelihood import window_length
from neuroreel.encoding.interface import Canvas, EncodingModel
from neuroreel.errors import InputError


def check_models_agree(models: Sequence[EncodingModel], *, with_padding: bool, share_windows: bool) -> None:
    """Raise InputError unless the models share the canvas, where its padding is optimized, and windows."""
    first = models[0]
    for index, model in enumerate(models):
        if with_padding and model.canvas != first.canvas:
            raise InputError(
                f"model {index} has another canvas than model 0 ({model.canvas} and {first.canvas}), and with "
                "optimize_padding they must share one: pass optimize_padding=False"
            )
        if share_windows and window_length(model) != window_length(first):
            raise InputError(
                f"model {index} sees other windows than model 0, so their gradients cannot be averaged: "
                "pass ensemble='videos', or models of one kind"
            )


def update_mask_of(mask: NDArray[np.float32] | None, canvas: Canvas, *, threshold: float, with_padding: bool) -> Tensor:
    """(height, width) of 0 and 1, on the canvas if its padding is optimized, else on the video."""
    if mask is None:
        return torch.ones(canvas.size if with_padding else canvas.video_size)
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
    chosen = (on_canvas >= threshold).float()
    if not with_padding:
        chosen = canvas.crop(chosen)
    if not chosen.any():
        raise InputError(
            f"no pixel of the mask reaches {threshold:g} (its largest value is {values.max():g}); "
            "lower mask_threshold or learn the mask for more steps"
        )
    return chosen

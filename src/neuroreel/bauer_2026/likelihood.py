"""The Poisson loss over overlapping windows, and its gradient (Bauer et al. 2026)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from neuroreel.encoding.interface import EncodingModel
from neuroreel.encoding.loss import poisson_loss
from neuroreel.errors import InputError, ResourceError
from neuroreel.memory import first_line, free_after_failure, is_out_of_memory
from neuroreel.recordings.trial import Trial

WINDOW_FRAMES, WINDOW_STEP = 32, 8


def window_length(model: EncodingModel) -> int:
    """Frames of a window: 32, plus the warm-up frames of a model of any length."""
    return WINDOW_FRAMES + model.warmup_frames if model.any_length else model.window_frames


def window_starts(frames: int, length: int) -> list[int]:
    """First frames of the windows: every eighth frame, and one more window that ends with the movie.

    There are 2 + (frames - length) // 8 of them. If the movie's length is a multiple of the step, the last two windows
    coincide and count twice, as in the published code.
    """
    if frames < length:
        raise InputError(
            f"the movie has {frames} frames, fewer than a window ({length} frames): it is too short; use longer trials"
        )
    return [*range(0, frames - length + 1, WINDOW_STEP), frames - length]


@dataclass(kw_only=True)
class Evidence:
    """A trial's measurements, as tensors on the device.

    Attributes
    ----------
    responses
        (neurons, frames), not negative.
    covariates
        (channels, frames).
    keep
        (neurons,) boolean: the neurons that count.
    """

    responses: Tensor
    covariates: Tensor
    keep: Tensor

    @classmethod
    def of(
        cls,
        trial: Trial,
        models: Sequence[EncodingModel],
        *,
        keep: NDArray[np.bool_],
        ablated: str,
        device: torch.device,
    ) -> Evidence:
        """From a trial with responses; ``ablated`` says how to treat neurons that are not kept."""
        responses, kept = torch.from_numpy(trial.needs_responses()), torch.from_numpy(keep)
        if ablated == "silenced":  # published bug 1: ablated neurons stay, with a target of zero
            responses = responses * kept[:, None]
            kept = torch.ones_like(kept)
        used = max(model.covariates for model in models)  # trials may have more channels
        covariates = torch.from_numpy(trial.covariates[:used])
        return cls(responses=responses.to(device), covariates=covariates.to(device), keep=kept.to(device))

    @cached_property
    def kept(self) -> Tensor | None:
        """Indices of the neurons that count; None for all. Computed once, because it makes a GPU wait."""
        return None if self.keep.all() else self.keep.nonzero().flatten()


@dataclass(kw_only=True)
class Fit:
    """The result of one pass over all windows for the current movie.

    Attributes
    ----------
    loss
        Mean over windows.
    gradient
        (frames, height, width), on the model's canvas: mean over the windows that contain a frame.
    predicted
        (neurons, frames): mean over the windows that contain a frame.
    """

    loss: Tensor
    gradient: Tensor
    predicted: Tensor


@dataclass(kw_only=True)
class PoissonLikelihood:
    """Loss, gradient and predictions of a movie on a model's canvas.

    Attributes
    ----------
    unit_norm
        Divide each window's gradient by its norm over the model's whole input, behavior included, as published.
    windows_at_once
        Windows that go through the model together; only affects memory. Halved when memory runs out.
    say
        Called with a message when that happens.
    """

    unit_norm: bool
    windows_at_once: int
    say: Callable[[str], object] = lambda _: None

    def __call__(self, model: EncodingModel, movie: Tensor, evidence: Evidence) -> Fit:
        """One pass: movie (frames, height, width). Windows are added in a fixed order, whatever the batch size."""
        frames, length = len(movie), window_length(model)
        starts = window_starts(frames, length)
        gradient = torch.zeros_like(movie)
        predicted = evidence.responses.new_zeros(model.neurons, frames)
        loss, count = movie.new_zeros(()), torch.zeros(frames)
        done = 0
        while done < len(starts):
            chunk = starts[done : done + self._batch(len(starts))]
            found = self._windows_or_none(model, movie, evidence, chunk, length)
            if found is None:
                continue
            done += len(chunk)
            for start, *parts in zip(chunk, *found, strict=True):
                here = slice(start, start + length)
                loss += parts[0] / len(starts)
                gradient[here] += parts[1]
                predicted[:, here] += parts[2]
                count[here] += 1
        coverage = count.to(movie.device)
        return Fit(loss=loss, gradient=gradient / coverage[:, None, None], predicted=predicted / coverage)

    def _batch(self, windows: int) -> int:
        """Batches of equal size, without a smaller last one: as fast on a GPU, in less memory."""
        return math.ceil(windows / math.ceil(windows / self.windows_at_once))

    def _windows_or_none(
        self, model: EncodingModel, movie: Tensor, evidence: Evidence, starts: list[int], length: int
    ) -> tuple[Tensor, Tensor, Tensor] | None:
        """Like ``windows``, but None if memory ran out: batches are smaller from then on."""
        try:
            return self.windows(model, movie, evidence, starts, length)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            if len(starts) == 1:
                raise ResourceError(
                    f"memory ran out ({first_line(error)}): not even one window of {length} frames fits on the "
                    f"device {movie.device}. Close other programs, or use another device or a smaller model"
                ) from error
        self.windows_at_once = len(starts) // 2
        self.say(
            f"neuroreel: Memory ran out with {len(starts)} windows at once; continuing with {self.windows_at_once}."
        )
        free_after_failure(movie.device)
        return None

    def windows(
        self, model: EncodingModel, movie: Tensor, evidence: Evidence, starts: list[int], length: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Losses (windows,), gradients (windows, frames, height, width), predictions (windows, neurons, frames)."""

        def cut(tensor: Tensor, axis: int) -> Tensor:
            return torch.stack([tensor.narrow(axis, start, length) for start in starts])

        video, covariates = cut(movie, 0), cut(evidence.covariates, 1)
        if self.unit_norm:
            leaf = inputs = model.assemble(video, covariates).requires_grad_()
        else:
            leaf = video.requires_grad_()
            inputs = model.assemble(leaf, covariates)
        predicted = model.window_responses(inputs)
        errors = poisson_loss(predicted, cut(evidence.responses, 1))[..., model.warmup_frames :]
        if evidence.kept is not None:
            errors = errors[:, evidence.kept]
        loss = errors.mean(dim=(1, 2))
        (gradient,) = torch.autograd.grad(loss.sum(), leaf)
        if self.unit_norm:
            norm = gradient.flatten(1).norm(dim=1) + 1e-6
            gradient = gradient[:, 0] / norm[:, None, None, None]
        return loss.detach(), gradient, predicted.detach()


def mean_fit(likelihood: PoissonLikelihood, models: Sequence[EncodingModel], movie: Tensor, evidence: Evidence) -> Fit:
    """Mean of the models' fits, computed one at a time: memory does not grow with the number of models.

    A movie smaller than a model's canvas is placed on it, and the gradient is cropped again.
    """
    total: Fit | None = None
    for model in models:
        filled = tuple(movie.shape[-2:]) == model.canvas.size
        fit = likelihood(model, movie if filled else model.canvas.place(movie), evidence)
        fit.gradient = fit.gradient if filled else model.canvas.crop(fit.gradient)
        if total is None:
            total = fit
            continue
        total.loss += fit.loss
        total.gradient += fit.gradient
        total.predicted += fit.predicted
    assert total is not None  # as_ensemble refuses empty ensembles
    count = len(models)
    return Fit(loss=total.loss / count, gradient=total.gradient / count, predicted=total.predicted / count)

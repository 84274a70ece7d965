"""How well a movie explains the responses, and which way each pixel should move to explain them better."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from neuroreel.encoding.interface import EncodingModel
from neuroreel.encoding.loss import poisson_loss


@dataclass(kw_only=True)
class Evidence:
    """What was measured in a group of trials of one length, as tensors on the device.

    Attributes
    ----------
    responses
        (trials, neurons, frames), not negative.
    covariates
        (trials, channels, frames).
    keep
        (neurons,) boolean: the neurons that count.
    """

    responses: Tensor
    covariates: Tensor
    keep: Tensor


@dataclass(kw_only=True)
class Fit:
    """What one pass over all windows found out about the present movies."""

    loss: Tensor  # (trials,): mean over windows
    gradient: Tensor  # (trials, frames, height, width), of the canvas
    predicted: Tensor  # (trials, neurons, frames): mean over the windows that hold a frame


@dataclass(kw_only=True)
class PoissonLikelihood:
    """The Poisson loss of windows, and its gradient averaged over the windows that cover a frame (Bauer et al. 2026).

    Attributes
    ----------
    starts, length
        Where windows begin and how many frames they have.
    unit_norm
        Divide each window's gradient by its norm over the model's whole input, behaviour included, as published.
    windows_at_once
        How many windows go through the model together: bounds memory, changes nothing else.
    """

    starts: list[int]
    length: int
    unit_norm: bool
    windows_at_once: int

    def __call__(self, model: EncodingModel, canvas_videos: Tensor, evidence: Evidence) -> Fit:
        """Loss, gradient and predicted responses for movies (trials, frames, height, width) on the model's canvas."""
        trials, frames = canvas_videos.shape[:2]
        gradient = torch.zeros_like(canvas_videos)
        predicted = evidence.responses.new_zeros(trials, model.neurons, frames)
        losses = canvas_videos.new_zeros(trials)
        windows = [(trial, start) for start in self.starts for trial in range(trials)]
        for first in range(0, len(windows), self.windows_at_once):
            chunk = windows[first : first + self.windows_at_once]
            loss, chunk_gradient, chunk_predicted = self._windows(model, canvas_videos, evidence, chunk)
            for index, (trial, start) in enumerate(chunk):
                gradient[trial, start : start + self.length] += chunk_gradient[index]
                predicted[trial, :, start : start + self.length] += chunk_predicted[index]
                losses[trial] += loss[index] / len(self.starts)
        coverage = self._count(frames).to(gradient.device)
        return Fit(loss=losses, gradient=gradient / coverage[:, None, None], predicted=predicted / coverage)

    def _windows(
        self, model: EncodingModel, canvas_videos: Tensor, evidence: Evidence, windows: list[tuple[int, int]]
    ) -> tuple[Tensor, Tensor, Tensor]:
        def cut(tensor: Tensor, axis: int) -> Tensor:
            return torch.stack([tensor[trial].narrow(axis, start, self.length) for trial, start in windows])

        video = cut(canvas_videos, 0)
        covariates = cut(evidence.covariates, 1)
        if self.unit_norm:
            leaf = inputs = model.assemble(video, covariates).requires_grad_()
        else:
            leaf = video.requires_grad_()
            inputs = model.assemble(leaf, covariates)
        predicted = model.window_responses(inputs)
        counted = slice(model.warmup_frames, None)
        target = cut(evidence.responses, 1)
        errors = poisson_loss(predicted, target)[:, evidence.keep, counted]
        loss = errors.mean(dim=(1, 2))
        (gradient,) = torch.autograd.grad(loss.sum(), leaf)
        if self.unit_norm:
            norm = gradient.flatten(1).norm(dim=1) + 1e-6
            gradient = gradient[:, 0] / norm[:, None, None, None]
        return loss.detach(), gradient, predicted.detach()

    def _count(self, frames: int) -> Tensor:
        """How many windows hold each frame."""
        count = torch.zeros(frames)
        for start in self.starts:
            count[start : start + self.length] += 1
        return count

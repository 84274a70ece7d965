"""How well a movie explains the responses, and which way each pixel should move to explain them better."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from neuroreel.allocator import give_back_freed_memory
from neuroreel.encoding.interface import EncodingModel
from neuroreel.encoding.loss import poisson_loss
from neuroreel.errors import ResourceError
from neuroreel.memory import first_line, is_out_of_memory


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

    @cached_property
    def kept(self) -> Tensor | None:
        """Numbers of the neurons that count; None if all do. Looked up once: a GPU has to wait for it."""
        return None if self.keep.all() else self.keep.nonzero().flatten()


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
        How many windows go through the model together: bounds memory, changes nothing else. It is halved where memory
        runs out.
    say
        Told when that happens.
    """

    starts: list[int]
    length: int
    unit_norm: bool
    windows_at_once: int
    say: Callable[[str], object] = lambda _: None

    def __call__(self, model: EncodingModel, canvas_videos: Tensor, evidence: Evidence) -> Fit:
        """Loss, gradient and predicted responses for movies (trials, frames, height, width) on the model's canvas.

        Windows are added in one order, whatever the batch.
        """
        trials, frames = canvas_videos.shape[:2]
        gradient = torch.zeros_like(canvas_videos)
        predicted = evidence.responses.new_zeros(trials, model.neurons, frames)
        losses = canvas_videos.new_zeros(trials)
        windows = [(trial, start) for start in self.starts for trial in range(trials)]
        done = 0
        while done < len(windows):
            chunk = windows[done : done + self._batch(len(windows))]
            found = self._windows_or_none(model, canvas_videos, evidence, chunk)
            if found is None:
                continue
            loss, chunk_gradient, chunk_predicted = found
            done += len(chunk)
            for index, (trial, start) in enumerate(chunk):
                gradient[trial, start : start + self.length] += chunk_gradient[index]
                predicted[trial, :, start : start + self.length] += chunk_predicted[index]
                losses[trial] += loss[index] / len(self.starts)
        coverage = self._count(frames).to(gradient.device)
        return Fit(loss=losses, gradient=gradient / coverage[:, None, None], predicted=predicted / coverage)

    def _batch(self, windows: int) -> int:
        """Batches of one size, not full ones and a rest: a GPU computes them as fast, in less memory."""
        return math.ceil(windows / math.ceil(windows / self.windows_at_once))

    def _windows_or_none(
        self, model: EncodingModel, canvas_videos: Tensor, evidence: Evidence, windows: list[tuple[int, int]]
    ) -> tuple[Tensor, Tensor, Tensor] | None:
        """``_windows``, but None where memory ran out: fewer windows are taken from then on."""
        try:
            return self._windows(model, canvas_videos, evidence, windows)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            if len(windows) == 1:
                raise ResourceError(
                    f"memory ran out ({first_line(error)}): not even one window of {self.length} frames fits on the "
                    f"device {canvas_videos.device}. Close other programs, or use another device or a smaller model; a "
                    "model that sees the whole movie at once needs less with windows='sliding'"
                ) from error
        self.windows_at_once = len(windows) // 2
        self.say(f"Memory ran out with {len(windows)} windows at once; going on with {self.windows_at_once}.")
        give_back_freed_memory()  # here, where the error no longer holds what had been computed
        if canvas_videos.device.type == "cuda":
            torch.cuda.empty_cache()
        return None

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
        errors = poisson_loss(predicted, target)[..., counted]
        if evidence.kept is not None:
            errors = errors[:, evidence.kept]
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

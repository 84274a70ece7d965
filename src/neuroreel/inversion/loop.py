"""The loop: from a starting movie to the movie that explains the responses. Every part of it is handed in."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from neuroreel.encoding.interface import EncodingModel
from neuroreel.errors import InputError
from neuroreel.inversion.likelihood import Evidence, Fit, PoissonLikelihood
from neuroreel.inversion.priors import Prior
from neuroreel.inversion.update import Update
from neuroreel.inversion.windows import Windows


@dataclass(kw_only=True)
class Progress:
    """Where a run stands: all that a snapshot must keep beside the update rule's own state."""

    videos: Tensor  # (trials, frames, height, width), grey 0..255
    iteration: int = 0
    history: list[dict[str, Any]] = field(default_factory=list)
    kept: list[int] = field(default_factory=list)  # of each trial, once the run is over: the pass whose movie it is


Callback = Callable[[Progress, Fit], object]
Stopping = Callable[[Progress], bool]


def invert(
    progress: Progress,
    *,
    models: Sequence[EncodingModel],
    evidence: Evidence,
    windows: Windows,
    likelihood: PoissonLikelihood,
    prior: Prior,
    update: Update,
    update_mask: Tensor,
    iterations: int,
    first_update: int,
    stopping: Stopping,
    callbacks: Sequence[Callback],
) -> Progress:
    """Improve ``progress.videos`` until ``iterations`` passes are made or ``stopping`` says so.

    Each pass: (1) windows are laid; (2) the likelihood's gradient is averaged over the models, (3) and set to zero
    outside the update mask; (4) the prior turns it into a direction, which reaches beyond the mask: a prior links
    pixels; (5) the update rule takes a step; (6) callbacks record and save.

    Parameters
    ----------
    progress
        The starting movies, or where an earlier run stopped. They lie on the models' canvas, or are plain videos.
    update_mask
        (height, width) of the movies: 1 where the responses move pixels. With a flat prior nothing else moves.
    first_update
        The first pass that moves anything: the published rule only records in pass 0.

    Raises
    ------
    InputError
        The loss became NaN or infinite.
    """
    while progress.iteration < iterations:
        likelihood.starts, likelihood.length = windows.lay(progress.videos.shape[1], progress.iteration)
        fit = _mean(fit_of(model, progress.videos, evidence, likelihood) for model in models)
        fit.gradient *= update_mask
        if not torch.isfinite(fit.loss).all():
            raise InputError(
                f"the loss became NaN or infinite in pass {progress.iteration}: the models' weights are no use, or the "
                "steps too long; check the models with nr.predict, or lower learning_rate"
            )
        if progress.iteration >= first_update:
            direction = prior.direction(progress.videos, fit.gradient)
            progress.videos = update.step(progress.videos, direction, progress.iteration)
        for callback in callbacks:
            callback(progress, fit)
        progress.iteration += 1
        if stopping(progress):
            break
    return progress


def fit_of(model: EncodingModel, videos: Tensor, evidence: Evidence, likelihood: PoissonLikelihood) -> Fit:
    """Fit of one model: movies that do not fill its canvas are laid on it, and the gradient is cut out again."""
    if tuple(videos.shape[-2:]) == model.canvas.size:
        return likelihood(model, videos, evidence)
    fit = likelihood(model, model.canvas.place(videos), evidence)
    return Fit(loss=fit.loss, gradient=model.canvas.crop(fit.gradient), predicted=fit.predicted)


def _mean(fits: Iterable[Fit]) -> Fit:
    """Of the models, one at a time: memory does not grow with their number."""
    found = iter(fits)
    total, count = next(found), 1
    for fit in found:
        total.loss += fit.loss
        total.gradient += fit.gradient
        total.predicted += fit.predicted
        count += 1
    return Fit(loss=total.loss / count, gradient=total.gradient / count, predicted=total.predicted / count)

"""What the published code logs on the way: how well the movie explains the responses, seen through the mask."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from neuroreel.encoding.correlation import neuron_correlations
from neuroreel.encoding.interface import EncodingModel
from neuroreel.encoding.loss import poisson_loss
from neuroreel.encoding.predict import predict
from neuroreel.grey import MID_GREY
from neuroreel.inversion.history import ResponseLog
from neuroreel.inversion.likelihood import Fit
from neuroreel.inversion.loop import Progress
from neuroreel.recordings.trial import Trial

SKIP_FRAMES = 32


def published_response_log(
    models: EncodingModel | Sequence[EncodingModel],
    trial: Trial,
    video: NDArray[np.float32],
    *,
    scored: NDArray[np.bool_],
    keep: NDArray[np.bool_] | None = None,
    ablated: str = "silenced",
    clips_at_once: int = 4,
) -> tuple[float, float]:
    """Loss and correlation of the responses predicted for a movie, as the published code logs them.

    Pixels outside the evaluation mask are grey and the canvas's padding is what the models were trained with, unlike
    in the loop; the prediction is the mean over all clips and models (Bauer et al. 2026).

    Parameters
    ----------
    models
        An encoding model or an ensemble.
    trial
        Its responses are compared with, its behaviour is fed.
    video
        (frames, height, width), grey levels 0..255.
    scored
        (height, width) boolean: the evaluation mask.
    keep
        (neurons,) boolean: the neurons that were not ablated; all by default.
    ablated
        "silenced": the others' recorded and predicted responses are set to zero, but counted, as published;
        "left_out": they do not count.
    clips_at_once
        How many clips go through a model together: bounds memory.

    Returns
    -------
    tuple of float
        Mean Poisson loss from frame 32 on (NaN where the trial ends before), and Pearson correlation over all neurons
        and frames together (0 where either is constant).
    """
    seen = np.where(scored, video, np.float32(MID_GREY)).clip(0, 255)
    predicted = predict(models, trial.replace(video=seen, responses=None), clips_at_once=clips_at_once)
    recorded = trial.needs_responses()
    if keep is not None and ablated == "silenced":
        predicted, recorded = predicted * keep[:, None], recorded * keep[:, None]
    elif keep is not None:
        predicted, recorded = predicted[keep], recorded[keep]
    counted = slice(SKIP_FRAMES, None)
    losses = poisson_loss(torch.from_numpy(predicted[:, counted]), torch.from_numpy(recorded[:, counted]))
    together = (array.reshape(1, -1).astype(np.float64) for array in (recorded, predicted))
    return float(losses.mean()), float(neuron_correlations(*together)[0])


def published_log(
    models: Sequence[EncodingModel],
    trials: Sequence[Trial],
    *,
    crop: Callable[[Tensor], Tensor],
    scored: NDArray[np.bool_],
    keep: NDArray[np.bool_],
    ablated: str,
    clips_at_once: int,
) -> ResponseLog:
    """:func:`published_response_log` for every trial of a run; each takes about as long as a pass."""

    def log(progress: Progress, _: Fit) -> tuple[list[float], list[float]]:
        videos = crop(progress.videos).cpu().numpy()
        logged = [
            published_response_log(
                models, trial, video, scored=scored, keep=keep, ablated=ablated, clips_at_once=clips_at_once
            )
            for trial, video in zip(trials, videos, strict=True)
        ]
        return [loss for loss, _ in logged], [correlation for _, correlation in logged]

    return log

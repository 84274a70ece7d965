"""The log of a reconstruction: how well the movie explains the responses and matches the true movie."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from neuroreel.bauer_2026.likelihood import Evidence, Fit
from neuroreel.bauer_2026.settings import Settings
from neuroreel.defaults import frames_to_skip
from neuroreel.encoding.correlation import neuron_correlations, row_correlations
from neuroreel.encoding.interface import EncodingModel
from neuroreel.encoding.loss import poisson_loss
from neuroreel.encoding.predict import predict
from neuroreel.grey import MID_GREY
from neuroreel.recordings.trial import Trial

SKIP_FRAMES = 32  # the paper says 30; its code leaves out 32


def history_row(
    trial: Trial,
    models: Sequence[EncodingModel],
    video: NDArray[np.float32],
    fit: Fit,
    evidence: Evidence,
    *,
    settings: Settings,
    scored: NDArray[np.bool_],
    keep: NDArray[np.bool_],
    clips_at_once: int,
) -> dict[str, float]:
    """Scores of a pass, and of the movie (frames, height, width) after it, as ``settings.record`` asks."""
    published = settings.record == "published"
    if published:
        loss, correlation = response_log(
            models, trial, video, scored=scored, keep=keep, ablated=settings.ablated, clips_at_once=clips_at_once
        )
    else:
        loss, correlation = pass_log(fit, evidence)
    skip = SKIP_FRAMES if published else frames_to_skip(trial.frames)
    video_correlation, rmse = movie_log(trial, video, scored=scored, skip=skip)
    return {
        "loss": loss,
        "response_correlation": correlation,
        "video_correlation": video_correlation,
        "video_rmse": rmse,
    }


def response_log(
    models: EncodingModel | Sequence[EncodingModel],
    trial: Trial,
    video: NDArray[np.float32],
    *,
    scored: NDArray[np.bool_],
    keep: NDArray[np.bool_] | None = None,
    ablated: str = "silenced",
    clips_at_once: int = 4,
) -> tuple[float, float]:
    """Loss and correlation of the responses predicted for a movie (frames, height, width), as in the published log.

    Unlike in the loop, pixels outside the evaluation mask ``scored`` are gray and the canvas's padding has the value
    that the models were trained with; the prediction is the mean over all clips and models (Bauer et al. 2026). Neurons
    not in ``keep`` count with recorded and predicted responses of zero if they are "silenced", as published, and do not
    count if they are "left_out".

    Returns
    -------
    tuple of float
        Mean Poisson loss from frame 32 on (NaN if the trial is shorter), and Pearson correlation over all neurons
        and frames together (0 if either is constant).
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


def pass_log(fit: Fit, evidence: Evidence) -> tuple[float, float]:
    """Loss and mean correlation of neurons from the pass itself, for the movie it started from, at no extra cost."""
    keep = evidence.keep
    # a constant neuron counts as 0, as in the competition
    correlation = row_correlations(fit.predicted[keep], evidence.responses[keep], constant=0.0)
    return float(fit.loss), float(correlation.mean())


def movie_log(trial: Trial, video: NDArray[np.float32], *, scored: NDArray[np.bool_], skip: int) -> tuple[float, float]:
    """Video correlation and root mean squared error over the scored pixels; NaN if the true movie is unknown.

    The correlation is also NaN if the movie is gray.
    """
    if trial.video is None or skip >= trial.frames:
        return float("nan"), float("nan")
    truth, found = (movie[skip:, scored].ravel() for movie in (trial.needs_video(), video))
    return float(row_correlations(truth, found)), float(np.sqrt(np.mean(np.square(truth - found))))

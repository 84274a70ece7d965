"""What is recorded on the way: loss, response correlation and, where the true movie is known, video correlation."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from neuroreel.inversion.likelihood import Evidence, Fit
from neuroreel.inversion.loop import Progress


class Recorder:
    """A callback that adds a row to the history every few passes, and at the last one.

    Parameters
    ----------
    evidence
        The responses that the predictions are compared with.
    truths
        True movies (frames, height, width), one a trial; None where unknown.
    rows, columns
        Where the video lies in the movies that the loop moves.
    scored
        (height, width) boolean on the video: the pixels whose correlation is recorded.
    every, last
        Passes between rows, and the number of the last pass.
    """

    def __init__(
        self,
        *,
        evidence: Evidence,
        truths: Sequence[NDArray[np.float32] | None],
        rows: slice,
        columns: slice,
        scored: NDArray[np.bool_],
        every: int,
        last: int,
        skip: int,
    ) -> None:
        self.evidence = evidence
        self.truths = truths
        self.rows = rows
        self.columns = columns
        self.scored = scored
        self.every = every
        self.last = last
        self.skip = skip

    def __call__(self, progress: Progress, fit: Fit) -> None:
        """Record the present pass if it is its turn: the movies after it, and the fit that it started from."""
        if progress.iteration % self.every and progress.iteration != self.last:
            return
        keep = self.evidence.keep
        progress.history.append(
            {
                "iteration": progress.iteration,
                "loss": fit.loss.tolist(),
                "response_correlation": _rows_correlation(
                    fit.predicted[:, keep], self.evidence.responses[:, keep]
                ).tolist(),
                "video_correlation": [self._video_correlation(progress, index) for index in range(len(self.truths))],
            }
        )

    def _video_correlation(self, progress: Progress, index: int) -> float:
        truth = self.truths[index]
        if truth is None:
            return float("nan")
        video = progress.videos[index, self.skip :, self.rows, self.columns].cpu().numpy()[:, self.scored]
        truth = truth[self.skip :, self.scored]
        if video.size == 0 or video.std() < 1e-6 or truth.std() < 1e-6:
            return float("nan")  # a grey movie correlates with nothing
        return float(np.corrcoef(video.ravel(), truth.ravel())[0, 1])


def _rows_correlation(predicted: Tensor, recorded: Tensor) -> Tensor:
    """(trials, neurons, frames) twice to (trials,): mean over neurons of the correlation over frames, 0 if constant."""
    a = predicted - predicted.mean(dim=2, keepdim=True)
    b = recorded - recorded.mean(dim=2, keepdim=True)
    norms = a.norm(dim=2) * b.norm(dim=2)
    return torch.where(norms > 0, (a * b).sum(dim=2) / norms.clamp_min(1e-12), 0.0).mean(dim=1)


def history_of(progress: Progress, trial: int) -> dict[str, list[float]]:
    """One trial's share of the history, a list for each quantity."""
    taken: dict[str, list[float]] = {"iteration": [row["iteration"] for row in progress.history]}
    for name in ("loss", "response_correlation", "video_correlation"):
        taken[name] = [row[name][trial] for row in progress.history]
    return taken

"""What is recorded on the way: loss, response correlation and, where the true movie is known, video correlation."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from neuroreel.encoding.correlation import row_correlations
from neuroreel.inversion.likelihood import Evidence, Fit
from neuroreel.inversion.loop import Progress

ResponseLog = Callable[[Progress, Fit], tuple[list[float], list[float]]]
"""Loss and response correlation of every trial, (trials,) each; for which movies, each log says."""


class Recorder:
    """A callback that adds a row to the history every few passes, and at the last one.

    Parameters
    ----------
    responses
        What is recorded of the responses.
    crop
        Cuts the videos out of the movies that the loop moves.
    truths
        True movies (frames, height, width), one a trial; None where unknown.
    scored
        (height, width) boolean on the video: the pixels whose correlation is recorded.
    every, is_last
        Passes between rows, and whether a pass is the last one: it gets a row in any case.
    skip
        Frames at the start whose video correlation does not count.
    """

    def __init__(
        self,
        *,
        responses: ResponseLog,
        crop: Callable[[Tensor], Tensor],
        truths: Sequence[NDArray[np.float32] | None],
        scored: NDArray[np.bool_],
        every: int,
        is_last: Callable[[Progress], bool],
        skip: int,
    ) -> None:
        self.responses = responses
        self.crop = crop
        self.truths = truths
        self.scored = scored
        self.every = every
        self.is_last = is_last
        self.skip = skip

    def __call__(self, progress: Progress, fit: Fit) -> None:
        """Record the present pass if it is its turn."""
        if progress.iteration % self.every and not self.is_last(progress):
            return
        loss, correlation = self.responses(progress, fit)
        pairs = [self._pixels(progress, index) for index in range(len(self.truths))]
        progress.history.append(
            {
                "iteration": progress.iteration,
                "loss": loss,
                "response_correlation": correlation,
                # nan where a movie is unknown or grey: it correlates with nothing
                "video_correlation": [float(row_correlations(*(movie.ravel() for movie in pair))) for pair in pairs],
                "video_rmse": [float(np.sqrt(np.mean(np.square(truth - video)))) for truth, video in pairs],
            }
        )

    def _pixels(self, progress: Progress, index: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """The pixels that count of one trial's true movie, and of its reconstruction; a single NaN if unknown."""
        truth = self.truths[index]
        if truth is None or self.skip >= len(truth):
            return (np.full(1, np.nan, np.float32),) * 2
        video = self.crop(progress.videos[index, self.skip :]).cpu().numpy()
        return truth[self.skip :, self.scored], video[:, self.scored]


def pass_log(evidence: Evidence) -> ResponseLog:
    """The fit that the pass itself found for the movies it started from: costs nothing."""

    def log(_: Progress, fit: Fit) -> tuple[list[float], list[float]]:
        keep = evidence.keep
        # a neuron that is constant counts as 0, as in the competition
        correlation = row_correlations(fit.predicted[:, keep], evidence.responses[:, keep], constant=0.0)
        return fit.loss.tolist(), correlation.mean(dim=1).tolist()

    return log


def history_of(progress: Progress, trial: int) -> dict[str, list[float]]:
    """One trial's share of the history, a list for each quantity."""
    taken: dict[str, list[float]] = {"iteration": [row["iteration"] for row in progress.history]}
    for name in ("loss", "response_correlation", "video_correlation", "video_rmse"):
        taken[name] = [row[name][trial] for row in progress.history]
    return taken

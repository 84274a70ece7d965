"""How well responses are predicted; the only place that computes correlations of rows over time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from neuroreel.devices import choose_device
from neuroreel.encoding.checks import as_ensemble, check_can_be_scored
from neuroreel.encoding.interface import EncodingModel, frozen
from neuroreel.encoding.predict import predict
from neuroreel.recordings.checks import check_trials
from neuroreel.recordings.trial import Trial

Rows = Tensor | NDArray[np.floating[Any]]


class RunningCorrelation:
    """Pearson correlation of each row with its counterpart, for rows that arrive in pieces and are not kept.

    Means and sums of squares and products are merged by the pairwise rule of Chan, Golub & LeVeque 1983 ("Algorithms
    for computing the sample variance"): in float64 for arrays, in their own type and device for tensors.

    Parameters
    ----------
    sums
        (6, ...): frames, two means, two sums of squares, the sum of products; from another instance.
    """

    def __init__(self, sums: Tensor | None = None) -> None:
        self.sums = sums

    @classmethod
    def of_nothing(cls, rows: int) -> RunningCorrelation:
        """For a process that may see no data but must still share its sums."""
        return cls(torch.zeros(6, rows, dtype=torch.float64))

    def add(self, first: Rows, second: Rows) -> None:
        """Add frames: (..., frames) twice, at least one frame."""
        both = torch.stack([_as_tensor(first), _as_tensor(second)])
        origin = both[..., 0]
        both = both - origin[..., None]  # a constant row becomes exactly 0, despite rounding of its mean
        mean = both.mean(dim=-1)
        both = both - mean[..., None]
        frames = torch.full_like(mean[:1], both.shape[-1])
        products = (both[0] * both[1]).sum(dim=-1)
        self.merge(torch.cat([frames, origin + mean, both.square().sum(dim=-1), products[None]]))

    def merge(self, sums: Tensor) -> None:
        """Add the ``sums`` of another instance, perhaps from another process."""
        if self.sums is None:
            self.sums = sums
            return
        frames = self.sums[:1] + sums[:1]
        share = sums[:1] / frames.clamp_min(1)
        gap = sums[1:3] - self.sums[1:3]
        between = torch.cat([gap.square(), gap[:1] * gap[1:]]) * self.sums[:1] * share
        self.sums = torch.cat([frames, self.sums[1:3] + gap * share, self.sums[3:] + sums[3:] + between])

    def rows(self, *, constant: float = float("nan")) -> Tensor:
        """(...): between -1 and 1; ``constant`` if either row is constant, when the correlation is undefined."""
        if self.sums is None:
            raise ValueError("no frames were added, so there are no rows yet")
        norms = self.sums[3:5].sqrt().prod(dim=0)
        return torch.where(norms > 0, (self.sums[5] / norms).clamp(-1, 1), constant)


def row_correlations(first: Rows, second: Rows, *, constant: float = float("nan")) -> Tensor:
    """Pearson correlation over the last axis, (..., frames) twice to (...); ``constant`` if either is."""
    running = RunningCorrelation()
    running.add(first, second)
    return running.rows(constant=constant)


def neuron_correlations(
    recorded: NDArray[np.floating[Any]], predicted: NDArray[np.floating[Any]]
) -> NDArray[np.float64]:
    """Correlation over frames of each neuron, (neurons, frames) twice to (neurons,); 0 if either is constant."""
    return row_correlations(recorded, predicted, constant=0.0).numpy()


def _as_tensor(rows: Rows) -> Tensor:
    return rows if isinstance(rows, Tensor) else torch.from_numpy(rows.astype(np.float64))


def encoder_correlation(
    models: EncodingModel | Sequence[EncodingModel],
    trials: Sequence[Trial],
    *,
    skip: int = 0,
    device: str | None = None,
) -> float:
    """Mean over neurons of the correlation between recorded and predicted responses, over all frames of the trials.

    With ``skip=50`` it is the *single-trial correlation* of the Sensorium 2023 competition (Turishcheva et al. 2024,
    arXiv:2407.09100), which leaves out the first 50 frames of each trial; with ``skip=0`` the score that encoding
    models are validated with. A neuron with constant recorded or predicted responses counts as 0. Negative recorded
    responses are set to 0, as in training.

    Parameters
    ----------
    models
        One encoding model, or an ensemble, whose predictions are averaged.
    trials
        With video and responses. They are opened one at a time and concatenated in time.
    skip
        Frames left out at the start of each trial.
    device
        "auto", "cpu", "cuda", "cuda:1", "mps"; see :func:`predict`.

    Raises
    ------
    InputError
        No trials, or a trial that does not fit the model (pixels, frame rate, neurons, behavior channels or length) or
        has no frames left.
    ResourceError
        The device does not exist.
    """
    ensemble = as_ensemble(models)
    check_trials(trials, what="trials to predict")
    for trial in trials:
        check_can_be_scored(ensemble, trial, skip=skip)
    running = RunningCorrelation()
    with frozen(ensemble, device=None if device is None else choose_device(device)):
        for trial in trials:
            running.add(trial.needs_responses()[:, skip:], predict(ensemble, trial)[:, skip:])
    return float(running.rows(constant=0.0).mean())

"""The score of the validation trials: one trial at a time, several recordings, several processes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from neuroreel.encoding.training.share import rank_and_processes
from neuroreel.recordings.trial import Trial


class ValidationTrials(Dataset["tuple[int, Trial] | None"]):
    """Recording and trial; each process has its share, the same number everywhere, None where there are not enough."""

    def __init__(self, recordings: Mapping[str, Sequence[Trial]]) -> None:
        self.recordings = list(recordings.values())
        self.places = [(k, index) for k, trials in enumerate(self.recordings) for index in range(len(trials))]

    def __len__(self) -> int:
        return -(-len(self.places) // rank_and_processes()[1])

    def __getitem__(self, index: int) -> tuple[int, Trial] | None:
        rank, processes = rank_and_processes()
        number = index * processes + rank
        if number >= len(self.places):
            return None
        recording, trial = self.places[number]
        return recording, self.recordings[recording][trial]


class RunningCorrelation:
    """Each neuron's correlation of two arrays over time, for (neurons, frames) that come in pieces and are not kept.

    Means and products are merged by the pairwise rule of Chan, Golub & LeVeque 1983.
    """

    def __init__(self, neurons: int) -> None:
        self.sums = torch.zeros(6, neurons, dtype=torch.float64)  # frames, two means, two variations, covariation

    def add(self, recorded: NDArray[np.float32], predicted: NDArray[np.float32]) -> None:
        """Take in (neurons, frames) twice."""
        a, b = torch.from_numpy(recorded).double(), torch.from_numpy(predicted).double()
        means = a.mean(dim=1), b.mean(dim=1)
        a, b = a - means[0][:, None], b - means[1][:, None]
        frames = torch.full_like(means[0], a.shape[1])
        self.merge(torch.stack([frames, *means, (a * a).sum(1), (b * b).sum(1), (a * b).sum(1)]))

    def merge(self, sums: Tensor) -> None:
        """Take in the ``sums`` of another process."""
        ours, theirs = self.sums[0], sums[0]
        frames = ours + theirs
        share = torch.where(frames > 0, theirs / frames.clamp_min(1), 0.0)
        gap = sums[1:3] - self.sums[1:3]
        between = torch.stack([gap[0] * gap[0], gap[1] * gap[1], gap[0] * gap[1]]) * (ours * share)
        self.sums = torch.cat([frames[None], self.sums[1:3] + gap * share, self.sums[3:] + sums[3:] + between])

    def correlations(self) -> Tensor:
        """(neurons,); 0 where either array is constant."""
        norms = (self.sums[3] * self.sums[4]).sqrt()
        return torch.where(norms > 0, self.sums[5] / norms.clamp_min(torch.finfo(torch.float64).tiny), 0.0)

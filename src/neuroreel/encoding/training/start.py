"""A first guess of the readout, by regression on the untrained core: descent need not find positions and weights."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from neuroreel.encoding.readout import ReadoutModel
from neuroreel.encoding.training.store import TimeFirst, TrialStore

EVERY = 3  # frames from one used frame to the next: neighbours say nearly the same
RIDGE = 0.1  # of a feature's variance
SLOPE = 0.632  # softplus(0.542) = 1 with this slope: the readout is linear around the mean response
OFFSET = 0.5413


@torch.no_grad()
def start_readout(model: ReadoutModel, store: TrialStore) -> None:
    """Place each neuron where the core's features explain its response best, with the weights that do.

    1. Sum moments of features and responses over a third of all frames; 2. regress each neuron's response on the
    features of every position; 3. take the position with the most explained variance, looking at a blurred map.
    """
    moments = _Moments(model)
    for index in range(len(store)):
        moments.add(store.trial(index))
    # (neurons, positions), (neurons, positions, hidden), (positions, hidden)
    explained, weights, means = moments.solve()
    rows, columns = moments.grid
    blurred = torch.nn.functional.avg_pool2d(explained.view(-1, 1, rows, columns), 3, 1, 1, count_include_pad=False)
    best = blurred.flatten(1).argmax(dim=1)
    where = torch.stack([best % columns, best // columns], dim=1).float()
    model.position.copy_((where + 0.5) / torch.tensor([columns, rows]) * 2 - 1)
    neurons = torch.arange(model.neurons)
    model.weight.copy_(weights[neurons, best] / SLOPE)
    model.bias.copy_(OFFSET - (model.weight * means[best]).sum(dim=1))


class _Moments:
    """Sums of features, of responses and of their products, position by position."""

    def __init__(self, model: ReadoutModel) -> None:
        self.model = model
        self.count = 0
        self.features = torch.zeros(())
        self.responses = torch.zeros(model.neurons)
        self.products = torch.zeros(())
        self.cross = torch.zeros(())
        self.grid = (0, 0)

    def add(self, trial: TimeFirst) -> None:
        """One trial."""
        video, responses = torch.tensor(trial.video), torch.tensor(np.ascontiguousarray(trial.responses.T))
        features = self.model._core(video[None].float())[0, self.model.warmup_frames :: EVERY]
        self.grid = (features.shape[2], features.shape[3])
        x = features.flatten(2).permute(2, 0, 1)  # (positions, frames, hidden)
        y = (responses / self.model.response_scale[:, None])[:, self.model.warmup_frames :: EVERY]
        self.count += x.shape[1]
        self.features = self.features + x.sum(dim=1)
        self.responses = self.responses + y.sum(dim=1)
        self.products = self.products + x.transpose(1, 2) @ x
        self.cross = self.cross + y @ x

    def solve(self) -> tuple[Tensor, Tensor, Tensor]:
        """Explained variance, weights and feature means of every position."""
        means = self.features / self.count
        covariance = self.products / self.count - means[:, :, None] * means[:, None, :]
        cross = self.cross / self.count - means[:, None, :] * (self.responses / self.count)[None, :, None]
        ridge = RIDGE * covariance.diagonal(dim1=1, dim2=2).mean(dim=1)
        regular = covariance + (ridge + 1e-8)[:, None, None] * torch.eye(covariance.shape[1])
        weights = torch.linalg.solve(regular, cross.transpose(1, 2)).transpose(1, 2)  # (positions, neurons, hidden)
        explained = (weights * cross).sum(dim=2)
        return explained.T, weights.transpose(0, 1), means

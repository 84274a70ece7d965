"""Initialize the readout by regression on the untrained core, so that training need not find positions and weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from neuroreel.encoding.readout import ReadoutModel

if TYPE_CHECKING:
    from neuroreel.encoding.training.store import TimeFirst

EVERY = 3  # use every third frame: neighbors are nearly the same
RIDGE = 0.1  # of a feature's variance
SLOPE = 0.632  # softplus(0.542) = 1 with this slope: the readout is linear around the mean response
OFFSET = 0.5413


@torch.no_grad()
def start_readout(model: ReadoutModel, trials: Sequence[TimeFirst]) -> None:
    """Place each neuron where the core's features explain its response best, with the best weights.

    1. Sum moments of features and responses over a third of all frames; 2. regress each neuron's response on the
    features of every position; 3. take the position with the most explained variance in a blurred map.
    """
    count, rows, columns = 0, 0, 0
    features, responses, products, cross = torch.zeros(4, 1).unbind()
    for trial in trials:
        filtered = model.filtered(torch.tensor(trial.video)[None, None].float())
        found = model.features(filtered, batch=1, frames=len(filtered))[model.warmup_frames :: EVERY]
        rows, columns = found.shape[2:]
        x = found.flatten(2).permute(2, 0, 1)  # (positions, frames, hidden)
        recorded = torch.tensor(np.ascontiguousarray(trial.responses.T))
        y = (recorded / model.response_scale[:, None])[:, model.warmup_frames :: EVERY]  # (neurons, frames)
        count += x.shape[1]
        features = features + x.sum(dim=1)
        responses = responses + y.sum(dim=1)
        products = products + x.transpose(1, 2) @ x
        cross = cross + y @ x  # (positions, neurons, hidden)
    means = features / count  # (positions, hidden)
    covariance = products / count - means[:, :, None] * means[:, None, :]
    cross = cross / count - means[:, None, :] * (responses / count)[None, :, None]
    weights, explained = _regress(covariance, cross)
    blurred = torch.nn.functional.avg_pool2d(explained.view(-1, 1, rows, columns), 3, 1, 1, count_include_pad=False)
    best = blurred.flatten(1).argmax(dim=1)
    where = torch.stack([best % columns, best // columns], dim=1).float()
    model.position.copy_((where + 0.5) / torch.tensor([columns, rows]) * 2 - 1)
    model.weight.copy_(weights[torch.arange(model.neurons), best] / SLOPE)
    model.bias.copy_(OFFSET - (model.weight * means[best]).sum(dim=1))


def _regress(covariance: Tensor, cross: Tensor) -> tuple[Tensor, Tensor]:
    """Weights (neurons, positions, hidden) and explained variance (neurons, positions) for every position.

    Takes the covariance of the features (positions, hidden, hidden) and their cross-covariance with the responses
    (positions, neurons, hidden).
    """
    ridge = RIDGE * covariance.diagonal(dim1=1, dim2=2).mean(dim=1)
    regular = covariance + (ridge + 1e-8)[:, None, None] * torch.eye(covariance.shape[1])
    weights = torch.linalg.solve(regular, cross.transpose(1, 2)).transpose(1, 2)
    return weights.transpose(0, 1), (weights * cross).sum(dim=2).T

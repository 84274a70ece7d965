"""The training loss of DwiseNeuro, over the readouts of several recordings, and its distillation from an ensemble."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor

from neuroreel.encoding.dwiseneuro.network import DwiseNeuroNetwork
from neuroreel.encoding.loss import poisson_loss


def weighted_poisson_loss(
    predictions: Sequence[Tensor], targets: Sequence[Tensor], weights: Sequence[Tensor]
) -> Tensor:
    """Poisson loss p - r log(p + 1e-8), summed over neurons and frames; samples are weighted, weights sum to 1.

    Parameters
    ----------
    predictions, targets
        For each readout (samples, neurons, frames); another readout may have other samples.
    weights
        For each readout (samples,), not negative. All of them together are divided by their sum.
    """
    total = torch.stack([each.sum() for each in weights]).sum()
    losses = [
        (weight * poisson_loss(prediction.float(), target.float()).sum(dim=(1, 2))).sum()
        for prediction, target, weight in zip(predictions, targets, weights, strict=True)
    ]
    return torch.stack(losses).sum() / total


def labelled_loss(
    network: DwiseNeuroNetwork, inputs: Tensor, rows: Sequence[Tensor], responses: Sequence[Tensor]
) -> Tensor:
    """Each sample counts in the readout of its recording, all samples alike.

    Parameters
    ----------
    inputs
        (batch, channels, frames, height, width).
    rows, responses
        For each readout the numbers of its samples, and what was recorded (samples, frames, neurons).
    """
    features = network.features(inputs)
    known = [k for k, numbers in enumerate(rows) if len(numbers)]
    return weighted_poisson_loss(
        [network.readouts[k](features[rows[k]]) for k in known],
        [responses[k].transpose(1, 2) for k in known],
        [torch.ones(len(rows[k]), device=inputs.device) for k in known],
    )


class Teachers:
    """Copies of the networks of a first stage: what they predict on average is learned where nothing was recorded."""

    def __init__(self, networks: Sequence[DwiseNeuroNetwork]) -> None:
        self.networks = [copy.deepcopy(network).eval().requires_grad_(False) for network in networks]

    def __bool__(self) -> bool:
        return bool(self.networks)

    def __deepcopy__(self, memo: dict[int, object]) -> Teachers:
        """Lightning copies a module to average its weights; the teachers' weights stay as they are."""
        return self

    def to(self, device: torch.device) -> None:
        """Move the networks."""
        for network in self.networks:
            network.to(device)

    @torch.no_grad()
    def mean(self, inputs: Tensor) -> list[Tensor]:
        """For each readout the mean of the networks' predictions (batch, neurons, frames)."""
        features = [network.features(inputs) for network in self.networks]
        pairs = list(zip(self.networks, features, strict=True))
        return [
            torch.stack([network.readouts[k](each).float() for network, each in pairs]).mean(dim=0)
            for k in range(len(self.networks[0].readouts))
        ]


def distilled_loss(
    network: DwiseNeuroNetwork,
    inputs: Tensor,
    rows: Sequence[Tensor],
    responses: Sequence[Tensor],
    *,
    teachers: Teachers,
    share: float,
) -> Tensor:
    """Recorded responses make 1 - ``share`` of the loss; readouts that have none for a sample learn from the teachers.

    A sample weighs 1 - share in the readout of its recording and share / (readouts - 1) in each of the others
    (Baikulov 2023, with a share of 0.36). Shapes as in :func:`labelled_loss`.
    """
    learned = teachers.mean(inputs)
    features = network.features(inputs)
    weights = []
    for k, numbers in enumerate(rows):
        weight = torch.full((len(inputs),), share / (len(rows) - 1), device=inputs.device)
        if len(numbers):
            weight[numbers] = 1.0 - share
            learned[k][numbers] = responses[k].transpose(1, 2)
        weights.append(weight)
    return weighted_poisson_loss([readout(features) for readout in network.readouts], learned, weights)

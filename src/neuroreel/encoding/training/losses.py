"""Training losses: Poisson loss of windows, or of clips of several recordings, with distillation."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

from neuroreel.encoding.dwiseneuro.network import DwiseNeuro, DwiseNeuroNetwork
from neuroreel.encoding.interface import EncodingModel
from neuroreel.encoding.loss import poisson_loss
from neuroreel.encoding.training.batches import ClipBatch, WindowBatch


class WindowLoss(nn.Module):
    """The loss of a model of one recording on windows: mean over neurons and the frames that count.

    Parameters
    ----------
    teachers
        Models of the same recording, which are copied; the model learns their mean prediction too.
    share
        Of the loss, for what the teachers predict.
    """

    def __init__(self, model: EncodingModel, *, teachers: Sequence[EncodingModel] = (), share: float = 0.0) -> None:
        super().__init__()
        self.model = model
        self.teachers = _frozen_copies(teachers)
        self.share = share

    def forward(self, batch: WindowBatch) -> Tensor:
        """A scalar."""
        inputs = self.model.assemble(self.model.canvas.place(batch.video), batch.covariates)
        counted = slice(self.model.warmup_frames, None)
        prediction = self.model.window_responses(inputs)[..., counted].float()
        loss = poisson_loss(prediction, batch.responses[..., counted]).mean()
        if not len(self.teachers):
            return loss
        taught = self._taught(inputs)[..., counted]
        return (1 - self.share) * loss + self.share * poisson_loss(prediction, taught).mean()

    @torch.no_grad()
    def _taught(self, inputs: Tensor) -> Tensor:
        """The teachers' mean prediction."""
        predictions = []
        for teacher in self.teachers:
            assert isinstance(teacher, EncodingModel)
            predictions.append(teacher.window_responses(inputs).float())
        return torch.stack(predictions).mean(dim=0)


class ClipLoss(nn.Module):
    """The loss of a DwiseNeuro on clips, from recorded responses and optionally an ensemble's predictions.

    Parameters
    ----------
    model
        The model; its network has a readout for each recording.
    teachers
        Networks from a first stage of training, which are copied.
    share
        Share of the loss for readouts that learn from teachers.
    """

    def __init__(self, model: DwiseNeuro, *, teachers: Sequence[DwiseNeuroNetwork] = (), share: float = 0.0) -> None:
        super().__init__()
        self.model = model
        self.teachers = _frozen_copies(teachers)
        self.share = share

    def forward(self, batch: ClipBatch) -> Tensor:
        """A scalar: summed over neurons and frames, weighted mean over samples."""
        inputs, network = batch.inputs(self.model), self.model.network
        if not len(self.teachers):
            return labelled_loss(network, inputs, batch.rows, batch.responses)
        taught = mean_prediction(self.teachers, inputs)
        return distilled_loss(network, inputs, batch.rows, batch.responses, taught=taught, share=self.share)


def _frozen_copies(models: Iterable[nn.Module]) -> nn.ModuleList:
    return nn.ModuleList(copy.deepcopy(each).eval().requires_grad_(False) for each in models)


def weighted_poisson_loss(
    predictions: Sequence[Tensor], targets: Sequence[Tensor], weights: Sequence[Tensor]
) -> Tensor:
    """Poisson loss p - r log(p + 1e-8), summed over neurons and frames; samples are weighted, weights sum to 1.

    Parameters
    ----------
    predictions, targets
        For each readout (samples, neurons, frames); another readout may have other samples.
    weights
        For each readout (samples,), not negative. They are divided by their total sum.
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
    """Each sample counts equally, in the readout of its recording.

    Parameters
    ----------
    inputs
        (batch, channels, frames, height, width).
    rows, responses
        For each readout, the indices of its samples, and recorded responses (samples, frames, neurons).
    """
    features = network.features(inputs)
    known = [k for k, numbers in enumerate(rows) if len(numbers)]
    return weighted_poisson_loss(
        [network.readouts[k](features[rows[k]]) for k in known],
        [responses[k].transpose(1, 2) for k in known],
        [torch.ones(len(rows[k]), device=inputs.device) for k in known],
    )


def distilled_loss(
    network: DwiseNeuroNetwork,
    inputs: Tensor,
    rows: Sequence[Tensor],
    responses: Sequence[Tensor],
    *,
    taught: list[Tensor],
    share: float,
) -> Tensor:
    """Recorded responses make up 1 - ``share`` of the loss; readouts without any for a sample learn from ``taught``.

    A sample weighs 1 - share in the readout of its recording and share / (readouts - 1) in each of the others
    (Baikulov 2023, with a share of 0.36). Shapes as in :func:`labelled_loss` and :func:`mean_prediction`.
    """
    features = network.features(inputs)
    targets, weights = list(taught), []
    for k, numbers in enumerate(rows):
        weight = torch.full((len(inputs),), share / (len(rows) - 1), device=inputs.device)
        if len(numbers):
            weight[numbers] = 1.0 - share
            targets[k] = targets[k].index_copy(0, numbers, responses[k].transpose(1, 2))
        weights.append(weight)
    return weighted_poisson_loss([readout(features) for readout in network.readouts], targets, weights)


@torch.no_grad()
def mean_prediction(networks: Iterable[nn.Module], inputs: Tensor) -> list[Tensor]:
    """For each readout the mean of the networks' predictions (batch, neurons, frames)."""
    predictions = []
    for network in networks:
        assert isinstance(network, DwiseNeuroNetwork)
        features = network.features(inputs)
        predictions.append([readout(features).float() for readout in network.readouts])
    return [torch.stack(of_readout).mean(dim=0) for of_readout in zip(*predictions, strict=True)]

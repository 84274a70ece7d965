"""The loss of DwiseNeuro's training: the published numbers, the weights of samples, distillation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from neuroreel.encoding.dwiseneuro.network import DwiseNeuro, DwiseNeuroConfig, DwiseNeuroNetwork
from neuroreel.encoding.training.losses import (
    ClipLoss,
    distilled_loss,
    labelled_loss,
    mean_prediction,
    weighted_poisson_loss,
)
from neuroreel.encoding.training.recipe import RECIPES, resolve_recipe

NEURONS = (3, 2, 5)
ROWS = [[1], [0, 3], [2]]  # the samples of each readout


def network(seed: int, neurons: tuple[int, ...] = NEURONS) -> DwiseNeuroNetwork:
    torch.manual_seed(seed)
    config = DwiseNeuroConfig(
        readout_neurons=neurons,
        in_channels=2,
        core_features=(4,),
        spatial_strides=(2,),
        cortex_features=(8,),
        expansion_ratio=1,
    )
    return DwiseNeuroNetwork(config).eval()  # neither dropout nor batch statistics


def batch() -> tuple[Tensor, list[Tensor], list[Tensor]]:
    """Inputs, rows, responses of four samples."""
    rng = np.random.default_rng(0)
    inputs = torch.from_numpy(rng.uniform(0, 255, (4, 2, 16, 6, 6)).astype(np.float32))
    responses = [rng.gamma(2, 1, (len(rows), 16, count)) for rows, count in zip(ROWS, NEURONS, strict=True)]
    return inputs, [torch.tensor(rows) for rows in ROWS], [torch.from_numpy(each).float() for each in responses]


def naive(prediction: Tensor, target: Tensor) -> Tensor:
    """One sample's loss, in double precision and with loops instead of sums."""
    total = torch.zeros((), dtype=torch.float64)
    for p, r in zip(prediction.double().flatten(), target.double().flatten(), strict=True):
        total = total + p - r * torch.log(p + 1e-8)
    return total


def test_the_published_loss(golden: Path) -> None:
    """To 1e-6; single precision sums 432 terms in another order, which alone makes about 1e-7."""
    stored = np.load(golden / "training_loss.npz")
    readouts = range(3)
    loss = weighted_poisson_loss(
        [torch.from_numpy(stored[f"prediction_{k}"]) for k in readouts],
        [torch.from_numpy(stored[f"target_{k}"]) for k in readouts],
        [torch.from_numpy(stored["weights"][:, k]) for k in readouts],
    )
    assert loss.item() == pytest.approx(float(stored["loss"]), rel=1e-6)


def test_weights_are_normalized() -> None:
    rng = np.random.default_rng(1)
    prediction, target = (torch.from_numpy(rng.uniform(0.1, 5, (3, 2, 16))) for _ in range(2))
    losses = [naive(p, r) for p, r in zip(prediction, target, strict=True)]
    weights = torch.tensor([1.0, 3.0, 0.0])
    loss = weighted_poisson_loss([prediction], [target], [weights])
    assert loss.item() == pytest.approx(((losses[0] + 3 * losses[1]) / 4).item(), rel=1e-6)
    assert weighted_poisson_loss([prediction], [target], [7 * weights]).item() == pytest.approx(loss.item(), rel=1e-6)


def test_each_sample_counts_in_the_readout_of_its_recording() -> None:
    inputs, rows, responses = batch()
    student = network(0)
    losses = [naive(student(inputs[[row]], k)[0], responses[k][i].T) for k in range(3) for i, row in enumerate(ROWS[k])]
    loss = labelled_loss(student, inputs, rows, responses)
    assert loss.item() == pytest.approx((torch.stack(losses).sum() / 4).item(), rel=1e-5)


def test_a_readout_without_samples_is_left_alone() -> None:
    inputs, rows, responses = batch()
    student = network(0)
    rows[2], responses[2] = torch.empty(0, dtype=torch.long), torch.empty(0)
    labelled_loss(student, inputs, rows, responses).backward()
    assert student.readouts[0].conv.weight.grad is not None and student.readouts[2].conv.weight.grad is None


def test_distillation() -> None:
    """Recorded responses weigh 0.64, the other two readouts of a sample 0.18 each: they learn the teachers' mean."""
    inputs, rows, responses = batch()
    student, first, second = network(0), network(1), network(2)
    total = torch.zeros((), dtype=torch.float64)
    for k in range(3):
        learned = (first(inputs, k) + second(inputs, k)).detach() / 2
        prediction = student(inputs, k)
        for row in range(4):
            recorded = row in ROWS[k]
            target = responses[k][ROWS[k].index(row)].T if recorded else learned[row]
            total = total + (0.64 if recorded else 0.18) * naive(prediction[row], target) / 4
    loss = distilled_loss(student, inputs, rows, responses, taught=mean_prediction([first, second], inputs), share=0.36)
    assert loss.item() == pytest.approx(total.item(), rel=1e-5)
    parameters = [*student.readouts.parameters(), *student.cortex.parameters()]
    wanted = torch.autograd.grad(total, parameters, retain_graph=True)
    for ours, theirs in zip(torch.autograd.grad(loss, parameters), wanted, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-4)
    assert not any(parameter.grad is not None for parameter in first.parameters())


def test_distillation_of_nothing_is_the_labelled_loss() -> None:
    inputs, rows, responses = batch()
    student = network(0)
    labelled = labelled_loss(student, inputs, rows, responses)
    taught = mean_prediction([network(1)], inputs)
    distilled = distilled_loss(student, inputs, rows, responses, taught=taught, share=0.0)
    assert distilled.item() == pytest.approx(labelled.item(), rel=1e-6)


def test_teachers_are_copies() -> None:
    teacher = network(1).train()
    student = DwiseNeuro(network(0), readout=0, video_size=(6, 6))
    ClipLoss(student, teachers=[teacher], share=0.36)
    assert teacher.training and all(parameter.requires_grad for parameter in teacher.parameters())


def test_the_published_recipe() -> None:
    recipe = RECIPES["dwiseneuro"]
    assert recipe.learning_rate == pytest.approx(3e-4 * 24 / 4) and recipe.weight_decay == 0.05
    assert recipe.batch_size * recipe.batches_per_epoch == 72_000 and recipe.epochs == 21
    assert (recipe.cutmix_probability, recipe.cutmix_alpha, recipe.ema_decay) == (0.5, 1.0, 0.999)
    assert recipe.gradient_clip == 0 and recipe.distillation == 0.36
    warmup, total = 3 * 3000, 21 * 3000
    assert recipe.rate_factor(0) == 0 and recipe.rate_factor(warmup // 2) == 0.5 and recipe.rate_factor(warmup) == 1
    assert recipe.rate_factor((warmup + total) // 2) == pytest.approx(0.505)
    assert recipe.rate_factor(total) == pytest.approx(0.01)


def test_rate_and_epoch_follow_the_batch() -> None:
    larger = resolve_recipe("dwiseneuro", {"batch_size": 32})
    assert larger.learning_rate == pytest.approx(3e-4 * 8) and larger.batches_per_epoch == 2250
    asked = resolve_recipe("dwiseneuro", {"batch_size": 32, "learning_rate": 1e-3, "batches_per_epoch": 7})
    assert (asked.learning_rate, asked.batches_per_epoch) == (1e-3, 7)
    assert resolve_recipe("core_readout", {"batch_size": 32}).learning_rate == RECIPES["core_readout"].learning_rate

"""Loss, gradient and predictions of all windows of a movie."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from neuroreel.encoding.loss import poisson_loss
from neuroreel.bauer_2026.likelihood import Evidence, PoissonLikelihood
from toy_encoder import ToyEncoder, toy_trials


def setting(*, any_length: bool = False, covariates: int = 2, trials: int = 2, frames: int = 21):
    model = ToyEncoder(neurons=5, covariates=covariates, any_length=any_length).double()
    recorded = toy_trials(model.float(), trials, frames=frames)
    model.double()
    keep = torch.ones(5, dtype=torch.bool)
    keep[1] = False
    evidence = Evidence(
        responses=torch.from_numpy(np.stack([trial.responses for trial in recorded])).double(),
        covariates=torch.from_numpy(np.stack([trial.covariates for trial in recorded])).double(),
        keep=keep,
    )
    videos = torch.from_numpy(np.stack([trial.video for trial in recorded])).double()
    return model, model.canvas.place(videos.flip(1)), evidence


def likelihood(*, unit_norm: bool = False, windows_at_once: int = 8, starts=(0, 5, 10, 13)) -> PoissonLikelihood:
    return PoissonLikelihood(starts=list(starts), length=8, unit_norm=unit_norm, windows_at_once=windows_at_once)


@pytest.mark.parametrize("any_length", [False, True])
def test_loss_is_the_mean_over_windows_kept_neurons_and_counted_frames(any_length: bool) -> None:
    model, canvas, evidence = setting(any_length=any_length)
    fit = likelihood()(model, canvas, evidence)
    for trial in range(2):
        losses = []
        for start in (0, 5, 10, 13):
            window = slice(start, start + 8)
            inputs = model.assemble(
                canvas[trial : trial + 1, window], evidence.covariates[trial : trial + 1, :, window]
            )
            errors = poisson_loss(model.window_responses(inputs)[0], evidence.responses[trial, :, window])
            losses.append(errors[evidence.keep][:, model.warmup_frames :].mean().item())
        assert fit.loss[trial].item() == pytest.approx(np.mean(losses), rel=1e-12)


def test_gradient_against_finite_differences() -> None:
    model, canvas, evidence = setting()
    calculate = likelihood()
    fit = calculate(model, canvas, evidence)
    coverage = torch.zeros(21)
    for start in calculate.starts:
        coverage[start : start + 8] += 1
    for trial, frame, row, column in [(0, 0, 3, 4), (0, 11, 2, 7), (1, 20, 5, 0), (1, 9, 0, 3)]:
        moved = []
        for change in (-1e-3, 1e-3):
            other = canvas.clone()
            other[trial, frame, row, column] += change
            moved.append(calculate(model, other, evidence).loss[trial].item())
        slope = (moved[1] - moved[0]) / 2e-3 * len(calculate.starts) / coverage[frame].item()
        assert fit.gradient[trial, frame, row, column].item() == pytest.approx(slope, rel=1e-4, abs=1e-9)


@pytest.mark.parametrize("unit_norm", [False, True])
def test_windows_at_once_changes_nothing(unit_norm: bool) -> None:
    model, canvas, evidence = setting()
    one, all_of_them = (likelihood(unit_norm=unit_norm, windows_at_once=n)(model, canvas, evidence) for n in (1, 100))
    for name in ("loss", "gradient", "predicted"):
        torch.testing.assert_close(getattr(one, name), getattr(all_of_them, name), rtol=1e-10, atol=1e-12)


def test_unit_norm_counts_the_behavior_too() -> None:
    model, canvas, evidence = setting(trials=1, frames=8)
    window = likelihood(unit_norm=True, starts=(0,))
    normed = window(model, canvas, evidence).gradient
    plain = likelihood(starts=(0,))(model, canvas, evidence).gradient
    inputs = model.assemble(canvas, evidence.covariates).requires_grad_()
    errors = poisson_loss(model.window_responses(inputs), evidence.responses)[:, evidence.keep].mean()
    (whole,) = torch.autograd.grad(errors, inputs)
    assert whole[:, 1:].norm() > 0
    torch.testing.assert_close(normed, plain / (whole.norm() + 1e-6))
    assert normed.norm() < 1


def test_predictions_are_averaged_over_the_windows_that_hold_a_frame() -> None:
    model, canvas, evidence = setting(trials=1)
    fit = likelihood()(model, canvas, evidence)
    total, count = np.zeros((5, 21)), np.zeros(21)
    for start in (0, 5, 10, 13):
        window = slice(start, start + 8)
        inputs = model.assemble(canvas[:, window], evidence.covariates[:, :, window])
        total[:, window] += model.window_responses(inputs)[0].detach().numpy()
        count[window] += 1
    np.testing.assert_allclose(fit.predicted[0].numpy(), total / count, rtol=1e-10)

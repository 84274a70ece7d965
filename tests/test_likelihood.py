"""The published method's windows, and loss, gradient and predictions of all windows of a movie."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from neuroreel.bauer_2026 import likelihood
from neuroreel.bauer_2026.likelihood import Evidence, PoissonLikelihood
from neuroreel.encoding.interface import EncodingModel
from neuroreel.encoding.loss import poisson_loss
from toy_encoder import ToyEncoder, toy_trials

FRAMES, LENGTH = 21, 8
STARTS = (0, 8, 13)


@pytest.fixture(autouse=True)
def short_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Models of any length get windows as short as those of the toy's clips."""
    monkeypatch.setattr(likelihood, "WINDOW_FRAMES", LENGTH - 1)


def setting(*, any_length: bool = False, frames: int = FRAMES) -> tuple[EncodingModel, Tensor, Evidence]:
    """A model, a movie on its canvas that is not the true one, and what was measured; in double precision."""
    model = ToyEncoder(neurons=5, covariates=2, any_length=any_length)
    (trial,) = toy_trials(model, 1, frames=frames)
    keep = torch.ones(5, dtype=torch.bool)
    keep[1] = False
    evidence = Evidence(
        responses=torch.from_numpy(trial.needs_responses()).double(),
        covariates=torch.from_numpy(trial.covariates).double(),
        keep=keep,
    )
    video = torch.from_numpy(trial.needs_video()).double()
    return model.double(), model.canvas.place(video.flip(0)), evidence


def fitting(*, unit_norm: bool = False, windows_at_once: int = 8) -> PoissonLikelihood:
    return PoissonLikelihood(unit_norm=unit_norm, windows_at_once=windows_at_once)


def one_window(model: EncodingModel, movie: Tensor, evidence: Evidence, start: int) -> tuple[Tensor, Tensor]:
    """Predictions and loss of the kept neurons, of one window by itself."""
    window = slice(start, start + LENGTH)
    predicted = model.window_responses(model.assemble(movie[None, window], evidence.covariates[None, :, window]))[0]
    errors = poisson_loss(predicted, evidence.responses[:, window])
    return predicted.detach(), errors[evidence.keep][:, model.warmup_frames :].mean()


@pytest.mark.parametrize("any_length", [False, True])
def test_loss_is_the_mean_over_windows_kept_neurons_and_counted_frames(any_length: bool) -> None:
    given = setting(any_length=any_length)
    losses = [one_window(*given, start)[1].item() for start in STARTS]
    assert fitting()(*given).loss.item() == pytest.approx(np.mean(losses), rel=1e-12)


def test_gradient_against_finite_differences() -> None:
    model, movie, evidence = setting()
    fit = fitting()(model, movie, evidence)
    coverage = torch.zeros(FRAMES)
    for start in STARTS:
        coverage[start : start + LENGTH] += 1
    assert coverage.max() == 2
    for frame, row, column in [(0, 3, 4), (14, 2, 7), (20, 5, 0), (9, 1, 3)]:
        moved = []
        for change in (-1e-3, 1e-3):
            other = movie.clone()
            other[frame, row, column] += change
            moved.append(fitting()(model, other, evidence).loss.item())
        slope = (moved[1] - moved[0]) / 2e-3 * len(STARTS) / coverage[frame].item()
        assert fit.gradient[frame, row, column].item() == pytest.approx(slope, rel=1e-4, abs=1e-9)


@pytest.mark.parametrize("unit_norm", [False, True])
def test_windows_at_once_changes_nothing(unit_norm: bool) -> None:
    given = setting()
    one, all_of_them = (fitting(unit_norm=unit_norm, windows_at_once=n)(*given) for n in (1, 100))
    for name in ("loss", "gradient", "predicted"):
        torch.testing.assert_close(getattr(one, name), getattr(all_of_them, name), rtol=1e-10, atol=1e-12)


def test_unit_norm_counts_the_behavior_too() -> None:
    model, movie, evidence = setting(frames=LENGTH)  # the published two windows are the same one here
    normed, plain = (fitting(unit_norm=norm)(model, movie, evidence).gradient for norm in (True, False))
    inputs = model.assemble(movie[None], evidence.covariates[None]).requires_grad_()
    errors = poisson_loss(model.window_responses(inputs)[0], evidence.responses)[evidence.keep].mean()
    (whole,) = torch.autograd.grad(errors, inputs)
    assert whole[:, 1:].norm() > 0
    torch.testing.assert_close(normed, plain / (whole.norm() + 1e-6))
    assert normed.norm() < 1


def test_predictions_are_averaged_over_the_windows_that_hold_a_frame() -> None:
    given = setting()
    total, count = np.zeros((5, FRAMES)), np.zeros(FRAMES)
    for start in STARTS:
        total[:, start : start + LENGTH] += one_window(*given, start)[0].numpy()
        count[start : start + LENGTH] += 1
    np.testing.assert_allclose(fitting()(*given).predicted.numpy(), total / count, rtol=1e-10)

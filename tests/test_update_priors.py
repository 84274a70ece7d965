"""Update rules and priors against plain re-computations."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from neuroreel.decoding.symmetric import leading_components
from neuroreel.inversion.priors import (
    NATURAL_DEVIATION,
    NATURAL_LENGTH,
    FlatPrior,
    GaussianPrior,
    correlation_matrix,
    natural_autocorrelation,
    natural_components,
)
from neuroreel.inversion.update import MomentumDescent, PublishedMomentum


@given(st.lists(st.floats(-0.02, 0.02), min_size=1, max_size=25))
def test_published_rule_against_a_scalar_recomputation(gradients: list[float]) -> None:
    update = PublishedMomentum()
    videos, value, moment = torch.full((1, 1, 1, 1), 127.5, dtype=torch.float64), 127.5, 0.0
    for i, gradient in enumerate(gradients, start=1):
        videos = update.step(videos, torch.full_like(videos, gradient), i)
        moment = 0.9 * moment + 0.1 * gradient
        rate = 1000 * i / 10 if i < 10 else 1000
        step = rate * math.sqrt(1 - 0.999 ** (i + 1)) / (1 - 0.9 ** (i + 1))
        value = min(255.0, max(0.0, value - step * moment / (1 - 0.9 ** (i + 1))))
        assert videos.item() == pytest.approx(value, abs=1e-9)


def test_momentum_descent_is_nesterovs_and_bounded() -> None:
    update = MomentumDescent(learning_rate=0.3, momentum=0.7, largest_step=8)
    videos = torch.full((2, 3, 4, 5), 100.0)
    gradient = torch.stack([torch.full((3, 4, 5), 2.0), torch.full((3, 4, 5), 1000.0)])
    first = update.step(videos, gradient, 0)
    torch.testing.assert_close(first[0], torch.full((3, 4, 5), 100 - 0.3 * (2 + 0.7 * 2)))
    assert (first[1] - videos[1]).square().mean().sqrt().item() == pytest.approx(8, rel=1e-5)
    second = update.step(first, gradient, 1)
    torch.testing.assert_close(second[0], first[0] - 0.3 * (2 + 0.7 * (0.7 * 2 + 2)))
    assert update.step(videos, -100 * gradient, 2).max() <= 255


@pytest.mark.parametrize("rule", [PublishedMomentum, MomentumDescent])
def test_a_restored_update_goes_on_exactly(rule) -> None:
    gradients = torch.randn(6, 1, 2, 3, 4, generator=torch.Generator().manual_seed(0)) * 0.01
    videos = torch.full((1, 2, 3, 4), 127.5)
    whole, first = rule(), rule()
    straight = videos
    for i, gradient in enumerate(gradients, start=1):
        straight = whole.step(straight, gradient, i)
    for i, gradient in enumerate(gradients[:3], start=1):
        videos = first.step(videos, gradient, i)
    second = rule()
    second.restore(first.state())
    for i, gradient in enumerate(gradients[3:], start=4):
        videos = second.step(videos, gradient, i)
    assert torch.equal(videos, straight)


def test_gaussian_direction_against_a_dense_kronecker_matrix() -> None:
    random = np.random.default_rng(0)
    frames, height, width = 4, 3, 5
    root = random.normal(size=(height * width, height * width)).astype(np.float32)
    space = root @ root.T
    time = correlation_matrix(natural_autocorrelation(frames, 30), frames)
    prior = GaussianPrior(
        mean=torch.from_numpy(random.normal(size=(2, frames, height, width)).astype(np.float32)),
        time=torch.from_numpy(time),
        components=torch.from_numpy(leading_components(space)),
        evidence_weight=torch.tensor([0.5, 2.0]),
    )
    videos, gradient = (
        torch.from_numpy(random.normal(size=(2, frames, height, width)).astype(np.float32)) for _ in range(2)
    )
    dense = np.kron(time, space)
    got = prior.direction(videos, gradient)
    for trial, weight in enumerate((0.5, 2.0)):
        pull = (videos - prior.mean)[trial].flatten().numpy()
        expected = weight * dense @ gradient[trial].flatten().numpy() + pull
        np.testing.assert_allclose(got[trial].flatten().numpy(), expected, rtol=1e-3, atol=1e-3)
    assert FlatPrior().direction(videos, gradient) is gradient


@given(lags=st.lists(st.floats(-1, 1), min_size=1, max_size=12), frames=st.integers(1, 30))
def test_correlation_matrix_is_positive_semidefinite(lags: list[float], frames: int) -> None:
    matrix = correlation_matrix(np.array([1, *lags], np.float32), frames)
    assert matrix.shape == (frames, frames)
    np.testing.assert_allclose(matrix, matrix.T, atol=1e-5)
    assert np.linalg.eigvalsh(matrix).min() > -1e-4


def test_correlation_matrix_has_the_first_lags() -> None:
    autocorrelation = natural_autocorrelation(60, 30)
    assert autocorrelation[9] == pytest.approx(math.exp(-1))  # 0.3 s
    matrix = correlation_matrix(autocorrelation, 60)
    np.testing.assert_allclose(np.diag(matrix), 1, atol=0.03)
    for lag in range(1, 6):
        np.testing.assert_allclose(np.diag(matrix, lag), autocorrelation[lag], atol=0.03)


def test_natural_components_against_a_dense_eigendecomposition() -> None:
    height, width = 5, 7
    rows, columns = np.divmod(np.arange(height * width), width)
    distance = np.abs(np.subtract.outer(rows, rows)) + np.abs(np.subtract.outer(columns, columns))
    dense = NATURAL_DEVIATION**2 * np.exp(-distance / (NATURAL_LENGTH * width))
    everything = natural_components(height, width)
    np.testing.assert_allclose(everything @ everything.T, dense, rtol=1e-3, atol=0.5)
    values = np.linalg.eigvalsh(dense)[::-1]
    leading = natural_components(height, width, most=6)
    np.testing.assert_allclose((leading**2).sum(axis=0), values[:6], rtol=1e-4)

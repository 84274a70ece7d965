"""Structural similarity against the formula written out, and the number that was published under its name."""

from __future__ import annotations

import numpy as np
import pytest

import neuroreel as nr
from neuroreel.errors import InputError


@pytest.fixture
def movies() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    truth = random.uniform(0, 255, (5, 14, 16))
    video = np.clip(truth + random.normal(0, 60, truth.shape), 0, 255)
    return truth, video, random.uniform(0, 1.5, (14, 16))


def similarity_at(a: np.ndarray, b: np.ndarray) -> float:
    """Wang et al. 2004, equation 13, for one window of 11 x 11 pixels."""
    offsets = np.arange(-5, 6)
    weights = np.exp(-(offsets[:, None] ** 2 + offsets**2) / (2 * 1.5**2))
    weights /= weights.sum()
    mean_a, mean_b = (weights * a).sum(), (weights * b).sum()
    var_a, var_b = (weights * (a - mean_a) ** 2).sum(), (weights * (b - mean_b) ** 2).sum()
    covariance = (weights * (a - mean_a) * (b - mean_b)).sum()
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    return float(
        (2 * mean_a * mean_b + c1) * (2 * covariance + c2) / ((mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2))
    )


def test_ssim_by_its_formula(movies: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    truth, video, _ = movies
    mask = np.zeros((14, 16))
    pixels = [(6, 5), (7, 8), (8, 10)]  # their windows lie inside the frame
    expected = []
    for row, column in pixels:
        mask[row, column] = 1
        window = np.s_[row - 5 : row + 6, column - 5 : column + 6]
        expected += [similarity_at(a[window], b[window]) for a, b in zip(truth[2:], video[2:], strict=True)]
    assert nr.ssim(truth, video, mask=mask, skip=2) == pytest.approx(np.mean(expected), rel=1e-6)


def test_published_number_by_its_formula(movies: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    truth, video, mask = movies
    a, b = truth[1:, mask >= 1], video[1:, mask >= 1]
    c = 255.0**2
    (var_a, covariance), (_, var_b) = np.cov(a.ravel(), b.ravel(), ddof=0)
    luminance = (2 * a.mean() * b.mean() + c) / (a.mean() ** 2 + b.mean() ** 2 + c)
    expected = luminance * (2 * covariance + c) / (var_a + var_b + c)
    assert nr.published_ssim(truth, video, mask=mask, skip=1) == pytest.approx(expected, rel=1e-9)


def test_bounds(movies: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    truth, video, mask = movies
    for score in (nr.ssim, nr.published_ssim):
        assert score(truth, truth, mask=mask, skip=0) == pytest.approx(1)
        assert score(truth, video, mask=mask, skip=0) == pytest.approx(score(video, truth, mask=mask, skip=0))
        assert score(truth, video, mask=mask, skip=0) < 1
        with pytest.raises(InputError, match="same"):
            score(truth, video[:, 1:], skip=0)
        with pytest.raises(InputError, match="skip"):
            score(truth, video, skip=5)
    with pytest.raises(InputError, match="11 x 11"):
        nr.ssim(truth[:, :10], video[:, :10], skip=0)

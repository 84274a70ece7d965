"""Disagreement across an ensemble and the error of its mean."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats

import neuroreel as nr
from neuroreel.errors import InputError

FRAMES, HEIGHT, WIDTH, MODELS = 40, 8, 10, 60


@pytest.fixture
def truth() -> np.ndarray:
    return np.random.default_rng(0).uniform(0, 255, (FRAMES, HEIGHT, WIDTH))


@pytest.fixture
def noise() -> np.ndarray:
    """Standard deviation of what is wrong, which differs from pixel to pixel."""
    return np.random.default_rng(1).uniform(1, 40, (FRAMES, HEIGHT, WIDTH))


def test_numbers_against_scipy(truth: np.ndarray, noise: np.ndarray) -> None:
    random = np.random.default_rng(2)
    videos = truth + 3 + noise * random.normal(size=(3, *truth.shape))
    mask = random.random((HEIGHT, WIDTH)) > 0.3
    found = nr.ensemble_uncertainty(truth, videos, mask=mask, skip=5, bins=4)
    deviation = np.std(videos, axis=0, ddof=1)[5:][:, mask]
    error = np.abs(videos.mean(axis=0) - truth)[5:][:, mask]
    assert found.correlation == pytest.approx(scipy.stats.pearsonr(deviation.ravel(), error.ravel()).statistic)
    assert found.rank_correlation == pytest.approx(scipy.stats.spearmanr(deviation.ravel(), error.ravel()).statistic)
    np.testing.assert_allclose(found.deviation_map[mask], np.sqrt((deviation**2).mean(axis=0)))
    np.testing.assert_allclose(found.error_map[mask], np.sqrt((error**2).mean(axis=0)))
    assert np.isnan(found.deviation_map[~mask]).all() and np.isnan(found.error_map[~mask]).all()
    factor = np.sqrt(4 / 3)
    assert found.spread_ratio == pytest.approx(factor * np.sqrt((deviation**2).mean() / (error**2).mean()))
    quarter = deviation.ravel() >= np.quantile(deviation, 0.75)
    assert found.curve_error[-1] == pytest.approx(np.sqrt((error.ravel()[quarter] ** 2).mean()), rel=0.01)
    assert found.curve_deviation[-1] == pytest.approx(
        factor * np.sqrt((deviation.ravel()[quarter] ** 2).mean()), rel=0.01
    )
    assert str(found).startswith(f"deviation across 3 models and absolute error: r = {found.correlation:.3f}")


def test_a_calibrated_ensemble_lies_on_the_diagonal(truth: np.ndarray, noise: np.ndarray) -> None:
    """Truth and models are draws from one distribution: that is what the factor is for."""
    random = np.random.default_rng(3)
    drawn = truth + noise * random.normal(size=(MODELS + 1, *truth.shape))
    found = nr.ensemble_uncertainty(drawn[0], drawn[1:], skip=0, bins=5)
    assert found.spread_ratio == pytest.approx(1, abs=0.03)
    assert found.curve_error.tolist() == sorted(found.curve_error)
    np.testing.assert_allclose(found.curve_error[1:-1], found.curve_deviation[1:-1], rtol=0.1)
    assert found.correlation > 0.3


def test_models_that_agree_on_what_is_wrong(truth: np.ndarray, noise: np.ndarray) -> None:
    random = np.random.default_rng(4)
    shared = truth + noise * random.normal(size=truth.shape)
    alike = shared + random.normal(size=(MODELS, *truth.shape))
    found = nr.ensemble_uncertainty(truth, alike, skip=0)
    assert found.spread_ratio < 0.1
    assert abs(found.correlation) < 0.1
    equal = nr.ensemble_uncertainty(truth, np.stack([shared, shared]), skip=0)
    assert equal.spread_ratio == 0
    assert np.isnan(equal.correlation)
    assert np.isnan(nr.ensemble_uncertainty(truth, np.stack([truth, truth]), skip=0).spread_ratio)


def test_refusals(truth: np.ndarray) -> None:
    with pytest.raises(InputError, match="at least two models"):
        nr.ensemble_uncertainty(truth, truth[None])
    with pytest.raises(InputError, match="ensemble='videos'"):
        nr.ensemble_uncertainty(truth, truth)
    with pytest.raises(InputError, match="same"):
        nr.ensemble_uncertainty(truth, np.stack([truth[1:], truth[1:]]))
    with pytest.raises(InputError, match="NaN"):
        nr.ensemble_uncertainty(truth, np.stack([truth, truth * np.nan]))
    for bins in (0, 10**6):
        with pytest.raises(InputError, match="bins"):
            nr.ensemble_uncertainty(truth, np.stack([truth, truth]), bins=bins)

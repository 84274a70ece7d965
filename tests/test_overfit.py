"""The gauge of overfitting, on a toy whose noise is known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.stats

import neuroreel as nr
from neuroreel.errors import InputError
from toy_encoder import ToyEncoder, toy_trials

NEURONS = 40
QUIET = nr.Compute(device="cpu", progress=False)


@pytest.fixture(scope="module")
def model() -> ToyEncoder:
    return ToyEncoder(neurons=NEURONS)


@pytest.fixture(scope="module")
def keep() -> np.ndarray:
    return nr.leave_out_neurons(NEURONS, fraction=0.25, seed=3)


def fitted(model: ToyEncoder, keep: np.ndarray, **options: Any) -> nr.Reconstruction:
    (trial,) = toy_trials(model, 1, frames=60, noise=options.pop("noise", True))
    settings: dict[str, Any] = {"ablated": "left_out", "iterations": 60, "compute": QUIET}
    return nr.bauer_2026.reconstruct(trial, model, neurons=keep, **(settings | options))


@pytest.fixture(scope="module")
def result(model: ToyEncoder, keep: np.ndarray) -> nr.Reconstruction:
    return fitted(model, keep)


def test_neurons_left_out() -> None:
    keep = nr.leave_out_neurons(101, fraction=0.2, seed=5)
    assert keep.shape == (101,) and keep.dtype == bool and (~keep).sum() == 20
    np.testing.assert_array_equal(keep, nr.leave_out_neurons(101, fraction=0.2, seed=5))
    assert not np.array_equal(keep, nr.leave_out_neurons(101, fraction=0.2, seed=6))
    for neurons, fraction in ((10, 0.0), (10, 1.0), (10, 0.01), (1, 0.5), (10, -1.0)):
        with pytest.raises(InputError, match="at least one and not all"):
            nr.leave_out_neurons(neurons, fraction=fraction)


def test_numbers_by_hand(result: nr.Reconstruction, keep: np.ndarray) -> None:
    gauge = nr.overfit_gauge(result, keep, skip=10)
    expected = {}
    for movie, name in (("video", "predicted"), ("truth", "predicted_truth")):
        each = [
            scipy.stats.pearsonr(one[10:], other[10:]).statistic
            for one, other in zip(result.dataset["responses"].values, result.dataset[name].values, strict=True)
        ]
        expected[f"fitted_{movie}"] = np.mean(np.array(each)[keep])
        expected[f"left_out_{movie}"] = np.mean(np.array(each)[~keep])
    for name, value in expected.items():
        assert getattr(gauge, name) == pytest.approx(value, abs=1e-6), name
    assert (gauge.fitted, gauge.left_out) == (30, 10)
    lines = str(gauge).splitlines()
    assert lines[1].split() == ["30", "neurons", "fitted", f"{gauge.fitted_video:.3f}", f"{gauge.fitted_truth:.3f}"]
    assert lines[2].startswith("10 neurons left out ")


def test_noise_is_fitted_and_shows(result: nr.Reconstruction, model: ToyEncoder, keep: np.ndarray) -> None:
    """With noise, fitted neurons are explained better than by the true movie, and those left out are not."""
    noisy = nr.overfit_gauge(result, keep)
    assert noisy.fitted_video > noisy.fitted_truth
    assert noisy.left_out_video < noisy.left_out_truth
    assert noisy.overfit > 0.2
    clean = nr.overfit_gauge(fitted(model, keep, noise=False), keep)
    assert clean.fitted_truth == pytest.approx(1)
    assert clean.overfit < noisy.overfit
    early = nr.overfit_gauge(fitted(model, keep, iterations=5), keep)
    assert early.overfit < noisy.overfit


def test_a_posterior_fits_less_noise(result: nr.Reconstruction, model: ToyEncoder, keep: np.ndarray) -> None:
    (trial,) = toy_trials(model, 1, frames=60)
    posterior = nr.fit_posterior(model, toy_trials(model, 6, frames=60, seed=1), factors=2, compute=QUIET)
    ours = nr.overfit_gauge(nr.reconstruct(trial, posterior, neurons=keep, compute=QUIET), keep)
    published = nr.overfit_gauge(result, keep)
    assert ours.overfit < published.overfit - 0.1
    assert ours.left_out_video > published.left_out_video + 0.05


def test_refusals(result: nr.Reconstruction, model: ToyEncoder, keep: np.ndarray) -> None:
    with pytest.raises(InputError, match="30 neurons, and keep has 29"):
        nr.overfit_gauge(result, keep & (np.arange(NEURONS) != np.flatnonzero(keep)[0]))
    others = nr.leave_out_neurons(NEURONS, fraction=0.25, seed=4)  # as many, but others
    same = int((keep & others).sum())
    with pytest.raises(InputError, match=rf"30 neurons, and keep has 30, of which {same} are the same"):
        nr.overfit_gauge(result, others)
    for wrong in (keep[1:], keep.astype(float)):
        with pytest.raises(InputError, match=r"must be \(40,\) boolean"):
            nr.overfit_gauge(result, wrong)
    for wrong in (np.ones(NEURONS, bool), np.zeros(NEURONS, bool)):
        with pytest.raises(InputError, match="some left out, and some kept"):
            nr.overfit_gauge(result, wrong)
    silenced = fitted(model, keep, iterations=2, ablated="silenced")
    with pytest.raises(InputError, match="ablated='left_out'"):
        nr.overfit_gauge(silenced, keep)
    (trial,) = toy_trials(model, 1)
    unknown = nr.bauer_2026.reconstruct(trial.replace(video=None), model, neurons=keep, iterations=1, compute=QUIET)
    with pytest.raises(InputError, match="no predicted_truth"):
        nr.overfit_gauge(unknown, keep)


def test_a_result_knows_its_neurons(result: nr.Reconstruction, keep: np.ndarray, tmp_path: Path) -> None:
    np.testing.assert_array_equal(result.neuron_mask, keep)
    for ending in ("nc", "zarr"):
        loaded = nr.Reconstruction.load(result.save(tmp_path / f"result.{ending}"))
        assert loaded.neuron_mask is not None and loaded.neuron_mask.dtype == bool
        np.testing.assert_array_equal(loaded.neuron_mask, keep)
        assert nr.overfit_gauge(loaded, keep) == nr.overfit_gauge(result, keep)
    unknown = nr.Reconstruction(result.dataset.drop_vars("neuron_mask"))
    assert unknown.neuron_mask is None
    with pytest.raises(InputError, match="no neuron_mask"):
        nr.overfit_gauge(unknown, keep)

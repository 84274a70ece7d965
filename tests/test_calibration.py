"""Coverage and ranks, of draws that are as they should be, too sure, and not sure enough."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

import neuroreel as nr
from neuroreel.evaluation.calibration import calibration_figure


def result(*, claimed: float, seed: int = 0, samples: int = 9) -> nr.Reconstruction:
    """A truth that scatters by 20 grey levels around the movie, and a posterior that claims another deviation."""
    rng = np.random.default_rng(seed)
    video = np.full((60, 6, 8), 127.5, np.float32)
    truth = video + rng.normal(0, 20, video.shape).astype(np.float32)
    drawn = video + rng.normal(0, claimed, (samples, *video.shape)).astype(np.float32)
    return nr.Reconstruction.build(
        video=video,
        truth=truth.clip(0, 255),
        samples=drawn.clip(0, 255),
        deviation=np.full_like(video, claimed),
        frame_rate_hz=30,
        settings={},
        hashes={},
    )


@pytest.mark.parametrize("claimed", [10.0, 20.0, 40.0])
def test_coverage_is_the_normal_probability(claimed: float) -> None:
    held = nr.coverage([result(claimed=claimed), result(claimed=claimed, seed=1)], levels=(0.68, 0.95), skip=0)
    for level, share in held.items():
        expected = 2 * norm.cdf(norm.ppf(0.5 + level / 2) * claimed / 20) - 1
        assert share == pytest.approx(expected, abs=0.02)


def test_ranks_are_flat_where_draws_and_truth_are_alike() -> None:
    flat, sure, unsure = (
        nr.rank_histogram([result(claimed=claimed, seed=seed) for seed in range(4)], skip=0)
        for claimed in (20.0, 8.0, 50.0)
    )
    assert len(flat) == 10 and flat.sum() == 4 * 60 * 6 * 8
    np.testing.assert_allclose(flat / flat.mean(), 1, atol=0.12)
    assert sure[[0, -1]].min() > 2 * sure[4:6].max() and unsure[4:6].min() > 2 * unsure[[0, -1]].max()


def test_only_the_mask_counts() -> None:
    made = result(claimed=20.0)
    mask = np.zeros((6, 8), np.float32)
    mask[2, 3] = 1
    assert nr.rank_histogram(made, mask=mask, skip=10).sum() == 50


def test_the_figure_shows_every_group() -> None:
    figure = calibration_figure({"good": [result(claimed=20.0)], "too sure": [result(claimed=8.0)]}, skip=0)
    held, ranks = figure.axes
    assert [line.get_label() for line in held.lines[1:]] == ["good", "too sure"] and len(ranks.lines) == 3


def test_what_cannot_be_calibrated_is_refused() -> None:
    plain = nr.Reconstruction.build(video=np.zeros((40, 6, 8)), frame_rate_hz=30, settings={}, hashes={})
    with pytest.raises(nr.InputError, match="has no true movie"):
        nr.coverage(plain)
    with pytest.raises(nr.InputError, match="between 0 and 1"):
        nr.coverage(result(claimed=20.0), levels=(0.5, 1.0))
    for skip in (60, -5):
        with pytest.raises(nr.InputError, match=f"skip={skip} leaves none of the 60 frames"):
            nr.coverage(result(claimed=20.0), skip=skip)
        with pytest.raises(nr.InputError, match=f"skip={skip} leaves none of the 60 frames"):
            nr.rank_histogram(result(claimed=20.0), skip=skip)
    with pytest.raises(nr.InputError, match="9 and 4 samples"):
        nr.rank_histogram([result(claimed=20.0), result(claimed=20.0, samples=4)])

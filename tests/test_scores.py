"""Scores against independent computations and against the published code."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from skimage.measure import shannon_entropy
from skimage.metrics import normalized_root_mse, peak_signal_noise_ratio

from neuroreel.errors import InputError
from neuroreel.evaluation import comparison
from neuroreel.evaluation import scores as s
from neuroreel.evaluation.comparison import compare, evaluation_mask, motion_energy, spatial_entropy

FRAMES, HEIGHT, WIDTH = 12, 6, 8
EACH = [compare, s.video_correlation, s.pixel_correlation, s.scores, s.match_contrast]


@pytest.fixture
def movies():
    random = np.random.default_rng(0)
    truth = random.uniform(0, 255, (FRAMES, HEIGHT, WIDTH))
    video = np.clip(truth + random.normal(0, 60, truth.shape), 0, 255)
    mask = random.uniform(0, 1.6, (HEIGHT, WIDTH))
    return truth, video, mask


def inside(mask, threshold=1.0):
    return [
        (row, column)
        for row in range(mask.shape[0])
        for column in range(mask.shape[1])
        if mask[row, column] >= threshold
    ]


# the published code


def test_golden_scores(golden):
    published = np.load(golden / "scores.npz")
    truth, video = published["truth"], published["reconstruction"]
    where = {"mask": published["mask"], "skip": 0}
    for name in ("video_correlation", "frame_correlation", "rmse", "psnr"):
        np.testing.assert_allclose(getattr(compare(truth, video, **where), name), published[name], rtol=1e-7)
    for pixels, name in zip(compare(truth, video, **where).pixels, ("truth", "reconstruction"), strict=True):
        np.testing.assert_allclose(motion_energy(pixels), published[f"motion_energy_{name}"], rtol=1e-6)
    matched = s.match_contrast(truth, video, mask=published["mask"])
    np.testing.assert_allclose(matched, published["matched"], atol=1e-4)
    np.testing.assert_array_equal(s.mask_video(truth, mask=published["mask"]), published["truth_masked"])


@pytest.mark.parametrize("name", ["one_model_t0", "strict_mask_t0", "predicted_activity_t0"])
def test_golden_logs(golden, name):
    """Masks on the 64 x 64 canvas, 32 frames skipped, responses pooled."""
    log = np.load(golden / "reconstructions" / f"{name}.npz")
    where = {"mask": log["mask"], "skip": int(log["eval_frame_skip"])}
    compared = compare(log["video_gt"], log["video_pred"], **where)
    np.testing.assert_allclose(compared.video_correlation, log["video_corr"][-1], rtol=1e-5)
    np.testing.assert_allclose(compared.rmse, log["video_RMSE"][-1], rtol=1e-5)
    np.testing.assert_allclose(motion_energy(compared.pixels[0]), log["motion_energy_gt"], rtol=1e-5)
    pooled = s.response_correlation(log["responses"], log["responses_predicted_full"], pooled=True)
    np.testing.assert_allclose(pooled, log["response_corr_full"][-1], rtol=1e-5)


# independent computations


def test_video_correlation_is_pearson_over_frames_and_pixels(movies):
    truth, video, mask = movies
    pairs = [(truth[t, r, c], video[t, r, c]) for t in range(3, FRAMES) for r, c in inside(mask)]
    expected = scipy.stats.pearsonr(*zip(*pairs, strict=True)).statistic
    assert s.video_correlation(truth, video, mask=mask, skip=3) == pytest.approx(expected, abs=1e-12)


def test_frame_correlation_is_the_mean_over_frames(movies):
    truth, video, mask = movies
    pixels = inside(mask)
    each = [
        scipy.stats.pearsonr([truth[t, r, c] for r, c in pixels], [video[t, r, c] for r, c in pixels]).statistic
        for t in range(2, FRAMES)
    ]
    assert compare(truth, video, mask=mask, skip=2).frame_correlation == pytest.approx(np.mean(each), abs=1e-12)


def test_pixel_correlation_is_a_map(movies):
    truth, video, mask = movies
    correlations = s.pixel_correlation(truth, video, mask=mask, skip=1)
    assert correlations.shape == (HEIGHT, WIDTH)
    np.testing.assert_array_equal(np.isnan(correlations), mask < 1)
    for r, c in inside(mask):
        expected = scipy.stats.pearsonr(truth[1:, r, c], video[1:, r, c]).statistic
        assert correlations[r, c] == pytest.approx(expected, abs=1e-12)


def test_errors_as_skimage_has_them(movies):
    truth, video, _ = movies
    spread = np.ptp(truth)
    expected = normalized_root_mse(truth, video, normalization="min-max") * spread
    compared = compare(truth, video, skip=0)
    assert compared.rmse == pytest.approx(expected)
    assert compared.psnr == pytest.approx(peak_signal_noise_ratio(truth, video, data_range=255))
    assert compare(truth, truth, skip=0).psnr == np.inf


def test_motion_energy_by_loops(movies):
    truth, _, mask = movies
    pixels = inside(mask)
    expected = [
        sum(abs(truth[t + 1, r, c] - truth[t, r, c]) for r, c in pixels) / len(pixels) for t in range(4, FRAMES - 1)
    ]
    np.testing.assert_allclose(motion_energy(truth[4:, mask >= 1]), expected)


def test_spatial_entropy_as_skimage_has_it(movies):
    truth, _, mask = movies
    levels = np.rint(truth).astype(np.uint8)
    expected = [shannon_entropy(frame[mask >= 1]) for frame in levels]
    np.testing.assert_allclose(spatial_entropy(truth[:, mask >= 1]), expected)
    np.testing.assert_array_equal(spatial_entropy(np.full((3, 16), 7)), 0)
    assert spatial_entropy(np.array([[0, 0, 255, 255]])) == pytest.approx(1.0)


def test_response_correlation_is_the_mean_over_neurons():
    random = np.random.default_rng(1)
    recorded, predicted = random.gamma(1, 1, (5, 40)), random.gamma(1, 1, (5, 40))
    expected = np.mean(
        [scipy.stats.pearsonr(a[10:], b[10:]).statistic for a, b in zip(recorded, predicted, strict=True)]
    )
    assert s.response_correlation(recorded, predicted, skip=10) == pytest.approx(expected, abs=1e-12)
    pooled = scipy.stats.pearsonr(recorded.ravel(), predicted.ravel()).statistic
    assert s.response_correlation(recorded, predicted, pooled=True) == pytest.approx(pooled, abs=1e-12)


def test_silent_neurons_count_as_zero():
    recorded = np.array([[0.0, 1, 2, 3], [0, 0, 0, 0]])
    assert s.response_correlation(recorded, recorded) == pytest.approx(0.5)


def test_matched_contrast_has_the_true_mean_and_deviation():
    random = np.random.default_rng(2)
    truth, video = random.uniform(100, 140, (9, 5, 5)), random.uniform(0, 255, (9, 5, 5))
    mask = np.zeros((5, 5), bool)
    mask[1:4, 1:4] = True
    matched = s.match_contrast(truth, video, mask=mask)
    assert matched.dtype == np.float32
    assert matched[:, mask].mean() == pytest.approx(truth[:, mask].mean(), rel=1e-5)
    assert matched[:, mask].std() == pytest.approx(truth[:, mask].std(), rel=1e-5)
    np.testing.assert_array_equal(matched[:, ~mask], 127.5)
    flat = s.match_contrast(truth, np.full_like(truth, 3), mask=mask)
    np.testing.assert_allclose(flat[:, mask], truth[:, mask].mean(), rtol=1e-6)
    almost = s.match_contrast(truth, 3 + 1e-5 * video, mask=mask)  # a grey movie and its rounding
    np.testing.assert_allclose(almost[:, mask], truth[:, mask].mean(), rtol=1e-6)


def test_scores_are_those_of_the_comparison(movies):
    truth, video, mask = movies
    table = s.scores(truth, video, mask=mask, skip=2)
    assert list(table) == [
        "video_correlation",
        "frame_correlation",
        "pixel_correlation",
        "rmse",
        "psnr",
        "motion_energy_truth",
        "motion_energy_video",
        "spatial_entropy_truth",
        "spatial_entropy_video",
    ]
    assert all(type(value) is float for value in table.values())
    for name in ("video_correlation", "frame_correlation", "rmse", "psnr"):
        assert table[name] == getattr(compare(truth, video, mask=mask, skip=2), name)
    assert table["pixel_correlation"] == pytest.approx(np.nanmean(s.pixel_correlation(truth, video, mask=mask, skip=2)))
    assert table["motion_energy_video"] == pytest.approx(motion_energy(video[2:, mask >= 1]).mean())
    assert table["spatial_entropy_truth"] == pytest.approx(spatial_entropy(truth[2:, mask >= 1]).mean())


# what is left undefined


@pytest.mark.parametrize("grey", [0, 127.5, 0.1, 1 / 3])
def test_a_grey_movie_has_no_correlation(movies, grey):
    truth, video, mask = movies
    table = s.scores(truth, np.full_like(video, grey), mask=mask, skip=0)
    assert all(np.isnan(table[f"{kind}_correlation"]) for kind in ("video", "frame", "pixel"))
    assert np.isfinite([table["rmse"], table["psnr"], table["motion_energy_video"]]).all()
    assert s.format_score(table["video_correlation"]) == "undefined"
    assert s.format_score(0.56789) == "0.568"


def test_constant_frames_are_left_out_of_the_mean(movies):
    truth, video, _ = movies
    video[:4] = 9
    late = compare(truth[4:], video[4:], skip=0)
    assert compare(truth, video, skip=0).frame_correlation == pytest.approx(late.frame_correlation)


# masks


def test_boolean_and_real_masks_agree(movies):
    truth, video, mask = movies
    assert s.video_correlation(truth, video, mask=mask, skip=0) == s.video_correlation(
        truth, video, mask=mask >= 1, skip=0
    )
    half = s.video_correlation(truth, video, mask=mask, skip=0, mask_threshold=0.5)
    assert half == s.video_correlation(truth, video, mask=mask >= 0.5, skip=0)


def test_the_published_canvas_is_cropped_to_rows_14_to_49():
    random = np.random.default_rng(3)
    canvas = random.uniform(0, 1.5, (64, 64))
    np.testing.assert_array_equal(evaluation_mask(canvas, (36, 64)), canvas[14:50] >= 1)
    np.testing.assert_array_equal(evaluation_mask(canvas, (64, 41)), canvas[:, 11:52] >= 1)


@pytest.mark.parametrize(
    ("mask", "words"),
    [
        (np.zeros((HEIGHT, WIDTH)), "empty"),
        (np.zeros((HEIGHT, WIDTH), bool), "empty"),
        (np.ones((HEIGHT - 1, WIDTH)), "larger canvas"),
        (np.ones((2, HEIGHT, WIDTH)), "height, width"),
        (np.full((HEIGHT, WIDTH), np.nan), "NaN"),
    ],
)
@pytest.mark.parametrize("score", EACH)
def test_bad_masks(movies, mask, words, score):
    truth, video, _ = movies
    with pytest.raises(InputError, match=words):
        score(truth, video, mask=mask, skip=0)


def test_a_mask_that_is_full_only_outside_the_video_is_empty():
    canvas = np.ones((64, 64))
    canvas[14:50] = 0
    with pytest.raises(InputError, match="empty"):
        evaluation_mask(canvas, (36, 64))


# bad input


@pytest.mark.parametrize("score", EACH)
@pytest.mark.parametrize("which", ["truth", "video"])
def test_bad_movies(movies, score, which):
    truth, video, _ = movies
    for bad, words in (
        (truth[:-1], "same"),
        (truth[:, :-1], "same"),
        (truth[0], "frames, height, width"),
        (np.where(truth > 200, np.nan, truth), "NaN"),
        (np.where(truth > 200, np.inf, truth), "infinite"),
        (truth.astype(complex), "real numbers"),
        (truth[:0], "none of them 0"),
    ):
        pair = (bad, video) if which == "truth" else (truth, bad)
        with pytest.raises(InputError, match=words):
            score(*pair, skip=0)


@pytest.mark.parametrize("score", EACH)
@pytest.mark.parametrize("skip", [FRAMES, 30, -1])
def test_bad_skip(movies, score, skip):
    truth, video, _ = movies
    with pytest.raises(InputError, match=rf"skip={skip} leaves none of the {FRAMES} frames"):
        score(truth, video, skip=skip)


def test_the_first_30_frames_do_not_count():
    random = np.random.default_rng(4)
    truth = random.uniform(0, 255, (50, 4, 4))
    video = truth.copy()
    video[:30] = random.uniform(0, 255, (30, 4, 4))
    assert s.video_correlation(truth, video) == pytest.approx(1)
    with pytest.raises(InputError, match="two frames"):
        s.scores(truth[:31], video[:31])


def test_bad_responses():
    with pytest.raises(InputError, match="neurons, frames"):
        s.response_correlation(np.ones((2, 9)), np.ones((3, 9)))
    with pytest.raises(InputError, match="skip"):
        s.response_correlation(np.ones((2, 9)), np.ones((2, 9)), skip=9)


# properties

pairs = npst.arrays(np.float64, (2, 5, 3, 4), elements=st.integers(0, 255).map(float))


def frame_correlation(truth, video, *, skip):
    return compare(truth, video, skip=skip).frame_correlation


CORRELATIONS = (s.video_correlation, s.pixel_correlation, frame_correlation)


@settings(max_examples=60, deadline=None)
@given(pairs, st.floats(0.1, 20), st.floats(-50, 50))
def test_correlations_ignore_gain_and_offset(pair, gain, offset):
    truth, video = pair
    for score in CORRELATIONS:
        before, after = score(truth, video, skip=0), score(truth, gain * video + offset, skip=0)
        np.testing.assert_allclose(after, before, atol=1e-9)
        np.testing.assert_allclose(score(truth, -video, skip=0), -np.asarray(before), atol=1e-9)


@settings(max_examples=60, deadline=None)
@given(pairs)
def test_correlations_are_symmetric_and_at_most_one(pair):
    truth, video = pair
    for score in CORRELATIONS:
        value = np.asarray(score(truth, video, skip=0))
        np.testing.assert_array_equal(value, score(video, truth, skip=0))
        assert (np.isnan(value) | (np.abs(value) <= 1)).all()
    if np.ptp(truth) > 0:
        assert s.video_correlation(truth, truth, skip=0) == pytest.approx(1)


@settings(max_examples=60, deadline=None)
@given(pairs, st.integers(0, 3))
def test_the_order_of_frames_matters_to_motion_alone(pair, skip):
    truth, video = pair
    order = np.random.default_rng(0).permutation(5)
    together = s.video_correlation(truth[order], video[order], skip=0)
    np.testing.assert_allclose(together, s.video_correlation(truth, video, skip=0), atol=1e-9)
    assert compare(truth, video, skip=skip).rmse == pytest.approx(compare(video, truth, skip=skip).rmse)
    entropy = spatial_entropy(truth[skip:].reshape(5 - skip, -1))
    assert ((entropy >= 0) & (entropy <= np.log2(12) + 1e-12)).all()


def test_a_comparison_checks_its_movies_once(monkeypatch):
    rng = np.random.default_rng(0)
    truth, video = rng.uniform(0, 255, (2, 40, 12, 14))
    mask = rng.uniform(0, 1.5, (12, 14))
    checked = []
    plain = comparison.same_shape
    monkeypatch.setattr(
        comparison, "same_shape", lambda *given, **options: checked.append(1) or plain(*given, **options)
    )
    compared = comparison.compare(truth, video, mask=mask)
    found = compared.scores()
    assert len(checked) == 1
    assert found == s.scores(truth, video, mask=mask)
    assert compared.video_correlation == s.video_correlation(truth, video, mask=mask)
    assert compared.ssim == s.ssim(truth, video, mask=mask)
    np.testing.assert_array_equal(compared.pixel_correlation, s.pixel_correlation(truth, video, mask=mask))

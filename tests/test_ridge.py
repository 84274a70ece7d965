"""The linear decoder: known maps, scikit-learn, both forms, what is held out, files."""

from __future__ import annotations

import errno
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file
from scipy.ndimage import gaussian_filter1d
from sklearn.linear_model import Ridge

from neuroreel.decoding.decoder import decode
from neuroreel.decoding.features import ResponseFeatures, fit_features, lag_frames
from neuroreel.decoding.fit import fit_decoder
from neuroreel.decoding.heldout import scored_pixels
from neuroreel.decoding.ridge_decoder import RidgeDecoder
from neuroreel.decoding.symmetric import add_products, filled, leading_eigenvectors
from neuroreel.errors import InputError, ResourceError
from neuroreel.recordings import Trial

HEIGHT, WIDTH, PIXELS = 4, 5, 20
LAGS = tuple(range(-1, 10))


def make_trials(count=8, *, frames=50, neurons=6, noise=8.0, seed=0, **options):
    """Each pixel is a known linear mixture of rooted responses up to three frames later, plus noise."""
    world, random = np.random.default_rng(7), np.random.default_rng(seed)
    mixture = world.normal(0, 6, (4 * neurons, PIXELS))
    trials = []
    for number in range(count):
        rooted = gaussian_filter1d(random.normal(2, 1.5, (frames, neurons)), 1, axis=0, mode="wrap").clip(0.05)
        later = np.concatenate([np.roll(rooted, -lag, axis=0) for lag in range(4)], axis=1) - 2
        video = np.clip(120 + later @ mixture + random.normal(0, noise, (frames, PIXELS)), 0, 255)
        trials.append(
            Trial(
                video=video.reshape(frames, HEIGHT, WIDTH),
                responses=rooted.T**2,
                frame_rate_hz=options.get("frame_rate_hz", 30),
                name=f"trial {number}",
            )
        )
    return trials


def design(train, trials, *, lags=LAGS):
    """The features by plain loops, one matrix a trial, standardized with the training trials' moments."""
    rooted = np.concatenate([np.sqrt(np.maximum(trial.responses, 0)) for trial in train], axis=1)
    mean, deviation = rooted.mean(1), rooted.std(1)
    deviation[deviation == 0] = np.inf
    matrices = []
    for trial in trials:
        scores = (np.sqrt(np.maximum(trial.responses, 0)) - mean[:, None]) / deviation[:, None]
        matrix = np.zeros((trial.frames, len(lags), trial.neurons))
        for frame in range(trial.frames):
            for index, lag in enumerate(lags):
                if 0 <= frame + lag < trial.frames:
                    matrix[frame, index] = scores[:, frame + lag]
        matrices.append(matrix.reshape(trial.frames, -1))
    return matrices


def flat(trials):
    return np.concatenate([trial.video.reshape(trial.frames, -1) for trial in trials])


def by_sklearn(train, test, penalty, *, lags=LAGS, standardize_with=None):
    """The decoded movies of scikit-learn's ridge regression with our penalty, clipped."""
    source = standardize_with or train
    x = np.concatenate(design(source, train, lags=lags))
    every = np.concatenate(design(source, source, lags=lags))
    alpha = penalty * every.var(axis=0).sum()
    model = Ridge(alpha=alpha).fit(x, flat(train))
    movies = [model.predict(matrix).clip(0, 255) for matrix in design(source, test, lags=lags)]
    return [movie.reshape(-1, HEIGHT, WIDTH) for movie in movies]


# the right answer


def test_a_known_map_is_recovered():
    trials = make_trials(noise=0)
    decoder = fit_decoder(trials[:7], penalties=1e-4, progress=False)
    inner = slice(1, -9)  # the map wraps around the ends, where responses are missing
    decoded = decode(decoder, trials[7])
    unclipped = (trials[7].video > 1) & (trials[7].video < 254)
    error = np.abs(decoded - trials[7].video)[inner][unclipped[inner]]
    assert error.mean() < 2
    assert np.corrcoef(decoded[inner].ravel(), trials[7].video[inner].ravel())[0, 1] > 0.995


@pytest.mark.parametrize("penalty", [1e-3, 0.1, 3, 100])
def test_as_scikit_learn(penalty):
    trials = make_trials()
    decoder = fit_decoder(trials[:6], penalties=penalty, progress=False)
    assert decoder.penalty == penalty
    for trial, expected in zip(trials[6:], by_sklearn(trials[:6], trials[6:], penalty), strict=True):
        np.testing.assert_allclose(decode(decoder, trial), expected, atol=2e-3)


@pytest.mark.parametrize(("count", "frames"), [(3, 12), (2, 30)])
def test_dual_form_as_scikit_learn(count, frames):
    """36 and 60 frames, 66 features."""
    trials = make_trials(count + 1, frames=frames)
    decoder = fit_decoder(trials[:count], penalties=0.05, progress=False)
    expected = by_sklearn(trials[:count], trials[count:], 0.05)[0]
    np.testing.assert_allclose(decode(decoder, trials[count]), expected, atol=2e-3)


def test_dual_form_equals_primal_form(monkeypatch):
    trials = make_trials(4, frames=16)  # 64 frames, 66 features
    dual = fit_decoder(trials[:4], penalties=(0.1, 1), progress=False)
    from neuroreel.decoding import covariance

    monkeypatch.setattr(covariance, "_KeptFrames", covariance._SummedProducts)
    primal = fit_decoder(trials[:4], penalties=(0.1, 1), progress=False)
    np.testing.assert_allclose(dual.weights, primal.weights, atol=1e-5)
    np.testing.assert_allclose(dual.intercept, primal.intercept, atol=1e-4)
    np.testing.assert_allclose(dual.residual_covariance, primal.residual_covariance, rtol=1e-4, atol=1e-2)
    assert dual.held_out_errors == pytest.approx(primal.held_out_errors, rel=1e-5)


def test_single_precision_as_scikit_learn():
    """More than 1024 features."""
    trials = make_trials(12, neurons=100, frames=120)
    decoder = fit_decoder(trials[:11], penalties=1, progress=False)
    assert decoder.features.count == 1100
    np.testing.assert_allclose(decode(decoder, trials[11]), by_sklearn(trials[:11], trials[11:], 1)[0], atol=0.05)


# penalties and what is held out


def test_the_penalty_is_chosen_by_leaving_trials_out():
    """Against fitting again without each trial; the scales of penalty and responses stay those of all trials."""
    trials = make_trials(5, noise=60)
    penalties = (0.01, 0.3, 3, 100)
    decoder = fit_decoder(trials, penalties=penalties, progress=False)
    expected = {}
    for penalty in penalties:
        squares = []
        for index, trial in enumerate(trials):
            rest = trials[:index] + trials[index + 1 :]
            squares.append((refit(rest, trial, penalty, every=trials) - trial.video) ** 2)
        expected[penalty] = np.sqrt(np.mean(squares))
    assert len(decoder.held_out_errors) >= 3
    for penalty, error in decoder.held_out_errors.items():
        assert error == pytest.approx(expected[penalty], rel=1e-4)
    assert decoder.penalty == min(expected, key=expected.get)
    assert decoder.penalty not in (penalties[0], penalties[-1])
    finer = fit_decoder(trials, progress=False)
    assert decoder.penalty / 4 < finer.penalty < decoder.penalty * 4
    assert list(finer.held_out_errors) == sorted(finer.held_out_errors)


def refit(rest, trial, penalty, *, every):
    """Ridge regression fitted to ``rest`` and applied to ``trial``, not clipped."""
    x = np.concatenate(design(every, rest))
    alpha = penalty * np.concatenate(design(every, every)).var(axis=0).sum()
    return Ridge(alpha=alpha).fit(x, flat(rest)).predict(design(every, [trial])[0]).reshape(trial.video.shape)


@pytest.mark.parametrize("frames", [50, 16])
def test_residual_statistics_are_those_of_held_out_trials(frames):
    trials = make_trials(5, noise=20, frames=frames)
    decoder = fit_decoder(trials, penalties=0.3, progress=False)
    residuals = []
    for index, trial in enumerate(trials):
        rest = trials[:index] + trials[index + 1 :]
        residuals.append((trial.video - refit(rest, trial, 0.3, every=trials).clip(0, 255)).reshape(frames, -1))
    every = np.concatenate(residuals)
    np.testing.assert_allclose(decoder.residual_covariance, every.T @ every / len(every), rtol=1e-3, atol=0.1)
    lags = min(30, frames - 1)
    products = [np.mean([np.mean(r[: frames - lag] * r[lag:]) for r in residuals]) for lag in range(lags + 1)]
    np.testing.assert_allclose(decoder.residual_autocorrelation, np.array(products) / products[0], atol=1e-4)


def test_groups_larger_than_the_features_are_held_out_too():
    """Solved on the side of the features: 150 frames a group, 66 features."""
    trials = make_trials(6, noise=30)
    decoder = fit_decoder(trials, penalties=(0.3, 3), groups=list("aaabbb"), progress=False)
    squares = [(refit(trials[3:], t, 0.3, every=trials) - t.video) ** 2 for t in trials[:3]]
    squares += [(refit(trials[:3], t, 0.3, every=trials) - t.video) ** 2 for t in trials[3:]]
    assert decoder.held_out_errors[0.3] == pytest.approx(np.sqrt(np.mean(squares)), rel=1e-4)


def test_trials_of_one_movie_are_held_out_together():
    random = np.random.default_rng(0)
    movies = [trial.video for trial in make_trials(3)]
    repeats = [
        Trial(video=movie, responses=random.gamma(1, 1, (6, 50)), frame_rate_hz=30)
        for movie in movies
        for _ in range(2)
    ]
    by_movie = fit_decoder(repeats, penalties=(0.01, 1), progress=False)
    named = fit_decoder(repeats, penalties=(0.01, 1), groups=[0, 0, 1, 1, 2, 2], progress=False)
    apart = fit_decoder(repeats, penalties=(0.01, 1), groups=range(6), progress=False)
    assert by_movie.held_out_errors == named.held_out_errors
    assert apart.held_out_errors != named.held_out_errors


def test_no_more_is_held_out_than_asked():
    trials = make_trials(8)
    opened = Watched(trials)
    fit_decoder(opened, held_out_frames=120, progress=False)
    # one pass each for the check, the responses, the moments; then 3 trials of 50 frames; trial 0 once for its size
    assert len(opened.log) == 8 + 8 + 8 + 3 + 1


def test_more_features_than_neurons_carry():
    """A neuron recorded twice, one that is silent and one that never changes: nothing turns into NaN."""
    trials = [
        trial.replace(
            responses=np.concatenate([trial.responses, trial.responses[:1], np.zeros((1, 50)), np.full((1, 50), 3.3)])
        )
        for trial in make_trials(6)
    ]
    decoder = fit_decoder(trials[:5], progress=False)
    assert np.isfinite(decoder.weights).all()
    assert np.isfinite(decoder.residual_covariance).all()
    assert decoder.features.scale[-2:].tolist() == [0, 0]
    strange = trials[5].replace(responses=trials[5].responses + np.array([0] * 7 + [50, 50])[:, None])
    np.testing.assert_array_equal(decode(decoder, strange), decode(decoder, trials[5]))


# statistics of the movies


def test_statistics_of_the_movies():
    trials = make_trials(4)
    decoder = fit_decoder(trials, progress=False)
    np.testing.assert_allclose(decoder.mean_video, np.mean([t.video for t in trials], axis=(0, 1)), rtol=1e-5)
    np.testing.assert_allclose(decoder.video_covariance, np.cov(flat(trials).T, bias=True), rtol=1e-3, atol=0.2)
    assert decoder.residual_autocorrelation.shape == (31,)


def test_large_frames_have_no_covariance(monkeypatch):
    from neuroreel.decoding import covariance, heldout

    for module in (covariance, heldout):
        monkeypatch.setattr(module, "MAX_COVARIANCE_PIXELS", PIXELS - 1)
    decoder = fit_decoder(make_trials(4), progress=False)
    assert decoder.residual_covariance is None
    assert decoder.video_covariance is None
    assert decoder.residual_autocorrelation[0] == 1


# lags and features


def test_default_lags_cover_the_same_time_at_every_rate():
    assert lag_frames(None, frame_rate_hz=30) == LAGS
    assert lag_frames(None, frame_rate_hz=60) == tuple(range(-2, 19))
    assert lag_frames(None, frame_rate_hz=15) == tuple(range(-1, 6))
    assert lag_frames(None, frame_rate_hz=10) == tuple(range(-1, 4))


def test_lags_in_seconds():
    assert lag_frames([0.1, 0, 0.101], frame_rate_hz=30) == (0, 3)
    trials = make_trials(frame_rate_hz=10)
    decoder = fit_decoder(trials[:6], lags_s=(0, 0.1, 0.3), penalties=0.1, progress=False)
    assert decoder.lags_s == (0, 0.1, 0.3)
    expected = by_sklearn(trials[:6], trials[6:7], 0.1, lags=(0, 1, 3))[0]
    np.testing.assert_allclose(decode(decoder, trials[6]), expected, atol=2e-3)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(-7, 12), min_size=1, max_size=5, unique=True), st.integers(1, 9), st.integers(1, 3))
def test_features_by_loops(lags, frames, neurons):
    lags = tuple(sorted(lags))
    random = np.random.default_rng(0)
    trials = [Trial(responses=random.gamma(1, 1, (neurons, frames + 3)), frame_rate_hz=30) for _ in range(2)]
    features = fit_features(trials, lags=lags, components=None, seed=0, progress=False)
    trial = Trial(responses=random.normal(1, 1, (neurons, frames)), frame_rate_hz=30)
    assert features.count == neurons * len(lags)
    np.testing.assert_allclose(features.of(trial).numpy(), design(trials, [trial], lags=lags)[0], atol=1e-4)


def test_streaming_equals_all_at_once():
    """A trial cut into pieces of any length has the moments of the whole."""
    trials = [trial.replace(responses=trial.responses + 900) for trial in make_trials(3, frames=900)]
    features = fit_features(trials, lags=(0,), components=3, seed=0, progress=False)
    rooted = np.sqrt(np.concatenate([trial.responses for trial in trials], axis=1))
    np.testing.assert_allclose(features.mean, rooted.mean(1), rtol=1e-6)
    np.testing.assert_allclose(features.scale, 1 / rooted.std(1), rtol=1e-3)
    axes = np.linalg.eigh(np.corrcoef(rooted))[1][:, :-4:-1]
    np.testing.assert_allclose(np.abs(axes.T @ features.axes), np.eye(3), atol=1e-3)


def test_batches_do_not_change_the_decoder(monkeypatch):
    from neuroreel.decoding import features, ridge

    trials = make_trials(5)
    together = fit_decoder(trials, progress=False)
    for module in (features, ridge):
        monkeypatch.setattr(module, "BATCH_FRAMES", 1)
    one_by_one = fit_decoder(trials, progress=False)
    np.testing.assert_allclose(one_by_one.weights, together.weights, atol=1e-4)
    np.testing.assert_allclose(one_by_one.residual_covariance, together.residual_covariance, rtol=1e-3, atol=0.05)


def test_components_reduce_the_neurons():
    trials = make_trials(6, neurons=12)
    full = fit_decoder(trials[:5], components=12, penalties=1, progress=False)
    few = fit_decoder(trials[:5], components=4, penalties=1, progress=False)
    assert full.features.axes is None
    assert few.features.axes.shape == (12, 4)
    assert few.weights.shape == (4 * 11, PIXELS)
    np.testing.assert_allclose(few.features.axes.T @ few.features.axes, np.eye(4), atol=1e-5)
    assert decode(few, trials[5]).shape == trials[5].video.shape


def test_many_neurons_are_reduced_to_the_budget(monkeypatch):
    from neuroreel.decoding import features

    monkeypatch.setattr(features, "MAX_FEATURES", 40)
    decoder = fit_decoder(make_trials(4), progress=False)
    assert decoder.features.components == 40 // 11
    with pytest.raises(InputError, match="fewer lags"):
        fit_decoder(make_trials(4), lags_s=np.arange(41) / 30, progress=False)


def test_leading_eigenvectors_of_large_matrices(monkeypatch):
    from neuroreel.decoding import symmetric

    random = np.random.default_rng(0)
    basis = np.linalg.qr(random.normal(size=(200, 200)))[0]
    matrix = torch.from_numpy((basis * 0.9 ** np.arange(200)) @ basis.T)
    exact = leading_eigenvectors(matrix, 10, seed=0)
    monkeypatch.setattr(symmetric, "EXACT_UP_TO", 100)
    iterated = leading_eigenvectors(matrix, 10, seed=0)
    np.testing.assert_allclose(np.abs((exact.T @ iterated).numpy()), np.eye(10), atol=1e-6)
    np.testing.assert_array_equal(iterated, leading_eigenvectors(matrix, 10, seed=0))


@pytest.mark.parametrize("columns", [1, 7, 10, 23, 64])
def test_half_the_products_are_enough(columns):
    rows = torch.from_numpy(np.random.default_rng(0).normal(size=(9, columns)))
    total = torch.zeros(columns, columns, dtype=rows.dtype)
    add_products(total, rows[:4])
    add_products(total, rows[4:])
    np.testing.assert_allclose(filled(total), rows.T @ rows, atol=1e-12)


def test_scored_pixels_are_an_even_grid():
    assert scored_pixels(4, 5).tolist() == list(range(20))
    grid = scored_pixels(36, 64)
    assert 150 < len(grid) <= 330
    assert len(set(grid.tolist())) == len(grid)


# streams


class Watched(Sequence):
    """Trials that are made when they are asked for, and a log of which were."""

    def __init__(self, trials):
        self.trials, self.log = trials, []

    def __len__(self):
        return len(self.trials)

    def __getitem__(self, index):
        if not 0 <= index < len(self):
            raise IndexError(index)
        self.log.append(index)
        return self.trials[index]


class Generated(Sequence):
    """Trials made of random numbers at each access, so that only what the decoder keeps takes memory."""

    def __init__(self, count, *, frames, neurons, height, width):
        self.count, self.size = count, (frames, neurons, height, width)

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        if not 0 <= index < len(self):
            raise IndexError(index)
        frames, neurons, height, width = self.size
        random = np.random.default_rng(index)
        video = random.integers(0, 256, (frames, height, width)).astype(np.float32)
        responses = random.gamma(1, 1, (neurons, frames)).astype(np.float32)
        return Trial(video=video, responses=responses, frame_rate_hz=30, name=f"trial {index}")


def peak_tensor_bytes(trials, **options):
    """The largest sum of living tensors' bytes that a fit asked for, counted by the allocator's own profile."""
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as report:
        fit_decoder(trials, progress=False, **options)
    living = peak = 0
    for event in report.profiler.kineto_results.events():
        if event.name() == "[memory]":
            living += event.nbytes()
            peak = max(peak, living)
    return peak


@pytest.mark.parametrize(("counts", "squares"), [((40, 120), 3), ((30, 36), 5)], ids=["primal", "dual"])
def test_memory_is_bounded(monkeypatch, counts, squares):
    """By the formula in the notes of ``fit_decoder``, and the same for three times the trials."""
    from neuroreel.decoding import features, ridge

    height, width, frames, h, b = 12, 20, 30, 90, 60
    monkeypatch.setattr(features, "MAX_FEATURES", 1100)
    for module in (features, ridge):
        monkeypatch.setattr(module, "BATCH_FRAMES", b)
    few, many = (
        peak_tensor_bytes(Generated(count, frames=frames, neurons=300, height=height, width=width), held_out_frames=h)
        for count in counts
    )
    f, p = 1100, height * width
    bound = 4 * (squares * f**2 + 3 * f * p + 3 * p**2 + 4 * b * (f + p) + h * (f + 2 * p))
    assert bound / 3 < few < bound
    assert many < bound
    if squares == 3:
        assert many == pytest.approx(few, rel=0.02)


# files


@pytest.mark.parametrize("options", [{}, {"components": 3}, {"penalties": 2.0, "groups": [0, 0, 0, 0]}])
def test_a_saved_decoder_is_the_same(tmp_path, options):
    trials = make_trials(5)
    decoder = fit_decoder(trials[:4], progress=False, **options)
    file = decoder.save(tmp_path / "decoder.safetensors")
    again = RidgeDecoder.load(file)
    np.testing.assert_array_equal(decode(again, trials[4]), decode(decoder, trials[4]))
    for name in ("mean_video", "video_covariance", "residual_covariance", "residual_autocorrelation"):
        np.testing.assert_array_equal(getattr(again, name), getattr(decoder, name))
    assert (again.penalty, again.held_out_errors, again.lags_s) == (
        decoder.penalty,
        decoder.held_out_errors,
        decoder.lags_s,
    )
    assert repr(again) == repr(decoder)
    with pytest.raises(InputError, match="exists"):
        decoder.save(file)
    decoder.save(file, overwrite=True)


def test_files_that_are_no_decoder(tmp_path):
    with pytest.raises(InputError, match="not a file"):
        RidgeDecoder.load(tmp_path / "nothing")
    (tmp_path / "text").write_text("hello, this is no decoder")
    with pytest.raises(InputError, match="not a safetensors file"):
        RidgeDecoder.load(tmp_path / "text")
    save_file({"weights": np.zeros(3, np.float32)}, tmp_path / "other")
    with pytest.raises(InputError, match="unnamed arrays"):
        RidgeDecoder.load(tmp_path / "other")
    whole = fit_decoder(make_trials(3), progress=False).save(tmp_path / "decoder").read_bytes()
    (tmp_path / "half").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match="damaged"):
        RidgeDecoder.load(tmp_path / "half")


def test_a_full_disk_leaves_nothing_behind(tmp_path, monkeypatch):
    decoder = fit_decoder(make_trials(3), progress=False)

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(ResourceError, match="no space left"):
        decoder.save(tmp_path / "decoder")
    assert list(tmp_path.iterdir()) == []


# repeatability


def test_same_call_same_numbers():
    trials = make_trials(6)
    first, second = (fit_decoder(trials, seed=3, held_out_frames=100, progress=False) for _ in range(2))
    np.testing.assert_array_equal(first.weights, second.weights)
    np.testing.assert_array_equal(first.residual_covariance, second.residual_covariance)
    other = fit_decoder(trials, seed=4, held_out_frames=100, progress=False)
    assert (other.residual_covariance != first.residual_covariance).any()


def test_decoding_is_clipped_float32():
    trials = make_trials(5)
    bright = [trial.replace(video=np.where(trial.video > 120, 255, 0)) for trial in trials]
    decoded = decode(fit_decoder(bright[:4], penalties=0.01, progress=False), bright[4])
    assert decoded.dtype == np.float32
    assert decoded.shape == (50, HEIGHT, WIDTH)
    assert (decoded.min(), decoded.max()) == (0, 255)


# bad input


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"penalties": ()}, "positive numbers"),
        ({"penalties": (1, 0)}, "positive numbers"),
        ({"penalties": -1}, "positive numbers"),
        ({"penalties": np.nan}, "positive numbers"),
        ({"lags_s": ()}, "lags in seconds"),
        ({"lags_s": [np.nan]}, "lags in seconds"),
        ({"components": 0}, "at least 1"),
        ({"groups": [1, 2]}, "2 labels for 4 trials"),
        ({"held_out_frames": 0}, "at least 1"),
        ({"groups": [1, 1, 1, 1]}, "only one movie"),
    ],
)
def test_bad_arguments(options, words):
    with pytest.raises(InputError, match=words):
        fit_decoder(make_trials(4), progress=False, **options)


def test_bad_trials():
    trials = make_trials(3)
    for bad, words in (
        ([], "none"),
        (trials[0], "one Trial"),
        (trials[:1], "only one movie"),
        ([*trials, trials[0].replace(video=None)], "no video"),
        ([*trials, trials[0].replace(responses=None)], "no responses"),
        ([*trials, make_trials(1, neurons=4)[0]], "4 neurons instead of 6"),
        ([*trials, make_trials(1, frame_rate_hz=15)[0]], "15 frames per second"),
        ([*trials, trials[0].replace(video=trials[0].video[:, :2])], "pixels"),
        ([trial.replace(responses=np.ones((6, 50))) for trial in trials], "constant"),
        ([trial.replace(responses=np.zeros((6, 50))) for trial in trials], "constant"),
        ([trial.replace(responses=-trial.responses) for trial in trials], "are negative"),
    ):
        with pytest.raises(InputError, match=words):
            fit_decoder(bad, progress=False)


def test_a_penalty_lost_in_rounding_is_refused():
    trials = make_trials(3, neurons=100)
    with pytest.raises(InputError, match="larger penalties"):
        fit_decoder(trials, penalties=1e-12, progress=False)


def test_trials_that_cannot_be_decoded():
    decoder = fit_decoder(make_trials(3), progress=False)
    for bad, words in (
        (make_trials(1, neurons=5)[0], "5 neurons"),
        (make_trials(1, frame_rate_hz=60)[0], "60 Hz"),
        (make_trials(1)[0].replace(responses=None), "no responses"),
    ):
        with pytest.raises(InputError, match=words):
            decode(decoder, bad)


def test_features_of_a_trial_shorter_than_the_lags():
    features = ResponseFeatures(mean=np.zeros(1, np.float32), scale=np.ones(1, np.float32), axes=None, lags=(-3, 0, 3))
    one = features.of(Trial(responses=np.full((1, 2), 4.0), frame_rate_hz=30))
    np.testing.assert_array_equal(one, [[0, 2, 0], [0, 2, 0]])

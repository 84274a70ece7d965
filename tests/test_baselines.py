"""The movies that a reconstruction has to beat."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter1d

from neuroreel.decoding.decoder import decode
from neuroreel.decoding.fit import fit_decoder
from neuroreel.errors import InputError
from neuroreel.evaluation.baselines import baselines, mean_frame, shuffle_neurons
from neuroreel.evaluation.scores import video_correlation
from neuroreel.recordings import Trial


def make_trials(count=8, *, frames=60, neurons=30, seed=0):
    """Movies of 6 x 7 pixels that mix four pictures, and neurons that each like another mixture, two frames late."""
    world, random = np.random.default_rng(99), np.random.default_rng(seed)
    background, pictures = world.uniform(80, 170, 42), world.normal(0, 25, (4, 42))
    taste = world.normal(0, 1, (neurons, 4))
    trials = []
    for number in range(count):
        mixture = gaussian_filter1d(random.normal(0, 2, (frames, 4)), 3, axis=0, mode="wrap")
        video = np.clip(background + mixture @ pictures, 0, 255).reshape(frames, 6, 7)
        rate = (2 + np.roll(mixture, 2, axis=0) @ taste.T).clip(0) ** 2
        responses = np.maximum(rate + random.normal(0, 0.3, rate.shape), 0)
        trials.append(Trial(video=video, responses=responses.T, frame_rate_hz=30, name=f"trial {number}"))
    return trials


@pytest.fixture(scope="module")
def fitted():
    trials = make_trials()
    return trials, fit_decoder(trials[:6], progress=False)


def test_each_baseline_is_what_it_says(fitted):
    trials, decoder = fitted
    trial = trials[7]
    movies = baselines(trial, decoder, seed=3)
    assert list(movies) == ["grey", "mean", "ridge", "shuffled"]
    for movie in movies.values():
        assert movie.shape == trial.video.shape
        assert movie.dtype == np.float32
        assert movie.min() >= 0
        assert movie.max() <= 255
    assert (movies["grey"] == 127.5).all()
    expected = np.concatenate([trial.video for trial in trials[:6]]).mean(0)
    np.testing.assert_allclose(movies["mean"], np.broadcast_to(expected, trial.video.shape), rtol=1e-4)
    np.testing.assert_array_equal(movies["ridge"], decode(decoder, trial))
    np.testing.assert_array_equal(movies["shuffled"], decode(decoder, shuffle_neurons(trial, seed=3)))


def test_ridge_beats_the_others(fitted):
    trials, decoder = fitted
    movies = baselines(trials[7], decoder)
    scores = {name: video_correlation(trials[7].video, movie, skip=10) for name, movie in movies.items()}
    assert np.isnan(scores["grey"])
    assert scores["ridge"] > 0.9
    assert scores["ridge"] > max(scores["mean"], scores["shuffled"]) + 0.05


def test_the_mean_can_come_from_other_trials(fitted):
    trials, decoder = fitted
    movies = baselines(trials[7], decoder, training=trials[:1])
    np.testing.assert_allclose(movies["mean"][0], trials[0].video.mean(0), rtol=1e-5)
    np.testing.assert_array_equal(movies["mean"][0], mean_frame(trials[:1]))
    small = Trial(video=np.zeros((9, 3, 3)), frame_rate_hz=30)
    with pytest.raises(InputError, match=r"\(3, 3\)"):
        baselines(trials[7], decoder, training=[small])


def test_shuffling_moves_every_neuron_and_loses_none(fitted):
    trial = fitted[0][0]
    shuffled = shuffle_neurons(trial, seed=1)
    assert not (shuffled.responses == trial.responses).all(axis=1).any()
    np.testing.assert_array_equal(np.sort(shuffled.responses, axis=0), np.sort(trial.responses, axis=0))
    np.testing.assert_array_equal(shuffled.video, trial.video)


def test_one_seed_gives_one_exchange_for_all_trials(fitted):
    first, second = (shuffle_neurons(trial, seed=1).responses for trial in fitted[0][:2])
    origin = [int(np.flatnonzero((fitted[0][0].responses == row).all(axis=1))[0]) for row in first]
    np.testing.assert_array_equal(second, fitted[0][1].responses[origin])
    assert (shuffle_neurons(fitted[0][0], seed=2).responses != first).any()


def test_what_cannot_be_shuffled():
    with pytest.raises(InputError, match="no responses"):
        shuffle_neurons(Trial(video=np.zeros((4, 2, 2)), frame_rate_hz=30), seed=0)
    with pytest.raises(InputError, match="at least two"):
        shuffle_neurons(Trial(responses=np.zeros((1, 4)), frame_rate_hz=30), seed=0)

"""Predicting whole trials: against a naive loop, the published numbers, and trials that do not fit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import scipy.stats
import torch
from torch import Tensor

import neuroreel as nr
from neuroreel.encoding.correlation import neuron_correlations
from neuroreel.encoding.dwiseneuro import DwiseNeuro, DwiseNeuroConfig, DwiseNeuroNetwork


class Clips(nr.EncodingModel):
    """Two neurons that say what the clip's frames are, and which place in the clip they have."""

    canvas = nr.Canvas.plain(2, 3)
    clip_frames = 4
    clip_stride = 3
    neurons = 2
    frame_rate_hz = 10.0

    def forward(self, clips: Tensor) -> Tensor:
        place = torch.arange(clips.shape[2]).float().expand(len(clips), -1)
        return torch.stack([clips[:, 0].mean(dim=(2, 3)), place], dim=1)


def movie(frames: int, *, size: tuple[int, int] = (2, 3), rate: float = 10.0, **more: object) -> nr.Trial:
    video = np.random.default_rng(0).uniform(0, 255, (frames, *size))
    return nr.Trial(video=video, frame_rate_hz=rate, **more)  # type: ignore[arg-type]


def golden_trial(golden: Path) -> nr.Trial:
    recording = nr.open_recording(next((golden / "recordings").glob("dynamic29623*")))
    first = list(recording.folds()).index("fold_0")
    return recording.trials[first]


def published(golden: Path, fold: int) -> nr.EncodingModel:
    return nr.load_encoder(next((golden / "checkpoints" / f"fold_{fold}").glob("*.pth")), readout=1)


def test_published_prediction(golden: Path) -> None:
    truth = np.load(golden / "reconstructions" / "one_model_t0.npz")["responses_predicted_gt"][..., 0]
    predicted = nr.predict(published(golden, 0), golden_trial(golden))
    assert predicted.shape == truth.shape == (33, 70)
    assert np.abs(predicted - truth).max() / np.abs(truth).max() < 1e-5


def test_naive_loop_over_clips(golden: Path) -> None:
    model, trial = published(golden, 1), golden_trial(golden)
    video = torch.zeros(70, 64, 64)
    video[:, 14:50] = torch.from_numpy(np.array(trial.needs_video()))
    behavior = torch.from_numpy(trial.covariates)[:, :, None, None].expand(-1, -1, 64, 64)
    inputs = torch.cat([video[None], behavior])
    total, count = np.zeros((33, 70)), np.zeros(70)
    for last in range(30, 70):
        frames = list(range(last - 30, last + 1, 2))
        with torch.no_grad():
            total[:, frames] += model(inputs[None, :, frames])[0].numpy()
        count[frames] += 1
    np.testing.assert_allclose(nr.predict(model, trial), total / count, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("clips_at_once", [1, 7, 1000])
def test_every_frame_is_the_mean_of_its_clips(clips_at_once: int) -> None:
    trial = movie(25)
    predicted = nr.predict(Clips(), trial, clips_at_once=clips_at_once)
    np.testing.assert_allclose(predicted[0], trial.needs_video().mean(axis=(1, 2)), rtol=1e-5)
    places: list[list[int]] = [[] for _ in range(25)]
    for start in range(25 - 9):
        for place in range(4):
            places[start + 3 * place].append(place)
    np.testing.assert_allclose(predicted[1], [np.mean(seen) for seen in places], rtol=1e-5)


class Doubled(Clips):
    def forward(self, clips: Tensor) -> Tensor:
        return 2 * super().forward(clips)


def test_an_ensemble_is_averaged() -> None:
    trial = movie(25)
    alone = nr.predict(Clips(), trial)
    np.testing.assert_allclose(nr.predict([Clips(), Doubled(), Doubled()], trial), alone * 5 / 3, rtol=1e-6)


def test_training_mode_is_given_back() -> None:
    config = DwiseNeuroConfig(
        readout_neurons=(2,), in_channels=1, core_features=(8,), spatial_strides=(4,), cortex_features=(8,)
    )
    model = DwiseNeuro(DwiseNeuroNetwork(config), readout=0, video_size=(12, 12))
    model.train()
    trial = movie(33, size=(12, 12), rate=30.0)
    np.testing.assert_array_equal(nr.predict(model, trial), nr.predict(model, trial))
    assert model.training


@pytest.mark.parametrize(
    ("trial", "message"),
    [
        (movie(25, size=(3, 2)), r"the video is 2x3 pixels \(width x height\), the model takes 3x2"),
        (movie(25, rate=30.0), "runs at 30 Hz, the model at 10 Hz"),
        (movie(11), "11 frames, the model's window is 12 frames"),
        (nr.Trial(responses=np.ones((2, 25)), frame_rate_hz=10.0), "has no video"),
    ],
)
def test_trials_that_do_not_fit(trial: nr.Trial, message: str) -> None:
    with pytest.raises(nr.InputError, match=message):
        nr.predict(Clips(), trial)


def test_too_few_behavior_channels(golden: Path) -> None:
    trial = golden_trial(golden)
    with pytest.raises(nr.InputError, match="2 behaviour channels, the model needs 4"):
        nr.predict(published(golden, 0), trial.replace(pupil_center=None))


def test_more_behavior_than_needed_is_left_out() -> None:
    trial = movie(25)
    more = trial.replace(behavior=np.ones((2, 25)))
    np.testing.assert_array_equal(nr.predict(Clips(), more), nr.predict(Clips(), trial))


def test_ensembles_must_agree() -> None:
    other = Clips()
    other.neurons = 3
    with pytest.raises(nr.InputError, match="agree in neurons: model 0 has 2, model 1 has 3"):
        nr.predict([Clips(), other], movie(25))
    other = Clips()
    other.canvas = nr.Canvas.plain(4, 4)
    with pytest.raises(nr.InputError, match="movies of one size"):
        nr.predict([Clips(), other], movie(25))
    with pytest.raises(nr.InputError, match="no encoding model"):
        nr.predict([], movie(25))
    with pytest.raises(nr.InputError, match="str is no EncodingModel"):
        nr.predict(["model.pth"], movie(25))  # type: ignore[list-item]
    with pytest.raises(nr.InputError, match="clips_at_once is 0"):
        nr.predict(Clips(), movie(25), clips_at_once=0)


def test_neuron_correlations_are_pearsons() -> None:
    rng = np.random.default_rng(1)
    a, b = rng.random((5, 200)).astype(np.float32), rng.random((5, 200)).astype(np.float32)
    b[1] = a[1] * 2 + 1
    b[2] = 4.0
    expected = [0.0 if i == 2 else scipy.stats.pearsonr(a[i], b[i]).statistic for i in range(5)]
    np.testing.assert_allclose(neuron_correlations(a, b), expected, atol=1e-5)


def test_encoder_correlation_lays_trials_one_after_another() -> None:
    rng = np.random.default_rng(2)
    trials = [movie(length).replace(responses=rng.random((2, length)) + length) for length in (20, 31)]
    recorded = np.concatenate([trial.needs_responses() for trial in trials], axis=1)
    predicted = np.concatenate([nr.predict(Clips(), trial) for trial in trials], axis=1)
    expected = np.mean([scipy.stats.pearsonr(recorded[i], predicted[i]).statistic for i in range(2)])
    assert nr.encoder_correlation(Clips(), trials) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize(
    ("trials", "message"),
    [([], "none"), ([movie(25)], "no responses"), ([movie(25).replace(responses=np.ones((3, 25)))], "3 neurons")],
)
def test_encoder_correlation_of_trials_that_do_not_fit(trials: list[nr.Trial], message: str) -> None:
    with pytest.raises(nr.InputError, match=message):
        nr.encoder_correlation(Clips(), trials)

"""Predicting whole trials: against a naive loop, the published numbers, and trials that do not fit."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.stats
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from numpy.typing import NDArray
from torch import Tensor

import neuroreel as nr
from neuroreel.encoding.correlation import RunningCorrelation, neuron_correlations, row_correlations
from neuroreel.encoding.dwiseneuro.network import DwiseNeuro, DwiseNeuroConfig, DwiseNeuroNetwork

Array = NDArray[Any]


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
    return nr.load_encoder(next((golden / "checkpoints" / f"fold_{fold}").glob("*.pth")), session=1)


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
    with pytest.raises(nr.InputError, match="2 behavior channels, the model needs 4"):
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
    with pytest.raises(nr.InputError, match="str is not an EncodingModel"):
        nr.predict(["model.pth"], movie(25))  # type: ignore[list-item]
    with pytest.raises(nr.InputError, match="clips_at_once is 0"):
        nr.predict(Clips(), movie(25), clips_at_once=0)


def test_an_ensemble_moves_to_the_device_asked_for_and_back(monkeypatch: pytest.MonkeyPatch) -> None:
    moved = []
    monkeypatch.setattr(Clips, "to", lambda self, device: moved.append((type(self), str(device))))
    nr.predict([Clips(), Doubled()], movie(25), device="cpu")
    assert moved == [(Clips, "cpu"), (Doubled, "cpu")] * 2
    nr.encoder_correlation(Doubled(), [recorded(25), recorded(25)], device="cpu")
    assert moved[4:] == [(Doubled, "cpu")] * 2  # once for all trials
    nr.predict([Clips(), Doubled()], movie(25))
    assert len(moved) == 6  # where they lie, unless told otherwise


def test_a_device_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(nr.ResourceError, match="no CUDA device"):
        nr.predict(Clips(), movie(25), device="cuda")


class Broken(Clips):
    def forward(self, clips: Tensor) -> Tensor:
        return super().forward(clips) / 0


def test_predictions_that_are_not_finite_do_not_travel() -> None:
    with pytest.raises(nr.InputError, match="NaN or infinite responses to trial"):
        nr.predict([Clips(), Broken()], movie(25))


# --- correlation ---


def recorded(length: int, *, seed: int = 2) -> nr.Trial:
    responses = np.random.default_rng(seed + length).random((2, length)) + length
    return movie(length).replace(responses=responses)


def competition_score(recorded: Array, predicted: Array) -> float:
    """Of (frames, neurons) over all trials: mean product of z-scores, as the starter kit of Sensorium 2023 has it."""
    products = 1.0
    for responses in (recorded, predicted):
        products = products * (responses - responses.mean(0)) / (responses.std(0) + 1e-8)
    return float(np.mean(np.mean(products, axis=0)))


def test_neuron_correlations_are_pearsons() -> None:
    rng = np.random.default_rng(1)
    a, b = rng.random((5, 200)).astype(np.float32), rng.random((5, 200)).astype(np.float32)
    b[1] = a[1] * 2 + 1
    b[2] = 4.0
    expected = [0.0 if i == 2 else scipy.stats.pearsonr(a[i], b[i]).statistic for i in range(5)]
    np.testing.assert_allclose(neuron_correlations(a, b), expected, atol=1e-6)


def streamed(pieces: Iterable[tuple[Array, Array]]) -> Array:
    running = RunningCorrelation()
    for first, second in pieces:
        running.add(first, second)
    return running.rows(constant=0.0).numpy()


@settings(max_examples=50, deadline=None)
@given(
    npst.arrays(np.float32, (2, 3, 24), elements=st.floats(-1e3, 1e3, width=16)),
    st.sets(st.integers(1, 23), max_size=6),
)
def test_pieces_have_the_correlation_of_the_whole(pair: Array, cuts: set[int]) -> None:
    a, b = pair
    pieces = zip(*(np.split(rows, sorted(cuts), axis=1) for rows in pair), strict=True)
    values = streamed(pieces)
    np.testing.assert_allclose(values, neuron_correlations(a, b), atol=1e-9)
    for row, value in enumerate(values):
        if np.ptp(a[row]) == 0 or np.ptp(b[row]) == 0:
            assert value == 0
        else:
            assert value == pytest.approx(np.corrcoef(a[row].astype(float), b[row].astype(float))[0, 1], abs=1e-9)


def test_processes_merge_what_they_have_seen() -> None:
    rng = np.random.default_rng(0)
    recorded, noise = (rng.gamma(1, 1, (3, 200)).astype(np.float32) for _ in range(2))
    predicted = recorded + noise + np.float32(1000)  # a mean far from 0 must not cost digits
    predicted[2] = 5.0
    one, other = RunningCorrelation.of_nothing(3), RunningCorrelation.of_nothing(3)
    for part in np.split(np.arange(200), [10, 11, 90]):
        one.add(recorded[:, part], predicted[:, part])
    everyone = RunningCorrelation()
    everyone.merge(other.sums)  # a process that saw nothing
    everyone.merge(one.sums)
    everyone.merge(other.sums)
    wanted = [np.corrcoef(recorded[k].astype(float), predicted[k].astype(float))[0, 1] for k in range(2)]
    np.testing.assert_allclose(everyone.rows(constant=0.0), [*wanted, 0.0], atol=1e-10)


@pytest.mark.parametrize("constant", [0.0, 0.1, 1e6, 127.5])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_rounding_does_not_make_a_constant_row_vary(constant: float, dtype: torch.dtype) -> None:
    noise = torch.from_numpy(np.random.default_rng(0).random((1, 4, 301))).to(dtype)
    assert row_correlations(torch.full_like(noise, constant), noise).isnan().all()
    assert row_correlations(noise, noise)[0].tolist() == pytest.approx([1] * 4, abs=1e-6)


def test_a_large_offset_costs_no_digits() -> None:
    rng = np.random.default_rng(3)
    a, b = rng.random((2, 2, 900))
    pieces = [(a[:, i : i + 100] + 1e7, b[:, i : i + 100] - 1e7) for i in range(0, 900, 100)]
    np.testing.assert_allclose(streamed(pieces), neuron_correlations(a, b), atol=1e-7)


@pytest.mark.parametrize("skip", [0, 13])
def test_encoder_correlation_lays_trials_one_after_another(skip: int) -> None:
    trials = [recorded(length) for length in (20, 31)]
    truth = np.concatenate([trial.needs_responses()[:, skip:] for trial in trials], axis=1)
    ensemble = [Clips(), Doubled()]
    predicted = np.concatenate([nr.predict(ensemble, trial)[:, skip:] for trial in trials], axis=1)
    expected = np.mean([scipy.stats.pearsonr(truth[i], predicted[i]).statistic for i in range(2)])
    assert nr.encoder_correlation(ensemble, trials, skip=skip) == pytest.approx(expected, abs=1e-6)


def test_encoder_correlation_is_the_score_of_the_competition() -> None:
    trials = [recorded(length) for length in (60, 75, 90)]
    silent = np.array([[0.0], [1.0]])  # a neuron that never responds counts as 0
    trials = [trial.replace(responses=trial.needs_responses() * silent) for trial in trials]
    truth = np.concatenate([trial.needs_responses()[:, 50:].T for trial in trials]).astype(float)
    predicted = np.concatenate([nr.predict(Clips(), trial)[:, 50:].T for trial in trials]).astype(float)
    assert abs(competition_score(truth, predicted)) > 0.01
    score = nr.encoder_correlation(Clips(), trials, skip=50)
    assert score == pytest.approx(competition_score(truth, predicted), abs=1e-6)


class Watched(Sequence[nr.Trial]):
    """Trials made anew at each access, which notice how many of them are kept."""

    def __init__(self) -> None:
        self.alive: weakref.WeakSet[nr.Trial] = weakref.WeakSet()
        self.most = 0

    def __len__(self) -> int:
        return 6

    def __getitem__(self, index: int) -> nr.Trial:  # type: ignore[override]
        if index >= 6:
            raise IndexError(index)
        gc.collect()
        self.most = max(self.most, len(self.alive))
        trial = recorded(40 + index)
        self.alive.add(trial)
        return trial


def test_encoder_correlation_keeps_no_trial() -> None:
    trials = Watched()
    score = nr.encoder_correlation(Clips(), trials)
    assert trials.most <= 2  # the one before, which the loop lets go when it has the next
    assert score == pytest.approx(nr.encoder_correlation(Clips(), list(Watched())), abs=1e-12)


@pytest.mark.parametrize(
    ("trials", "skip", "message"),
    [
        ([], 0, "none"),
        ([movie(25)], 0, "no responses"),
        ([movie(25).replace(responses=np.ones((3, 25)))], 0, "3 neurons"),
        ([recorded(25), recorded(60)], 50, "skip=50 leaves none of the 25 frames of trial"),
        ([recorded(25)], -1, r"skip=-1 .* must be 0\.\.24"),
    ],
)
def test_encoder_correlation_of_trials_that_do_not_fit(trials: list[nr.Trial], skip: int, message: str) -> None:
    with pytest.raises(nr.InputError, match=message):
        nr.encoder_correlation(Clips(), trials, skip=skip)

"""The convolutional decoder: what it starts from, what it learns, how it is kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import neuroreel as nr
from neuroreel.decoding import convolutional, convolutional_fit
from neuroreel.decoding.convolutional import ConvolutionalConfig, ConvolutionalNetwork
from neuroreel.decoding.ridge import RidgeFit, fit_ridge
from neuroreel.recordings.checks import check_trials

SIZE = (8, 12)
QUIET: dict[str, Any] = {"progress": False, "penalties": [1.0, 10.0, 100.0]}


def loud_and_signed(count: int, *, frames: int = 60, seed: int = 0) -> list[nr.Trial]:
    """Half of the neurons give the distance of a block of pixels from grey, half its sign: no linear map has both."""
    rng = np.random.default_rng(seed)
    trials = []
    for _ in range(count):
        blocks = rng.uniform(-1, 1, (frames, 4, 6)).astype(np.float32)
        video = 127.5 + 100 * blocks.repeat(2, axis=1).repeat(2, axis=2)
        flat = blocks.reshape(frames, -1).T
        responses = np.concatenate([10 * np.abs(flat), 5 * (flat > 0)]) + 0.1 * rng.random((48, frames))
        trials.append(nr.Trial(video=video, responses=responses.astype(np.float32), frame_rate_hz=30.0))
    return trials


@pytest.fixture(scope="module")
def trials() -> list[nr.Trial]:
    return loud_and_signed(10)


@pytest.fixture(scope="module")
def decoder(trials: list[nr.Trial]) -> nr.ConvolutionalDecoder:
    return nr.fit_decoder(trials, kind="convolutional", steps=150, device="cpu", **QUIET)


def ridge_of(trials: list[nr.Trial]) -> RidgeFit:
    settings: dict[str, Any] = {"lags_s": None, "penalties": 10.0, "components": None, "groups": None}
    return fit_ridge(trials, check_trials(trials), held_out_frames=600, seed=0, progress=False, **settings)


def network(**changes: Any) -> ConvolutionalNetwork:
    sizes: dict[str, Any] = {"neurons": 3, "video_height": 5, "video_width": 7, "lags": (-1, 4), "dropout": 0.0}
    torch.manual_seed(0)
    positions = torch.tensor([[1.25, 2.5], [0.0, 0.0], [4.0, 6.0]])
    return ConvolutionalNetwork(ConvolutionalConfig(**(sizes | changes)), positions).eval()


def test_before_training_the_movie_is_that_of_ridge() -> None:
    ridge = torch.randn(2, 9, 5, 7)
    torch.testing.assert_close(network()(torch.randn(2, 3, 9), ridge), ridge)


def test_a_neuron_is_shared_among_the_four_cells_around_it() -> None:
    responses = torch.zeros(1, 3, 4)
    responses[0, 0, 2] = 1
    laid = network()._lay(responses)[0, :, 2].detach().reshape(-1, 5, 7)
    share = laid / network().weight[0].detach()[:, None, None]
    expected = torch.zeros(5, 7)
    expected[1, 2], expected[1, 3], expected[2, 2], expected[2, 3] = 0.375, 0.375, 0.125, 0.125
    torch.testing.assert_close(share, expected.expand_as(share))


def test_a_frame_sees_responses_at_its_lags_alone() -> None:
    made = network(blocks=1, temporal_kernel=1)
    torch.nn.init.normal_(made.head.weight)
    responses = torch.randn(1, 3, 20, requires_grad=True)
    made(responses, torch.zeros(1, 20, 5, 7))[0, 8].sum().backward()
    assert responses.grad is not None
    assert responses.grad[0].abs().sum(dim=0).nonzero().flatten().tolist() == list(range(7, 13))


def test_cross_fitted_movies_are_those_of_a_regression_without_the_trial(trials: list[nr.Trial]) -> None:
    fit = ridge_of(trials)
    movies = fit.cross_fitted(trials, progress=False)
    features, ridge = fit.decoder.features, fit.decoder.penalty * fit.moments.problem.feature_variance
    x = [features.of(trial).double().numpy() for trial in trials]
    y = [trial.needs_video().reshape(60, -1).astype(np.float64) for trial in trials]
    others_x, others_y = np.concatenate(x[1:]), np.concatenate(y[1:])
    mean_x, mean_y = others_x.mean(axis=0), others_y.mean(axis=0)
    gram = (others_x - mean_x).T @ (others_x - mean_x) + ridge * np.eye(others_x.shape[1])
    weights = np.linalg.solve(gram, (others_x - mean_x).T @ (others_y - mean_y))
    expected = np.clip((x[0] - mean_x) @ weights + mean_y, 0, 255).reshape(60, *SIZE)
    np.testing.assert_allclose(movies[0], expected, atol=0.05)
    assert np.abs(movies[0] - fit.decoder.movie(trials[0])).max() > 1


def test_it_learns_what_ridge_cannot(decoder: nr.ConvolutionalDecoder) -> None:
    (trial,) = loud_and_signed(1, seed=1)
    truth = trial.needs_video()
    found, ridge = nr.decode(decoder, trial), nr.decode(decoder.ridge, trial)
    assert nr.video_correlation(truth, found) > nr.video_correlation(truth, ridge) + 0.03
    best = min(row["validation_error"] for row in decoder.log)
    assert best < 0.95 * decoder.log[0]["validation_error"]
    assert f"{best:.1f} grey levels" in repr(decoder)


def test_it_is_never_worse_than_ridge_on_validation_trials(trials: list[nr.Trial], monkeypatch: Any) -> None:
    monkeypatch.setattr(convolutional_fit, "LEARNING_RATE", 0.3)
    wild = nr.fit_decoder(trials[:6], kind="convolutional", validation=trials[6:], steps=25, **QUIET)
    for trial in trials[6:]:
        errors = [np.square(nr.decode(each, trial) - trial.needs_video()).mean() for each in (wild, wild.ridge)]
        assert errors[0] <= errors[1] + 1e-3


def test_errors_on_validation_trials_are_described(trials: list[nr.Trial]) -> None:
    made = nr.fit_decoder(trials[:6], kind="convolutional", validation=trials[6:], steps=25, **QUIET)
    errors = np.concatenate([(t.needs_video() - nr.decode(made, t)).reshape(60, -1) for t in trials[6:]]).astype(float)
    assert made.residual_covariance is not None
    np.testing.assert_allclose(made.residual_covariance, errors.T @ errors / len(errors), rtol=1e-3, atol=0.5)
    assert made.residual_autocorrelation[0] == pytest.approx(1)


def test_encoders_say_where_neurons_look(trials: list[nr.Trial]) -> None:
    model = nr.fit_encoder(trials, seed=0, recipe={"epochs": 1, "batches_per_epoch": 1}, progress=False)
    centers = model.receptive_field_centers()
    assert centers is not None and centers.shape == (48, 2)
    made = nr.fit_decoder(trials, kind="convolutional", encoders=model, steps=1, **QUIET)
    rows = centers[:, 0] * made.network.config.grid[0] - 0.5
    np.testing.assert_allclose(made.network.positions.detach()[:, 0], rows, atol=0.05)


def test_a_file_gives_the_same_decoder(
    decoder: nr.ConvolutionalDecoder, trials: list[nr.Trial], tmp_path: Path
) -> None:
    file = decoder.save(tmp_path / "decoder.safetensors")
    for loaded in (nr.load_decoder(file), nr.ConvolutionalDecoder.load(file)):
        np.testing.assert_array_equal(nr.decode(loaded, trials[0]), nr.decode(decoder, trials[0]))
        assert repr(loaded) == repr(decoder)
    ridge = decoder.ridge.save(tmp_path / "ridge.safetensors")
    assert isinstance(nr.load_decoder(ridge), nr.RidgeDecoder)
    with pytest.raises(nr.InputError, match="holds neuroreel ridge decoder"):
        nr.ConvolutionalDecoder.load(ridge)
    with pytest.raises(nr.InputError, match=r"decoder\.safetensors"):
        decoder.save(file)


def test_long_trials_are_decoded_in_pieces(decoder: nr.ConvolutionalDecoder, monkeypatch: Any) -> None:
    (trial,) = loud_and_signed(1, frames=90, seed=2)
    whole = nr.decode(decoder, trial)
    monkeypatch.setattr(convolutional, "CHUNK_FRAMES", 17)
    np.testing.assert_allclose(nr.decode(decoder, trial), whole, atol=1e-3)


def test_a_killed_training_resumes(trials: list[nr.Trial], tmp_path: Path, monkeypatch: Any) -> None:
    settings: dict[str, Any] = {"kind": "convolutional", "steps": 30, **QUIET}
    whole = nr.fit_decoder(trials[:5], **settings)
    step, count = convolutional_fit._step, []

    def killed(*given: Any, **told: Any) -> float:
        count.append(1)
        if len(count) > 27:
            raise KeyboardInterrupt
        return step(*given, **told)

    monkeypatch.setattr("neuroreel.snapshot.EVERY_S", 0.0)
    monkeypatch.setattr(convolutional_fit, "_step", killed)
    file = tmp_path / "training.checkpoint"
    with pytest.raises(KeyboardInterrupt):
        nr.fit_decoder(trials[:5], checkpoint=file, **settings)
    assert file.exists()
    with pytest.raises(nr.InputError, match="other settings, data or models"):
        nr.fit_decoder(trials[:6], checkpoint=file, **settings)
    monkeypatch.setattr(convolutional_fit, "_step", step)
    resumed = nr.fit_decoder(trials[:5], checkpoint=file, **settings)
    assert not file.exists()
    for name, weight in whole.network.state_dict().items():
        torch.testing.assert_close(resumed.network.state_dict()[name], weight, rtol=0, atol=0)


def test_simulated_trials_join_the_training(trials: list[nr.Trial]) -> None:
    model = nr.fit_encoder(trials, seed=0, recipe={"epochs": 1, "batches_per_epoch": 2}, progress=False)
    quiet = nr.Compute(progress=False)
    posterior = nr.fit_posterior(model, trials, factors=1, compute=quiet)
    shown = [trial.replace(responses=None) for trial in loud_and_signed(2, seed=3)]
    pairs = nr.simulate_responses(posterior, shown, seed=1, compute=quiet)
    again = nr.simulate_responses(posterior, shown, seed=1, compute=quiet)
    for pair, other, trial in zip(pairs, again, shown, strict=True):
        np.testing.assert_array_equal(pair.needs_video(), trial.needs_video())
        np.testing.assert_array_equal(pair.needs_responses(), other.needs_responses())
    expected = posterior.noise.expected(torch.from_numpy(nr.predict(model, shown[0])))
    residual = torch.from_numpy(pairs[0].needs_responses()).sqrt() - expected.clamp_min(0)
    found = residual[:, 15:].std(dim=1).mean() / posterior.noise.deviation.mean()
    assert 0.5 < found < 1.5
    plain = nr.fit_decoder(trials[:5], kind="convolutional", steps=2, **QUIET)
    more = nr.fit_decoder(trials[:5], kind="convolutional", steps=2, simulated=pairs, **QUIET)
    assert plain.log[-1]["training_error"] != more.log[-1]["training_error"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kind": "deep"}, "'ridge' or 'convolutional'"),
        ({"kind": "ridge", "steps": 10}, "steps are for training a network; pass kind='convolutional'"),
        ({"kind": "convolutional", "steps": 0}, "steps is 0"),
        ({"kind": "convolutional", "simulated": "other size"}, "simulated trials"),
        ({"kind": "convolutional", "validation": "other neurons"}, "validation trials"),
        ({"kind": "convolutional", "device": "abacus"}, "abacus"),
    ],
)
def test_bad_input(trials: list[nr.Trial], options: dict[str, Any], message: str) -> None:
    others = {
        "other size": [trials[0].replace(video=np.zeros((60, 4, 4), np.float32))],
        "other neurons": [trials[0].replace(responses=np.ones((3, 60), np.float32))],
    }
    given: Any = {
        name: others.get(value, value) if isinstance(value, str) else value for name, value in options.items()
    }
    with pytest.raises(nr.NeuroreelError, match=message):
        nr.fit_decoder(trials, **QUIET, **given)


def test_one_movie_leaves_none_to_validate(trials: list[nr.Trial]) -> None:
    with pytest.raises(nr.InputError, match="validation trials"):
        nr.fit_decoder([trials[0], trials[0]], kind="convolutional", penalties=10.0, progress=False)

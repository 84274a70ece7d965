"""The published method on a toy: invariances, what may and may not influence a movie, what is recorded, the rule."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import neuroreel as nr
from neuroreel.bauer_2026.optimizer import PublishedMomentum
from neuroreel.errors import InputError
from toy_encoder import ToyEncoder, toy_trials

QUIET = nr.Compute(device="cpu", progress=False)


@pytest.fixture(scope="module")
def model() -> ToyEncoder:
    return ToyEncoder(neurons=30)


@pytest.fixture(scope="module")
def trials(model: ToyEncoder) -> list[nr.Trial]:
    return toy_trials(model, 3)


def run(trials: Any, models: Any, **options: Any) -> Any:
    return nr.bauer_2026.reconstruct(
        trials, models, **({"iterations": 6, "record": "pass", "compute": QUIET} | options)
    )


def test_the_update_rule_step_by_step() -> None:
    """The first two steps by hand, of one pixel, with the published numbers."""
    movie = torch.full((1, 1, 1), 100.0)
    optimizer = PublishedMomentum([movie])
    moment, expected = 0.0, 100.0
    for number, gradient in enumerate((0.02, -0.01), start=1):
        movie.grad = torch.full_like(movie, gradient)
        optimizer.step()
        moment = 0.9 * moment + 0.1 * gradient
        rate = 1000 * number / 10
        once = 1 - 0.9 ** (number + 1)
        expected -= rate * (1 - 0.999 ** (number + 1)) ** 0.5 / once * moment / once
        assert movie.item() == pytest.approx(expected, rel=1e-6)
    movie.grad = torch.full_like(movie, 1e6)
    optimizer.step()
    assert movie.item() == 0


def test_the_update_rule_goes_on_from_its_state() -> None:
    gradients = torch.randn(6, 4, 2, 3, generator=torch.Generator().manual_seed(0))
    straight = torch.full((4, 2, 3), 127.5)
    whole = PublishedMomentum([straight])
    for gradient in gradients:
        straight.grad = gradient
        whole.step()
    movie = torch.full((4, 2, 3), 127.5)
    optimizer = PublishedMomentum([movie])
    for gradient in gradients[:3]:
        movie.grad = gradient
        optimizer.step()
    again = PublishedMomentum([movie])
    again.load_state_dict(optimizer.state_dict())
    for gradient in gradients[3:]:
        movie.grad = gradient
        again.step()
    assert torch.equal(movie, straight)


def test_several_trials_give_the_movies_of_each(model: ToyEncoder, trials: list[nr.Trial]) -> None:
    cut = trials[2].replace(video=trials[2].video[:25], responses=trials[2].responses[:, :25])
    together = run(iter([trials[0], cut]), model)
    assert [result.video.shape[0] for result in together] == [40, 25]
    for result, trial in zip(together, [trials[0], cut], strict=True):
        assert result.name == trial.name
        np.testing.assert_array_equal(result.video, run(trial, model).video)


def test_an_ensemble_of_equal_models_is_one_model(model: ToyEncoder, trials: list[nr.Trial]) -> None:
    np.testing.assert_allclose(run(trials[0], [model, model]).video, run(trials[0], model).video, atol=1e-3)


def test_ensemble_of_videos_is_their_mean(trials: list[nr.Trial]) -> None:
    models = [ToyEncoder(neurons=30, seed=seed) for seed in (0, 1)]
    both = run(trials[0], models, ensemble="videos")
    alone = [run(trials[0], each).video for each in models]
    np.testing.assert_allclose(both.video, np.mean(alone, axis=0), atol=1e-3)
    np.testing.assert_allclose(both.dataset["model_video"].values, alone, atol=1e-3)
    assert not np.allclose(both.video, run(trials[0], models).video, atol=0.5)


def test_the_true_movie_has_no_influence(model: ToyEncoder, trials: list[nr.Trial]) -> None:
    video = run(trials[0], model).video
    for other in (trials[0].replace(video=trials[1].video), trials[0].replace(video=None)):
        np.testing.assert_array_equal(run(other, model).video, video)


def test_ablated_neurons_have_no_influence_but_for_their_silence(model: ToyEncoder, trials: list[nr.Trial]) -> None:
    keep = np.arange(30) % 2 == 0
    responses = trials[0].responses.copy()
    responses[~keep] = responses[~keep][:, ::-1] * 3
    other = trials[0].replace(responses=responses)
    videos = {}
    for way in ("left_out", "silenced"):
        videos[way] = run(trials[0], model, neurons=keep, ablated=way).video
        np.testing.assert_array_equal(run(other, model, neurons=keep, ablated=way).video, videos[way])
    assert not np.allclose(videos["left_out"], videos["silenced"], atol=0.5)
    video = run(trials[0], model).video
    assert not np.allclose(video, videos["left_out"], atol=0.5)
    np.testing.assert_array_equal(run(trials[0], model, neurons=np.ones(30, bool)).video, video)


def test_behavior_that_the_model_does_not_use_is_ignored(model: ToyEncoder, trials: list[nr.Trial]) -> None:
    moving = trials[1].replace(behavior=np.ones((2, 40), np.float32))
    np.testing.assert_array_equal(run(moving, model).video, run(trials[1], model).video)


@pytest.mark.parametrize("any_length", [False, True])
def test_loss_falls_and_the_movie_is_found(any_length: bool) -> None:
    model = ToyEncoder(neurons=40, any_length=any_length)
    trial = toy_trials(model, 1, frames=60)[0]
    result = run(trial, model, learning_rate=100.0, iterations=30, record_every=1)
    loss = result.dataset["loss"].values
    assert loss[-1] < loss[0] and len(loss) == 30
    assert nr.video_correlation(trial.video, result.video) > 0.3
    assert result.dataset["video_correlation"].values[-1] > 0.3
    assert result.dataset["response_correlation"].values[-1] > 0.3


@pytest.mark.parametrize("record", ["published", "pass"])
def test_what_is_recorded_of_the_first_and_the_last_pass(
    record: str, model: ToyEncoder, trials: list[nr.Trial]
) -> None:
    trial = toy_trials(model, 1, frames=60)[0]
    result = run(trial, model, iterations=8, record=record, record_every=3)
    assert result.dataset["iteration"].values.tolist() == [0, 3, 6, 7]
    assert np.isnan(result.dataset["video_correlation"].values[0])  # grey correlates with nothing
    skip = 32 if record == "published" else 30
    expected = nr.video_correlation(trial.video, result.video, skip=skip)
    assert result.dataset["video_correlation"].values[-1] == pytest.approx(expected, abs=1e-5)
    difference = (trial.video - result.video)[skip:]
    assert result.dataset["video_rmse"].values[-1] == pytest.approx(np.sqrt(np.square(difference).mean()), rel=1e-4)


def test_result_has_everything(model: ToyEncoder, trials: list[nr.Trial]) -> None:
    mask = np.linspace(0, 1.5, 48).reshape(6, 8).astype(np.float32)
    result = run(trials[0], model, mask=mask, seed=5)
    assert result.video.shape == (40, 6, 8) and result.video.dtype == np.float32
    assert result.video.min() >= 0 and result.video.max() <= 255
    np.testing.assert_array_equal(result.truth, trials[0].video)
    np.testing.assert_array_equal(result.mask, mask)
    assert (result.dataset["start"].values == 127.5).all()
    shown = trials[0].replace(video=result.video)
    np.testing.assert_allclose(result.dataset["predicted"].values, nr.predict(model, shown), rtol=1e-4)
    np.testing.assert_allclose(result.dataset["predicted_truth"].values, nr.predict(model, trials[0]), rtol=1e-4)
    settings = result.settings
    assert settings["method"] == "bauer_2026" and settings["iterations"] == 6 and settings["neurons_kept"] == 30
    assert result.provenance["seed"] == 5


def test_mask_on_the_canvas_or_on_the_video_is_the_same(model: ToyEncoder, trials: list[nr.Trial]) -> None:
    on_canvas = np.random.default_rng(0).random((8, 8)).astype(np.float32)
    one, other = (
        run(trials[0], model, mask=mask, optimize_padding=False).video for mask in (on_canvas, on_canvas[1:-1])
    )
    np.testing.assert_array_equal(one, other)
    outside = on_canvas[1:-1] < 0.5
    first = run(trials[0], model, mask=on_canvas).video
    assert (first[:, outside] == 127.5).all() and (first[:, ~outside] != 127.5).any()


def test_a_precision_that_the_model_does_not_have_is_not_claimed(model: ToyEncoder, trials: list[nr.Trial]) -> None:
    asked = run(trials[0], model, compute=nr.Compute(device="cpu", precision="bfloat16", progress=False))
    assert asked.settings["precision"] == "float32"
    np.testing.assert_array_equal(asked.video, run(trials[0], model).video)


def test_models_are_left_as_they_were(trials: list[nr.Trial]) -> None:
    model = ToyEncoder(neurons=30).train()
    model.still = torch.nn.BatchNorm1d(3).eval()  # a part that its owner does not train
    model.still.requires_grad_(False)
    weights = {name: value.clone() for name, value in model.state_dict().items()}
    run(trials[0], model)
    assert model.training and not model.still.training
    assert model.filters.requires_grad and not any(weight.requires_grad for weight in model.still.parameters())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert all(torch.equal(value, weights[name]) for name, value in model.state_dict().items())


def test_models_of_two_kinds_make_videos_together_but_no_gradients(trials: list[nr.Trial]) -> None:
    models = [ToyEncoder(neurons=30), ToyEncoder(neurons=30, any_length=True)]
    with pytest.raises(InputError, match="ensemble='videos'"):
        run(trials[0], models)
    assert run(trials[0], models, ensemble="videos").dataset.sizes["model"] == 2
    wider = [models[0], ToyEncoder(neurons=30, border=2)]
    with pytest.raises(InputError, match="optimize_padding=False"):
        run(trials[0], wider)
    assert run(trials[0], wider, optimize_padding=False).video.shape == (40, 6, 8)

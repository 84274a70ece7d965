"""Reconstruction: invariances, what may and may not influence a movie, quality, refusals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import neuroreel as nr
from neuroreel.errors import InputError
from toy_encoder import ToyEncoder, toy_trials

MOUSE_1 = "dynamic29623-4-9-Video-9b4f6a1a067fe51e15306b9628efea20"
QUIET: dict[str, Any] = {"progress": False}
PRESETS = ("published", "default")


# --- invariances ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def model() -> ToyEncoder:
    return ToyEncoder(neurons=30)


@pytest.fixture(scope="module")
def trials(model: ToyEncoder) -> list[nr.Trial]:
    return toy_trials(model, 8)


@pytest.fixture(scope="module")
def decoder(trials: list[nr.Trial]) -> nr.RidgeDecoder:
    return nr.fit_decoder(trials[2:], progress=False)


def run(trials: Any, models: Any, **options: Any) -> Any:
    return nr.reconstruct(trials, models, **({"iterations": 6} | QUIET | options))


@pytest.mark.parametrize("preset", PRESETS)
def test_several_trials_at_once_give_the_same_movies(preset: str, model: ToyEncoder, trials: list[nr.Trial]) -> None:
    cut = trials[2].replace(video=trials[2].video[:25], responses=trials[2].responses[:, :25])
    together = run([trials[0], cut, trials[1]], model, preset=preset)
    assert [result.video.shape[0] for result in together] == [40, 25, 40]
    for result, trial in zip(together, [trials[0], cut, trials[1]], strict=True):
        assert result.name == trial.name
        np.testing.assert_allclose(result.video, run(trial, model, preset=preset).video, atol=0.01)


@pytest.mark.parametrize("preset", PRESETS)
def test_same_call_same_numbers(preset: str, model: ToyEncoder, trials: list[nr.Trial]) -> None:
    one, other = (run(trials[0], model, preset=preset).video for _ in range(2))
    np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("preset", PRESETS)
def test_windows_at_once_does_not_change_the_movie(preset: str, model: ToyEncoder, trials: list[nr.Trial]) -> None:
    one, other = (run(trials[0], model, preset=preset, windows_at_once=n).video for n in (1, 50))
    np.testing.assert_allclose(one, other, atol=0.01)


def test_an_ensemble_of_equal_models_is_one_model(model: ToyEncoder, trials: list[nr.Trial]) -> None:
    np.testing.assert_allclose(run(trials[0], [model, model]).video, run(trials[0], model).video, atol=1e-3)


def test_ensemble_of_videos_is_their_mean(trials: list[nr.Trial]) -> None:
    models = [ToyEncoder(neurons=30, seed=seed) for seed in (0, 1)]
    both = run(trials[0], models, ensemble="videos", preset="published")
    alone = [run(trials[0], each, preset="published").video for each in models]
    np.testing.assert_allclose(both.video, np.mean(alone, axis=0), atol=1e-3)
    np.testing.assert_allclose(both.dataset["model_video"].values, alone, atol=1e-3)
    assert not np.allclose(both.video, run(trials[0], models, preset="published").video, atol=0.5)


@pytest.mark.parametrize("preset", PRESETS)
def test_the_true_movie_has_no_influence(
    preset: str, model: ToyEncoder, trials: list[nr.Trial], decoder: nr.RidgeDecoder
) -> None:
    trial = trials[0]
    others = [trial.replace(video=trials[1].video), trial.replace(video=None)]
    video = run(trial, model, preset=preset, decoder=decoder).video
    for other in others:
        np.testing.assert_array_equal(run(other, model, preset=preset, decoder=decoder).video, video)


@pytest.mark.parametrize("preset", PRESETS)
def test_ablated_neurons_have_no_influence_unless_silenced(
    preset: str, model: ToyEncoder, trials: list[nr.Trial], decoder: nr.RidgeDecoder
) -> None:
    keep = np.arange(30) % 2 == 0
    responses = trials[0].responses.copy()
    responses[~keep] = responses[~keep][:, ::-1] * 3
    other = trials[0].replace(responses=responses)
    options: dict[str, Any] = {"preset": preset, "neurons": keep, "decoder": decoder, "ablated": "left_out"}
    video = run(trials[0], model, **options).video
    np.testing.assert_array_equal(run(other, model, **options).video, video)
    assert not np.allclose(run(trials[0], model, **{**options, "neurons": None}).video, video, atol=0.5)
    assert not np.allclose(run(trials[0], model, **options | {"ablated": "silenced"}).video, video, atol=0.5)


def test_all_neurons_kept_is_no_ablation(model: ToyEncoder, trials: list[nr.Trial], decoder: nr.RidgeDecoder) -> None:
    video = run(trials[0], model, decoder=decoder).video
    np.testing.assert_array_equal(run(trials[0], model, decoder=decoder, neurons=np.ones(30, bool)).video, video)


def test_behavior_that_the_model_does_not_use_is_ignored(model: ToyEncoder, trials: list[nr.Trial]) -> None:
    moving = trials[1].replace(behavior=np.ones((2, 40), np.float32))
    together = run([trials[0], moving], model)
    np.testing.assert_allclose(together[1].video, run(trials[1], model).video, atol=0.01)


# --- quality and results -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("any_length", [False, True])
def test_loss_falls_and_the_movie_is_found(preset: str, any_length: bool) -> None:
    model = ToyEncoder(neurons=40, any_length=any_length)
    trial = toy_trials(model, 1, frames=60)[0]
    changes: dict[str, Any] = {"learning_rate": 100.0} if preset == "published" else {"evidence_weight": 1.0}
    result = nr.reconstruct(trial, model, preset=preset, iterations=30, record_every=1, **changes, **QUIET)
    loss = result.dataset["loss"].values
    assert loss[-1] < loss[0]
    assert nr.video_correlation(trial.video, result.video) > 0.3
    history = result.dataset["video_correlation"].values
    assert history[-1] > 0.3
    assert result.dataset["response_correlation"].values[-1] > 0.3


def test_the_decoder_helps_the_default_preset(
    model: ToyEncoder, trials: list[nr.Trial], decoder: nr.RidgeDecoder
) -> None:
    with_decoder, without = run(trials[0], model, decoder=decoder), run(trials[0], model)
    ridge = nr.decode(decoder, trials[0])
    np.testing.assert_allclose(with_decoder.dataset["start"].values, ridge, atol=1e-3)
    scores = [nr.video_correlation(trials[0].video, video) for video in (with_decoder.video, without.video)]
    assert scores[0] > scores[1] > 0.1


def test_prior_of_movies_pulls_towards_grey_from_any_start(
    model: ToyEncoder, trials: list[nr.Trial], decoder: nr.RidgeDecoder
) -> None:
    result = run(trials[0], model, decoder=decoder, prior="movies", evidence_weight=0.0, iterations=40)
    np.testing.assert_allclose(result.video, 127.5, atol=1)


def test_result_has_everything(model: ToyEncoder, trials: list[nr.Trial]) -> None:
    mask = np.linspace(0, 1.5, 48).reshape(6, 8).astype(np.float32)
    result = run(trials[0], model, mask=mask, seed=5)
    assert result.video.shape == (40, 6, 8) and result.video.dtype == np.float32
    assert result.video.min() >= 0 and result.video.max() <= 255
    np.testing.assert_array_equal(result.truth, trials[0].video)
    np.testing.assert_array_equal(result.mask, mask)
    np.testing.assert_allclose(
        result.dataset["predicted"].values, nr.predict(model, trials[0].replace(video=result.video)), rtol=1e-4
    )
    np.testing.assert_allclose(result.dataset["predicted_truth"].values, nr.predict(model, trials[0]), rtol=1e-4)
    assert result.settings["iterations"] == 6 and result.settings["neurons_kept"] == 30
    assert result.dataset.sizes["iteration"] == 6


def test_mask_on_the_canvas_or_on_the_video_is_the_same(model: ToyEncoder, trials: list[nr.Trial]) -> None:
    on_canvas = np.random.default_rng(0).random((8, 8)).astype(np.float32)
    one, other = (run(trials[0], model, mask=mask).video for mask in (on_canvas, on_canvas[1:-1]))
    np.testing.assert_array_equal(one, other)
    outside = on_canvas[1:-1] < 0.5
    first = run(trials[0], model, mask=on_canvas, preset="published").video
    assert (first[:, outside] == 127.5).all() and (first[:, ~outside] != 127.5).any()


def test_a_prior_moves_pixels_outside_the_mask_and_nothing_else_does(
    model: ToyEncoder, trials: list[nr.Trial], decoder: nr.RidgeDecoder
) -> None:
    mask = np.zeros((6, 8), np.float32)
    mask[:3] = 1
    for settings, moved in (({}, True), ({"prior": "none", "learning_rate": 1e4}, False)):
        result = run(trials[0], model, mask=mask, decoder=decoder, **settings)
        change = abs(result.video - result.dataset["start"].values)
        assert (change[:, :3] > 0.1).mean() > 0.5
        assert (change[:, 3:] > 0.1).mean() > 0.5 if moved else not change[:, 3:].any()


def test_the_precision_recorded_is_the_one_that_was_used(model: ToyEncoder, trials: list[nr.Trial]) -> None:
    asked, plain = (run(trials[0], model, precision=precision) for precision in ("bfloat16", "float32"))
    assert asked.settings["precision"] == plain.settings["precision"] == "float32"
    np.testing.assert_array_equal(asked.video, plain.video)


def test_what_is_recorded_of_the_decoder_is_what_was_used(
    model: ToyEncoder, trials: list[nr.Trial], decoder: nr.RidgeDecoder
) -> None:
    ignorant = nr.fit_decoder(trials[:1], penalties=10, progress=False)  # nothing could be held out
    covariances = {
        "decoder": run(trials[0], model, decoder=decoder),
        "movies": run(trials[0], model, decoder=ignorant),
        "none": run(trials[0], model, decoder=decoder, preset="published"),
    }
    for expected, result in covariances.items():
        assert result.settings["prior_covariance"] == expected
        assert ("decoder" in result.provenance["hashes"]) == (expected != "none")
    hashes = [result.provenance["hashes"].get("decoder") for result in covariances.values()]
    assert hashes[0] != hashes[1]


def test_callbacks_and_stopping(model: ToyEncoder, trials: list[nr.Trial]) -> None:
    seen = []
    result = run(
        trials[0],
        model,
        iterations=50,
        record_every=1,
        callbacks=[lambda progress, fit: seen.append((progress.iteration, fit.loss.item()))],
        stopping=lambda progress: progress.iteration >= 4,
    )
    assert [iteration for iteration, _ in seen] == [0, 1, 2, 3]
    np.testing.assert_allclose(result.dataset["loss"].values, [loss for _, loss in seen], rtol=1e-6)


def test_models_are_left_as_they_were(trials: list[nr.Trial]) -> None:
    model = ToyEncoder(neurons=30).train()
    model.still = torch.nn.BatchNorm1d(3).eval()  # a part that its owner does not train
    model.still.requires_grad_(False)
    weights = {name: value.clone() for name, value in model.state_dict().items()}
    run(trials[0], model)
    nr.learn_mask(model, trials, steps=2, first_frame=0, progress=False)
    nr.predict(model, trials[0])
    nr.receptive_fields(model, size_px=4, progress=False)
    assert model.training and not model.still.training
    assert model.filters.requires_grad and not any(weight.requires_grad for weight in model.still.parameters())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert all(torch.equal(value, weights[name]) for name, value in model.state_dict().items())


def test_models_of_two_kinds_make_videos_together_but_no_gradients(trials: list[nr.Trial]) -> None:
    models = [ToyEncoder(neurons=30), ToyEncoder(neurons=30, any_length=True)]
    with pytest.raises(InputError, match="ensemble='videos'"):
        run(trials[0], models)
    assert run(trials[0], models, ensemble="videos").dataset.sizes["model"] == 2
    with pytest.raises(InputError, match="optimize_padding=False"):
        run(trials[0], [models[0], ToyEncoder(neurons=30, border=2)], preset="published")


def test_a_model_of_broken_weights_is_noticed(trials: list[nr.Trial]) -> None:
    model = ToyEncoder(neurons=30)
    with torch.no_grad():
        model.filters[0] = torch.nan
    with pytest.raises(InputError, match="NaN or infinite in pass 0"):
        run(trials[0], model, prior="none")

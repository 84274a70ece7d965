"""Reconstruction under the posterior: what may influence a movie, its quality, draws, what is returned."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import neuroreel as nr
from neuroreel.errors import InputError
from toy_encoder import ToyEncoder, toy_trials

QUIET = nr.Compute(progress=False, device="cpu")
FITTED = slice(4, None)  # the trials that the posterior is fitted to; the others are reconstructed


@pytest.fixture(scope="module")
def models() -> list[ToyEncoder]:
    return [ToyEncoder(neurons=30, any_length=True), ToyEncoder(neurons=30, any_length=True, seed=0)]


@pytest.fixture(scope="module")
def trials(models: list[ToyEncoder]) -> list[nr.Trial]:
    return toy_trials(models[0], 16)


@pytest.fixture(scope="module")
def posterior(models: list[ToyEncoder], trials: list[nr.Trial]) -> nr.Posterior:
    return nr.fit_posterior(models, trials[FITTED], factors=1, likelihood_weight=1.0, compute=QUIET)


def run(trials: Any, posterior: nr.Posterior, **options: Any) -> Any:
    return nr.reconstruct(trials, posterior, **({"passes": 8, "compute": QUIET} | options))


def score(trial: nr.Trial, video: np.ndarray) -> float:
    return nr.video_correlation(trial.needs_video(), video, skip=0)


def test_several_trials_give_the_same_movies_as_one_by_one(posterior: nr.Posterior, trials: list[nr.Trial]) -> None:
    cut = trials[2].replace(video=trials[2].video[:25], responses=trials[2].responses[:, :25])
    asked = [trials[0], cut, trials[1]]
    together = run(asked, posterior)
    for result, trial in zip(together, asked, strict=True):
        assert (result.name, result.video.shape[0]) == (trial.name, trial.frames)
        np.testing.assert_array_equal(result.video, run(trial, posterior).video)


def test_results_come_one_after_the_other(posterior: nr.Posterior, trials: list[nr.Trial]) -> None:
    opened = []

    class Lazy(list[nr.Trial]):
        def __getitem__(self, index: Any) -> Any:
            opened.append(index)
            return super().__getitem__(index)

    each = nr.reconstruct_each(Lazy(trials[:2]), posterior, passes=2, compute=QUIET)
    assert next(each).name == trials[0].name and next(each).name == trials[1].name


def test_the_same_call_gives_the_same_numbers(posterior: nr.Posterior, trials: list[nr.Trial]) -> None:
    one, other = (run(trials[0], posterior, samples=2, seed=3) for _ in range(2))
    np.testing.assert_array_equal(one.video, other.video)
    np.testing.assert_array_equal(one.samples, other.samples)
    assert (run(trials[0], posterior, samples=2, seed=4).samples != one.samples).any()


@pytest.mark.parametrize("any_length", [False, True])
def test_it_finds_the_movie(any_length: bool) -> None:
    model = ToyEncoder(neurons=60, any_length=any_length)
    trials = toy_trials(model, 16)
    posterior = nr.fit_posterior(model, trials[FITTED], factors=0, likelihood_weight=1.0, compute=QUIET)
    results = run(trials[:4], posterior, passes=40)
    found = [score(trial, result.video) for trial, result in zip(trials, results, strict=False)]
    assert np.mean(found) > 0.8
    for result in results:
        losses = result.dataset["loss"].values
        assert (np.diff(losses) <= 0).all() and result.dataset["iteration"].values[-1] <= 40


def test_more_passes_do_no_harm_and_any_start_leads_there(posterior: nr.Posterior, trials: list[nr.Trial]) -> None:
    decoder = nr.fit_decoder(trials[FITTED], progress=False)
    for trial in trials[:2]:
        few, many = (run(trial, posterior, passes=passes).video for passes in (30, 200))
        from_ridge = run(trial, posterior, passes=30, start=nr.decode(decoder, trial)).video
        assert score(trial, many) > score(trial, few) - 0.005
        assert abs(score(trial, few) - score(trial, from_ridge)) < 0.01
        assert np.corrcoef(few.ravel(), from_ridge.ravel())[0, 1] > 0.99


def test_an_ensemble_of_equal_models_is_one_model(
    posterior: nr.Posterior, models: list[ToyEncoder], trials: list[nr.Trial]
) -> None:
    single = nr.fit_posterior(models[:1], trials[FITTED], factors=1, likelihood_weight=1.0, compute=QUIET)
    both, one = (run(trials[0], each).video for each in (posterior, single))
    np.testing.assert_allclose(both, one, atol=0.1)


def test_the_true_movie_has_no_influence(posterior: nr.Posterior, trials: list[nr.Trial]) -> None:
    other = trials[0].replace(video=255 - trials[0].needs_video())
    unknown = trials[0].replace(video=None)
    expected = run(trials[0], posterior).video
    for trial in (other, unknown):
        np.testing.assert_array_equal(run(trial, posterior).video, expected)


def test_a_mask_has_no_influence_on_the_movie(posterior: nr.Posterior, trials: list[nr.Trial]) -> None:
    mask = np.zeros((6, 8), np.float32)
    mask[2:4, 2:6] = 1.5
    result = run(trials[0], posterior, mask=mask)
    np.testing.assert_array_equal(result.video, run(trials[0], posterior).video)
    np.testing.assert_array_equal(result.mask, mask)
    inside = nr.video_correlation(result.truth, result.video, mask=mask)
    assert result.dataset["video_correlation"].values[-1] == pytest.approx(inside, abs=1e-6)


def test_ablated_neurons_have_no_influence(posterior: nr.Posterior, trials: list[nr.Trial]) -> None:
    kept = np.arange(30) % 3 != 0
    responses = trials[0].needs_responses().copy()
    responses[~kept] = 50
    disturbed = trials[0].replace(responses=responses)
    one, other = (run(trial, posterior, neurons=kept) for trial in (trials[0], disturbed))
    np.testing.assert_array_equal(one.video, other.video)
    np.testing.assert_array_equal(one.neuron_mask, kept)
    assert (run(trials[0], posterior).video != one.video).any()


def test_fewer_neurons_tell_less(posterior: nr.Posterior, trials: list[nr.Trial]) -> None:
    few = np.arange(30) < 4
    every, some = (run(trials[:4], posterior, passes=30, samples=4, neurons=neurons) for neurons in (None, few))
    scores = [np.mean([score(t, r.video) for t, r in zip(trials, results, strict=False)]) for results in (every, some)]
    assert scores[0] > scores[1] + 0.1
    assert np.mean([r.deviation.mean() for r in every]) < np.mean([r.deviation.mean() for r in some])


def test_intervals_hold_the_truth_as_often_as_they_say(trials: list[nr.Trial]) -> None:
    """On movies drawn from a Gaussian, with responses drawn from the very models: every assumption holds."""
    model = ToyEncoder(neurons=40, any_length=True)
    held_out = toy_trials(model, 24, seed=5)
    posterior = nr.fit_posterior(model, held_out[6:], factors=0, likelihood_weight=1.0, compute=QUIET)
    held = []
    for trial in held_out[:6]:
        result = run(trial, posterior, passes=60, samples=8)
        held.append(np.abs(trial.needs_video() - result.video)[2:] < result.deviation[2:])
    assert 0.6 < np.mean(held) < 0.8


def test_samples_scatter_as_the_deviation_says(posterior: nr.Posterior, trials: list[nr.Trial]) -> None:
    result = run(trials[0], posterior, samples=6)
    assert result.samples.shape == (6, *result.video.shape) and result.samples.dtype == np.float32
    scatter = np.sqrt(np.mean(np.square(result.samples - result.video)))
    assert scatter == pytest.approx(np.sqrt(np.mean(np.square(result.deviation))), rel=0.02)
    assert run(trials[0], posterior).samples is None and run(trials[0], posterior).deviation is None


def test_the_result_has_everything(posterior: nr.Posterior, models: list[ToyEncoder], trials: list[nr.Trial]) -> None:
    result = run(trials[0], posterior, samples=2)
    np.testing.assert_array_equal(result.truth, trials[0].video)
    np.testing.assert_allclose(
        result.dataset["predicted"], nr.predict(models, trials[0].replace(video=result.video)), rtol=1e-4, atol=1e-5
    )
    assert result.settings["method"] == "posterior" and result.settings["models"] == 2
    assert result.settings["passes"] <= 8 and result.settings["likelihood_weight"] == 1.0
    assert result.provenance["hashes"]["models"].count(",") == 1


def test_a_result_is_saved_with_its_samples(posterior: nr.Posterior, trials: list[nr.Trial], tmp_path: Path) -> None:
    result = run(trials[0], posterior, samples=2)
    loaded = nr.Reconstruction.load(result.save(tmp_path / "result.nc"))
    np.testing.assert_array_equal(loaded.samples, result.samples)
    np.testing.assert_array_equal(loaded.deviation, result.deviation)


def test_models_are_left_as_they_were(posterior: nr.Posterior, trials: list[nr.Trial]) -> None:
    model = posterior.models[0]
    model.train()
    before = [weight.requires_grad for weight in model.parameters()]
    run(trials[0], posterior, passes=2, samples=1)
    assert model.training and [weight.requires_grad for weight in model.parameters()] == before
    model.eval()


def test_validation_trials_make_the_noise_honest(models: list[ToyEncoder], trials: list[nr.Trial]) -> None:
    """Of noisier trials than those of the fit the noise grows and the explained share falls, and the repr says so."""
    rng = np.random.default_rng(0)
    noisy = [each.replace(responses=each.needs_responses() * rng.gamma(2, 0.5, (30, 40))) for each in trials[:4]]
    plain = nr.fit_posterior(models, trials[FITTED], compute=QUIET)
    checked = nr.fit_posterior(models, trials[FITTED], validation=noisy, compute=QUIET)
    assert checked.noise.deviation.mean() > plain.noise.deviation.mean()
    assert checked.noise.explained.mean() < plain.noise.explained.mean()
    assert "on validation trials" in repr(checked) and "by how much is unknown without training logs" in repr(plain)


def test_the_repr_says_how_optimistic_noise_of_training_trials_is(trials: list[nr.Trial]) -> None:
    models = [ToyEncoder(neurons=30, seed=seed) for seed in (0, 1)]
    here = nr.encoder_correlation(models, trials[FITTED])
    for model in models:
        model.training_log = [{"validation_correlation": value} for value in (None, 0.1, 0.3)]
    growth = nr.fit_posterior(models, trials[FITTED], compute=QUIET).facts["noise_growth"]
    assert growth == pytest.approx((1 - 0.3**2) / (1 - here**2), rel=0.02)
    assert f"the noise is {growth:.2f} times as large" in repr(nr.fit_posterior(models, trials[FITTED], compute=QUIET))


def test_a_movie_prior_of_ones_own_is_used(models: list[ToyEncoder], trials: list[nr.Trial]) -> None:
    natural = nr.MoviePrior.natural(height=6, width=8, frame_rate_hz=30)
    posterior = nr.fit_posterior(models, trials[FITTED], movie_prior=natural, likelihood_weight=1.0, compute=QUIET)
    assert posterior.movie_prior is natural and "natural movies in general" in repr(posterior)
    assert score(trials[0], run(trials[0], posterior, passes=30).video) > 0.5


def test_a_posterior_is_kept_in_a_folder(tmp_path: Path) -> None:
    from experiment_mice import make_mice

    make_mice(tmp_path)
    recording = nr.open_recording(tmp_path / "mouse_a")
    model = nr.load_encoder(tmp_path / "models" / "mouse_a" / "encoder_0.safetensors")
    posterior = nr.fit_posterior(model, recording.select("fold_1", "fold_2"), compute=QUIET)
    loaded = nr.load_posterior(posterior.save(tmp_path / "posterior"))
    assert repr(loaded) == repr(posterior)
    trial = recording.select("fold_0")[0]
    np.testing.assert_array_equal(run(trial, loaded).video, run(trial, posterior).video)
    with pytest.raises(InputError, match="already exists"):
        posterior.save(tmp_path / "posterior")
    with pytest.raises(InputError, match="holds its encoding models; leave out models"):
        nr.load_posterior(tmp_path / "posterior", models=model)


def test_a_posterior_of_models_without_a_file_format(
    posterior: nr.Posterior, models: list[ToyEncoder], trials: list[nr.Trial], tmp_path: Path
) -> None:
    folder = posterior.save(tmp_path / "posterior")
    assert not list(folder.glob("encoder*"))
    loaded = nr.load_posterior(folder, models=posterior.models)
    np.testing.assert_array_equal(run(trials[0], loaded).video, run(trials[0], posterior).video)
    with pytest.raises(InputError, match=r"holds no encoding models.* as models="):
        nr.load_posterior(folder)
    with pytest.raises(InputError, match=r"not the encoding models that .* was fitted to"):
        nr.load_posterior(folder, models=[*posterior.models, models[0]])


def test_a_posterior_shows_itself(posterior: nr.Posterior) -> None:
    figure = posterior.plot()
    assert len(figure.axes) >= 4 and all(ax.has_data() or not ax.axison for ax in figure.axes)
    assert "<b>Posterior</b>" in posterior._repr_html_()


def test_weights_that_are_nan_are_noticed(models: list[ToyEncoder], trials: list[nr.Trial]) -> None:
    broken = ToyEncoder(neurons=30, any_length=True)
    with torch.no_grad():
        broken.filters[0, 0, 0] = torch.nan
    with pytest.raises(InputError, match="NaN or infinite"):
        nr.fit_posterior(broken, trials[FITTED], compute=QUIET)


def test_the_posteriors_mask_is_where_the_filters_are(posterior: nr.Posterior, trials: list[nr.Trial]) -> None:
    """Information of a pixel against the filters themselves; other movies and draws give the same mask."""
    model = ToyEncoder(neurons=30, any_length=True)
    with torch.no_grad():
        model.filters[:, :, 4:] *= 0.05  # nobody sees the right half
    seen = nr.fit_posterior(model, toy_trials(model, 12, frames=60), factors=0, compute=QUIET)
    one, other = (nr.posterior_mask(seen, trials, movies=6, seed=seed, compute=QUIET) for seed in (0, 1))
    assert one.shape == (6, 8) and (one[:, :3] >= 1).mean() > 0.8 and not (one[:, 5:] >= 1).any()
    assert np.corrcoef(one.ravel(), other.ravel())[0, 1] > 0.95
    with pytest.raises(InputError, match="no trials"):
        nr.posterior_mask(seen, [], compute=QUIET)
    alone, listed = (nr.posterior_mask(seen, given, compute=QUIET) for given in (trials[0], trials[:1]))
    np.testing.assert_array_equal(alone, listed)

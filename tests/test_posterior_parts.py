"""Spectra, movie prior, noise model, objective, search and draws, each against an independent computation."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.fft import dct

from neuroreel.errors import InputError
from neuroreel.posterior.linearized import Linearized, scale_and_first_step
from neuroreel.posterior.movie_prior import MoviePrior, fit_movie_prior
from neuroreel.posterior.noise import NoiseModel, NoisePrecision, fit_noise
from neuroreel.posterior.objective import Objective, Whitened
from neuroreel.posterior.prediction import ensemble_responses, window_starts
from neuroreel.posterior.samples import draw, solve
from neuroreel.posterior.search import Progress, search
from neuroreel.posterior.spectra import cosine_basis, mean_power, resampled, smoothed
from neuroreel.recordings.trial import Trial
from toy_encoder import ToyEncoder

NEURONS, FRAMES, HEIGHT, WIDTH = 6, 20, 6, 8


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def noise_model(neurons: int = NEURONS, factors: int = 2, bins: int = FRAMES) -> NoiseModel:
    falling = 1 / (1 + torch.arange(bins) / 3)
    shared = torch.stack([falling, falling.flip(0)])[:factors]
    return NoiseModel(
        gain=0.8 + 0.1 * normal(neurons, seed=1),
        offset=0.1 * normal(neurons, seed=2),
        loadings=0.5 * normal(neurons, factors, seed=3),
        factor_power=shared / shared.mean(dim=1, keepdim=True),
        private_power=(0.2 + normal(neurons, 1, seed=4).square()) * falling,
        explained=torch.full((neurons,), 0.3),
    )


def small_noise() -> NoiseModel:
    """So that responses tell much of a movie."""
    noise = noise_model()
    return replace(noise, loadings=0.03 * noise.loadings, private_power=0.001 * noise.private_power)


def covariance(noise: NoiseModel, frames: int) -> torch.Tensor:
    """Dense (neurons x frames, neurons x frames), put together entry by entry from the definition."""
    basis = cosine_basis(frames).double()
    whole = torch.zeros(noise.neurons, frames, noise.neurons, frames, dtype=torch.float64)
    for frequency in range(frames):
        across = (
            noise.loadings.double() @ torch.diag(noise.factor_power[:, frequency].double()) @ noise.loadings.T.double()
        )
        across = across + torch.diag(noise.private_power[:, frequency].double())
        wave = basis[frequency]
        whole += torch.einsum("nm,s,t->nsmt", across, wave, wave)
    return whole.reshape(noise.neurons * frames, -1)


@pytest.mark.parametrize("frames", [1, 2, 7, 30])
def test_the_cosine_transform_is_scipys(frames: int) -> None:
    signal = normal(3, frames)
    np.testing.assert_allclose(signal @ cosine_basis(frames).T, dct(signal.numpy(), norm="ortho"), atol=1e-5)
    np.testing.assert_allclose(cosine_basis(frames) @ cosine_basis(frames).T, np.eye(frames), atol=1e-5)


@given(bins=st.integers(1, 60), others=st.integers(1, 60))
@settings(max_examples=40, deadline=None)
def test_smoothing_and_resampling_keep_a_flat_spectrum(bins: int, others: int) -> None:
    flat = torch.full((2, bins), 3.0)
    torch.testing.assert_close(smoothed(flat), flat)
    torch.testing.assert_close(resampled(flat, others), torch.full((2, others), 3.0))


def test_smoothing_widens_with_frequency() -> None:
    power = torch.zeros(100)
    power[[2, 60]] = 1
    assert smoothed(power)[2] == 1
    assert torch.count_nonzero(smoothed(power)[40:]) > 10


def test_power_of_trials_of_several_lengths_is_that_of_white_noise() -> None:
    power = mean_power([normal(4, frames, seed=frames) for frames in (80, 100, 100, 90)] * 20, bins=100)
    assert power.mean() == pytest.approx(1, rel=0.1)


def small_movies(count: int = 8) -> list[Trial]:
    rng = np.random.default_rng(0)
    drift = np.cumsum(rng.normal(0, 8, (count, FRAMES, HEIGHT, WIDTH)), axis=1)
    return [Trial(video=(127.5 + each).clip(0, 255).astype(np.float32), frame_rate_hz=30) for each in drift]


def test_the_movie_prior_has_the_movies_mean_and_variance() -> None:
    trials = small_movies()
    prior = fit_movie_prior(trials)
    frames = np.concatenate([trial.needs_video() for trial in trials])
    np.testing.assert_allclose(prior.mean, frames.mean(axis=0), atol=1e-3)
    images = prior.components.flatten(1)
    torch.testing.assert_close(images @ images.T, torch.eye(len(images)), atol=1e-4, rtol=0)
    # what was drawn from the prior varies as the movies do: summed over pixels, within the half percent left out
    assert prior.power.mean(dim=1).sum() == pytest.approx(frames.var(axis=0).sum(), rel=0.02)


def test_slow_components_have_slow_spectra() -> None:
    time = np.arange(FRAMES)
    slow, fast = np.cos(np.pi * (time + 0.5) / FRAMES), np.cos(np.pi * 15 * (time + 0.5) / FRAMES)
    video = np.full((FRAMES, HEIGHT, WIDTH), 127.5)
    video[:, :, :4] += 60 * slow[:, None, None]
    video[:, :, 4:] += 30 * fast[:, None, None]
    prior = fit_movie_prior([Trial(video=video, frame_rate_hz=30)])
    assert int(prior.power[0].argmax()) == 1 and 13 <= int(prior.power[1].argmax()) <= 17


def test_coordinates_and_movies_are_inverse() -> None:
    prior = fit_movie_prior(small_movies())
    whitened = Whitened.of_prior(prior, FRAMES)
    z = normal(*whitened.deviation.shape)
    torch.testing.assert_close(whitened.of(whitened.movie(z)), z, atol=1e-2, rtol=1e-3)


def test_a_natural_prior_falls_with_frequency() -> None:
    prior = MoviePrior.natural(height=9, width=16, frame_rate_hz=30)
    assert (prior.power[0, 1:].diff() <= 0).all() and (prior.power.sum(dim=1).diff() <= 1e-3).all()
    assert prior.power.mean(dim=1).sum() / (9 * 16) == pytest.approx(55**2, rel=0.05)


@pytest.mark.parametrize("factors", [0, 1, 2])
def test_the_precision_is_the_inverse_of_the_covariance(factors: int) -> None:
    noise = noise_model(factors=factors)
    residual = normal(NEURONS, FRAMES, seed=9)
    expected = torch.linalg.solve(covariance(noise, FRAMES), residual.double().flatten())
    found = NoisePrecision(noise, FRAMES).apply(residual)
    np.testing.assert_allclose(found.flatten(), expected, rtol=1e-3, atol=1e-4)


def test_samples_of_the_noise_have_its_covariance() -> None:
    noise = noise_model(neurons=3, bins=5)
    precision, generator = NoisePrecision(noise, 5), torch.Generator().manual_seed(0)
    drawn = torch.stack([precision.sample(generator).flatten() for _ in range(20_000)]).double()
    dense = covariance(noise, 5)
    np.testing.assert_allclose(drawn.T @ drawn / len(drawn), dense, atol=0.05 * float(dense.max()))


def test_a_subset_of_neurons_has_its_part_of_the_covariance() -> None:
    noise, chosen = noise_model(), torch.tensor([True, False, True, True, False, True])
    part = covariance(noise, FRAMES).reshape(NEURONS, FRAMES, NEURONS, FRAMES)[chosen][:, :, chosen]
    np.testing.assert_allclose(covariance(noise.select(chosen), FRAMES), part.reshape(4 * FRAMES, -1), atol=1e-6)


def test_the_noise_is_found_again() -> None:
    """Of responses made from the model: gains, shared and private variances and spectra come back."""
    neurons, frames = 40, 200
    true = noise_model(neurons=neurons, bins=frames)
    precision, generator = NoisePrecision(true, frames), torch.Generator().manual_seed(0)
    predicted = [1 + normal(neurons, frames, seed=100 + trial).square() for trial in range(40)]
    recorded = [true.gain[:, None] * m + true.offset[:, None] + precision.sample(generator) for m in predicted]
    found = fit_noise(recorded, predicted, factors=2, warmup=0, seed=0)
    np.testing.assert_allclose(found.gain, true.gain, atol=0.06)
    np.testing.assert_allclose(found.loadings @ found.loadings.T, true.loadings @ true.loadings.T, atol=0.25)
    np.testing.assert_allclose(found.deviation, true.deviation, rtol=0.1)
    falling = true.private_power[0] / true.private_power[0].mean()
    np.testing.assert_allclose(found.private_power.mean(dim=0) / found.private_power.mean(), falling, rtol=0.3)


def test_held_out_trials_rescale_gain_and_noise() -> None:
    neurons, frames = 40, 200
    predicted = [1 + normal(neurons, frames, seed=trial).square() for trial in range(10)]
    recorded = [m + 0.5 * normal(neurons, frames, seed=50 + trial) for trial, m in enumerate(predicted)]
    noise = fit_noise(recorded, predicted, factors=0, warmup=0, seed=0)
    worse = [0.8 * m + normal(neurons, frames, seed=90 + trial) for trial, m in enumerate(predicted)]
    rescaled = noise.rescaled(worse, predicted, warmup=0)
    assert rescaled.held_out and not noise.held_out
    assert float(rescaled.gain.mean()) == pytest.approx(0.8, abs=0.02)
    assert float(rescaled.deviation.mean()) == pytest.approx(1.0, abs=0.02)
    assert float(rescaled.explained.mean()) < float(noise.explained.mean())


def test_frames_that_warm_up_say_nothing_of_how_large_the_noise_is() -> None:
    predicted = [1 + normal(5, 40, seed=trial).square() for trial in range(60)]
    recorded = [m + normal(5, 40, seed=90 + trial) for trial, m in enumerate(predicted)]
    noise = fit_noise(recorded, predicted, factors=1, warmup=20, seed=0)
    assert float(noise.deviation.mean()) == pytest.approx(1.0, abs=0.03)


def test_a_neuron_that_never_varies_has_no_noise() -> None:
    predicted = [1 + normal(5, 100, seed=trial).square() for trial in range(5)]
    recorded = [m + normal(5, 100, seed=50 + trial) for trial, m in enumerate(predicted)]
    for each in recorded:
        each[2] = 0.7
    noise = fit_noise(recorded, predicted, factors=1, warmup=0, seed=0)
    assert (noise.deviation > 0).tolist() == [True, True, False, True, True]
    assert noise.explained[2] == 0
    assert all(torch.isfinite(value).all() for value in vars(noise).values() if isinstance(value, torch.Tensor))


@pytest.mark.parametrize("level", [0.0, 0.7])
def test_a_neuron_that_is_silent_in_held_out_trials_is_not_explained(level: float) -> None:
    predicted = [1 + normal(5, 100, seed=trial).square() for trial in range(6)]
    recorded = [m + 0.5 * normal(5, 100, seed=50 + trial) for trial, m in enumerate(predicted)]
    for each in recorded[4:]:
        each[2] = level
    noise = fit_noise(recorded[:4], predicted[:4], factors=1, warmup=0, seed=0)
    explained = noise.rescaled(recorded[4:], predicted[4:], warmup=0).explained
    assert explained[2] == 0 and float(explained.min()) >= 0


@given(frames=st.integers(8, 60))
@settings(max_examples=30, deadline=None)
def test_windows_cover_every_frame(frames: int) -> None:
    covered = {frame for start in window_starts(frames, 8) for frame in range(start, start + 8)}
    assert covered == set(range(frames)) and len(window_starts(frames, 8)) == -(-frames // 8)


def problem(
    *,
    any_length: bool = True,
    keep_graphs: bool = True,
    kept: torch.Tensor | None = None,
    disturbed: torch.Tensor | None = None,
) -> Objective:
    """A toy encoder of movies that stay far from black and white, with the noise above."""
    model = ToyEncoder(neurons=NEURONS, any_length=any_length)
    prior = fit_movie_prior(small_movies())
    responses = normal(NEURONS, FRAMES, seed=5).square() + 1
    if disturbed is not None:
        responses[disturbed] += 100
    return Objective(
        models=[model, ToyEncoder(neurons=NEURONS, any_length=any_length, seed=1)],
        whitened=Whitened.of_prior(replace(prior, power=prior.power / 20), FRAMES),
        noise=small_noise(),
        kept=torch.ones(NEURONS, dtype=torch.bool) if kept is None else kept,
        responses=responses,
        covariates=torch.zeros(0, FRAMES),
        warmup=2,
        likelihood_weight=0.7,
        keep_graphs=keep_graphs,
    )


def start_of(objective: Objective) -> torch.Tensor:
    return 0.3 * normal(*objective.whitened.deviation.shape, seed=8)


def test_the_objective_is_the_dense_gaussian() -> None:
    """Value against the definition, with covariances formed; gradient against automatic differentiation of that."""
    objective = problem()
    z = start_of(objective).double().requires_grad_()
    video = objective.whitened.movie(z.float())
    predicted = torch.stack(
        [
            model.window_responses(model.assemble(model.canvas.place(video)[None], torch.zeros(1, 0, FRAMES)))[0]
            for model in objective.models
        ]
    ).mean(dim=0)
    residual = objective.roots - objective.noise.gain[:, None] * predicted.sqrt() - objective.noise.offset[:, None]
    residual = torch.cat([torch.zeros(NEURONS, 2), residual[:, 2:]], dim=1).double().flatten()
    likelihood = residual @ torch.linalg.solve(covariance(objective.noise, FRAMES), residual)
    expected = 0.5 * 0.7 * likelihood + 0.5 * z.square().sum()
    (gradient,) = torch.autograd.grad(expected, z)
    value, found = objective(z.detach().float())
    assert float(value) == pytest.approx(expected.item(), rel=1e-4)
    torch.testing.assert_close(found, gradient.float(), rtol=1e-3, atol=1e-3)


def test_ablated_neurons_leave() -> None:
    """What they did does not matter, and the others' noise is theirs alone."""
    kept = torch.tensor([True, True, False, True, False, True])
    objective, disturbed = problem(kept=kept), problem(kept=kept, disturbed=~kept)
    z = start_of(objective)
    value, gradient = objective(z)
    assert torch.equal(value, disturbed(z)[0]) and torch.equal(gradient, disturbed(z)[1])
    residual = objective.residual(z).detach().double().flatten()
    expected = 0.5 * 0.7 * residual @ torch.linalg.solve(covariance(small_noise().select(kept), FRAMES), residual)
    assert float(value) == pytest.approx(float(expected) + 0.5 * float(z.square().sum()), rel=1e-4)


def test_windows_computed_twice_give_the_same() -> None:
    once, twice = problem(any_length=False), problem(any_length=False, keep_graphs=False)
    (value, gradient), (again, gradient_again) = once(start_of(once)), twice(start_of(twice))
    assert value == again
    torch.testing.assert_close(gradient, gradient_again)


def test_where_memory_runs_out_windows_are_computed_twice() -> None:
    class Greedy(ToyEncoder):
        def forward(self, clips: torch.Tensor) -> torch.Tensor:
            if torch.is_grad_enabled() and told == []:
                raise RuntimeError("CUDA out of memory. Tried to allocate 20.00 MiB")
            return super().forward(clips)

    told: list[str] = []
    usual, poor = problem(any_length=False), problem(any_length=False)
    poor.models, poor.say = [Greedy(neurons=NEURONS), Greedy(neurons=NEURONS, seed=1)], told.append
    z = start_of(usual)
    assert usual(z)[0] == poor(z)[0] and not poor.keep_graphs and "computed twice" in told[0]
    torch.testing.assert_close(usual(z)[1], poor(z)[1])


def test_a_frame_in_two_windows_gets_the_mean() -> None:
    model = ToyEncoder(neurons=2)
    video = small_movies()[0].needs_video()[:12]
    found = ensemble_responses([model], torch.from_numpy(video), torch.zeros(0, 12))
    first, last = (
        ensemble_responses([model], torch.from_numpy(video[part]), torch.zeros(0, 8))
        for part in (slice(8), slice(4, 12))
    )
    torch.testing.assert_close(found[:, :4], first[:, :4])
    torch.testing.assert_close(found[:, 4:8], (first[:, 4:] + last[:, :4]) / 2)
    torch.testing.assert_close(found[:, 8:], last[:, 4:])


def quadratic(seed: int = 0, size: int = 30) -> tuple[torch.Tensor, torch.Tensor]:
    factor = normal(size, size, seed=seed) / size**0.5
    return factor @ factor.T + torch.eye(size), normal(size, seed=seed + 1)


def test_the_search_ends_where_the_gradient_vanishes() -> None:
    matrix, right = quadratic()
    calls = []

    def objective(z: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        calls.append(1)
        return 0.5 * z @ matrix @ z - right @ z, matrix @ z - right

    progress = search(objective, Progress(coordinates=torch.zeros(30)), passes=200)
    torch.testing.assert_close(progress.coordinates, torch.linalg.solve(matrix, right), atol=1e-3, rtol=1e-3)
    assert progress.converged and progress.passes == len(calls) < 100
    values = [value for _, value in progress.values]
    assert values == sorted(values, reverse=True)  # no iteration makes it worse


@pytest.mark.parametrize("passes", [1, 2, 5, 11])
def test_the_search_keeps_to_its_passes(passes: int) -> None:
    objective = problem()
    progress = search(objective, Progress(coordinates=start_of(objective)), passes=passes)
    assert progress.passes <= passes


def scaled_start(objective: Objective) -> Progress:
    scale, first_step = scale_and_first_step(objective, start_of(objective))
    return Progress(coordinates=start_of(objective), scale=scale, first_step=first_step)


def test_a_search_resumes_bit_for_bit() -> None:
    objective = problem()
    whole = search(objective, scaled_start(objective), passes=30)
    kept: list[Progress] = []

    def keep(progress: Progress) -> None:
        kept.append(copy.deepcopy(progress))

    search(objective, scaled_start(objective), passes=30, after_iteration=keep)
    resumed = search(objective, kept[4], passes=30)
    assert torch.equal(resumed.coordinates, whole.coordinates) and resumed.values[-1][1] == whole.values[-1][1]


def test_the_scale_spares_passes() -> None:
    matrix, right = quadratic()
    steep = torch.logspace(0, 2, 30)
    matrix = steep[:, None] * matrix * steep

    def objective(z: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return 0.5 * z @ matrix @ z - right @ z, matrix @ z - right

    scale = matrix.diagonal().rsqrt().log2().round().exp2()
    plain = search(objective, Progress(coordinates=torch.zeros(30)), passes=400)
    scaled = search(objective, Progress(coordinates=torch.zeros(30), scale=scale, first_step=0.5), passes=400)
    torch.testing.assert_close(scaled.coordinates, torch.linalg.solve(matrix, right), atol=1e-3, rtol=1e-3)
    assert 2 * scaled.passes < plain.passes


def test_a_resumed_scale_loses_no_digit() -> None:
    scale, _ = scale_and_first_step(problem(), start_of(problem()))
    coordinates = normal(*scale.shape, seed=9)
    assert torch.equal(coordinates / scale * scale, coordinates)
    assert float(scale.min()) < 0.5 and float(scale.max()) <= 1.0


def test_the_first_step_goes_where_the_linearized_objective_is_least() -> None:
    objective = problem()
    at = start_of(objective)
    scale, first_step = scale_and_first_step(objective, at)
    jacobian = torch.autograd.functional.jacobian(objective.residual, at).reshape(NEURONS * FRAMES, -1).double()
    precision = torch.linalg.inv(covariance(objective.noise, FRAMES))
    curvature = torch.eye(at.numel()).double() + 0.7 * jacobian.T @ precision @ jacobian
    residual = objective.residual(at).detach().flatten().double()
    gradient = at.flatten().double() + 0.7 * jacobian.T @ precision @ residual
    direction = scale.flatten().double().square() * gradient
    assert first_step == pytest.approx(float(gradient @ direction / (direction @ curvature @ direction)), rel=1e-3)


def test_the_curvatures_diagonal_is_that_of_the_dense_matrix() -> None:
    objective = problem()
    at = start_of(objective)
    here = Linearized(objective, at)
    found = here.diagonal(here.pulled_noise(400, torch.Generator().manual_seed(0)))
    jacobian = torch.autograd.functional.jacobian(objective.residual, at).reshape(NEURONS * FRAMES, -1).double()
    told = jacobian.T @ torch.linalg.solve(covariance(objective.noise, FRAMES), jacobian)
    expected = 1 + 0.7 * smoothed(told.diagonal().reshape(at.shape).float())
    torch.testing.assert_close(found, expected, rtol=0.2, atol=0.05)


def test_a_search_that_becomes_nan_says_so() -> None:
    with pytest.raises(InputError, match="NaN or infinite"):
        search(lambda z: (z.sum() * torch.nan, z), Progress(coordinates=torch.ones(3)), passes=5)


def test_conjugate_gradients_solve() -> None:
    matrix, right = quadratic()
    found = solve(lambda x: matrix @ x, right, preconditioner=1 / matrix.diagonal(), tolerance=1e-5, most_steps=60)
    torch.testing.assert_close(found, torch.linalg.solve(matrix, right), atol=1e-4, rtol=1e-4)


def test_draws_have_the_linearized_posteriors_covariance() -> None:
    """Against the dense inverse of I + w J' S^-1 J, J by automatic differentiation."""
    objective = problem()
    at = search(objective, Progress(coordinates=start_of(objective)), passes=60).coordinates
    jacobian = torch.autograd.functional.jacobian(objective.residual, at).reshape(NEURONS * FRAMES, -1).double()
    curvature = torch.eye(at.numel()).double() + 0.7 * jacobian.T @ torch.linalg.solve(
        covariance(objective.noise, FRAMES), jacobian
    )
    values, vectors = torch.linalg.eigh(curvature)
    assert float(values[-1]) > 20  # responses tell much of some directions
    steps = (draw(objective, at, count=200, seed=0) - at).flatten(1).double()
    variances = (steps @ vectors).square().mean(dim=0) * values  # 1 each, but for chance
    for told in (slice(-10, None), slice(-60, -10), slice(0, -60)):
        assert float(variances[told].mean()) == pytest.approx(1, abs=0.1)

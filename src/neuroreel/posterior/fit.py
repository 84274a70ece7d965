"""``nr.fit_posterior``: learn a movie prior and a noise model from trials."""

from __future__ import annotations

from collections.abc import Sequence, Sized
from functools import partial

import numpy as np
import torch
from torch import Tensor

from neuroreel.arguments import finite_number, instance_of, whole_number
from neuroreel.compute import Compute
from neuroreel.defaults import FACTORS, LIKELIHOOD_WEIGHT
from neuroreel.encoding.checks import as_ensemble, check_movie_fits, check_responses_fit
from neuroreel.encoding.engine import engines_of
from neuroreel.encoding.interface import EncodingModel
from neuroreel.encoding.training.recipe import WATCHED
from neuroreel.errors import InputError
from neuroreel.posterior.movie_prior import MoviePrior, fit_movie_prior
from neuroreel.posterior.noise import LEAST_RATE, fit_noise
from neuroreel.posterior.posterior import Posterior
from neuroreel.posterior.prediction import ensemble_responses
from neuroreel.progress import progress as progress_bar
from neuroreel.recordings.checks import check_responses, check_trials
from neuroreel.recordings.clock import same_rate
from neuroreel.recordings.trial import Trial
from neuroreel.results.provenance import hash_model

FEWEST_FRAMES = 60
MOST_VALUES = 10**8  # responses for the noise fit: 40 trials of 10 s and 8,000 neurons, at 30 Hz


def fit_posterior(
    models: EncodingModel | Sequence[EncodingModel],
    trials: Sequence[Trial],
    *,
    validation: Sequence[Trial] = (),
    movie_prior: MoviePrior | None = None,
    factors: int = FACTORS,
    likelihood_weight: float = LIKELIHOOD_WEIGHT,
    seed: int = 0,
    compute: Compute | None = None,
) -> Posterior:
    """Learn what a reconstruction needs besides the encoding models: a movie prior and a noise model.

    1. Movie prior: principal components of the movies' frames, each with a temporal spectrum.
    2. Signal: for each neuron, square roots of recorded responses are regressed on square roots of the ensemble's
       predictions.
    3. Noise: the residual, modeled as a few shared factors and a private part, each with a temporal spectrum.

    Parameters
    ----------
    models
        An encoding model, or an ensemble of the same neurons.
    trials
        Training trials, with videos and responses.
    validation
        Trials that the models were not trained on. Models overfit their own training trials a little, so
        gains and noise are rescaled to these trials. Without them the repr says how optimistic the noise is, according
        to the models' training logs.
    movie_prior
        A prior to use instead of one fitted to the trials' movies, for instance ``MoviePrior.natural(...)`` if the
        movies to reconstruct are of another kind.
    factors
        Number of noise factors that neurons share.
    likelihood_weight
        Power of the likelihood in the posterior. 1 assumes that the encoding models are as accurate everywhere as on
        the movies that were shown; but the search finds movies where they are worse.
    seed
        Random seed for the search for factors, and for drawing trials if there are too many.
    compute
        Device, precision, memory, progress.

    Returns
    -------
    Posterior
        For ``nr.reconstruct``; ``.save(folder)`` writes it, models included.

    Raises
    ------
    InputError
        Trials that do not belong together or do not fit the models, too few frames, no neuron that varies, or
        arguments out of range. Raised before any work starts.
    ResourceError
        The device does not exist, or memory is too small.
    """
    compute = Compute.of(compute)
    ensemble = as_ensemble(models)
    whole_number(factors, name="factors", least=0)
    whole_number(seed, name="seed", least=0)
    if not 0 < finite_number(likelihood_weight, name="likelihood_weight") <= 1:
        raise InputError(f"likelihood_weight is {likelihood_weight:g}; it must be above 0, 1 at most")
    for what, given in (("training trials", trials), ("validation trials", validation)):
        _check_trials(given, ensemble, what=what, movie_prior=movie_prior, needed=given is trials)
    show = compute.progress
    with engines_of(ensemble, compute) as engines:
        prior = fit_movie_prior(trials, seed=seed) if movie_prior is None else movie_prior
        roots = partial(_roots, engines, device=compute.torch_device, show=show)
        recorded, predicted = roots(_some(trials, seed=seed), what="training trials")
        held_out = roots(_some(validation, seed=seed), what="validation trials") if len(validation) else None
    warmup = max(model.warmup_frames for model in ensemble)
    noise = fit_noise(recorded, predicted, factors=factors, warmup=warmup, seed=seed)
    if not (noise.deviation > 0).any():
        raise InputError("no neuron's responses vary in these trials: there is nothing to reconstruct from")
    if held_out is not None:
        noise = noise.rescaled(*held_out, warmup=warmup)
    return Posterior(
        models=tuple(ensemble),
        movie_prior=prior,
        noise=noise,
        likelihood_weight=float(likelihood_weight),
        facts={
            "training_trials": len(trials),
            "validation_trials": len(validation),
            "recordings": sorted({trial.recording for trial in trials} - {""}),
            "seed": seed,
            "noise_growth": None if held_out else _noise_growth(ensemble, recorded, predicted, warmup=warmup),
            "model_hashes": [hash_model(model) for model in ensemble],
        },
    )


def _noise_growth(
    ensemble: Sequence[EncodingModel], recorded: list[Tensor], predicted: list[Tensor], *, warmup: int
) -> float | None:
    """Factor by which noise variance would grow on trials that the models did not see; None without training logs.

    Ratio of the unexplained shares of variance, 1 - r^2, where r is the mean correlation over neurons: the best in each
    model's training log, and the ensemble's on these trials.
    """
    logged = [[row.get(WATCHED) for row in model.training_log] for model in ensemble]
    best = [max(values) for log in logged if (values := [value for value in log if value is not None])]
    if not best:
        return None
    y, m = (torch.cat([each[:, warmup:] for each in roots], dim=1).square() for roots in (recorded, predicted))
    y, m = y - y.mean(dim=1, keepdim=True), m - m.mean(dim=1, keepdim=True)
    here = float(torch.cosine_similarity(y, m, dim=1).mean())  # 0 for a constant neuron, as the log counts it
    return max(1.0, (1 - float(np.mean(best)) ** 2) / max(1 - here**2, 1e-6))


def _check_trials(
    trials: Sequence[Trial],
    ensemble: Sequence[EncodingModel],
    *,
    what: str,
    movie_prior: MoviePrior | None,
    needed: bool,
) -> None:
    given: object = trials  # anything but a sequence is refused below
    if not needed and isinstance(given, Sized) and not len(given):
        return
    spec = check_trials(trials, what=what, needs=("video", "responses"))
    check_responses(trials, spec, what=what)
    for trial in trials:
        for model in ensemble:
            check_movie_fits(model, trial)
            check_responses_fit(model, trial)
    warmup = max(model.warmup_frames for model in ensemble)
    if needed and spec.frames - warmup * len(trials) < FEWEST_FRAMES:
        raise InputError(
            f"the {what} have {spec.frames} frames, {warmup} of each trial only to warm up the models; spectra and "
            f"noise need at least {FEWEST_FRAMES} more: give more trials"
        )
    if movie_prior is None:
        return
    instance_of(movie_prior, MoviePrior, name="movie_prior")
    if movie_prior.size != ensemble[0].canvas.video_size:
        raise InputError(
            f"the movie prior has {movie_prior.size} pixels (height, width), the models take "
            f"{ensemble[0].canvas.video_size}: fit or make one of this size"
        )
    if not same_rate(movie_prior.frame_rate_hz, ensemble[0].frame_rate_hz):
        raise InputError(
            f"the movie prior is at {movie_prior.frame_rate_hz:g} Hz, the models at "
            f"{ensemble[0].frame_rate_hz:g} Hz: fit or make one of this rate"
        )


def _some(trials: Sequence[Trial], *, seed: int) -> list[Trial]:
    """All trials, or a random draw of as many as the noise fit needs and memory holds."""
    most = max(2, int(MOST_VALUES / max(1, trials[0].neurons * trials[0].frames)))
    chosen = sorted(np.random.default_rng(seed).permutation(len(trials))[:most].tolist())
    return [trials[index] for index in chosen]


@torch.no_grad()
def _roots(
    engines: Sequence[EncodingModel], trials: Sequence[Trial], *, device: torch.device, show: bool, what: str
) -> tuple[list[Tensor], list[Tensor]]:
    """Square roots of recorded and predicted responses of each trial (neurons, frames), on the CPU."""
    recorded, predicted = [], []
    for trial in progress_bar(trials, description=f"Predicting {what}", enabled=show):
        video = torch.from_numpy(trial.needs_video()).to(device)
        responses = ensemble_responses(engines, video, torch.from_numpy(trial.covariates).to(device))
        if not torch.isfinite(responses).all():
            raise InputError(
                f"the models predict NaN or infinite responses to {trial.name}: their weights are unusable, or its "
                "behavior is far from what they were trained on"
            )
        recorded.append(torch.from_numpy(trial.needs_responses()).sqrt())
        predicted.append(responses.clamp_min(LEAST_RATE).sqrt().cpu())
    return recorded, predicted

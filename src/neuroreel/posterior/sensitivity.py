"""The posterior's transparency mask: how much information the responses carry about each pixel.

The Fisher information of a pixel is the diagonal of J' S^-1 J, with J the derivative of the expected root responses
with respect to the movie and S the noise covariance. It is the mean square of J' S^-1 noise, noise ~ N(0, S): one
gradient per draw.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from neuroreel.arguments import instance_of, whole_number
from neuroreel.compute import Compute
from neuroreel.encoding.checks import check_movie_fits
from neuroreel.encoding.engine import engines_of
from neuroreel.errors import InputError
from neuroreel.masks import Mask
from neuroreel.posterior.noise import NoisePrecision
from neuroreel.posterior.posterior import Posterior
from neuroreel.posterior.prediction import ensemble_responses
from neuroreel.progress import progress as progress_bar
from neuroreel.recordings.trial import Trial

MOVIES, DRAWS = 4, 2
SMOOTHING = 1.5 / 64  # of the movie's width, standard deviation: a few draws say little about one pixel
SCORED = 0.5  # of the sensitivity that the best 1% of the pixels exceed


def posterior_mask(
    posterior: Posterior,
    trials: Trial | Sequence[Trial],
    *,
    movies: int = MOVIES,
    seed: int = 0,
    compute: Compute | None = None,
) -> NDArray[np.float32]:
    """A transparency mask from the information in the responses: 1 at half the value of the best pixels.

    The square root of each pixel's Fisher information, averaged over the frames of some movies, smoothed, and divided
    by half of its 99th percentile. Nothing is trained: other movies, other draws and other encoding models of the same
    neurons give nearly the same mask (``python benchmarks/masks.py``), unlike the published rule, ``nr.learn_mask``.

    Parameters
    ----------
    posterior
        From ``nr.fit_posterior``.
    trials
        With videos, for instance the training trials; ``movies`` of them are drawn.
    movies
        Number of movies to draw.
    seed
        Random seed for movies and draws.
    compute
        Device, precision, memory, progress.

    Returns
    -------
    ndarray
        (height, width), float32, 0 or more: pixels of at least 1 are scored, as with the published masks.

    Raises
    ------
    InputError
        No trials, trials that do not fit the posterior, or models whose responses no pixel changes.
    """
    from scipy.ndimage import gaussian_filter

    compute = Compute.of(compute)
    instance_of(posterior, Posterior, name="posterior")
    whole_number(movies, name="movies")
    whole_number(seed, name="seed", least=0)
    trials = [trials] if isinstance(trials, Trial) else trials
    if not len(trials):
        raise InputError("no trials were given; pass some with videos")
    numbers = np.random.default_rng(seed).permutation(len(trials))[:movies].tolist()
    for number in numbers:
        for model in posterior.models:
            check_movie_fits(model, trials[number])
    device, generator = compute.torch_device, torch.Generator().manual_seed(seed)
    noise, information = posterior.noise.select(posterior.usable).to(device), np.zeros(posterior.movie_prior.size)
    usable = posterior.usable.to(device)
    with engines_of(posterior.models, compute) as engines:
        warmup = max(model.warmup_frames for model in engines)
        for number in progress_bar(numbers, description="Learning the mask", enabled=compute.progress):
            trial = trials[number]
            video = torch.from_numpy(trial.needs_video()).to(device).requires_grad_()
            covariates = torch.from_numpy(trial.covariates).to(device)
            predicted = ensemble_responses(engines, video, covariates, keep_graphs=False)
            expected = noise.expected(predicted[usable])[:, warmup:]
            precision = NoisePrecision(noise, trial.frames)
            for _ in range(DRAWS):
                weights = precision.apply(precision.sample(generator))[:, warmup:]
                (gradient,) = torch.autograd.grad(expected, video, weights, retain_graph=True)
                information += gradient.square().mean(dim=0).cpu().numpy()
    width = max(SMOOTHING * information.shape[1], 0.5)
    sensitivity = np.sqrt(gaussian_filter(information, width, mode="nearest"))
    best = np.quantile(sensitivity, 0.99)
    if not best > 0:
        raise InputError("no pixel changes the predicted responses: the encoding models are unusable")
    return (sensitivity / (SCORED * best)).astype(np.float32).view(Mask)

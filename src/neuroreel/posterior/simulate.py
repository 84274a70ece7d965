"""Responses to any movie, drawn from the posterior's likelihood: encoding models, gains and noise."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch

from neuroreel.arguments import instance_of, whole_number
from neuroreel.compute import Compute
from neuroreel.encoding.checks import check_movie_fits
from neuroreel.encoding.engine import engines_of
from neuroreel.posterior.noise import NoisePrecision
from neuroreel.posterior.posterior import Posterior
from neuroreel.posterior.prediction import ensemble_responses
from neuroreel.progress import progress as progress_bar
from neuroreel.recordings.checks import check_trials
from neuroreel.recordings.trial import Trial


def simulate_responses(
    posterior: Posterior, trials: Sequence[Trial], *, seed: int = 0, compute: Compute | None = None
) -> list[Trial]:
    """The trials with simulated responses: more training pairs for ``nr.fit_decoder(kind="convolutional")``.

    Square roots of the responses are gain x root of the prediction + offset + noise, as in the posterior.

    Parameters
    ----------
    posterior
        From ``nr.fit_posterior``.
    trials
        With videos of any kind, and behavior if the encoding models use it; recorded responses are ignored.
        Do not include movies that test a decoder.
    seed
        Random seed of the noise.
    compute
        Device, precision, progress.

    Returns
    -------
    list of Trial
        In the order of the trials, with responses (neurons, frames) of at least 0.

    Raises
    ------
    InputError
        Movies of another size or rate than the encoding models', or missing behavior.
    """
    instance_of(posterior, Posterior, name="posterior")
    whole_number(seed, name="seed", least=0)
    check_trials(trials, needs=("video",))
    for trial in trials:
        for model in posterior.models:
            check_movie_fits(model, trial)
    return list(_drawn(posterior, trials, seed=seed, compute=Compute.of(compute)))


@torch.no_grad()
def _drawn(posterior: Posterior, trials: Sequence[Trial], *, seed: int, compute: Compute) -> Iterator[Trial]:
    device, generator = compute.torch_device, torch.Generator().manual_seed(seed)
    noise = posterior.noise.to(device)
    silent = ~posterior.usable
    with engines_of(posterior.models, compute) as engines:
        for trial in progress_bar(trials, description="Simulating responses", enabled=compute.progress):
            video = torch.from_numpy(trial.needs_video()).to(device)
            predicted = ensemble_responses(engines, video, torch.from_numpy(trial.covariates).to(device))
            drawn = NoisePrecision(noise.select(posterior.usable), trial.frames).sample(generator)
            roots = noise.expected(predicted).cpu()
            roots[posterior.usable] += drawn.cpu()
            roots[silent] = noise.offset.cpu()[silent, None]
            yield trial.replace(responses=np.asarray(roots.clamp_min(0).square(), np.float32))

"""Ways to reconstruct a movie, with one interface, so that they can be compared on the same data."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from neuroreel.bauer_2026.inversion import reconstruct as reconstruct_as_published
from neuroreel.decoding.convolutional import ConvolutionalDecoder
from neuroreel.decoding.decoder import decode
from neuroreel.encoding.interface import EncodingModel
from neuroreel.evaluation.baselines import shuffle_neurons
from neuroreel.evaluation.calibration import coverage
from neuroreel.posterior.posterior import Posterior
from neuroreel.posterior.reconstruct import reconstruct
from neuroreel.recordings.simulate.truth import SimulatedTruth
from neuroreel.recordings.trial import Trial
from neuroreel.studies.mouse import FittedMouse

Movie = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True, eq=False)
class Subject:
    """A recording and all that the methods need of it.

    Parameters
    ----------
    mouse
        Split by folds, with ridge decoder, encoding models, posterior and mask.
    convolutional
        Decoder fitted to the same trials.
    one_model
        The posterior of the first encoding model alone.
    judge
        An encoding model of another seed, which no method inverts.
    truth
        Of a simulated recording.
    samples
        Draws of each posterior.
    iterations
        Of the published method.
    """

    mouse: FittedMouse
    convolutional: ConvolutionalDecoder
    one_model: Posterior
    judge: EncodingModel
    truth: SimulatedTruth | None
    samples: int
    iterations: int


@dataclass(frozen=True, kw_only=True)
class Made:
    """A movie, and numbers that only its method knows: passes, coverage of its intervals."""

    video: Movie
    facts: Mapping[str, float] = field(default_factory=dict)


Method = Callable[[Subject, Trial, int, Callable[[str], Made]], Made]
"""Subject, test trial, its number in the recording, and what another method made of it."""


def _mean(subject: Subject, trial: Trial, number: int, made: Callable[[str], Made]) -> Made:
    """The mean training frame, held still."""
    return Made(video=np.broadcast_to(subject.mouse.decoder.mean_video, trial.needs_video().shape).copy())


def _shuffled(subject: Subject, trial: Trial, number: int, made: Callable[[str], Made]) -> Made:
    """Ridge, where each neuron is given another's responses."""
    return Made(video=decode(subject.mouse.decoder, shuffle_neurons(trial, seed=number)))


def _nearest(subject: Subject, trial: Trial, number: int, made: Callable[[str], Made]) -> Made:
    """The training movie whose responses are most like these."""
    features = subject.mouse.decoder.features
    wanted = features.standardized(trial)
    best, movie = -np.inf, trial.needs_video()
    for other in subject.mouse.train:
        frames = min(len(wanted), other.frames)
        likeness = float((wanted[:frames] * features.standardized(other)[:frames]).mean())
        if other.frames >= trial.frames and likeness > best:
            best, movie = likeness, other.needs_video()[: trial.frames]
    return Made(video=movie)


def _ridge(subject: Subject, trial: Trial, number: int, made: Callable[[str], Made]) -> Made:
    return Made(video=decode(subject.mouse.decoder, trial))


def _convolutional(subject: Subject, trial: Trial, number: int, made: Callable[[str], Made]) -> Made:
    return Made(video=decode(subject.convolutional, trial))


def _posterior(subject: Subject, trial: Trial, number: int, made: Callable[[str], Made], *, all_models: bool) -> Made:
    posterior = subject.mouse.posterior if all_models else subject.one_model
    result = reconstruct(trial, posterior, mask=subject.mouse.mask, samples=subject.samples if all_models else 0)
    facts = {"passes": float(result.dataset["iteration"].values[-1])}
    if result.samples is not None:
        facts |= {f"coverage_{level:.0%}": share for level, share in coverage(result, levels=(0.68, 0.95)).items()}
    return Made(video=result.video, facts=facts)


def _samples(subject: Subject, trial: Trial, number: int, made: Callable[[str], Made]) -> Made:
    """Mean of the draws. They are made anew: movies are kept, draws are not."""
    result = reconstruct(trial, subject.mouse.posterior, samples=max(2, subject.samples))
    assert result.samples is not None
    return Made(video=result.samples.mean(axis=0, dtype=np.float32))


def _both(subject: Subject, trial: Trial, number: int, made: Callable[[str], Made], *, decoder: str) -> Made:
    """Plain mean of the posterior's movie and a decoder's."""
    return Made(video=np.mean([made("posterior").video, made(decoder).video], axis=0, dtype=np.float32))


def _bauer(subject: Subject, trial: Trial, number: int, made: Callable[[str], Made], *, all_models: bool) -> Made:
    models = subject.mouse.models if all_models else subject.mouse.models[:1]
    result = reconstruct_as_published(trial, models, mask=subject.mouse.mask, iterations=subject.iterations)
    history = result.dataset["video_correlation"].values
    best = int(np.nanargmax(history)) if np.isfinite(history).any() else 0
    facts = {
        "passes": float(subject.iterations),
        "best_pass": float(result.dataset["iteration"].values[best]),
        "video_correlation_at_best_pass": float(history[best]),
    }
    return Made(video=result.video, facts=facts)


def _noise_free(subject: Subject, trial: Trial, number: int, made: Callable[[str], Made]) -> Made:
    """The posterior, given the simulated mean responses over endless repeats in place of the recorded ones."""
    assert subject.truth is not None  # asked for where the truth is known
    ideal = trial.replace(responses=subject.truth.expected_responses(number))
    return _posterior(subject, ideal, number, made, all_models=True)


METHODS: Mapping[str, Method] = MappingProxyType(
    {
        "mean frame": _mean,
        "shuffled neurons": _shuffled,
        "nearest training movie": _nearest,
        "ridge": _ridge,
        "convolutional": _convolutional,
        "bauer_2026, 1 model": partial(_bauer, all_models=False),
        "bauer_2026": partial(_bauer, all_models=True),
        "posterior, 1 model": partial(_posterior, all_models=False),
        "posterior": partial(_posterior, all_models=True),
        "mean of samples": _samples,
        "mean of posterior and ridge": partial(_both, decoder="ridge"),
        "mean of posterior and convolutional": partial(_both, decoder="convolutional"),
        "posterior, noise-free responses": _noise_free,
    }
)
FLOORS = ("mean frame", "shuffled neurons", "nearest training movie")
CEILINGS = ("posterior, noise-free responses",)
SLOW = ("bauer_2026, 1 model", "bauer_2026", "mean of samples")
"""Hundreds of passes: left out unless they are asked for."""

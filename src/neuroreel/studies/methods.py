"""Methods to reconstruct a movie, with one interface, so that they can be compared on the same data."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from neuroreel.bauer_2026.inversion import reconstruct as reconstruct_as_published
from neuroreel.decoding.decoder import decode
from neuroreel.defaults import frames_to_skip
from neuroreel.evaluation.baselines import shuffle_neurons
from neuroreel.evaluation.calibration import coverage
from neuroreel.posterior.reconstruct import reconstruct
from neuroreel.recordings.recording import Trials
from neuroreel.recordings.simulate.truth import SimulatedTruth
from neuroreel.recordings.trial import Trial
from neuroreel.studies.simulator import TrueSimulator
from neuroreel.studies.task import Given


@dataclass(frozen=True, kw_only=True, eq=False)
class Case:
    """A test movie.

    Parameters
    ----------
    trial, number
        The trial, and its number in the recording.
    train
        Training trials.
    truth
        Ground truth of a simulated recording.
    samples
        Number of draws from each posterior.
    iterations
        Iterations of the published method.
    """

    trial: Trial
    number: int
    train: Trials
    truth: SimulatedTruth | None
    samples: int
    iterations: int


@dataclass(frozen=True, kw_only=True)
class Made:
    """A movie, and numbers specific to its method: passes, coverage of its intervals."""

    video: NDArray[np.float32]
    facts: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Way:
    """A method to reconstruct a movie.

    Parameters
    ----------
    make
        The function.
    fits
        Names of the mouse's fits that it needs.
    movies
        Methods whose movies it needs.
    settings
        Fields of the case that determine its movie.
    """

    make: Callable[[Case, Given], Made]
    fits: tuple[str, ...] = ()
    movies: tuple[str, ...] = ()
    settings: tuple[str, ...] = ()


def _mean(case: Case, given: Given) -> Made:
    """The mean training frame, held still."""
    return Made(video=np.broadcast_to(given["decoder"].mean_video, case.trial.needs_video().shape).copy())


def _shuffled(case: Case, given: Given) -> Made:
    """Ridge, with each neuron given another's responses."""
    return Made(video=decode(given["decoder"], shuffle_neurons(case.trial, seed=case.number)))


def _nearest(case: Case, given: Given) -> Made:
    """The training movie whose responses are most like these; where it is shorter, its last frame is held."""
    features, frames = given["decoder"].features, case.trial.frames
    wanted = features.standardized(case.trial)
    likeness = [float((wanted[: other.frames] * features.standardized(other)[:frames]).sum()) for other in case.train]
    movie = case.train[int(np.argmax(likeness))].needs_video()[:frames]
    return Made(video=np.pad(movie, ((0, frames - len(movie)), (0, 0), (0, 0)), mode="edge"))


def _decoded(case: Case, given: Given) -> Made:
    """The movie that a decoder decodes from the responses."""
    (decoder,) = given.values()
    return Made(video=decode(decoder, case.trial))


def _posterior(case: Case, given: Given, *, samples: bool = False) -> Made:
    """The most likely movie, optionally with intervals."""
    (posterior,) = given.values()
    result = reconstruct(case.trial, posterior, samples=case.samples if samples else 0)
    facts = {"passes": float(result.dataset["iteration"].values[-1])}
    if result.samples is not None:
        held = coverage(result, levels=(0.68, 0.95), skip=frames_to_skip(case.trial.frames))
        facts |= {f"coverage_{level:.0%}": share for level, share in held.items()}
    return Made(video=result.video, facts=facts)


def _samples(case: Case, given: Given) -> Made:
    """Mean of the draws, which are made again because they are not saved."""
    result = reconstruct(case.trial, given["posterior"], samples=max(2, case.samples))
    assert result.samples is not None
    return Made(video=result.samples.mean(axis=0, dtype=np.float32))


def _averaged(case: Case, given: Given) -> Made:
    """Plain mean of two movies."""
    return Made(video=np.mean([made.video for made in given.values()], axis=0, dtype=np.float32))


def _bauer(case: Case, given: Given) -> Made:
    """The published inversion, and its best pass."""
    models = [made for name, made in given.items() if name != "mask"]
    result = reconstruct_as_published(case.trial, models, mask=given["mask"], iterations=case.iterations)
    history = result.dataset["video_correlation"].values
    best = int(np.nanargmax(history)) if np.isfinite(history).any() else 0
    facts = {
        "passes": float(case.iterations),
        "best_pass": float(result.dataset["iteration"].values[best]),
        "video_correlation_at_best_pass": float(history[best]),
    }
    return Made(video=result.video, facts=facts)


def _noise_free(case: Case, given: Given) -> Made:
    """The posterior, given simulated mean responses over infinitely many repeats."""
    assert case.truth is not None  # requested only if the truth is known
    ideal = case.trial.replace(responses=case.truth.expected_responses(case.number))
    return _posterior(replace(case, trial=ideal), given, samples=True)


def _true_simulator(case: Case, given: Given) -> Made:
    """The posterior with the same prior, with the simulation itself as encoding model."""
    assert case.truth is not None
    posterior = replace(
        given["posterior"], models=(TrueSimulator(case.truth),), noise=given["simulator_noise"], facts={}
    )
    return _posterior(case, {"posterior": posterior})


METHODS: Mapping[str, Way] = MappingProxyType(
    {
        "mean frame": Way(make=_mean, fits=("decoder",)),
        "shuffled neurons": Way(make=_shuffled, fits=("decoder",)),
        "nearest training movie": Way(make=_nearest, fits=("decoder",)),
        "ridge": Way(make=_decoded, fits=("decoder",)),
        "convolutional": Way(make=_decoded, fits=("convolutional",)),
        "bauer_2026, 1 model": Way(make=_bauer, fits=("mask", "encoder_0"), settings=("iterations",)),
        "bauer_2026": Way(make=_bauer, fits=("mask", "encoders"), settings=("iterations",)),
        "posterior, 1 model": Way(make=_posterior, fits=("one_model",)),
        "posterior": Way(make=partial(_posterior, samples=True), fits=("posterior",), settings=("samples",)),
        "mean of samples": Way(make=_samples, fits=("posterior",), settings=("samples",)),
        "mean of posterior and ridge": Way(make=_averaged, movies=("posterior", "ridge")),
        "mean of posterior and convolutional": Way(make=_averaged, movies=("posterior", "convolutional")),
        "posterior, noise-free responses": Way(make=_noise_free, fits=("posterior",), settings=("samples",)),
        "posterior, true simulator": Way(make=_true_simulator, fits=("posterior", "simulator_noise")),
    }
)
FLOORS = ("mean frame", "shuffled neurons", "nearest training movie")
CEILINGS = ("posterior, noise-free responses", "posterior, true simulator")
SLOW = ("bauer_2026, 1 model", "bauer_2026", "mean of samples")
"""Hundreds of passes: left out unless requested."""

"""Baseline movies that a reconstruction has to beat."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from neuroreel.arguments import whole_number
from neuroreel.decoding.decoder import decode
from neuroreel.decoding.ridge_decoder import RidgeDecoder
from neuroreel.errors import InputError
from neuroreel.grey import MID_GREY
from neuroreel.recordings.checks import check_trials
from neuroreel.recordings.trial import Trial


def baselines(
    trial: Trial, decoder: RidgeDecoder, *, training: Sequence[Trial] | None = None, seed: int = 0
) -> dict[str, NDArray[np.float32]]:
    """Simple movies for the same trial, to compare with its reconstruction.

    Parameters
    ----------
    trial
        With responses; its video is not used.
    decoder
        Fitted to other trials of the same neurons.
    training
        Trials for the mean movie; by default those that the decoder was fitted to.
    seed
        Random seed of the shuffle.

    Returns
    -------
    dict of (frames, height, width) float32
        ``grey`` (127.5 throughout: its correlations are undefined), ``mean`` (the mean frame of the training
        movies, held still), ``ridge`` (the decoder's movie) and ``shuffled`` (the decoder's movie when each neuron
        is given another's responses: the score of its smoothness and average brightness alone).

    Raises
    ------
    InputError
        The trial does not fit the decoder, or the training movies are of another size.
    """
    ridge = decode(decoder, trial)
    mean = decoder.mean_video if training is None else mean_frame(training)
    if mean.shape != ridge.shape[1:]:
        raise InputError(
            f"the training movies have frames of {mean.shape}, the decoder's are {ridge.shape[1:]} (height, width)"
        )
    return {
        "grey": np.full_like(ridge, MID_GREY),
        "mean": np.broadcast_to(mean, ridge.shape).astype(np.float32),
        "ridge": ridge,
        "shuffled": decode(decoder, shuffle_neurons(trial, seed=seed)),
    }


def mean_frame(trials: Sequence[Trial]) -> NDArray[np.float32]:
    """Mean over all frames of the trials' movies: (height, width); the trials are read one at a time."""
    spec = check_trials(trials, what="training trials", needs=("video",))
    total = np.zeros((spec.video_height, spec.video_width))
    for index in range(len(trials)):
        total += trials[index].needs_video().sum(axis=0, dtype=np.float64)
    return (total / spec.frames).astype(np.float32)


def shuffle_neurons(trial: Trial, *, seed: int) -> Trial:
    """The same trial with each neuron given the responses of another: a control for decoders and encoding models alike.

    The population's activity is unchanged at every moment; only the identity of the neurons is lost. The neurons swap
    places in one random cycle, so that none keeps its own responses. The same seed gives the same exchange
    for every trial.

    Raises
    ------
    InputError
        No responses, or fewer than two neurons.
    """
    if trial.responses is None:
        raise InputError(f"{trial.name} has no responses to shuffle; give a trial with recorded activity")
    if trial.neurons < 2:
        raise InputError(f"{trial.name} has {trial.neurons} neuron; shuffling needs at least two")
    order = np.random.default_rng(whole_number(seed, name="seed", least=0)).permutation(trial.neurons)
    shuffled = np.empty_like(trial.responses)
    shuffled[order] = trial.responses[np.roll(order, 1)]
    return trial.replace(responses=shuffled, name=f"{trial.name}, neurons shuffled")

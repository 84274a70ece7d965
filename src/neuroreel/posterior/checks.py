"""Do neurons and starting movies fit a posterior? Asked before any work starts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neuroreel.arguments import as_array
from neuroreel.encoding.checks import checked_neurons
from neuroreel.errors import InputError
from neuroreel.posterior.posterior import Posterior
from neuroreel.recordings.trial import Trial


def usable_neurons(neurons: ArrayLike | None, posterior: Posterior) -> NDArray[np.bool_]:
    """(neurons,) boolean: the requested neurons whose responses vary; InputError if none is left."""
    usable = checked_neurons(neurons, posterior.neurons) & posterior.usable.numpy()
    if not usable.any():
        raise InputError("neurons keeps none whose responses varied in the training trials; keep others")
    return usable


def checked_starts(
    starts: Sequence[NDArray[np.floating[Any]]] | None, trials: Sequence[Trial], posterior: Posterior
) -> list[NDArray[np.float32] | None]:
    """A starting movie or None for each trial; InputError unless they are finite movies of the trials' sizes."""
    if starts is None:
        return [None] * len(trials)
    if len(starts) != len(trials):
        raise InputError(f"start has {len(starts)} movies for {len(trials)} trials; give one per trial")
    checked: list[NDArray[np.float32] | None] = []
    for start, trial in zip(starts, trials, strict=True):
        movie = as_array(start, name="start").astype(np.float32)
        wanted = (trial.frames, *posterior.movie_prior.size)
        if movie.shape != wanted or not np.isfinite(movie).all():
            raise InputError(f"start has shape {movie.shape} or NaN; it must be a movie of shape {wanted}, grey 0..255")
        checked.append(movie)
    return checked

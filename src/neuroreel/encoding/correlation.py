"""How well responses are predicted: the mean over neurons of the correlation over time (the competition's score)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuroreel.encoding.checks import as_ensemble, check_responses_fit
from neuroreel.encoding.interface import EncodingModel
from neuroreel.encoding.predict import predict
from neuroreel.recordings.checks import check_trials
from neuroreel.recordings.trial import Trial


def neuron_correlations(
    recorded: NDArray[np.floating[Any]], predicted: NDArray[np.floating[Any]]
) -> NDArray[np.floating[Any]]:
    """Correlation over frames of each neuron, (neurons, frames) twice to (neurons,); 0 where either is constant."""
    a = recorded - recorded.mean(axis=1, keepdims=True)
    b = predicted - predicted.mean(axis=1, keepdims=True)
    norms = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    products = (a * b).sum(axis=1)
    return np.divide(products, norms, out=np.zeros_like(products), where=norms > 0)


def encoder_correlation(models: EncodingModel | Sequence[EncodingModel], trials: Sequence[Trial]) -> float:
    """Mean over neurons of the correlation between recorded and predicted responses, over all frames of the trials.

    Raises
    ------
    InputError
        No trials, or one that does not fit the model: pixels, frame rate, neurons, behaviour channels or length.
    """
    ensemble = as_ensemble(models)
    check_trials(trials, what="trials to predict")
    for trial in trials:
        check_responses_fit(ensemble[0], trial)
    pairs = [(trial.needs_responses(), predict(ensemble, trial)) for trial in trials]
    recorded = np.concatenate([pair[0] for pair in pairs], axis=1)
    predicted = np.concatenate([pair[1] for pair in pairs], axis=1)
    return float(neuron_correlations(recorded, predicted).mean())

"""Turn a trial's responses into features for a linear decoder: standardized, reduced if needed, at several lags.

Steps: clip at 0, square root (evens out the variance of counts and of deconvolved calcium), z-score each neuron
over the training frames, project onto leading principal components if there are too many neurons, concatenate the lags.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from neuroreel.arguments import as_array, whole_number
from neuroreel.decoding.symmetric import add_products, filled, leading_eigenvectors
from neuroreel.errors import InputError
from neuroreel.progress import progress as progress_bar
from neuroreel.recordings.moments import Moments
from neuroreel.recordings.trial import Trial

MAX_FEATURES = 6000
FIRST_LAG_S, LAST_LAG_S = -1 / 30, 9 / 30
BATCH_FRAMES = 1200  # frames multiplied at once: with a single 10 s trial the cores wait for memory


@dataclass(frozen=True, kw_only=True)
class ResponseFeatures:
    """How responses become features.

    Parameters
    ----------
    mean, scale
        (neurons,): of the square root of the responses; ``scale`` is 1 / standard deviation, 0 for a neuron that is
        constant.
    axes
        (neurons, components): principal components of the z-scored neurons, orthonormal. None: every neuron is a
        component.
    lags
        In frames, increasing. At lag 2, a frame is decoded from responses 2 frames later.
    """

    mean: NDArray[np.float32]
    scale: NDArray[np.float32]
    axes: NDArray[np.float32] | None
    lags: tuple[int, ...]

    @property
    def neurons(self) -> int:
        """Number of neurons."""
        return len(self.mean)

    @property
    def components(self) -> int:
        """Number of components at each lag."""
        return self.neurons if self.axes is None else self.axes.shape[1]

    @property
    def count(self) -> int:
        """Features per frame: components x lags."""
        return self.components * len(self.lags)

    def standardized(self, trial: Trial) -> Tensor:
        """Z-scored roots of the responses: (frames, neurons) float32."""
        rooted = np.sqrt(trial.needs_responses())
        return torch.from_numpy(np.ascontiguousarray(((rooted - self.mean[:, None]) * self.scale[:, None]).T))

    def of(self, trial: Trial) -> Tensor:
        """The features of each frame: (frames, lags x components) float32.

        Responses before the trial's start or after its end are missing, and count as average (zero).
        """
        scores = self.standardized(trial)
        if self.axes is not None:
            scores = scores @ torch.from_numpy(self.axes)
        frames = len(scores)
        lagged = torch.zeros(frames, len(self.lags), self.components)
        for index, lag in enumerate(self.lags):
            first, last = max(0, -lag), min(frames, frames - lag)
            if first < last:
                lagged[first:last, index] = scores[first + lag : last + lag]
        return lagged.flatten(1)


def lag_frames(lags_s: Sequence[float] | None, *, frame_rate_hz: float) -> tuple[int, ...]:
    """Lags in frames for lags in seconds; by default every frame from 1/30 s before to 9/30 s after."""
    if lags_s is None:
        first = math.floor(FIRST_LAG_S * frame_rate_hz + 1e-6)
        last = math.ceil(LAST_LAG_S * frame_rate_hz - 1e-6)
        return tuple(range(first, last + 1))
    lags = np.atleast_1d(as_array(lags_s, name="lags_s"))
    if lags.ndim != 1 or lags.size == 0 or lags.dtype.kind not in "fiu" or not np.isfinite(lags).all():
        raise InputError(f"lags_s is {lags_s!r}; it must list one or more lags in seconds, for example [0, 0.1, 0.2]")
    return tuple(sorted({round(float(lag) * frame_rate_hz) for lag in lags}))


def fit_features(
    trials: Sequence[Trial], *, lags: tuple[int, ...], components: int | None, seed: int, progress: bool
) -> ResponseFeatures:
    """Mean, scale and, where needed, principal components of the neurons, in one pass over the trials.

    Parameters
    ----------
    components
        Leading components to keep. None: every neuron while neurons x lags is at most ``MAX_FEATURES``, else as many
        components as fit that limit.
    seed
        Random seed for the search for components of many neurons.

    Raises
    ------
    InputError
        ``components`` below 1, more lags than ``MAX_FEATURES``, or responses that never change.
    """
    neurons = trials[0].neurons
    kept = _kept_components(neurons, lags=len(lags), components=components)
    moments, covariance = _response_moments(trials, with_covariance=kept < neurons, progress=progress)
    varies = moments.std > 1e-6 * np.abs(moments.mean)  # below this it is rounding
    if not varies.any():
        raise InputError(
            "the responses of every neuron are constant over the training trials: there is nothing to decode"
        )
    scale = np.where(varies, 1 / np.where(varies, moments.std, 1), 0)
    axes = None
    if covariance is not None:
        weights = torch.from_numpy(scale).to(covariance.dtype)
        axes = leading_eigenvectors(covariance * weights[:, None] * weights, kept, seed=seed).numpy()
    mean = moments.mean.astype(np.float32)
    return ResponseFeatures(mean=mean, scale=scale.astype(np.float32), axes=axes, lags=lags)


def _kept_components(neurons: int, *, lags: int, components: int | None) -> int:
    if lags > MAX_FEATURES:
        raise InputError(
            f"{lags} lags are more than the {MAX_FEATURES} features that a decoder may have; pass fewer lags_s"
        )
    if components is None:
        return min(neurons, MAX_FEATURES // lags)
    return min(neurons, whole_number(components, name="components"))


def _response_moments(
    trials: Sequence[Trial], *, with_covariance: bool, progress: bool
) -> tuple[Moments, Tensor | None]:
    """Mean and deviation of root responses, and their covariance (neurons, neurons) if requested.

    Products are summed around the first batch's mean: in single precision a large mean would swamp a small variance.
    """
    moments, shift = Moments(), np.zeros(0, np.float32)
    products = torch.zeros(trials[0].neurons, trials[0].neurons) if with_covariance else None
    opened = progress_bar(_each(trials), description="responses", total=len(trials), enabled=progress)
    for batch in _batched(opened):
        moments.add(batch.T)
        if products is not None:
            shift = shift if len(shift) else batch.mean(axis=0)
            add_products(products, torch.from_numpy(batch - shift))
    if products is None:
        return moments, None
    off = torch.from_numpy((moments.mean - shift).astype(np.float32))
    return moments, filled(products).div_(moments.frames).sub_(torch.outer(off, off))


def _each(trials: Sequence[Trial]) -> Iterator[Trial]:
    """Iterate by index, so that lazy trials are opened one at a time."""
    for index in range(len(trials)):
        yield trials[index]


def _batched(trials: Iterator[Trial]) -> Iterator[NDArray[np.float32]]:
    """Square roots of the responses, (frames, neurons), some trials at a time."""
    waiting: list[NDArray[np.float32]] = []
    for trial in trials:
        waiting.append(np.sqrt(trial.needs_responses()).T)
        if sum(map(len, waiting)) >= BATCH_FRAMES:
            yield np.concatenate(waiting)
            waiting = []
    if waiting:
        yield np.concatenate(waiting)

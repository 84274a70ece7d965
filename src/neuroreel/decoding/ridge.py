"""Fitting the linear decoder: from the responses around a frame straight to its pixels, by ridge regression.

A baseline that is hard to beat on small data, and the start and prior of the default reconstruction.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Hashable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from neuroreel.arguments import as_array, whole_number
from neuroreel.decoding.covariance import Moments, RidgeProblem, stream_moments
from neuroreel.decoding.decoder import RidgeDecoder
from neuroreel.decoding.features import BATCH_FRAMES, ResponseFeatures, fit_features, lag_frames
from neuroreel.decoding.heldout import (
    HeldOut,
    ResidualStatistics,
    held_out_residuals,
    residual_statistics,
    scored_pixels,
)
from neuroreel.errors import InputError
from neuroreel.grey import MID_GREY
from neuroreel.progress import progress as progress_bar
from neuroreel.recordings.checks import TrialSpec, check_responses, check_trials
from neuroreel.recordings.trial import Trial

PENALTIES = tuple(float(f"{10**exponent:.1g}") for exponent in np.arange(-2, 4.1, 0.5))  # 0.01, 0.03 … 10000
HELD_OUT_FRAMES = 6000
COMPARED_FRAMES = 3000  # enough to tell penalties apart: they are compared on the same frames


def fit_decoder(
    trials: Sequence[Trial],
    *,
    lags_s: Sequence[float] | None = None,
    penalties: Sequence[float] | float = PENALTIES,
    components: int | None = None,
    groups: Sequence[Hashable] | None = None,
    held_out_frames: int = HELD_OUT_FRAMES,
    seed: int = 0,
    progress: bool = True,
) -> RidgeDecoder:
    """Fit ridge regression from the responses around each frame to its pixels.

    1. Responses are clipped at 0, square-rooted and z-scored over the training frames.
    2. Too many neurons are reduced to their leading principal components.
    3. Moments of features and pixels are summed trial by trial and diagonalized: primal form, or dual form where there
       are fewer frames than features.
    4. Trials are held out in turn, with the trials of the same movie, and the penalty with the smallest squared error
       is taken.
    5. What is still wrong on the held-out trials is kept, as the prior of a reconstruction.

    Parameters
    ----------
    trials
        With videos and responses; a lazy sequence is read three times (the third time in part), a few trials at once.
    lags_s
        Times of the responses that a frame is decoded from, in seconds after it; rounded to frames. Default: every
        frame from 1/30 s before to 9/30 s after, which covers the delay and smear of calcium responses.
    penalties
        To choose from, relative to the features' summed variance (neurons x lags, where all are z-scored and kept):
        penalty x summed variance x the sum of squared weights is added to the summed squared error. They are tried from
        the middle one outwards while the error falls; in simulations the best were 3 to 30. One number is taken as it
        is.
    components
        Principal components of the neurons to keep. Default: every neuron while neurons x lags is at most 6000, else as
        many components as fit into it: 545 of 8,000 neurons at 11 lags.
    groups
        One label a trial; trials with the same label are held out together. Default: trials with the same movie.
    held_out_frames
        Groups are held out, drawn at random, until they have this many frames (but at least two). The first 3000 of
        these frames, in whole groups, choose the penalty; all of them give the residual's statistics.
    seed
        Draws the groups, and starts the search for the components of more than 4096 neurons.
    progress
        Show a progress bar.

    Returns
    -------
    RidgeDecoder

    Raises
    ------
    InputError
        Trials that do not belong together or lack video or responses; arguments out of range; several penalties but
        only one movie, so that none can be held out.

    Notes
    -----
    Memory does not grow with the number of trials. With N neurons, P pixels, f = components x lags features, h held-out
    frames, and b = 1200 frames or those of the longest trial or group, no more than this many numbers of 4 bytes are
    held at once: while components are searched (only if fewer than N) 3 N^2 + 2 b N; then 3 f^2 (5 f^2 in dual form)
    + 3 f P + 3 P^2 + 4 b (f + P) + h (f + 2 P). For 8,000 neurons, 11 lags and 36 x 64 pixels that is 1.1 GB. Up to
    1024 features are summed in double precision, twice the size.

    The means, deviations and components of steps 1 and 2 are those of all training trials, held-out ones too.
    """
    spec = check_trials(trials, what="training trials", needs=("video", "responses"))
    check_responses(trials, spec, what="training trials")
    choices = _checked_penalties(penalties)
    if groups is not None and len(groups) != len(trials):
        raise InputError(f"groups has {len(groups)} labels for {len(trials)} trials; give one label a trial")
    whole_number(held_out_frames, name="held_out_frames")
    whole_number(seed, name="seed", least=0)
    lags = lag_frames(lags_s, frame_rate_hz=spec.frame_rate_hz)
    features = fit_features(trials, lags=lags, components=components, seed=seed, progress=progress)
    movies: list[Hashable] = []
    moments = stream_moments(
        _batches(trials, features, movies, progress=progress),
        features=features.count,
        pixels=spec.video_height * spec.video_width,
        frames=spec.frames,
    )
    drawn = _drawn_groups(movies if groups is None else groups, seed=seed)
    held_out = _hold_out(trials, drawn, features, moments.problem, frames=held_out_frames)
    penalty, errors = _choose(choices, held_out, moments.problem, spec)
    ridge = penalty * moments.problem.feature_variance
    residual = None
    if held_out:
        residual = residual_statistics(held_out, moments.problem, ridge=ridge, frame_rate_hz=spec.frame_rate_hz)
    return _decoder(features, moments, residual, spec, penalty=penalty, errors=errors)


def _checked_penalties(penalties: Sequence[float] | float) -> tuple[float, ...]:
    given = np.atleast_1d(as_array(penalties, name="penalties"))
    choices = tuple(map(float, given)) if given.dtype.kind in "fiu" and given.ndim == 1 else ()
    if not choices or not all(math.isfinite(penalty) and penalty > 0 for penalty in choices):
        raise InputError(f"penalties is {penalties!r}; it must be one or more positive numbers")
    return tuple(sorted(set(choices)))


def _batches(
    trials: Sequence[Trial], features: ResponseFeatures, movies: list[Hashable], *, progress: bool
) -> Iterator[tuple[Tensor, Tensor]]:
    """Features and pixels of some trials at a time; a hash of each trial's movie is added to ``movies``."""
    waiting: list[tuple[Tensor, Tensor]] = []
    for index in progress_bar(range(len(trials)), description="decoder", enabled=progress):
        trial = trials[index]
        pixels = _pixels(trial)
        movies.append(hashlib.blake2b(pixels.numpy().tobytes()).digest())
        waiting.append((features.of(trial), pixels))
        if index == len(trials) - 1 or sum(len(y) for _, y in waiting) >= BATCH_FRAMES:
            yield torch.cat([x for x, _ in waiting]), torch.cat([y for _, y in waiting])
            waiting = []


def _pixels(trial: Trial) -> Tensor:
    """(frames, pixels), as grey level - ``MID_GREY``: single precision then keeps what differs between frames."""
    return torch.from_numpy(trial.needs_video() - np.float32(MID_GREY)).flatten(1)


def _drawn_groups(labels: Sequence[Hashable], *, seed: int) -> list[list[int]]:
    """The indices of the trials of each group, groups in random order."""
    members: dict[Hashable, list[int]] = {}
    for index, label in enumerate(labels):
        members.setdefault(label, []).append(index)
    groups = list(members.values())
    return [groups[number] for number in np.random.default_rng(seed).permutation(len(groups))]


def _hold_out(
    trials: Sequence[Trial], groups: list[list[int]], features: ResponseFeatures, problem: RidgeProblem, *, frames: int
) -> list[HeldOut]:
    """The first groups, until they have enough frames; none if there is but one, which leaves nothing to fit to."""
    held_out: list[HeldOut] = []
    for group in groups if len(groups) > 1 else []:
        if _enough(held_out, frames):
            break
        opened = [trials[index] for index in group]
        x, y = [features.of(trial) for trial in opened], [_pixels(trial) for trial in opened]
        held_out.append(HeldOut.of(x, y, problem=problem))
    return held_out


def _enough(held_out: list[HeldOut], frames: int) -> bool:
    return len(held_out) >= 2 and sum(len(group.video) for group in held_out) >= frames


def _choose(
    penalties: tuple[float, ...], held_out: list[HeldOut], problem: RidgeProblem, spec: TrialSpec
) -> tuple[float, dict[float, float]]:
    """Walk from the middle penalty to where the held-out error is smallest; all errors seen on the way."""
    if not held_out and len(penalties) > 1:
        raise InputError(
            "there is only one movie (or one group), so none can be held out to choose among several penalties; give "
            "trials of several movies, cut a long trial into several, or pass one penalty, for example penalties=10"
        )
    if not held_out:
        return penalties[0], {}
    count = next((n for n in range(len(held_out)) if _enough(held_out[:n], COMPARED_FRAMES)), len(held_out))
    pixels = scored_pixels(spec.video_height, spec.video_width)

    seen: dict[int, float] = {}
    best = len(penalties) // 2
    while True:
        for index in {best - 1, best, best + 1} & set(range(len(penalties))) - set(seen):
            ridge = penalties[index] * problem.feature_variance
            residuals = held_out_residuals(held_out[:count], problem, ridge=ridge, pixels=pixels)
            seen[index] = float(torch.cat(residuals).square().mean().sqrt())
        if seen[best] == min(seen.values()):
            return penalties[best], {penalties[index]: seen[index] for index in sorted(seen)}
        best = min(seen, key=seen.__getitem__)


def _decoder(
    features: ResponseFeatures,
    moments: Moments,
    residual: ResidualStatistics | None,
    spec: TrialSpec,
    *,
    penalty: float,
    errors: dict[float, float],
) -> RidgeDecoder:
    weights, intercept = moments.problem.weights(penalty * moments.problem.feature_variance)
    covariance = moments.video_covariance
    return RidgeDecoder(
        features=features,
        weights=weights.float().numpy(),
        intercept=(intercept + MID_GREY).float().numpy(),
        video_height=spec.video_height,
        video_width=spec.video_width,
        frame_rate_hz=spec.frame_rate_hz,
        penalty=penalty,
        held_out_errors=errors,
        mean_video=(moments.video_mean + MID_GREY).reshape(spec.video_height, spec.video_width).numpy(),
        video_covariance=None if covariance is None else covariance.numpy(),
        residual_covariance=None if residual is None else residual.covariance,
        residual_autocorrelation=None if residual is None else residual.autocorrelation,
    )

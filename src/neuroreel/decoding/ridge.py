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

from neuroreel.decoding.covariance import GREY, Moments, Spectrum, stream_moments
from neuroreel.decoding.decoder import RidgeDecoder
from neuroreel.decoding.features import BATCH_FRAMES, ResponseFeatures, fit_features, lag_frames
from neuroreel.decoding.heldout import (
    AxisFit,
    HeldOut,
    ResidualStatistics,
    held_out_error,
    residual_statistics,
    scored_pixels,
)
from neuroreel.errors import InputError
from neuroreel.progress import progress as progress_bar
from neuroreel.recordings.checks import TrialSpec, check_trials
from neuroreel.recordings.trial import Trial

PENALTIES = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0)  # best in simulations: 3 to 30
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
        penalty x summed variance x |weights|^2 is added to the summed squared error. One number is taken as it is.
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
    Memory does not grow with the number of trials. With N neurons, P pixels, f = components x lags features, b = 1200
    frames or one longer trial, and h held-out frames, no more than this many numbers of 4 bytes are held at once: while
    components are searched (only if fewer than N) 3 N^2 + 2 b N; then 4 f^2 + 3 f P + P^2 + b (2 f + P); then
    f^2 + 4 f P + 3 P^2 + h (2 f + 3 P). Up to 1024 features are summed in double precision, twice the size. Groups are
    held out whole, however long.

    The means, deviations and components of steps 1 and 2 are those of all training trials, held-out ones too.
    """
    spec = check_trials(trials, what="training trials", needs=("video", "responses"))
    choices = _checked_penalties(penalties)
    if groups is not None and len(groups) != len(trials):
        raise InputError(f"groups has {len(groups)} labels for {len(trials)} trials; give one label a trial")
    if held_out_frames < 1:
        raise InputError(f"held_out_frames is {held_out_frames}; it must be at least 1")
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
    held_out = _hold_out(trials, drawn, features, moments.spectrum, frames=held_out_frames)
    penalty, errors = _choose(choices, held_out, moments.spectrum, spec)
    residual = _residual(held_out, moments.spectrum, penalty=penalty, frame_rate_hz=spec.frame_rate_hz)
    return _decoder(features, moments, residual, spec, penalty=penalty, errors=errors)


def _checked_penalties(penalties: Sequence[float] | float) -> tuple[float, ...]:
    choices = tuple(float(penalty) for penalty in np.atleast_1d(np.asarray(penalties, float)))
    if not choices or not all(math.isfinite(penalty) and penalty > 0 for penalty in choices):
        raise InputError(f"penalties is {penalties!r}; it must be one or more positive numbers")
    return choices


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
    """(frames, pixels), as grey level - ``GREY``."""
    return torch.from_numpy(trial.needs_video() - np.float32(GREY)).flatten(1)


def _drawn_groups(labels: Sequence[Hashable], *, seed: int) -> list[list[int]]:
    """The indices of the trials of each group, groups in random order."""
    members: dict[Hashable, list[int]] = {}
    for index, label in enumerate(labels):
        members.setdefault(label, []).append(index)
    groups = list(members.values())
    return [groups[number] for number in np.random.default_rng(seed).permutation(len(groups))]


def _hold_out(
    trials: Sequence[Trial], groups: list[list[int]], features: ResponseFeatures, spectrum: Spectrum, *, frames: int
) -> list[HeldOut]:
    """The first groups, until they have enough frames; none if there is but one, which leaves nothing to fit to."""
    held_out: list[HeldOut] = []
    for group in groups if len(groups) > 1 else []:
        if _enough(held_out, frames):
            break
        opened = [trials[index] for index in group]
        x, y = [features.of(trial) for trial in opened], [_pixels(trial) for trial in opened]
        held_out.append(HeldOut.of(x, y, spectrum=spectrum))
    return held_out


def _enough(held_out: list[HeldOut], frames: int) -> bool:
    return len(held_out) >= 2 and sum(len(group.video) for group in held_out) >= frames


def _choose(
    penalties: tuple[float, ...], held_out: list[HeldOut], spectrum: Spectrum, spec: TrialSpec
) -> tuple[float, dict[float, float]]:
    """The penalty with the smallest held-out error, and the root mean squared error of each."""
    if not held_out and len(penalties) > 1:
        raise InputError(
            "there is only one movie (or one group), so none can be held out to choose among several penalties; give "
            "trials of several movies, cut a long trial into several, or pass one penalty, for example penalties=3"
        )
    if not held_out:
        return penalties[0], {}
    count = next((n for n in range(len(held_out)) if _enough(held_out[:n], COMPARED_FRAMES)), len(held_out))
    pixels = scored_pixels(spec.video_height, spec.video_width)
    errors = {}
    for penalty in penalties:
        fit = AxisFit.of(spectrum, ridge=penalty * spectrum.total_variance, pixels=pixels)
        errors[penalty] = math.sqrt(held_out_error(held_out[:count], fit))
    return min(errors, key=errors.__getitem__), errors


def _residual(
    held_out: list[HeldOut], spectrum: Spectrum, *, penalty: float, frame_rate_hz: float
) -> ResidualStatistics | None:
    if not held_out:
        return None
    fit = AxisFit.of(spectrum, ridge=penalty * spectrum.total_variance)
    return residual_statistics(held_out, fit, frame_rate_hz=frame_rate_hz)


def _decoder(
    features: ResponseFeatures,
    moments: Moments,
    residual: ResidualStatistics | None,
    spec: TrialSpec,
    *,
    penalty: float,
    errors: dict[float, float],
) -> RidgeDecoder:
    spectrum, covariance = moments.spectrum, moments.video_covariance
    weights = spectrum.weights(penalty * spectrum.total_variance)
    return RidgeDecoder(
        features=features,
        weights=weights.float().numpy(),
        intercept=(spectrum.pixel_mean + GREY - spectrum.feature_mean @ weights).float().numpy(),
        video_height=spec.video_height,
        video_width=spec.video_width,
        frame_rate_hz=spec.frame_rate_hz,
        penalty=penalty,
        held_out_errors=errors,
        mean_video=(spectrum.pixel_mean + GREY).float().reshape(spec.video_height, spec.video_width).numpy(),
        video_covariance=None if covariance is None else covariance.numpy(),
        residual_covariance=None if residual is None else residual.covariance,
        residual_autocorrelation=None if residual is None else residual.autocorrelation,
    )

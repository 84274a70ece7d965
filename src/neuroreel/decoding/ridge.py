"""Ridge regression from the responses around a frame to its pixels: a baseline that is hard to beat on small data."""

from __future__ import annotations

import hashlib
import itertools
import math
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from neuroreel.arguments import as_array, whole_number
from neuroreel.decoding.covariance import Moments, RidgeProblem, stream_moments
from neuroreel.decoding.features import BATCH_FRAMES, ResponseFeatures, fit_features, lag_frames
from neuroreel.decoding.heldout import (
    HeldOut,
    ResidualStatistics,
    held_out_residuals,
    held_out_trials,
    residual_statistics,
    scored_pixels,
)
from neuroreel.decoding.ridge_decoder import RidgeDecoder
from neuroreel.errors import InputError
from neuroreel.grey import MID_GREY
from neuroreel.progress import progress as progress_bar
from neuroreel.recordings.checks import TrialSpec, check_responses
from neuroreel.recordings.trial import Trial

PENALTIES = tuple(float(f"{10**exponent:.1g}") for exponent in np.arange(-2, 4.1, 0.5))  # 0.01, 0.03 … 10000
HELD_OUT_FRAMES = 6000
COMPARED_FRAMES = 3000  # enough to rank penalties, which are compared on the same frames


@dataclass(frozen=True, kw_only=True)
class RidgeFit:
    """A fitted ridge regression, with what is needed to leave trials out."""

    decoder: RidgeDecoder
    moments: Moments
    groups: list[list[int]]

    def cross_fitted(self, trials: Sequence[Trial], *, progress: bool) -> list[NDArray[np.float32]]:
        """Movies (frames, height, width) of the training trials, each decoded by a fit without its movie.

        If there is only one movie, it cannot be left out, and the fit to all is used.
        """
        if len(self.groups) < 2:
            return [self.decoder.movie(trials[index]) for index in range(len(trials))]
        problem = self.moments.problem
        opened = (_held_out([trials[i] for i in group], self.decoder.features, problem) for group in self.groups)
        given, videos = itertools.tee(opened)
        residuals = held_out_residuals(given, problem, ridge=self.decoder.penalty * problem.feature_variance)
        movies: dict[int, NDArray[np.float32]] = {}
        steps = progress_bar(residuals, description="cross-fitted movies", total=len(self.groups), enabled=progress)
        for indices, group, residual in zip(self.groups, videos, steps, strict=True):
            levels = (group.video - residual + MID_GREY).clamp_(0, 255).float().split(list(group.lengths))
            for index, movie in zip(indices, levels, strict=True):
                movies[index] = movie.view(-1, self.decoder.video_height, self.decoder.video_width).numpy()
        return [movies[index] for index in range(len(trials))]


def fit_ridge(
    trials: Sequence[Trial],
    spec: TrialSpec,
    *,
    lags_s: Sequence[float] | None,
    penalties: Sequence[float] | float,
    components: int | None,
    groups: Sequence[Hashable] | None,
    held_out_frames: int,
    seed: int,
    progress: bool,
) -> RidgeFit:
    """Fit the regression to checked trials; ``nr.fit_decoder`` explains the method and parameters."""
    check_responses(trials, spec, what="training trials")
    choices = _checked_penalties(penalties)
    if groups is not None and len(groups) != len(trials):
        raise InputError(f"groups has {len(groups)} labels for {len(trials)} trials; give one label per trial")
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
        residual = residual_statistics(
            held_out_trials(held_out, moments.problem, ridge=ridge),
            pixels=spec.video_height * spec.video_width,
            frame_rate_hz=spec.frame_rate_hz,
        )
    decoder = _decoder(features, moments, residual, spec, penalty=penalty, errors=errors)
    return RidgeFit(decoder=decoder, moments=moments, groups=drawn)


def _checked_penalties(penalties: Sequence[float] | float) -> tuple[float, ...]:
    given = np.atleast_1d(as_array(penalties, name="penalties"))
    choices = tuple(map(float, given)) if given.dtype.kind in "fiu" and given.ndim == 1 else ()
    if not choices or not all(math.isfinite(penalty) and penalty > 0 for penalty in choices):
        raise InputError(f"penalties is {penalties!r}; it must be one or more positive numbers")
    return tuple(sorted(set(choices)))


def _batches(
    trials: Sequence[Trial], features: ResponseFeatures, movies: list[Hashable], *, progress: bool
) -> Iterator[tuple[Tensor, Tensor]]:
    """Features and pixels in batches of trials; adds a hash of each trial's movie to ``movies``."""
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
    """(frames, pixels), as gray level - ``MID_GREY`` so that single precision keeps the differences between frames."""
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
    """The first groups, until they have enough frames; none if there is only one, which leaves nothing to fit to."""
    held_out: list[HeldOut] = []
    for group in groups if len(groups) > 1 else []:
        if _enough(held_out, frames):
            break
        held_out.append(_held_out([trials[index] for index in group], features, problem))
    return held_out


def _held_out(trials: Sequence[Trial], features: ResponseFeatures, problem: RidgeProblem) -> HeldOut:
    return HeldOut.of([features.of(trial) for trial in trials], [_pixels(trial) for trial in trials], problem=problem)


def _enough(held_out: list[HeldOut], frames: int) -> bool:
    return len(held_out) >= 2 and sum(len(group.video) for group in held_out) >= frames


def _choose(
    penalties: tuple[float, ...], held_out: list[HeldOut], problem: RidgeProblem, spec: TrialSpec
) -> tuple[float, dict[float, float]]:
    """Walk from the middle penalty to the smallest held-out error; returns all errors seen."""
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
            seen[index] = float(torch.cat(list(residuals)).square().mean().sqrt())
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

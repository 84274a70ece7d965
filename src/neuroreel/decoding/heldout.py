"""Errors of a decoder on held-out trials, without fitting it again.

Leaving the frames b out of a ridge regression changes its residual there from e to (I - H)^-1 e, where H = x A^-1
x' is block b of the matrix that maps the true pixels to the fitted ones (x: the features of b; A = X'X +
penalty, over all frames). This is exact, and follows from the Woodbury identity; for one frame it is the
leave-one-out formula of Hastie, Tibshirani & Friedman, The Elements of Statistical Learning, section 7.10.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from neuroreel.decoding.covariance import MAX_COVARIANCE_PIXELS, RidgeProblem, cholesky
from neuroreel.decoding.symmetric import add_products, filled
from neuroreel.grey import MID_GREY

MAX_SCORED_PIXELS = 300


@dataclass(frozen=True, kw_only=True)
class HeldOut:
    """Trials that are left out together because they show the same movie.

    Parameters
    ----------
    x
        (frames, coordinates): the features, in the coordinates of the ridge problem.
    video
        (frames, pixels), as gray level - ``MID_GREY``.
    lengths
        Frames of each trial.
    """

    x: Tensor
    video: Tensor
    lengths: tuple[int, ...]

    @classmethod
    def of(cls, features: Sequence[Tensor], videos: Sequence[Tensor], *, problem: RidgeProblem) -> HeldOut:
        """From the features (frames, features) and videos (frames, pixels) of the group's trials."""
        return cls(
            x=problem.coordinates(torch.cat(list(features))),
            video=torch.cat(list(videos)).to(problem.products.dtype),
            lengths=tuple(len(video) for video in videos),
        )


def held_out_residuals(
    groups: Iterable[HeldOut], problem: RidgeProblem, *, ridge: float, pixels: Tensor | None = None
) -> Iterator[Tensor]:
    """For each group in turn, its video minus the movie decoded by a fit to all other trials: (frames, pixels).

    ``pixels`` picks some by index; None: all.
    """
    chosen = slice(None) if pixels is None else pixels
    factor = problem.factor(ridge)
    weights = torch.cholesky_solve(problem.cross[:, chosen], factor)
    for group in groups:
        yield _leave_out(group.x, factor, group.video[:, chosen] - group.x @ weights)


def _leave_out(x: Tensor, factor: Tensor, residual: Tensor) -> Tensor:
    """(I - x A^-1 x')^-1 residual, where A = factor factor', solved on the smaller side."""
    frames, coordinates = x.shape
    if frames <= coordinates:
        root = torch.linalg.solve_triangular(factor, x.T, upper=False)
        return torch.cholesky_solve(residual, cholesky(torch.eye(frames, dtype=x.dtype) - root.T @ root))
    others = factor @ factor.T - x.T @ x
    return residual + x @ torch.cholesky_solve(x.T @ residual, cholesky(others))


def scored_pixels(height: int, width: int) -> Tensor:
    """Indices of an even grid of at most about 300 pixels: neighboring pixels would add nothing."""
    step = max(1, int(np.ceil(np.sqrt(height * width / MAX_SCORED_PIXELS))))
    return torch.arange(height * width).reshape(height, width)[step // 2 :: step, step // 2 :: step].flatten()


@dataclass(frozen=True, kw_only=True)
class ResidualStatistics:
    """Second moments of truth - decoded (gray levels) on held-out trials.

    Parameters
    ----------
    covariance
        (pixels, pixels) float32, around zero; None above ``MAX_COVARIANCE_PIXELS`` pixels.
    autocorrelation
        (lags,) float32 over frames, from lag 0 (1) to about one second, averaged over pixels.
    """

    covariance: NDArray[np.float32] | None
    autocorrelation: NDArray[np.float32]


def residual_statistics(residuals: Iterable[Tensor], *, pixels: int, frame_rate_hz: float) -> ResidualStatistics:
    """Covariance over pixels and autocorrelation over time of truth - decoded, (frames, pixels) of each trial."""
    squares = torch.zeros(pixels, pixels) if pixels <= MAX_COVARIANCE_PIXELS else None
    products, counts = np.zeros((2, round(frame_rate_hz) + 1))
    frames = 0
    for residual in residuals:
        if squares is not None:
            add_products(squares, residual)
        _add_lagged_products(residual, products, counts)
        frames += len(residual)
    if squares is not None:
        filled(squares).div_(frames)
    mean_products = products[counts > 0] / counts[counts > 0]
    return ResidualStatistics(
        covariance=None if squares is None else squares.numpy(),
        autocorrelation=(mean_products / max(mean_products[0], 1e-12)).astype(np.float32),
    )


def held_out_trials(groups: Sequence[HeldOut], problem: RidgeProblem, *, ridge: float) -> Iterator[Tensor]:
    """The residual (frames, pixels) of each trial of the groups, for movies clipped to 0..255 as in ``decode``."""
    for group, unclipped in zip(groups, held_out_residuals(groups, problem, ridge=ridge), strict=True):
        yield from _clipped_residual(group.video, unclipped).split(list(group.lengths))


def _clipped_residual(video: Tensor, residual: Tensor) -> Tensor:
    """The residual of the movie that ``decode`` returns, which is clipped to 0..255."""
    decoded = (video - residual).clamp(-MID_GREY, MID_GREY)
    return (video - decoded).float()


def _add_lagged_products(residual: Tensor, products: NDArray[np.float64], counts: NDArray[np.float64]) -> None:
    frames, pixels = residual.shape
    between_frames = residual @ residual.T
    for lag in range(min(len(products), frames)):
        products[lag] += float(between_frames.diagonal(lag).sum())
        counts[lag] += (frames - lag) * pixels

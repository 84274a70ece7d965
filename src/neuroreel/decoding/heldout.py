"""What the decoder gets wrong on trials it was not fitted to, without fitting it again.

Leaving the frames b out of a ridge regression changes its residual there from e to (I - H)^-1 e, where H is the
block b of the matrix that maps the true pixels to the fitted ones. This is exact (it extends the leave-one-out
identity, Hastie, Tibshirani & Friedman, The Elements of Statistical Learning, section 7.10, from one frame to a
block; it follows from the Woodbury identity). Along the principal axes of the features, H costs little for every
penalty.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from neuroreel.decoding.covariance import GREY, MAX_COVARIANCE_PIXELS, Spectrum
from neuroreel.decoding.symmetric import add_products, filled
from neuroreel.errors import InputError

MAX_SCORED_PIXELS = 300


@dataclass(frozen=True, kw_only=True)
class HeldOut:
    """Trials that are left out together, because they show the same movie.

    Parameters
    ----------
    scores
        (frames, rank + 1): the centered features along the principal axes, then a column of ones for the intercept.
    video
        (frames, pixels), as grey level - ``GREY``.
    lengths
        Frames of each trial.
    """

    scores: Tensor
    video: Tensor
    lengths: tuple[int, ...]

    @classmethod
    def of(cls, features: Sequence[Tensor], videos: Sequence[Tensor], *, spectrum: Spectrum) -> HeldOut:
        """From the features (frames, features) and videos (frames, pixels) of the group's trials."""
        x = torch.cat(list(features)).to(spectrum.axes.dtype)
        along_axes = (x - spectrum.feature_mean) @ spectrum.axes
        return cls(
            scores=torch.cat([along_axes, along_axes.new_ones(len(x), 1)], dim=1),
            video=torch.cat(list(videos)).to(spectrum.axes.dtype),
            lengths=tuple(len(video) for video in videos),
        )

    def residual(self, fit: AxisFit) -> Tensor:
        """Video minus what a decoder fitted to all other trials makes of it: (frames, pixels of the fit)."""
        video = self.video if fit.pixels is None else self.video[:, fit.pixels]
        return _leave_out(self.scores, fit.shrink, video - self.scores @ fit.weights)


@dataclass(frozen=True, kw_only=True)
class AxisFit:
    """Ridge regression to some pixels (None: all) for one penalty, in the columns of ``HeldOut.scores``.

    ``shrink`` (rank + 1,), ``weights`` (rank + 1, pixels).
    """

    shrink: Tensor
    weights: Tensor
    pixels: Tensor | None

    @classmethod
    def of(cls, spectrum: Spectrum, *, ridge: float, pixels: Tensor | None = None) -> AxisFit:
        """The fit to all training trials; the intercept's column of ones is not penalized."""
        projection, mean = spectrum.projection, spectrum.pixel_mean[None]
        if pixels is not None:
            projection, mean = projection[:, pixels], mean[:, pixels]
        shrink = 1 / (spectrum.power + ridge)
        return cls(
            shrink=torch.cat([shrink, shrink.new_tensor([1 / spectrum.frames])]),
            weights=torch.cat([shrink[:, None] * projection, mean]),
            pixels=pixels,
        )


def held_out_error(groups: Sequence[HeldOut], fit: AxisFit) -> float:
    """Mean squared error (grey levels squared) on trials that were held out, over the pixels of the fit."""
    return float(np.mean(np.concatenate([group.residual(fit).square().mean(1).numpy() for group in groups])))


def scored_pixels(height: int, width: int) -> Tensor:
    """Indices of an even grid of at most about 300 pixels: their neighbors would say the same of a penalty."""
    step = max(1, int(np.ceil(np.sqrt(height * width / MAX_SCORED_PIXELS))))
    return torch.arange(height * width).reshape(height, width)[step // 2 :: step, step // 2 :: step].flatten()


@dataclass(frozen=True, kw_only=True)
class ResidualStatistics:
    """Second moments of truth - decoded (grey levels) on held-out trials.

    Parameters
    ----------
    covariance
        (pixels, pixels) float32, around zero; None above ``MAX_COVARIANCE_PIXELS`` pixels.
    autocorrelation
        (lags,) float32 over frames, from lag 0 (1) to about one second, averaged over pixels.
    """

    covariance: NDArray[np.float32] | None
    autocorrelation: NDArray[np.float32]


def residual_statistics(groups: Sequence[HeldOut], fit: AxisFit, *, frame_rate_hz: float) -> ResidualStatistics:
    """Covariance over pixels and autocorrelation over time of truth - decoded; ``fit`` is to all pixels."""
    pixels = groups[0].video.shape[1]
    squares = torch.zeros(pixels, pixels) if pixels <= MAX_COVARIANCE_PIXELS else None
    longest = max(length for group in groups for length in group.lengths)
    products, counts = np.zeros((2, min(round(frame_rate_hz), longest - 1) + 1))
    for group in groups:
        residual = _clipped_residual(group.video, group.residual(fit))
        if squares is not None:
            add_products(squares, residual)
        for trial in residual.split(list(group.lengths)):
            _add_lagged_products(trial, products, counts)
    covariance = None if squares is None else filled(squares).div_(sum(len(group.video) for group in groups)).numpy()
    mean_products = products / np.maximum(counts, 1)
    return ResidualStatistics(
        covariance=covariance, autocorrelation=(mean_products / max(mean_products[0], 1e-12)).astype(np.float32)
    )


def _clipped_residual(video: Tensor, residual: Tensor) -> Tensor:
    """The residual of the movie that ``decode`` returns, which is clipped to 0..255."""
    decoded = (video - residual).clamp(-GREY, GREY)
    return (video - decoded).float()


def _add_lagged_products(residual: Tensor, products: NDArray[np.float64], counts: NDArray[np.float64]) -> None:
    frames, pixels = residual.shape
    between_frames = residual @ residual.T
    for lag in range(min(len(products), frames)):
        products[lag] += float(between_frames.diagonal(lag).sum())
        counts[lag] += (frames - lag) * pixels


def _leave_out(scores: Tensor, shrink: Tensor, fitted_residual: Tensor) -> Tensor:
    """(I - scores diag(shrink) scores')^-1 fitted_residual, solved on the smaller side."""
    frames, rank = scores.shape
    if frames <= rank:
        return _solve(torch.eye(frames, dtype=scores.dtype) - (scores * shrink) @ scores.T, fitted_residual)
    inner = torch.diag(1 / shrink) - scores.T @ scores
    return fitted_residual + scores @ _solve(inner, scores.T @ fitted_residual)


def _solve(matrix: Tensor, right: Tensor) -> Tensor:
    factor, failed = torch.linalg.cholesky_ex(matrix)
    if failed:
        raise InputError(
            "the smallest of the penalties is lost in rounding, so no trial can be held out; pass larger penalties"
        )
    return torch.cholesky_solve(right, factor)

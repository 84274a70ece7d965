"""Streamed second moments of features and pixels, and the axes along which ridge regression is a division.

Let X (frames, features) and Y (frames, pixels) be centered. With the eigenvectors V and eigenvalues s of X'X, the
ridge weights for a penalty a are V diag(1 / (s + a)) V'X'Y: one decomposition serves every penalty. Two forms give
the same V and s:

primal
    frames >= features: X'X and X'Y are summed trial by trial, frames are never kept.
dual
    frames < features: the frames are kept (fewer numbers than X'X has); XX' = U diag(s) U' and V = X'U diag(s)^(-1/2).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from neuroreel.decoding.symmetric import add_products, filled

GREY = 127.5  # subtracted from pixels before summing, so that single precision keeps what differs between frames
DOUBLE_UP_TO = 1024  # features; so few cost nothing in double precision
MAX_COVARIANCE_PIXELS = 10_000  # a covariance of 10,000 pixels takes 400 MB


@dataclass(frozen=True, kw_only=True)
class Spectrum:
    """A ridge problem along the principal axes of its features.

    Parameters
    ----------
    axes
        (features, rank): V.
    power
        (rank,): s, summed (not averaged) over frames.
    projection
        (rank, pixels): V'X'Y.
    feature_mean, pixel_mean
        (features,) and (pixels,); pixels as grey level - ``GREY``.
    frames
        How many frames went in.
    """

    axes: Tensor
    power: Tensor
    projection: Tensor
    feature_mean: Tensor
    pixel_mean: Tensor
    frames: int

    @property
    def total_variance(self) -> float:
        """Summed variance of the features: the number of neurons x lags, where all are z-scored and kept."""
        return float(self.power.sum()) / self.frames

    def weights(self, ridge: float) -> Tensor:
        """Ridge weights (features, pixels) for the penalty ``ridge`` x |weights|^2 on the summed squared error."""
        return self.axes @ (self.projection / (self.power + ridge)[:, None])


@dataclass(frozen=True, kw_only=True)
class Moments:
    """What one pass over the training trials leaves: the ridge problem, and the movies' own statistics.

    ``video_covariance`` is (pixels, pixels), or None above ``MAX_COVARIANCE_PIXELS``.
    """

    spectrum: Spectrum
    video_covariance: Tensor | None


def stream_moments(batches: Iterable[tuple[Tensor, Tensor]], *, features: int, pixels: int, frames: int) -> Moments:
    """Sum the moments of (features, pixels) batches and find the axes, in the form that is cheaper.

    Parameters
    ----------
    batches
        Pairs of (some frames, features) and (the same frames, pixels); pixels as grey level - ``GREY``.
    features, pixels, frames
        How many there are in all.
    """
    dtype = torch.float64 if features <= DOUBLE_UP_TO else torch.float32
    sums = (_KeptFrames if frames < features else _SummedProducts)(features, pixels, dtype=dtype)
    feature_sum, pixel_sum = torch.zeros(features, dtype=torch.float64), torch.zeros(pixels, dtype=torch.float64)
    squares = torch.zeros(pixels, pixels) if pixels <= MAX_COVARIANCE_PIXELS else None
    for x, y in batches:
        feature_sum += x.sum(0, dtype=torch.float64)
        pixel_sum += y.sum(0, dtype=torch.float64)
        sums.add(x.to(dtype), y.to(dtype))
        if squares is not None:
            add_products(squares, y)
    feature_mean, pixel_mean = (feature_sum / frames).to(dtype), (pixel_sum / frames).to(dtype)
    axes, power, projection = sums.decompose(feature_mean, pixel_mean, frames=frames)
    spectrum = Spectrum(
        axes=axes, power=power, projection=projection, feature_mean=feature_mean, pixel_mean=pixel_mean, frames=frames
    )
    if squares is not None:
        mean = pixel_mean.float()
        filled(squares).div_(frames).sub_(torch.outer(mean, mean))
    return Moments(spectrum=spectrum, video_covariance=squares)


class _SummedProducts:
    """Primal form."""

    def __init__(self, features: int, pixels: int, *, dtype: torch.dtype) -> None:
        self.gram = torch.zeros(features, features, dtype=dtype)
        self.cross = torch.zeros(features, pixels, dtype=dtype)

    def add(self, x: Tensor, y: Tensor) -> None:
        add_products(self.gram, x)
        self.cross.addmm_(x.T, y)

    def decompose(self, x_mean: Tensor, y_mean: Tensor, *, frames: int) -> tuple[Tensor, Tensor, Tensor]:
        self.gram.sub_(torch.outer(x_mean, x_mean), alpha=frames)
        self.cross.sub_(torch.outer(x_mean, y_mean), alpha=frames)
        power, axes = torch.linalg.eigh(self.gram, UPLO="L")  # add_products summed the lower triangle
        return axes, power.clamp_(min=0), axes.T @ self.cross


class _KeptFrames:
    """Dual form."""

    def __init__(self, features: int, pixels: int, *, dtype: torch.dtype) -> None:
        self.x: list[Tensor] = []
        self.y: list[Tensor] = []

    def add(self, x: Tensor, y: Tensor) -> None:
        self.x.append(x)
        self.y.append(y)

    def decompose(self, x_mean: Tensor, y_mean: Tensor, *, frames: int) -> tuple[Tensor, Tensor, Tensor]:
        x, y = torch.cat(self.x) - x_mean, torch.cat(self.y) - y_mean
        power, u = torch.linalg.eigh(x @ x.T)
        real = (
            power > power[-1] * frames * torch.finfo(x.dtype).eps
        )  # centering took one axis, silent features may take more
        power, u = power[real], u[:, real]
        root = power.sqrt()
        return x.T @ (u / root), power, root[:, None] * (u.T @ y)

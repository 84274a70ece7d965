"""The second moments that ridge regression needs, summed trial by trial.

Let X (frames, features) and Y (frames, pixels), with a column of ones in X for the intercept. Ridge weights are
(X'X + a D)^-1 X'Y, where D is the identity, but 0 for the intercept: two sums over frames are all that is needed.

primal form
    frames >= features: X'X and X'Y are summed, and frames are never kept.
dual form
    frames < features: the frames are kept (fewer numbers than X'X has). With the eigenvectors U and eigenvalues s of
    XX' (X centered), the axes V = X'U diag(s)^(-1/2) span all of X, and the frames' coordinates on them replace the
    features: at most as many as there are frames.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from neuroreel.decoding.symmetric import add_products, filled
from neuroreel.errors import InputError

DOUBLE_UP_TO = 1024  # features; for so few, double precision costs nothing
MAX_COVARIANCE_PIXELS = 10_000  # a covariance of 10,000 pixels takes 400 MB


@dataclass(frozen=True, kw_only=True)
class RidgeProblem:
    """The sums, and the coordinates in which they were taken.

    Parameters
    ----------
    products
        (coordinates, coordinates): X'X, lower triangle. The last coordinate is the intercept's 1.
    cross
        (coordinates, pixels): X'Y, pixels as gray level - ``MID_GREY``.
    axes
        (features, coordinates - 1), orthonormal, in the dual form; None in the primal form.
    feature_mean
        (features,).
    frames
        How many frames were summed.
    """

    products: Tensor
    cross: Tensor
    axes: Tensor | None
    feature_mean: Tensor
    frames: int

    @property
    def feature_variance(self) -> float:
        """Summed variance of the features: about neurons x lags if all are z-scored and kept."""
        squares, sums = self.products.diagonal()[:-1], self.products[-1, :-1]
        return float((squares - sums**2 / self.frames).sum()) / self.frames

    def coordinates(self, features: Tensor) -> Tensor:
        """(frames, features) to (frames, coordinates)."""
        x = features.to(self.products.dtype)
        if self.axes is not None:
            x = (x - self.feature_mean) @ self.axes
        return torch.cat([x, x.new_ones(len(x), 1)], dim=1)

    def factor(self, ridge: float) -> Tensor:
        """The Cholesky factor L of X'X + ridge D.

        Raises
        ------
        InputError
            ``ridge`` is so small that it is lost in rounding.
        """
        matrix = self.products.clone()
        matrix.diagonal()[:-1].add_(ridge)
        return cholesky(matrix)

    def weights(self, ridge: float) -> tuple[Tensor, Tensor]:
        """Ridge weights (features, pixels) and intercept (pixels,) on pixels - ``MID_GREY``."""
        solved = torch.cholesky_solve(self.cross, self.factor(ridge))
        weights, intercept = solved[:-1], solved[-1]
        if self.axes is not None:
            weights = self.axes @ weights
            intercept = intercept - self.feature_mean @ weights
        return weights, intercept


def cholesky(matrix: Tensor) -> Tensor:
    """The lower Cholesky factor of a matrix that must be positive; reads its lower triangle."""
    factor, failed = torch.linalg.cholesky_ex(matrix)
    if failed:
        raise InputError("a penalty is so small that it is lost in rounding; pass larger penalties")
    return factor


@dataclass(frozen=True, kw_only=True)
class Moments:
    """The result of one pass over the training trials.

    Parameters
    ----------
    problem
        The ridge regression.
    video_mean
        (pixels,), as gray level - ``MID_GREY``.
    video_covariance
        (pixels, pixels), around the mean; None above ``MAX_COVARIANCE_PIXELS``.
    """

    problem: RidgeProblem
    video_mean: Tensor
    video_covariance: Tensor | None


def stream_moments(batches: Iterable[tuple[Tensor, Tensor]], *, features: int, pixels: int, frames: int) -> Moments:
    """Sum the moments of features and pixels, in the cheaper form.

    Parameters
    ----------
    batches
        Pairs of (some frames, features) and (the same frames, pixels); pixels as gray level - ``MID_GREY``.
    features, pixels, frames
        Total numbers.
    """
    dtype = torch.float64 if features <= DOUBLE_UP_TO else torch.float32
    sums = (_KeptFrames if frames < features else _SummedProducts)(features, pixels, dtype=dtype)
    total = torch.zeros(pixels, dtype=torch.float64)
    squares = torch.zeros(pixels, pixels) if pixels <= MAX_COVARIANCE_PIXELS else None
    for x, y in batches:
        sums.add(x.to(dtype), y.to(dtype))
        total += y.sum(0, dtype=torch.float64)
        if squares is not None:
            add_products(squares, y)
    mean = (total / frames).float()
    if squares is not None:
        filled(squares).div_(frames).sub_(torch.outer(mean, mean))
    return Moments(problem=sums.problem(frames), video_mean=mean, video_covariance=squares)


class _SummedProducts:
    """Primal form."""

    def __init__(self, features: int, pixels: int, *, dtype: torch.dtype) -> None:
        self.products = torch.zeros(features + 1, features + 1, dtype=dtype)
        self.cross = torch.zeros(features + 1, pixels, dtype=dtype)

    def add(self, x: Tensor, y: Tensor) -> None:
        add_products(self.products[:-1, :-1], x)
        self.cross[:-1].addmm_(x.T, y)
        self.products[-1, :-1] += x.sum(0)
        self.cross[-1] += y.sum(0)

    def problem(self, frames: int) -> RidgeProblem:
        self.products[-1, -1] = frames
        mean = self.products[-1, :-1] / frames
        return RidgeProblem(products=self.products, cross=self.cross, axes=None, feature_mean=mean, frames=frames)


class _KeptFrames:
    """Dual form."""

    def __init__(self, features: int, pixels: int, *, dtype: torch.dtype) -> None:
        self.x: list[Tensor] = []
        self.y: list[Tensor] = []

    def add(self, x: Tensor, y: Tensor) -> None:
        self.x.append(x)
        self.y.append(y)

    def problem(self, frames: int) -> RidgeProblem:
        x, y = torch.cat(self.x), torch.cat(self.y)
        self.x.clear()
        mean = x.mean(0)
        x -= mean
        power, u = torch.linalg.eigh(x @ x.T)
        real = power > power[-1] * frames * torch.finfo(x.dtype).eps  # centering and silent neurons remove axes
        power, u = power[real], u[:, real]
        return RidgeProblem(
            products=torch.diag(torch.cat([power, power.new_tensor([frames])])),
            cross=torch.cat([power.sqrt()[:, None] * (u.T @ y), y.sum(0, keepdim=True)]),
            axes=x.T @ (u / power.sqrt()),
            feature_mean=mean,
            frames=frames,
        )

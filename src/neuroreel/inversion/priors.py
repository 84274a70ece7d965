"""What movies are likely before the encoding model has seen the responses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


class Prior(Protocol):
    """Turns the likelihood's gradient into the direction against which the movies move."""

    def direction(self, videos: Tensor, gradient: Tensor) -> Tensor:
        """(trials, frames, height, width) twice in, the same out."""
        ...


class FlatPrior:
    """Every movie is as likely as any other: the published method."""

    def direction(self, videos: Tensor, gradient: Tensor) -> Tensor:
        """The gradient as it is."""
        return gradient


@dataclass(frozen=True, kw_only=True)
class GaussianPrior:
    """Movies scatter around a mean with a covariance that is separable in time and space.

    With covariance S the posterior's gradient is w g + S^-1 (v - mean); multiplied by S, which makes the steps of
    coarse, slow and fine, fast patterns comparable, the direction is w S g + (v - mean). S = time (x) space, the space
    part kept as leading components.

    Attributes
    ----------
    mean
        (trials, frames, height, width).
    time
        (frames, frames): correlation between frames.
    components
        (pixels, k): spatial components, scaled by the square root of their variances (grey levels).
    evidence_weight
        w: how much the responses count.
    """

    mean: Tensor
    time: Tensor
    components: Tensor
    evidence_weight: float

    def direction(self, videos: Tensor, gradient: Tensor) -> Tensor:
        """w S g + (v - mean)."""
        pixels = gradient.flatten(2)  # (trials, frames, pixels)
        spread = self.time @ ((pixels @ self.components) @ self.components.T)
        return self.evidence_weight * spread.view_as(gradient) + (videos - self.mean)


def leading_components(covariance: NDArray[np.float32], *, most: int = 600) -> NDArray[np.float32]:
    """Leading components (pixels, k) of a covariance (pixels, pixels), scaled by the root of their variances."""
    values, vectors = torch.linalg.eigh(torch.from_numpy(np.asarray(covariance, np.float32)))
    leading = slice(max(0, len(values) - most), None)
    return (vectors[:, leading] * values[leading].clamp_min(0).sqrt()).numpy()


def correlation_matrix(autocorrelation: NDArray[np.float32], frames: int) -> NDArray[np.float32]:
    """(frames, frames) Toeplitz matrix of an autocorrelation over lags 0, 1, ...; 0 beyond the last lag, made positive."""
    lags = np.abs(np.subtract.outer(np.arange(frames), np.arange(frames)))
    padded = np.zeros(frames, np.float64)
    known = min(frames, len(autocorrelation))
    # fading out keeps the truncated autocorrelation close to that of a real process
    fade = np.cos(0.5 * np.pi * np.arange(known) / len(autocorrelation))
    padded[:known] = np.asarray(autocorrelation[:known]) * fade
    values, vectors = np.linalg.eigh(padded[lags])
    return ((vectors * values.clip(0)) @ vectors.T).astype(np.float32)

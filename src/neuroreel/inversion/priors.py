"""What movies are likely before the encoding model has seen the responses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
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
        (trials,): w, how much the responses count.
    """

    mean: Tensor
    time: Tensor
    components: Tensor
    evidence_weight: Tensor

    def direction(self, videos: Tensor, gradient: Tensor) -> Tensor:
        """The sum w S g + (v - mean)."""
        pixels = gradient.flatten(2)  # (trials, frames, pixels)
        spread = self.time @ ((pixels @ self.components) @ self.components.T)
        return self.evidence_weight[:, None, None, None] * spread.view_as(gradient) + (videos - self.mean)


NATURAL_DEVIATION = 55.0  # grey levels
NATURAL_LENGTH = 1 / 8  # of the movie's width: over this distance the correlation falls to 1/e
NATURAL_TIME_S = 0.3


def natural_components(height: int, width: int, *, most: int = 600) -> NDArray[np.float32]:
    """Leading components (pixels, k) of natural movies where none were seen: pixels correlate less with distance.

    Correlations fall exponentially along rows and along columns, so that the covariance is a Kronecker product. The
    power spectrum of such images falls with the square of frequency, as that of natural images does (Field 1987).
    """
    length = NATURAL_LENGTH * width
    bases = [np.linalg.eigh(np.exp(-np.abs(np.subtract.outer(r, r)) / length)) for r in map(np.arange, (height, width))]
    (row_values, rows), (column_values, columns) = bases
    products = np.multiply.outer(row_values, column_values)
    leading = np.argsort(products, axis=None)[::-1][:most]
    row, column = np.unravel_index(leading, products.shape)
    images = rows[:, None, row] * columns[None, :, column] * np.sqrt(products[row, column])
    return (NATURAL_DEVIATION * images.reshape(height * width, -1)).astype(np.float32)


def natural_autocorrelation(frames: int, frame_rate_hz: float) -> NDArray[np.float32]:
    """Correlation (frames,) between frames of a natural movie, over lags from 0."""
    return np.exp(-np.arange(frames) / (NATURAL_TIME_S * frame_rate_hz)).astype(np.float32)


def correlation_matrix(autocorrelation: NDArray[np.float32], frames: int) -> NDArray[np.float32]:
    """(frames, frames) Toeplitz matrix of an autocorrelation over lags 0, 1, ...

    It fades to 0 at the last lag, and is made positive semidefinite.
    """
    lags = np.abs(np.subtract.outer(np.arange(frames), np.arange(frames)))
    padded = np.zeros(frames, np.float64)
    known = min(frames, len(autocorrelation))
    # fading out keeps the truncated autocorrelation close to that of a real process
    fade = np.cos(0.5 * np.pi * np.arange(known) / len(autocorrelation))
    padded[:known] = np.asarray(autocorrelation[:known]) * fade
    values, vectors = np.linalg.eigh(padded[lags])
    return ((vectors * values.clip(0)) @ vectors.T).astype(np.float32)

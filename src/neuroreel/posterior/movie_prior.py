"""The movie prior: a Gaussian over spatial components, each with its own temporal spectrum."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from neuroreel.decoding.symmetric import add_products, filled, leading_eigenvectors
from neuroreel.grey import MID_GREY
from neuroreel.posterior.spectra import cosine_basis, mean_power, resampled
from neuroreel.recordings.trial import Trial

KEPT_VARIANCE = 0.995
MOST_COMPONENTS = 600
NATURAL_DEVIATION = 55.0  # gray levels
NATURAL_LENGTH = 1 / 8  # of the movie's width: over this distance the correlation falls to 1/e
NATURAL_TIME_S = 0.3
LEAST_DEVIATION = 1e-2  # gray levels: no component is certain


@dataclass(frozen=True, kw_only=True, eq=False)
class MoviePrior:
    """Movies vary around a mean frame along independent spatial components, each with its own temporal spectrum.

    Coarse components of natural movies are slow, fine ones fast. A covariance that is separable in space and time would
    miss that.

    Parameters
    ----------
    mean
        (height, width), gray levels.
    components
        (components, height, width): orthonormal images, the most variable first.
    power
        (components, bins): variance of each component's cosine coefficients over time, slowest first (gray levels
        squared).
    frame_rate_hz
        Frames per second of the movies.
    source
        Where it comes from, in words.
    """

    mean: Tensor
    components: Tensor
    power: Tensor
    frame_rate_hz: float
    source: str

    @classmethod
    def natural(cls, *, height: int, width: int, frame_rate_hz: float, seconds: float = 10.0) -> MoviePrior:
        """A generic prior for natural movies, around mid-gray.

        Correlations fall exponentially with distance along rows, columns and time, so that power falls with the square
        of spatial frequency (Field 1987) and of temporal frequency (Dong & Atick 1995).

        Parameters
        ----------
        height, width
            Size of the movies, in pixels.
        frame_rate_hz
            Frames per second.
        seconds
            Duration that sets the spectrum's resolution; movies may be shorter or longer.
        """
        axes = [np.abs(np.subtract.outer(np.arange(n), np.arange(n))) for n in (height, width)]
        (row_values, rows), (column_values, columns) = (
            np.linalg.eigh(np.exp(-distance / (NATURAL_LENGTH * width))) for distance in axes
        )
        variances = np.multiply.outer(row_values, column_values)
        order = np.argsort(variances, axis=None)[::-1]
        share = np.cumsum(variances.flat[order]) / variances.sum()
        order = order[: min(MOST_COMPONENTS, int((share < KEPT_VARIANCE).sum()) + 1)]
        row, column = np.unravel_index(order, variances.shape)
        images = rows.T[row][:, :, None] * columns.T[column][:, None, :]
        bins = max(1, round(seconds * frame_rate_hz))
        memory = np.exp(-1 / (NATURAL_TIME_S * frame_rate_hz))
        spectrum = (1 - memory**2) / (1 - 2 * memory * np.cos(np.pi * np.arange(bins) / bins) + memory**2)
        power = NATURAL_DEVIATION**2 * np.multiply.outer(variances.flat[order], spectrum / spectrum.mean())
        return cls(
            mean=torch.full((height, width), MID_GREY),
            components=torch.from_numpy(images).float(),
            power=torch.from_numpy(power).float(),
            frame_rate_hz=float(frame_rate_hz),
            source="natural movies in general",
        )

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the movies."""
        height, width = self.mean.shape
        return height, width

    def deviations(self, frames: int) -> Tensor:
        """Standard deviation (components, frames) of the cosine coefficients of a movie of ``frames`` frames."""
        return resampled(self.power, frames).clamp_min(LEAST_DEVIATION**2).sqrt()

    def coefficients(self, video: Tensor) -> Tensor:
        """Cosine coefficients (components, frames) of a movie (frames, height, width)."""
        courses = (video - self.mean).flatten(1) @ self.components.flatten(1).T
        return courses.T @ cosine_basis(len(video), device=video.device).T

    def movie(self, coefficients: Tensor) -> Tensor:
        """The movie (frames, height, width) of cosine coefficients (components, frames); not clipped to 0..255."""
        courses = coefficients @ cosine_basis(coefficients.shape[1], device=coefficients.device)
        return (courses.T @ self.components.flatten(1)).unflatten(1, self.size) + self.mean

    def to(self, device: torch.device) -> MoviePrior:
        """A copy on another device."""
        tensors = {name: getattr(self, name).to(device) for name in ("mean", "components", "power")}
        return MoviePrior(**tensors, frame_rate_hz=self.frame_rate_hz, source=self.source)


def fit_movie_prior(trials: Sequence[Trial], *, seed: int = 0) -> MoviePrior:
    """The prior of these trials' movies: principal components, and the mean temporal spectrum of each.

    Keeps the components that hold 99.5 % of the variance, at most 600. Trials are read twice, one at a time.
    """
    height, width = trials[0].needs_video().shape[1:]
    pixels = height * width
    total = torch.zeros(pixels, dtype=torch.float64)
    products = torch.zeros(pixels, pixels)
    frames, longest = 0, 0
    for trial in trials:
        video = _centered(trial)
        total += video.sum(dim=0, dtype=torch.float64)
        add_products(products, video)
        frames, longest = frames + len(video), max(longest, len(video))
    mean = (total / frames).float()
    covariance = filled(products).div_(frames) - torch.outer(mean, mean)
    images = leading_eigenvectors(covariance, min(MOST_COMPONENTS, pixels, frames), seed=seed)  # (pixels, components)
    variances = (images * (covariance @ images)).sum(dim=0).clamp_min(0)
    needed = int((variances.cumsum(0) < KEPT_VARIANCE * covariance.trace()).sum()) + 1
    images = images[:, :needed]
    power = mean_power((((_centered(trial) - mean) @ images).T for trial in trials), bins=longest)
    return MoviePrior(
        mean=(mean + MID_GREY).reshape(height, width),
        components=images.T.contiguous().unflatten(1, (height, width)),
        power=power,
        frame_rate_hz=float(trials[0].frame_rate_hz),
        source=f"{len(trials)} movies",
    )


def _centered(trial: Trial) -> Tensor:
    """(frames, pixels), centered on mid-gray so that single precision keeps the differences between frames."""
    return torch.from_numpy(trial.needs_video()).flatten(1) - MID_GREY

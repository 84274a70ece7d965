"""Draws from the posterior around the most likely movie.

With J the derivative of the expected root responses, S the noise covariance and w the likelihood weight, the
posterior is approximated by a Gaussian with precision I + w J' S^-1 J in white coordinates. A draw solves

    (I + w J' S^-1 J) step = sqrt(w) J' S^-1 noise + z,    noise ~ N(0, S),  z ~ N(0, I)

(Papandreou & Yuille, NeurIPS 2010; Orieux, Feron & Giovannelli 2012) by conjugate gradients.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from neuroreel.posterior.linearized import Linearized
from neuroreel.posterior.objective import Objective

TOLERANCE = 0.05  # relative to the right side's norm: far below the scatter of the draws
NEIGHBORS = (2.0, 1.0, 1.0)  # frames, rows, columns


def draw(
    objective: Objective, coordinates: Tensor, *, count: int, seed: int, advance: Callable[[], object] = lambda: None
) -> Tensor:
    """White coordinates (count, components, frames) of draws around the most likely movie.

    Parameters
    ----------
    objective
        Has its minimum at the coordinates.
    coordinates
        (components, frames).
    count
        How many draws.
    seed
        Random seed.
    advance
        Called after each draw.
    """
    generator = torch.Generator().manual_seed(seed)
    here = Linearized(objective, coordinates)
    pulled = here.pulled_noise(count, generator)
    preconditioner = 1 / here.diagonal(pulled)
    drawn = []
    for each in pulled:
        white = torch.randn(coordinates.shape, generator=generator).to(coordinates.device)
        right = objective.likelihood_weight**0.5 * each + white
        drawn.append(coordinates + solve(here.curvature, right, preconditioner=preconditioner))
        advance()
    return torch.stack(drawn)


def solve(
    curvature: Callable[[Tensor], Tensor],
    right: Tensor,
    *,
    preconditioner: Tensor,
    tolerance: float = TOLERANCE,
    most_steps: int = 25,
) -> Tensor:
    """Solve curvature(x) = right for x, by preconditioned conjugate gradients (Hestenes & Stiefel 1952).

    Stops when the residual is below ``tolerance`` times the right side, both in the preconditioner's norm.
    """
    x = torch.zeros_like(right)
    rest = right.clone()
    scaled = preconditioner * rest
    direction = scaled.clone()
    size = first = (rest * scaled).sum()
    for _ in range(most_steps):
        image = curvature(direction)
        length = size / (direction * image).sum()
        x += length * direction
        rest -= length * image
        scaled = preconditioner * rest
        before, size = size, (rest * scaled).sum()
        if size <= tolerance**2 * first:
            break
        direction = scaled + size / before * direction
    return x


def deviation_of(video: NDArray[np.float32], samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """Standard deviation (frames, height, width) of draws around the most likely movie, gray levels.

    A few draws say little about a single pixel, but neighboring pixels are about equally uncertain: variances are
    averaged with a Gaussian of ``NEIGHBORS`` frames, rows and columns.

    Parameters
    ----------
    video
        (frames, height, width): the most likely movie.
    samples
        (samples, frames, height, width).
    """
    from scipy.ndimage import gaussian_filter

    variance = np.mean(np.square(samples - video), axis=0)
    return np.sqrt(gaussian_filter(variance, NEIGHBORS, mode="nearest")).astype(np.float32)

"""The posterior around one movie, with the models' responses taken as linear there.

J is the derivative of the expected root responses by the movie's white coordinates, S the noise's covariance, w the
likelihood's weight. Nothing of the size (neurons, neurons) or (pixels, pixels) is formed.
"""

from __future__ import annotations

import torch
from torch import Tensor

from neuroreel.posterior.objective import Objective
from neuroreel.posterior.spectra import smoothed

STEP = 0.05  # of white coordinates, root mean square: for derivatives by differences
SCALE_DRAWS = 2  # of the noise, for the scale of a search


class Linearized:
    """The objective at one movie: its gradient, and its curvature I + w J' S^-1 J.

    Products with J are differences of two predictions, products with J' gradients of one that is kept.
    """

    def __init__(self, objective: Objective, coordinates: Tensor) -> None:
        self.objective = objective
        self.at = coordinates.detach().requires_grad_()
        self.residual = objective.residual(self.at)

    def pull_back(self, weights: Tensor) -> Tensor:
        """J' weights, (neurons, frames) to (components, frames)."""
        (gradient,) = torch.autograd.grad(self.residual, self.at, -weights, retain_graph=True)
        return gradient

    @torch.no_grad()
    def push(self, direction: Tensor) -> Tensor:
        """J direction, (components, frames) to (neurons, frames)."""
        size = direction.square().mean().sqrt().clamp_min(1e-12)
        step = STEP / size
        ahead = self.objective.residual(self.at + step * direction)
        behind = self.objective.residual(self.at - step * direction)
        return (behind - ahead) / (2 * step)

    def gradient(self) -> Tensor:
        """The objective's (components, frames)."""
        weighed = self.objective.precision.apply(self.residual.detach())
        return self.at.detach() - self.objective.likelihood_weight * self.pull_back(weighed)

    def curvature(self, direction: Tensor) -> Tensor:
        """(I + w J' S^-1 J) direction."""
        weighed = self.objective.precision.apply(self.push(direction))
        return direction + self.objective.likelihood_weight * self.pull_back(weighed)

    def pulled_noise(self, count: int, generator: torch.Generator) -> Tensor:
        """J' S^-1 noise (count, components, frames), noise ~ N(0, S): its covariance is J' S^-1 J."""
        precision = self.objective.precision
        return torch.stack([self.pull_back(precision.apply(precision.sample(generator))) for _ in range(count)])

    def diagonal(self, pulled: Tensor) -> Tensor:
        """The curvature's diagonal (components, frames), by draws of the noise that are pulled back.

        Neighbors in frequency share what a few draws tell.
        """
        return 1 + self.objective.likelihood_weight * smoothed(pulled.square().mean(dim=0))


def scale_and_first_step(objective: Objective, coordinates: Tensor) -> tuple[Tensor, float]:
    """Units in which the objective curves alike in all directions, nearly, and how far its gradient is to be followed.

    Costs three passes or so, and spares a search more than these. The draws are always the same.

    Returns
    -------
    scale
        (components, frames): roots of the inverse of the curvature's diagonal, rounded to powers of two.
    first_step
        Where the linearized objective is least along its gradient, in these units.
    """
    here = Linearized(objective, coordinates)
    diagonal = here.diagonal(here.pulled_noise(SCALE_DRAWS, torch.Generator().manual_seed(0)))
    scale = (-0.5 * diagonal.log2()).round().exp2()
    gradient = here.gradient()
    direction = scale.square() * gradient
    pushed = here.push(direction)
    curved = direction.square().sum() + objective.likelihood_weight * (pushed * objective.precision.apply(pushed)).sum()
    return scale, float((gradient * direction).sum() / curved.clamp_min(torch.finfo(curved.dtype).tiny))

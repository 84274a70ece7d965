"""The posterior around one movie, where the models' responses are linearized.

J is the derivative of the expected root responses with respect to the movie's white coordinates, S the noise
covariance, w the likelihood weight. No (neurons, neurons) or (pixels, pixels) matrix is ever formed.
"""

from __future__ import annotations

import torch
from torch import Tensor

from neuroreel.posterior.objective import Objective
from neuroreel.posterior.spectra import smoothed

STEP = 0.05  # root mean square step in white coordinates, for finite differences
SCALE_DRAWS = 2  # draws of noise that set the scale of a search


class Linearized:
    """The objective at one movie: its gradient, and its curvature I + w J' S^-1 J.

    Products with J are differences of two predictions, products with J' are gradients of a stored one.
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
        """Gradient of the objective (components, frames)."""
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
        """The curvature's diagonal (components, frames), estimated from pulled-back draws of noise.

        The few draws are averaged over neighboring frequencies.
        """
        return 1 + self.objective.likelihood_weight * smoothed(pulled.square().mean(dim=0))


def scale_and_first_step(objective: Objective, coordinates: Tensor) -> tuple[Tensor, float]:
    """Units in which the curvature is about equal in all directions, and the length of the first step.

    Costs about three passes, and saves a search more than that. The draws are always the same.

    Returns
    -------
    scale
        (components, frames): inverse square roots of the curvature's diagonal, rounded to powers of two.
    first_step
        Step to the minimum of the linearized objective along its gradient, in these units.
    """
    here = Linearized(objective, coordinates)
    diagonal = here.diagonal(here.pulled_noise(SCALE_DRAWS, torch.Generator().manual_seed(0)))
    scale = (-0.5 * diagonal.log2()).round().exp2()
    gradient = here.gradient()
    direction = scale.square() * gradient
    pushed = here.push(direction)
    curved = direction.square().sum() + objective.likelihood_weight * (pushed * objective.precision.apply(pushed)).sum()
    return scale, float((gradient * direction).sum() / curved.clamp_min(torch.finfo(curved.dtype).tiny))

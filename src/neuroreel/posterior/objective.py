"""The negative log posterior of a movie given the responses, and its gradient."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor

from neuroreel.encoding.interface import EncodingModel
from neuroreel.memory import free_after_failure, is_out_of_memory
from neuroreel.posterior.movie_prior import MoviePrior
from neuroreel.posterior.noise import NoiseModel, NoisePrecision
from neuroreel.posterior.prediction import ensemble_responses

Result = TypeVar("Result")


@dataclass(frozen=True, kw_only=True)
class Whitened:
    """White coordinates of movies: their prior is the standard normal distribution.

    Cosine coefficients of the movie are ``deviation`` x coordinates, both (components, frames).
    """

    prior: MoviePrior
    deviation: Tensor

    @classmethod
    def of_prior(cls, prior: MoviePrior, frames: int) -> Whitened:
        """Coordinates of movies of ``frames`` frames, zero at the prior's mean."""
        return cls(prior=prior, deviation=prior.deviations(frames))

    def movie(self, z: Tensor) -> Tensor:
        """The movie (frames, height, width) at these coordinates."""
        return self.prior.movie(self.deviation * z)

    def of(self, video: Tensor) -> Tensor:
        """Coordinates of the movie nearest to this one."""
        return self.prior.coefficients(video) / self.deviation


class Objective:
    """Half the squared residual, weighted by the noise precision, plus half the squared white coordinates."""

    def __init__(
        self,
        *,
        models: Sequence[EncodingModel],
        whitened: Whitened,
        noise: NoiseModel,
        kept: Tensor,
        responses: Tensor,
        covariates: Tensor,
        warmup: int,
        likelihood_weight: float = 1.0,
        keep_graphs: bool = True,
        say: Callable[[str], object] = lambda _: None,
    ) -> None:
        self.models, self.whitened, self.covariates = models, whitened, covariates
        self.kept, self.say = kept.nonzero().flatten(), say  # computed once, because it makes a GPU wait
        self.noise = noise.select(self.kept)
        self.roots = responses[self.kept].clamp_min(0).sqrt()
        self.precision = NoisePrecision(self.noise, responses.shape[1])
        self.warmup, self.likelihood_weight, self.keep_graphs = warmup, likelihood_weight, keep_graphs

    def residual(self, z: Tensor) -> Tensor:
        """Recorded minus expected root responses (neurons, frames) for the movie at these coordinates."""
        video = self.whitened.movie(z).clamp(0, 255)
        predicted = ensemble_responses(self.models, video, self.covariates, keep_graphs=self.keep_graphs)
        residual = self.roots - self.noise.expected(predicted[self.kept])
        return torch.nn.functional.pad(residual[:, self.warmup :], (self.warmup, 0))

    def __call__(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """The objective and its gradient at these coordinates."""
        return self.within_memory(lambda: self._evaluated(z), device=z.device)

    def within_memory(self, work: Callable[[], Result], *, device: torch.device) -> Result:
        """Run work on this objective and return its result.

        If memory runs out with the graphs of all windows kept, windows are computed twice from then on.
        """
        try:
            return work()
        except (RuntimeError, MemoryError) as error:
            if not self.keep_graphs or not is_out_of_memory(error):
                raise
        self.keep_graphs = False
        self.say("Memory ran out; from now on each window is computed twice, which takes 50% more time.")
        free_after_failure(device)
        return work()

    def _evaluated(self, z: Tensor) -> tuple[Tensor, Tensor]:
        z = z.detach().requires_grad_()
        residual = self.residual(z)
        weighed = self.likelihood_weight * self.precision.apply(residual.detach())
        value = 0.5 * (residual.detach() * weighed).sum() + 0.5 * z.detach().square().sum()
        (gradient,) = torch.autograd.grad(residual, z, weighed)
        return value, gradient + z.detach()

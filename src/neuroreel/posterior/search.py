"""The search for the most likely movie: L-BFGS in scaled white coordinates, one pass at a time, resumable."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from neuroreel.errors import InputError

HISTORY = 10  # pairs of steps and gradient changes that the curvature is estimated from


@dataclass(kw_only=True)
class Progress:
    """The state of a search, which a snapshot saves.

    Attributes
    ----------
    coordinates
        The best movie, in white coordinates (components, frames).
    passes
        Number of passes through the models, forward and backward.
    values
        The objective after each iteration, and the passes made by then.
    optimizer
        State of the optimizer.
    converged
        The search has converged: no step improves the objective any more.
    scale
        Units of the steps (components, frames); powers of two, so that scaling is exact.
    first_step
        Length of the first step along the negative gradient, in those units; None leaves it to PyTorch, whose first
        step is so small that rounding hides its effect on the objective.
    """

    coordinates: Tensor
    passes: int = 0
    values: list[tuple[int, float]] = field(default_factory=list)
    optimizer: dict[str, Any] | None = None
    converged: bool = False
    scale: Tensor | float = 1.0
    first_step: float | None = None


def search(
    objective: Callable[[Tensor], tuple[Tensor, Tensor]],
    progress: Progress,
    *,
    passes: int,
    after_iteration: Callable[[Progress], object] = lambda _: None,
) -> Progress:
    """Improve ``progress`` until ``passes`` passes are made or the search converges.

    Parameters
    ----------
    objective
        Maps coordinates to value and gradient; one call is a pass.
    progress
        The start, or the state of an earlier call; changed in place.
    passes
        Most passes, including those already made.
    after_iteration
        Called with the progress after each iteration (one pass or a few).

    Raises
    ------
    InputError
        The objective is NaN or infinite.
    """
    scale = progress.scale
    best = progress.coordinates / scale
    optimizer = torch.optim.LBFGS([best], max_iter=1, history_size=HISTORY, line_search_fn="strong_wolfe")
    if progress.optimizer is not None:
        optimizer.load_state_dict(progress.optimizer)

    def scaled_objective(position: Tensor) -> tuple[Tensor, Tensor]:
        value, gradient = objective(position * scale)
        return value, gradient * scale

    seen: list[tuple[Tensor, Tensor, Tensor]] = []  # of this iteration, so that no movie is computed twice
    if progress.values:  # resumed: this pass has been counted
        seen.append((best.clone(), *scaled_objective(best)))

    def closure() -> Tensor:
        found = next(((value, gradient) for at, value, gradient in seen if torch.equal(at, best)), None)
        if found is None:
            found = scaled_objective(best)
            progress.passes += 1
            if not torch.isfinite(found[0]):
                raise InputError(
                    "the posterior is NaN or infinite at this movie: the models' weights or the noise model are "
                    "unusable; check the models with nr.predict"
                )
            seen.append((best.detach().clone(), *found))
            if progress.first_step and not progress.values and len(seen) == 1:
                # PyTorch divides the first step, and no other, by the gradient's L1 norm if that is above 1
                optimizer.param_groups[0]["lr"] = progress.first_step * float(found[1].abs().sum().clamp_min(1))
        best.grad = found[1]
        return found[0]

    while progress.passes + (not seen) < passes and not progress.converged:
        # the line search evaluates at most max_eval movies besides the first
        optimizer.param_groups[0]["max_eval"] = passes - progress.passes - (not seen)
        before = best.clone()
        optimizer.step(closure)
        optimizer.param_groups[0]["lr"] = 1
        value, gradient = next((v, g) for at, v, g in reversed(seen) if torch.equal(at, best))
        seen[:] = [(best.detach().clone(), value, gradient)]
        progress.converged = torch.equal(before, best) and progress.passes < passes
        progress.coordinates = best.detach() * scale
        progress.optimizer = optimizer.state_dict()
        progress.values.append((progress.passes, float(value)))
        after_iteration(progress)
    return progress

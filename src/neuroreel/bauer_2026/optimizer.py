"""The published update rule, as an optimizer of PyTorch."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor
from torch.optim import Optimizer


class PublishedMomentum(Optimizer):
    """Adam's two bias corrections around a first moment alone (Bauer et al. 2026).

    m = 0.9 m + 0.1 g;  v -= lr_i sqrt(1 - 0.999^(i+1)) / (1 - 0.9^(i+1)) * m / (1 - 0.9^(i+1)), where lr_i rises
    linearly over the first ``warmup`` steps. There is no second moment, and the first moment's correction is applied
    twice, as published. Movies are clipped to 0..255.

    Parameters
    ----------
    params
        Movies of any shape.
    lr
        Learning rate.
    warmup, betas
        As published.
    """

    def __init__(
        self,
        params: Iterable[Tensor],
        *,
        lr: float = 1000.0,
        warmup: int = 10,
        betas: tuple[float, float] = (0.9, 0.999),
    ) -> None:
        super().__init__(params, {"lr": lr, "warmup": warmup, "betas": betas})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Move every movie one step against its gradient."""
        for group in self.param_groups:
            beta1, beta2 = group["betas"]
            for movie in group["params"]:
                state = self.state[movie]
                if not state:
                    state.update(step=0, moment=torch.zeros_like(movie))
                state["step"] += 1
                state["moment"] = beta1 * state["moment"] + (1 - beta1) * movie.grad
                rate = group["lr"] * min(1.0, state["step"] / group["warmup"])
                correction1 = 1 - beta1 ** (state["step"] + 1)
                correction2 = 1 - beta2 ** (state["step"] + 1)
                movie -= rate * correction2**0.5 / correction1 * (state["moment"] / correction1)
                movie.clamp_(0, 255)

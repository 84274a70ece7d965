"""The published update rule, as a PyTorch optimizer."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor
from torch.optim import Optimizer

BETA1, BETA2 = 0.9, 0.999
WARMUP = 10  # steps


class PublishedMomentum(Optimizer):
    """Adam's two bias corrections around a first moment alone (Bauer et al. 2026).

    m = 0.9 m + 0.1 g;  v -= lr_i sqrt(1 - 0.999^(i+1)) / (1 - 0.9^(i+1)) * m / (1 - 0.9^(i+1)), where lr_i rises
    linearly over the first ten steps. There is no second moment, and the first moment's correction is applied
    twice, as published. Movies, of any shape, are clipped to 0..255.
    """

    def __init__(self, params: Iterable[Tensor], *, lr: float = 1000.0) -> None:
        super().__init__(params, {"lr": lr})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Move every movie one step against its gradient."""
        for group in self.param_groups:
            for movie in group["params"]:
                state = self.state[movie]
                if not state:
                    state.update(step=0, moment=torch.zeros_like(movie))
                state["step"] += 1
                state["moment"] = BETA1 * state["moment"] + (1 - BETA1) * movie.grad
                rate = group["lr"] * min(1.0, state["step"] / WARMUP)
                correction1 = 1 - BETA1 ** (state["step"] + 1)
                correction2 = 1 - BETA2 ** (state["step"] + 1)
                movie -= rate * correction2**0.5 / correction1 * (state["moment"] / correction1)
                movie.clamp_(0, 255)

"""Update rules: from a gradient to the next movie."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor


class Update(Protocol):
    """Moves the movies one step; keeps what it must remember from step to step."""

    def step(self, videos: Tensor, gradient: Tensor, iteration: int) -> Tensor:
        """The next movies, same shape; ``iteration`` counts from 1."""
        ...

    def state(self) -> dict[str, Any]:
        """What a snapshot must keep."""
        ...

    def restore(self, state: dict[str, Any]) -> None:
        """Take up a snapshot's state."""
        ...


@dataclass
class PublishedMomentum:
    """The published rule: Adam's two bias corrections around a first moment alone (Bauer et al. 2026).

    m = 0.9 m + 0.1 g;  v -= lr_i sqrt(1 - 0.999^(i+1)) / (1 - 0.9^(i+1)) * m / (1 - 0.9^(i+1)), where lr_i rises
    linearly over the first ``warmup`` iterations. There is no second moment, and the first moment's correction is
    applied twice: so it was published. Movies are clipped to 0..255.
    """

    learning_rate: float = 1000.0
    warmup: int = 10
    beta1: float = 0.9
    beta2: float = 0.999
    moment: Tensor | None = None

    def step(self, videos: Tensor, gradient: Tensor, iteration: int) -> Tensor:
        """See ``Update.step``."""
        if self.moment is None:
            self.moment = torch.zeros_like(gradient)
        self.moment = self.beta1 * self.moment + (1 - self.beta1) * gradient
        rate = self.learning_rate * min(1.0, iteration / self.warmup)
        correction1 = 1 - self.beta1 ** (iteration + 1)
        correction2 = 1 - self.beta2 ** (iteration + 1)
        step = rate * correction2**0.5 / correction1
        return (videos - step * (self.moment / correction1)).clamp(0, 255)

    def state(self) -> dict[str, Any]:
        """See ``Update.state``."""
        return {"moment": self.moment}

    def restore(self, state: dict[str, Any]) -> None:
        """See ``Update.restore``."""
        self.moment = state["moment"]


@dataclass
class MomentumDescent:
    """Nesterov's accelerated descent; movies are clipped to 0..255.

    Where the direction would move a movie by more than ``largest_step`` grey levels (root mean square), it is
    shortened: an encoding model is only to be trusted near the movies that it was asked about.
    """

    learning_rate: float = 0.3
    momentum: float = 0.7
    largest_step: float = 8.0
    velocity: Tensor | None = None

    def step(self, videos: Tensor, gradient: Tensor, iteration: int) -> Tensor:
        """See ``Update.step``."""
        if self.velocity is None:
            self.velocity = torch.zeros_like(gradient)
        self.velocity = self.momentum * self.velocity + gradient
        move = self.learning_rate * (gradient + self.momentum * self.velocity)
        size = move.square().mean(dim=(1, 2, 3), keepdim=True).sqrt()
        return (videos - move * (self.largest_step / size.clamp_min(self.largest_step))).clamp(0, 255)

    def state(self) -> dict[str, Any]:
        """See ``Update.state``."""
        return {"velocity": self.velocity}

    def restore(self, state: dict[str, Any]) -> None:
        """See ``Update.restore``."""
        self.velocity = state["velocity"]

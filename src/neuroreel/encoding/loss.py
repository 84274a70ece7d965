"""The Poisson loss, shared by training and inversion (Bauer et al. 2026)."""

from __future__ import annotations

import torch
from torch import Tensor

EPSILON = 1e-8


def poisson_loss(prediction: Tensor, target: Tensor) -> Tensor:
    """Negative log-likelihood of Poisson counts, up to a constant, element by element: p - r log(p + 1e-8)."""
    return prediction - target * torch.log(prediction + EPSILON)

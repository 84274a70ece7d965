"""Small layers of DwiseNeuro: stochastic depth, position code, channel gate, tiled channels."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn


class StochasticDepth(nn.Module):
    """Drops a sample's residual branch with probability ``rate`` during training (Huang et al. 2016)."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        """Same shape in and out."""
        if not self.training or self.rate == 0.0:
            return x
        keep = 1.0 - self.rate
        kept = torch.rand(x.shape[0], *[1] * (x.ndim - 1), device=x.device) < keep
        return x * kept.to(x.dtype) / keep


class PositionCode(nn.Module):
    """Adds a sinusoidal code of time, row and column, each in a third of the channels (Vaswani et al. 2017, in 3-D)."""

    inv_freq: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        axis_channels = 2 * math.ceil(channels / 6)
        exponents = torch.arange(0, axis_channels, 2).float() / axis_channels
        self.register_buffer("inv_freq", 1.0 / 10000**exponents)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, channels, frames, height, width), same shape out."""
        return x + self._code(x.shape[1:]).to(x.dtype)

    def _code(self, shape: Sequence[int]) -> Tensor:
        channels, *axes = shape
        codes = []
        for axis, length in enumerate(axes):
            angles = torch.arange(length, device=self.inv_freq.device).float()[:, None] * self.inv_freq
            code = torch.cat([angles.sin(), angles.cos()], dim=1).T  # (axis channels, length), sines before cosines
            along = [1, 1, 1]
            along[axis] = length
            codes.append(code.reshape(-1, *along).expand(-1, *axes))
        return torch.cat(codes)[:channels]


class SqueezeExcite(nn.Module):
    """Scales each channel by a gate computed from all channels' means (Hu et al. 2018)."""

    def __init__(self, channels: int, reduced: int) -> None:
        super().__init__()
        self.reduce = nn.Conv3d(channels, reduced, 1)
        self.expand = nn.Conv3d(reduced, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, channels, frames, height, width), same shape out."""
        squeezed = x.mean(dim=(2, 3, 4), keepdim=True)
        gate = self.expand(nn.functional.silu(self.reduce(squeezed)))
        return x * gate.sigmoid()


def tile_channels(x: Tensor, channels: int) -> Tensor:
    """Repeat the channels (axis 1) cyclically until there are ``channels`` of them."""
    repeats = math.ceil(channels / x.shape[1])
    return x if repeats == 1 and x.shape[1] == channels else x.repeat(1, repeats, *[1] * (x.ndim - 2))[:, :channels]

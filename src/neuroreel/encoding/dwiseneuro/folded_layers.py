"""The layers of a folded DwiseNeuro: convolutions with batch norms folded in, channels last."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class FoldedLinear(nn.Module):
    """A 1x1 convolution on the last axis, with groups, and the batch norm after it."""

    def __init__(self, weight: Tensor, bias: Tensor, groups: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight.reshape(groups, -1, weight.shape[1]))  # (groups, outputs, inputs)
        self.bias = nn.Parameter(bias)

    @property
    def outputs(self) -> int:
        """Number of output channels."""
        return len(self.bias)

    @classmethod
    def of(cls, conv: nn.Module, norm: nn.Module | None) -> FoldedLinear:
        """From a convolution with a kernel of one pixel."""
        assert isinstance(conv, nn.Conv3d | nn.Conv1d)
        weight, bias = folded(conv, norm)
        return cls(weight.flatten(1), bias, conv.groups)

    def forward(self, x: Tensor) -> Tensor:
        """(..., inputs) to (..., outputs)."""
        if len(self.weight) == 1:
            return nn.functional.linear(x, self.weight[0], self.bias)
        parts = x.unflatten(-1, (len(self.weight), -1))
        return torch.einsum("...gi,goi->...go", parts, self.weight).flatten(-2) + self.bias


class FoldedDepthwise(nn.Module):
    """A depthwise convolution over two of the axes, channels last, and the batch norm after it."""

    def __init__(self, conv: nn.Module, norm: nn.Module, *, over_time: bool) -> None:
        super().__init__()
        assert isinstance(conv, nn.Conv3d)
        weight, bias = folded(conv, norm)
        kernel = weight[:, :, :, 0, :] if over_time else weight[:, :, 0]  # (channels, 1, kernel, 1 or kernel)
        self.weight = nn.Parameter(kernel.contiguous(memory_format=torch.channels_last))
        self.bias = nn.Parameter(bias)
        self.over_time = over_time
        self.stride = conv.stride[1]
        self.padding = (kernel.shape[2] // 2, kernel.shape[3] // 2)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, frames, height, width, channels), same shape out except for the stride."""
        batch, frames, height, width, channels = x.shape
        if self.over_time:
            flat = x.reshape(batch, frames, height * width, channels).permute(0, 3, 1, 2)
            y = self._filter(flat, stride=1).permute(0, 2, 3, 1)
            return y.reshape(batch, frames, height, width, channels)
        flat = x.reshape(batch * frames, height, width, channels).permute(0, 3, 1, 2)
        y = self._filter(flat, stride=self.stride).permute(0, 2, 3, 1)
        return y.reshape(batch, frames, *y.shape[1:])

    def _filter(self, flat: Tensor, *, stride: int) -> Tensor:
        return nn.functional.conv2d(flat, self.weight, self.bias, stride, self.padding, groups=len(self.weight))


def folded(conv: nn.Conv3d | nn.Conv1d, norm: nn.Module | None) -> tuple[Tensor, Tensor]:
    """Weight and bias of one convolution equivalent to this one and the batch norm after it."""
    weight = conv.weight.detach()
    bias = torch.zeros_like(weight[:, 0].flatten(1)[:, 0]) if conv.bias is None else conv.bias.detach()
    if norm is None:
        return weight.clone(), bias.clone()
    scale, shift = scale_and_shift(norm)
    return weight * scale.reshape(-1, *[1] * (weight.ndim - 1)), bias * scale + shift


def scale_and_shift(norm: nn.Module) -> tuple[Tensor, Tensor]:
    """Scale and shift of a batch norm in evaluation mode, computed in double precision."""
    assert isinstance(norm, nn.BatchNorm1d | nn.BatchNorm3d)
    assert norm.running_mean is not None and norm.running_var is not None
    scale = norm.weight.detach().double() / (norm.running_var.double() + norm.eps).sqrt()
    shift = norm.bias.detach().double() - norm.running_mean.double() * scale
    return scale.to(norm.weight.dtype), shift.to(norm.weight.dtype)

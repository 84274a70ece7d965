"""A DwiseNeuro rewritten for inversion: the same function of its input, in fewer and faster operations.

Nothing is trained here, so (1) batch norms are folded into the convolutions before them, (2) position codes and the
constants of shortcuts are computed once, (3) activations lie with channels last, where 1x1x1 convolutions are matrix
products and depthwise ones run along memory, and (4) the 3-D depthwise convolutions are 2-D ones, over space and over
time.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from neuroreel.encoding.dwiseneuro import Block, CortexLayer, DwiseNeuro, PositionCode, Readout, tile_channels
from neuroreel.encoding.interface import EncodingModel


def engine_of(model: EncodingModel) -> EncodingModel:
    """The model in the form that inverts fastest: a :class:`FoldedDwiseNeuro` of a DwiseNeuro, any other as it is."""
    return FoldedDwiseNeuro(model) if isinstance(model, DwiseNeuro) else model


class FoldedDwiseNeuro(EncodingModel):
    """One readout of a DwiseNeuro, frozen; differentiable in its input alone.

    Parameters
    ----------
    model
        Its weights are copied as they are now, to the same device.
    """

    def __init__(self, model: DwiseNeuro) -> None:
        super().__init__()
        network = model.network
        self.canvas, self.neurons, self.covariates = model.canvas, model.neurons, model.covariates
        self.clip_frames, self.clip_stride = model.clip_frames, model.clip_stride
        self.frame_rate_hz = model.frame_rate_hz
        with torch.no_grad():
            self.stem = FoldedLinear.of(network.stem[0], network.stem[1])
            blocks = list(network.core)
            self.blocks = nn.ModuleList(
                FoldedBlock(code, block) for code, block in zip(blocks[::2], blocks[1::2], strict=True)
            )
            self.cortex = nn.ModuleList(FoldedCortexLayer(layer) for layer in network.cortex)
            self.readout = FoldedReadout(network.readouts[model.readout])
        self.requires_grad_(False).eval()

    def forward(self, clips: Tensor) -> Tensor:
        """Clips (batch, channels, frames, height, width) to responses (batch, neurons, frames)."""
        x = self.stem(clips.permute(0, 2, 3, 4, 1).contiguous())  # (batch, frames, height, width, channels)
        for block in self.blocks:
            x = block(x)
        x = x.mean(dim=(2, 3))  # (batch, frames, channels)
        for layer in self.cortex:
            x = layer(x)
        return self.readout(x)


class FoldedLinear(nn.Module):
    """A 1x1 convolution on the last axis, with groups, and the batch norm after it."""

    def __init__(self, weight: Tensor, bias: Tensor, groups: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight.reshape(groups, -1, weight.shape[1]))  # (groups, outputs, inputs)
        self.bias = nn.Parameter(bias)

    @classmethod
    def of(cls, conv: nn.Module, norm: nn.Module | None) -> FoldedLinear:
        """From a convolution whose kernel is one pixel."""
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
        """(batch, frames, height, width, channels), same out, but for the stride."""
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


class FoldedBlock(nn.Module):
    """A position code and the inverted residual block after it."""

    def __init__(self, code: nn.Module, block: nn.Module) -> None:
        super().__init__()
        assert isinstance(code, PositionCode) and isinstance(block, Block)
        self.position = code
        self.expansion = FoldedLinear.of(block.expansion[0], block.expansion[1])
        self.spatial = FoldedDepthwise(block.spatial[0], block.spatial[1], over_time=False)
        self.temporal = FoldedDepthwise(block.temporal[0], block.temporal[1], over_time=True)
        self.reduce = FoldedLinear.of(block.excitation.reduce, None)
        self.expand = FoldedLinear.of(block.excitation.expand, None)
        self.projection = FoldedLinear.of(block.projection[0], block.projection[1])
        scale, shift = scale_and_shift(block.shortcut_norm)
        self.shortcut_scale = nn.Parameter(scale)
        self.projection.bias.add_(shift)  # the shortcut's constant is added where another one is already
        self._codes: dict[tuple[int, ...], Tensor] = {}

    def forward(self, x: Tensor) -> Tensor:
        """(batch, frames, height, width, channels) to the block's channels and stride."""
        x = x + self._code(x)
        y = nn.functional.silu(self.expansion(x))
        y = nn.functional.silu(self.spatial(y))
        y = nn.functional.silu(self.temporal(y))
        gate = self.expand(nn.functional.silu(self.reduce(y.mean(dim=(1, 2, 3), keepdim=True)))).sigmoid()
        y = self.projection(y * gate)
        return y + self._shortcut(x, y) * self.shortcut_scale

    def _shortcut(self, x: Tensor, y: Tensor) -> Tensor:
        """The input at the output's size: nearest pixels, channels repeated cyclically."""
        if x.shape[1:4] != y.shape[1:4]:
            small = nn.functional.interpolate(x.movedim(-1, 1), size=y.shape[1:4], mode="nearest")
            x = small.movedim(1, -1)
        return tile_channels(x.movedim(-1, 1), y.shape[-1]).movedim(1, -1)

    def _code(self, x: Tensor) -> Tensor:
        shape = x.shape[1:]
        if shape not in self._codes:
            channels_first = torch.zeros(1, shape[-1], *shape[:-1], device=x.device)
            self._codes[shape] = self.position(channels_first)[0].movedim(0, -1).contiguous().to(x.dtype)
        return self._codes[shape]


class FoldedCortexLayer(nn.Module):
    """A grouped 1x1 convolution, the channel shuffle and the tiled shortcut."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        assert isinstance(layer, CortexLayer)
        self.conv = FoldedLinear.of(layer.conv, layer.norm)
        scale, shift = scale_and_shift(layer.shortcut_norm)
        self.shortcut_scale, self.shortcut_shift = nn.Parameter(scale), nn.Parameter(shift)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, frames, channels) to (batch, frames, out channels)."""
        y = nn.functional.silu(self.conv(x))
        y = y.unflatten(-1, (len(self.conv.weight), -1)).transpose(-1, -2).flatten(-2)
        shortcut = tile_channels(x.movedim(-1, 1), y.shape[-1]).movedim(1, -1)
        return y + shortcut * self.shortcut_scale + self.shortcut_shift


class FoldedReadout(nn.Module):
    """From the cortex to one mouse's neurons."""

    def __init__(self, readout: nn.Module) -> None:
        super().__init__()
        assert isinstance(readout, Readout)
        self.neurons = readout.neurons
        self.conv = FoldedLinear.of(readout.conv, None)
        self.softplus = readout.softplus

    def forward(self, x: Tensor) -> Tensor:
        """(batch, frames, channels) to (batch, neurons, frames), in single precision at least."""
        return self.softplus(self.conv(x)[..., : self.neurons].float()).transpose(1, 2)


def folded(conv: nn.Conv3d | nn.Conv1d, norm: nn.Module | None) -> tuple[Tensor, Tensor]:
    """Weight and bias of a convolution that does what this one and the batch norm after it do."""
    weight = conv.weight.detach()
    bias = torch.zeros_like(weight[:, 0].flatten(1)[:, 0]) if conv.bias is None else conv.bias.detach()
    if norm is None:
        return weight.clone(), bias.clone()
    scale, shift = scale_and_shift(norm)
    return weight * scale.reshape(-1, *[1] * (weight.ndim - 1)), bias * scale + shift


def scale_and_shift(norm: nn.Module) -> tuple[Tensor, Tensor]:
    """What a batch norm in evaluation mode does to each channel; in double precision on the way."""
    assert isinstance(norm, nn.BatchNorm1d | nn.BatchNorm3d)
    assert norm.running_mean is not None and norm.running_var is not None
    scale = norm.weight.detach().double() / (norm.running_var.double() + norm.eps).sqrt()
    shift = norm.bias.detach().double() - norm.running_mean.double() * scale
    return scale.to(norm.weight.dtype), shift.to(norm.weight.dtype)

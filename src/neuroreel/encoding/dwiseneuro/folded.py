"""A DwiseNeuro rewritten for inversion: the same function, in fewer and faster operations.

Nothing is trained here, so (1) batch norms are folded into the convolutions before them, (2) position codes and the
constants of shortcuts are computed once and added together, (3) activations are stored with channels last, so that
1x1x1 convolutions are matrix products and depthwise ones run along memory, and (4) the 3-D depthwise convolutions
become 2-D ones, over space and over time. On a CPU compiled code does most of it
(:mod:`neuroreel.encoding.dwiseneuro.wide_branch`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property

import torch
from torch import Tensor, nn

from neuroreel.encoding.dwiseneuro.folded_layers import FoldedDepthwise, FoldedLinear, folded, scale_and_shift
from neuroreel.encoding.dwiseneuro.network import Block, CortexLayer, DwiseNeuro, Readout
from neuroreel.encoding.dwiseneuro.wide_branch import LANES, MOST_INPUTS, Branch, can_run_native, native_wide_branch
from neuroreel.encoding.interface import EncodingModel


class FoldedDwiseNeuro(EncodingModel):
    """One readout of a DwiseNeuro, frozen; differentiable only with respect to its input.

    Parameters
    ----------
    model
        Its current weights are copied, on the same device.
    precision
        "float32", or "bfloat16" for everything between stem and softplus; pixels need more than bfloat16's eight bits.
    """

    def __init__(self, model: DwiseNeuro, *, precision: str = "float32") -> None:
        super().__init__()
        network = model.network
        self.canvas, self.neurons, self.covariates = model.canvas, model.neurons, model.covariates
        self.clip_frames, self.clip_stride = model.clip_frames, model.clip_stride
        self.frame_rate_hz = model.frame_rate_hz
        with torch.no_grad():
            self.stem = FoldedLinear.of(network.stem[0], network.stem[1])
            parts = list(network.core)
            codes, blocks = parts[::2], parts[1::2]
            self.code = codes[0]
            self.native = precision == "float32" and network.stem[0].weight.device.type == "cpu"
            self.blocks = nn.ModuleList(
                FoldedBlock(block, code, native=self.native)
                for block, code in zip(blocks, [*codes[1:], None], strict=True)
            )
            self.cortex = nn.ModuleList(FoldedCortexLayer(layer) for layer in network.cortex)
            self.readout = FoldedReadout(network.readouts[model.readout])
        self.kind = getattr(torch, precision)
        for part in (self.blocks, self.cortex, self.readout):
            part.to(self.kind)
        self._first_codes: dict[torch.Size, Tensor] = {}
        self._first_branches: dict[torch.Size, Branch] = {}
        self.requires_grad_(False).eval()

    def forward(self, clips: Tensor) -> Tensor:
        """Clips (batch, channels, frames, height, width) to responses (batch, neurons, frames)."""
        clips = clips.permute(0, 2, 3, 4, 1).contiguous()  # (batch, frames, height, width, channels)
        if self.native and clips.shape[-1] <= MOST_INPUTS and can_run_native(clips):
            # one clip at a time, which suits caches
            x = torch.cat([self._pooled(self._first_native(clip)) for clip in clips.split(1)])
        else:
            x = self.stem(clips)
            x = self._pooled(self.blocks[0]((x + self._first_code(x.shape[1:4])).to(self.kind)))
        for layer in self.cortex:
            x = layer(x)
        return self.readout(x)

    def _pooled(self, x: Tensor) -> Tensor:
        """From the first block's output to the mean over space (batch, frames, channels)."""
        for block in self.blocks[1:]:
            x = block(x)
        return x.mean(dim=(2, 3))

    def _first_native(self, clips: Tensor) -> Tensor:
        """The stem and the first block; the stem at the full resolution is merged into the block's expansion."""
        block, size = self.blocks[0], clips.shape[1:4]
        assert isinstance(block, FoldedBlock)
        if size not in self._first_branches:
            self._first_branches[size] = merged(block.branch, self.stem, self._first_code(size))
        branch = self._first_branches[size]
        out_size = branch.out_size(size)
        shortcut = self.stem(nearest(clips, out_size)) + nearest(self._first_code(size)[None], out_size)
        return native_wide_branch(clips, block.join(shortcut), branch)

    def _first_code(self, size: torch.Size) -> Tensor:
        if size not in self._first_codes:
            self._first_codes[size] = position_code(self.code, size, self.stem.bias)
        return self._first_codes[size]


class FoldedBlock(nn.Module):
    """An inverted residual block, with the position code after it as one more constant to add.

    ``native`` uses compiled code if possible.
    """

    def __init__(self, block: nn.Module, code: nn.Module | None, *, native: bool) -> None:
        super().__init__()
        assert isinstance(block, Block)
        self.next_code, self.native = code, native
        self.expansion = FoldedLinear.of(block.expansion[0], block.expansion[1])
        self.spatial = FoldedDepthwise(block.spatial[0], block.spatial[1], over_time=False)
        self.temporal = FoldedDepthwise(block.temporal[0], block.temporal[1], over_time=True)
        self.reduce = FoldedLinear.of(block.excitation.reduce, None)
        self.expand = FoldedLinear.of(block.excitation.expand, None)
        conv = block.projection[0]
        assert isinstance(conv, nn.Conv3d)
        weight, bias = folded(conv, block.projection[1])
        scale, shift = scale_and_shift(block.shortcut_norm)
        self.shortcut_scale = nn.Parameter(scale)
        self.projection = nn.Parameter(weight.flatten(1))  # (outputs, wide)
        self.projection_bias = nn.Parameter(bias + shift)
        self._constants: dict[torch.Size, Tensor] = {}

    def forward(self, x: Tensor) -> Tensor:
        """(batch, frames, height, width, channels) to the block's channels and stride; both include position codes."""
        base = self.join(nearest(x, self.branch.out_size(x.shape[1:4])))
        if self.native and can_run_native(x):
            return native_wide_branch(x, base, self.branch)
        return self._wide_branch(x) + base

    def join(self, shortcut: Tensor) -> Tensor:
        """Shortcut and constants to add to the wide branch: (batch, frames, out height, out width, inputs)."""
        size = shortcut.shape[1:4]
        if size not in self._constants:
            bias = self.projection_bias
            self._constants[size] = bias if self.next_code is None else position_code(self.next_code, size, bias) + bias
        constant = self._constants[size].to(shortcut.dtype)
        return torch.addcmul(constant, tile_last(shortcut, len(self.projection_bias)), self.shortcut_scale)

    def _wide_branch(self, x: Tensor) -> Tensor:
        y = nn.functional.silu(self.expansion(x))
        y = nn.functional.silu(self.spatial(y))
        y = nn.functional.silu(self.temporal(y))
        return nn.functional.linear(y * self._gate(y.mean(dim=(1, 2, 3), keepdim=True)), self.projection)

    def _gate(self, mean: Tensor) -> Tensor:
        return self.expand(nn.functional.silu(self.reduce(mean))).sigmoid()

    @cached_property
    def branch(self) -> Branch:
        """The wide branch for compiled code, padded with channels of 0 to whole vectors."""
        missing = -self.expansion.outputs % LANES

        def padded(tensor: Tensor, axis: int = 0) -> Tensor:
            shape = list(tensor.shape)
            shape[axis] = missing
            return torch.cat([tensor, tensor.new_zeros(shape)], axis).contiguous()

        reduce, expand = padded(self.reduce.weight[0], 1), padded(self.expand.weight[0])
        expand_bias = padded(self.expand.bias)

        def gate(mean: Tensor) -> Tensor:
            reduced = nn.functional.silu(nn.functional.linear(mean, reduce, self.reduce.bias))
            return nn.functional.linear(reduced, expand, expand_bias).sigmoid()

        return Branch(
            expansion=padded(self.expansion.weight[0]),
            expansion_bias=padded(self.expansion.bias),
            spatial=padded(self.spatial.weight),
            spatial_bias=padded(self.spatial.bias),
            stride=self.spatial.stride,
            temporal=padded(self.temporal.weight),
            temporal_bias=padded(self.temporal.bias),
            gate=gate,
            projection=padded(self.projection, 1),
        )


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
        return y + tile_last(x, y.shape[-1]) * self.shortcut_scale + self.shortcut_shift


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


def merged(branch: Branch, stem: FoldedLinear, code: Tensor) -> Branch:
    """A block's wide branch that takes the clip itself, with the stem and position code before it merged in.

    Each channel of the code (frames, height, width, channels) varies along one axis only, so the expansion turns it
    into the sum of a constant per frame and a constant per place.
    """
    return replace(
        branch,
        expansion=branch.expansion @ stem.weight[0],
        place_constant=nn.functional.linear(code[0] + stem.bias, branch.expansion, branch.expansion_bias),
        frame_constant=nn.functional.linear(code[:, 0, 0] - code[0, 0, 0], branch.expansion),
    )


def position_code(code: nn.Module, size: torch.Size, like: Tensor) -> Tensor:
    """A position code (frames, height, width, channels) for a tensor's channels, on its device."""
    return code(like.new_zeros(1, len(like), *size))[0].movedim(0, -1).contiguous()


def nearest(x: Tensor, size: Sequence[int]) -> Tensor:
    """(batch, frames, height, width, channels) resized to (frames, height, width) by nearest neighbor."""
    if x.shape[1:4] == torch.Size(size):
        return x
    if x.shape[2] % size[1] == 0 and x.shape[3] % size[2] == 0:  # the same pixels, with a faster backward pass
        return x[:, :, :: x.shape[2] // size[1], :: x.shape[3] // size[2]]
    return nn.functional.interpolate(x.movedim(-1, 1), size=tuple(size), mode="nearest").movedim(1, -1)


def tile_last(x: Tensor, channels: int) -> Tensor:
    """Channels, the last axis, repeated cyclically until there are ``channels`` of them."""
    return torch.cat([x] * math.ceil(channels / x.shape[-1]), -1)[..., :channels] if channels != x.shape[-1] else x

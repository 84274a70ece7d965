"""The wide branch of a DwiseNeuro's block in compiled code: expand, filter space, filter time, gate, project.

A pass on a CPU spends nearly all its time here, more on memory than on arithmetic: seven times as wide as its input,
the branch would be written and read by each step. So PyTorch does the matrix products, and ``wide_branch.cpp`` does all
between two of them (SiLU, depthwise filter, SiLU, mean; and the backward pass) in one pass over memory. It recomputes
the first block's expansion, at the full resolution, instead of storing it.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor

from neuroreel.encoding.dwiseneuro.native import native_library

LANES = 16  # the branch's channels are a multiple of this
MOST_INPUTS = 8  # of a first block


@dataclass(frozen=True, kw_only=True)
class Branch:
    """One branch's weights, float32 on the CPU, with batch norms folded into them; ``wide`` is a multiple of 16.

    Attributes
    ----------
    expansion, expansion_bias
        (wide, inputs), (wide,).
    frame_constant, place_constant
        (frames, wide) and (height, width, wide) in the first block, which takes the clip itself and adds both to the
        expansion instead of ``expansion_bias``; None in all others.
    spatial, spatial_bias, stride
        (wide, 1, kernel, kernel), (wide,); the stride of the spatial filter.
    temporal, temporal_bias
        (wide, 1, kernel, 1), (wide,).
    gate
        Maps channel means (wide,) to a factor for each (wide,).
    projection
        (outputs, wide).
    """

    expansion: Tensor
    expansion_bias: Tensor
    frame_constant: Tensor | None = None
    place_constant: Tensor | None = None
    spatial: Tensor
    spatial_bias: Tensor
    stride: int
    temporal: Tensor
    temporal_bias: Tensor
    gate: Callable[[Tensor], Tensor]
    projection: Tensor

    def out_size(self, size: Sequence[int]) -> torch.Size:
        """(frames, height, width) of the output, given those of the input."""
        frames, height, width = size
        return torch.Size((frames, (height - 1) // self.stride + 1, (width - 1) // self.stride + 1))


@dataclass(kw_only=True)
class Clip:
    """What one clip's gradient needs."""

    source: Tensor  # (frames, height, width, wide) before bias and SiLU; in the first block the clip itself
    spatial: Tensor  # before its SiLU: (frames, out height, out width, wide)
    activated: Tensor  # the same after temporal filter and SiLU
    mean: Tensor  # (wide,) of that
    gate: Tensor  # (wide,)


_KEPT = tuple(field.name for field in fields(Clip))


def can_run_native(x: Tensor) -> bool:
    """Whether the compiled code can process this input: float32 on a CPU, with the library built.

    Inputs on the "meta" device are also accepted, without computing, to count the memory that a CPU would need.
    """
    return x.device.type in ("cpu", "meta") and x.dtype == torch.float32 and native_library() is not None


def native_wide_branch(x: Tensor, base: Tensor, branch: Branch) -> Tensor:
    """The branch's output for (batch, frames, height, width, inputs), added in place to ``base``.

    ``base`` is (batch, frames, out height, out width, outputs). The gradient overwrites its buffers; if taken
    again, it recomputes them.
    """
    result: Tensor = _NativeWideBranch.apply(x, base, branch)  # type: ignore[no-untyped-call]
    return result


class _NativeWideBranch(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, base: Tensor, branch: Branch) -> Tensor:
        ctx.mark_dirty(base)
        ctx.branch, ctx.overwritten = branch, False
        clips = [_clip_forward(clip, out, branch) for clip, out in zip(x.contiguous(), base, strict=True)]
        # saved the way PyTorch's functions do, so that torch.utils.checkpoint can drop and recompute them
        ctx.save_for_backward(x, *(getattr(clip, name) for clip in clips for name in _KEPT))
        return base

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None]:
        x, *kept = ctx.saved_tensors
        gradient = gradients[0].contiguous()
        if ctx.overwritten:  # by an earlier gradient of a retained graph
            clips = [
                _clip_forward(clip, torch.zeros_like(out), ctx.branch)
                for clip, out in zip(x.contiguous(), gradient, strict=True)
            ]
        else:
            rows = (kept[first : first + len(_KEPT)] for first in range(0, len(kept), len(_KEPT)))
            clips = [Clip(**dict(zip(_KEPT, row, strict=True))) for row in rows]
        ctx.overwritten = True
        parts = [_clip_backward(*each, ctx.branch) for each in zip(clips, gradient, strict=True)]
        return parts[0][None] if len(parts) == 1 else torch.stack(parts), gradients[0], None


def _clip_forward(x: Tensor, out: Tensor, branch: Branch) -> Clip:
    """(frames, height, width, inputs), added to (frames, out height, out width, outputs); returns backward data."""
    frames, height, width, inputs = x.shape
    wide, kernel = len(branch.spatial), branch.spatial.shape[-1]
    size = branch.out_size(x.shape[:3])
    spatial, activated = (x.new_empty(*size, wide) for _ in range(2))
    numbers = (frames, height, width, wide, kernel, branch.stride)
    if branch.place_constant is None:
        source = x @ branch.expansion.T
        _call("spatial", source, branch.expansion_bias, branch.spatial, branch.spatial_bias, spatial, *numbers)
    else:
        source = x
        constants = _first_constants(branch)
        _call("first_spatial", x, *constants, branch.spatial, branch.spatial_bias, spatial, inputs, *numbers)
    sums = x.new_empty(wide)
    columns = (frames, size[1] * size[2], wide, branch.temporal.shape[2])
    _call("temporal", spatial, branch.temporal, branch.temporal_bias, activated, sums, *columns)
    mean = sums / (frames * size[1] * size[2])
    gate = branch.gate(mean)
    out.flatten(0, 2).addmm_(activated.flatten(0, 2), (branch.projection * gate).T)
    return Clip(source=source, spatial=spatial, activated=activated, mean=mean, gate=gate)


def _clip_backward(clip: Clip, out_gradient: Tensor, branch: Branch) -> Tensor:
    """The gradient of the clip's input, from that of its output."""
    frames, height, width, inputs = clip.source.shape
    wide, places = len(branch.spatial), clip.activated[0, ..., 0].numel()
    gradient = out_gradient @ (branch.projection * clip.gate)
    sums = clip.mean.new_empty(wide)
    _call("product_sums", gradient, clip.activated, sums, frames * places, wide)
    mean_gradient = _gate_backward(branch.gate, clip.mean, sums / clip.gate) / (frames * places)
    columns = (frames, places, wide, branch.temporal.shape[2])
    _call("temporal_back", gradient, mean_gradient, clip.spatial, branch.temporal, branch.temporal_bias, *columns)
    numbers = (frames, height, width, wide, branch.spatial.shape[-1], branch.stride)
    if branch.place_constant is None:
        _call("spatial_back", gradient, branch.spatial, branch.expansion_bias, clip.source, *numbers)
        return clip.source @ branch.expansion
    result = torch.empty_like(clip.source)
    constants = _first_constants(branch)
    _call("first_spatial_back", gradient, branch.spatial, clip.source, *constants, result, inputs, *numbers)
    return result


def _first_constants(branch: Branch) -> tuple[Tensor, Tensor, Tensor]:
    """Inputs of the first block's compiled code: expansion (inputs, wide), constants per place and per frame."""
    assert branch.place_constant is not None and branch.frame_constant is not None
    return branch.expansion.T.contiguous(), branch.place_constant, branch.frame_constant


def _gate_backward(gate: Callable[[Tensor], Tensor], mean: Tensor, gradient: Tensor) -> Tensor:
    with torch.enable_grad():
        leaf = mean.detach().requires_grad_()
        (mean_gradient,) = torch.autograd.grad(gate(leaf), leaf, gradient)
    return mean_gradient


def _call(name: str, *arguments: Tensor | int) -> None:
    """Call a function of the library: tensors by address, then numbers, then the number of threads."""
    library = native_library()
    assert library is not None
    tensors = [each for each in arguments if isinstance(each, Tensor)]
    if tensors[0].is_meta:
        return
    assert all(each.is_contiguous() and each.dtype == torch.float32 for each in tensors), name
    values = [
        ctypes.c_void_p(each.data_ptr()) if isinstance(each, Tensor) else ctypes.c_int(each) for each in arguments
    ]
    getattr(library, name)(*values, ctypes.c_int(torch.get_num_threads()))

"""A readout model rewritten for inversion: the same function of its input, in fewer and faster operations.

Nothing is trained here, so (1) the first convolution, whose gradient is slow with one channel and a stride, becomes one
without a stride that has the pixels of a step as channels, and (2) on a CPU each neuron's position and weights become a
row of a sparse matrix over all features, so that nothing has to be sampled.
"""

from __future__ import annotations

import copy
import math
import warnings
from typing import Any

import torch
from torch import Tensor, nn

from neuroreel.encoding.interface import EncodingModel, device_of
from neuroreel.encoding.readout import ReadoutModel, channels_last, grey_of


class FrozenReadoutModel(EncodingModel):
    """A readout model, frozen; differentiable in its input alone.

    Parameters
    ----------
    model
        Its weights are copied as they are now, to the same device.
    """

    any_length = True

    def __init__(self, model: ReadoutModel) -> None:
        super().__init__()
        self.canvas, self.neurons, self.covariates = model.canvas, model.neurons, model.covariates
        self.clip_frames, self.warmup_frames = model.clip_frames, model.warmup_frames
        self.frame_rate_hz = model.frame_rate_hz
        self.model = copy.deepcopy(model).requires_grad_(False).eval()
        kernel, self.stride = model.config.spatial_kernel, model.config.stride
        self.whole_kernel = math.ceil(kernel / self.stride) * self.stride
        padded = nn.functional.pad(model.spatial.weight.detach(), [0, self.whole_kernel - kernel] * 2)
        self.filters: Tensor
        self.register_buffer("filters", channels_last(nn.functional.pixel_unshuffle(padded, self.stride)))
        sparse = device_of(model).type == "cpu" and torch.backends.mkl.is_available()
        self._read = readout_matrices(model) if sparse else None

    def forward(self, clips: Tensor) -> Tensor:
        """Clips (batch, 1 + covariates, frames, height, width) to responses (batch, neurons, frames)."""
        batch, frames = clips.shape[0], clips.shape[2]
        features = self.model.features(self._filtered(clips), batch=batch, frames=frames)
        if self._read is None:
            return self.model.answer(self.model.read(features, batch=batch), clips)
        drive: Tensor = _SparseProduct.apply(features.permute(0, 2, 3, 1).flatten(1), *self._read)  # type: ignore[no-untyped-call]
        return self.model.answer(drive.unflatten(0, (batch, frames)), clips)

    def _filtered(self, clips: Tensor) -> Tensor:
        """The first convolution of each frame, as the model has it."""
        images, kernel = grey_of(clips), self.model.config.spatial_kernel
        padding, pads = kernel // 2, []
        for size in (images.shape[-1], images.shape[-2]):
            last = (size + 2 * padding - kernel) // self.stride * self.stride  # where the last filter begins
            pads += [padding, last + self.whole_kernel - size - padding]
        steps = nn.functional.pixel_unshuffle(nn.functional.pad(images, pads), self.stride)
        return nn.functional.conv2d(channels_last(steps), self.filters, self.model.spatial.bias)


class _SparseProduct(torch.autograd.Function):
    """x (rows, features) to x A' (rows, neurons) with a sparse A (neurons, features), of which A' is given too."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, matrix: Tensor, transposed: Tensor) -> Tensor:
        ctx.transposed = transposed
        return _times(matrix, x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        return _times(ctx.transposed, gradient).contiguous(), None, None


def _times(matrix: Tensor, x: Tensor) -> Tensor:
    """The product x matrix'; without values where only memory is counted."""
    return x.new_empty(len(x), len(matrix)) if x.is_meta else (matrix @ x.T).T


def readout_matrices(model: ReadoutModel) -> tuple[Tensor, Tensor]:
    """What neurons read, as a sparse matrix (neurons, rows * columns * hidden), and its transpose.

    A position lies between four places, which share it bilinearly, as ``grid_sample`` has it.
    """
    weight, position = model.weight.detach(), model.position.detach().clamp(-1, 1)
    rows, columns = model.config.feature_size
    sizes = torch.tensor([columns, rows], device=position.device)
    at = (((position + 1) * sizes - 1) / 2).clamp_min(0).minimum(sizes - 1)  # (neurons, 2): column, row
    first = at.nan_to_num().floor().long()  # a position that is NaN shows in the shares
    near = torch.stack([first, (first + 1).minimum(sizes - 1)])  # (2, neurons, 2)
    share = torch.stack([1 - (at - first), at - first])
    place = near[:, None, :, 1] * columns + near[None, :, :, 0]  # (2, 2, neurons)
    shared = share[:, None, :, 1] * share[None, :, :, 0]
    hidden = torch.arange(weight.shape[1], device=weight.device)
    features = place[..., None] * len(hidden) + hidden  # (2, 2, neurons, hidden)
    neurons = torch.arange(len(weight), device=weight.device)[:, None].expand_as(features)
    indices = torch.stack([neurons.flatten(), features.flatten()])
    size = (len(weight), rows * columns * len(hidden))
    values = (shared[..., None] * weight).flatten()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Sparse")  # "CSR tensor support is in beta state", and the like
        matrix = torch.sparse_coo_tensor(indices, values, size).coalesce()
        return matrix.to_sparse_csr(), matrix.t().coalesce().to_sparse_csr()

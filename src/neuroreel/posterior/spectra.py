"""Power over temporal frequency: how much of a signal is slow and how much is fast.

Uses the cosine transform instead of Fourier's: a trial is not periodic, and the coefficients are real.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

SMOOTHING = 0.15  # a coefficient's power is averaged with those within 15 % of its frequency


def cosine_basis(frames: int, *, device: torch.device | str = "cpu") -> Tensor:
    """Orthonormal cosine transform (frames, frames), type II, slowest first: ``basis @ x`` are x's coefficients.

    Row f oscillates at f / 2 cycles in the trial.
    """
    time = torch.arange(frames, dtype=torch.float64) + 0.5
    basis = torch.cos(torch.pi / frames * torch.arange(frames, dtype=torch.float64)[:, None] * time)
    basis *= (2 / frames) ** 0.5
    basis[0] *= 0.5**0.5
    return basis.float().to(device)


def mean_power(signals: Iterable[Tensor], *, bins: int) -> Tensor:
    """Mean squared cosine coefficients (channels, bins) of signals (channels, frames) of any length, smoothed."""
    total, count = torch.zeros(()), 0
    bases: dict[int, Tensor] = {}
    for signal in signals:
        frames = signal.shape[1]
        basis = bases.setdefault(frames, cosine_basis(frames))
        total = total + resampled((signal @ basis.T).square(), bins)
        count += 1
    return smoothed(total / count)


def smoothed(power: Tensor) -> Tensor:
    """Power (..., bins) averaged over the bins within ``SMOOTHING`` of each bin's frequency."""
    bins = power.shape[-1]
    frequency = torch.arange(bins)  # on the CPU: little work, and not every device has double precision
    first = torch.ceil(frequency * (1 - SMOOTHING)).long()
    last = torch.floor(frequency * (1 + SMOOTHING)).long().clamp_max(bins - 1)
    sums = torch.nn.functional.pad(power.cpu().double().cumsum(-1), (1, 0))
    return ((sums[..., last + 1] - sums[..., first]) / (last - first + 1)).to(power.dtype).to(power.device)


def resampled(power: Tensor, bins: int) -> Tensor:
    """Power (..., bins) at the frequencies of a trial of another length: linear in between, constant at the ends."""
    if power.shape[-1] == bins:
        return power
    if power.numel() == 0:  # no factors
        return power.new_zeros(*power.shape[:-1], bins)
    flat = power.reshape(1, -1, power.shape[-1])
    return torch.nn.functional.interpolate(flat, bins, mode="linear", align_corners=False).reshape(
        *power.shape[:-1], bins
    )

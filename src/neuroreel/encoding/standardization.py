"""Standardize to mean 0 and standard deviation 1, and back: models are seldom trained on raw values."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn

from neuroreel.arguments import as_array
from neuroreel.errors import InputError


class Standardization(nn.Module):
    """(values - mean) / std, kept with the model so that its inverse is never lost.

    Parameters
    ----------
    mean, std
        One number, or (channels,) along axis 1 of the values. A video has one channel: with several means it becomes as
        many channels, for models that take the same gray picture in each of their colors.

    Raises
    ------
    InputError
        A wrong shape, NaN, or a std that is not above 0.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, *, mean: ArrayLike = 0.0, std: ArrayLike = 1.0) -> None:
        super().__init__()
        for name, values in (("mean", mean), ("std", std)):
            array = as_array(values, name=name).astype(np.float32)
            if array.ndim > 1 or array.size == 0 or not np.isfinite(array).all():
                raise InputError(
                    f"{name} has shape {array.shape} or holds NaN; it must be a number or (channels,) numbers"
                )
            if name == "std" and not (array > 0).all():
                raise InputError(f"the smallest std is {array.min():g}; it must be above 0")
            self.register_buffer(name, torch.from_numpy(np.array(array)))

    def forward(self, values: Tensor) -> Tensor:
        """Raw to standardized values (batch, channels, ...)."""
        return (values - _along(self.mean, values)) / _along(self.std, values)

    def inverse(self, standardized: Tensor) -> Tensor:
        """Standardized to raw values (batch, channels, ...)."""
        return standardized * _along(self.std, standardized) + _along(self.mean, standardized)


def _along(numbers: Tensor, values: Tensor) -> Tensor:
    """The numbers along axis 1 of the values."""
    return numbers if numbers.ndim == 0 else numbers.view(-1, *[1] * (values.ndim - 2))

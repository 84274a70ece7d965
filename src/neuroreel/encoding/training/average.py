"""The exponential moving average of the weights."""

from __future__ import annotations

import functools

from lightning.pytorch.callbacks import WeightAveraging
from torch import Tensor


class MovingAverage(WeightAveraging):
    """Averages weights and buffers after every step; validation and checkpoints see the average.

    Lightning's own EMAWeightAveraging holds a function that cannot be sent to another process, as training on several
    devices must.
    """

    def __init__(self, decay: float) -> None:
        super().__init__(avg_fn=functools.partial(_moved, decay))


def _moved(decay: float, average: Tensor, current: Tensor, _count: Tensor | int) -> Tensor:
    return decay * average + (1 - decay) * current

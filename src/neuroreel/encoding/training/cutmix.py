"""CutMix (Yun et al. 2019): a box of another clip is pasted into a clip, and the responses are mixed accordingly."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from torch import Tensor


class Box(NamedTuple):
    """Rows top..bottom and columns left..right of the canvas, the last ones excluded."""

    top: int
    bottom: int
    left: int
    right: int

    @property
    def area(self) -> int:
        """Pixels in it."""
        return (self.bottom - self.top) * (self.right - self.left)

    def paste(self, target: Tensor, source: Tensor) -> None:
        """Copy what lies in the box of ``source`` (..., height, width) into ``target``, in place."""
        rows, columns = slice(self.top, self.bottom), slice(self.left, self.right)
        target[..., rows, columns] = source[..., rows, columns]


def draw_box(rng: np.random.Generator, *, height: int, width: int, alpha: float) -> Box:
    """A box whose share of the canvas is 1 - Beta(alpha, alpha) before it is cut off at the canvas's edges."""
    side = math.sqrt(1.0 - rng.beta(alpha, alpha))
    half_height, half_width = int(height * side) // 2, int(width * side) // 2
    row, column = int(rng.integers(height)), int(rng.integers(width))
    return Box(
        top=max(row - half_height, 0),
        bottom=min(row + half_height, height),
        left=max(column - half_width, 0),
        right=min(column + half_width, width),
    )

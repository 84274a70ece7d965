"""Mean and standard deviation over time of data that arrive in pieces."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


class Moments:
    """Mean and variance over frames, for arrays (channels, frames) that are added one by one and not kept.

    The pieces are merged by the pairwise rule of Chan, Golub & LeVeque 1983 ("Algorithms for computing the sample
    variance"), which avoids subtracting large sums.
    """

    def __init__(self) -> None:
        self.frames = 0
        self._mean: NDArray[np.float64] | float = 0.0
        self._squares: NDArray[np.float64] | float = 0.0

    def add(self, array: NDArray[Any]) -> None:
        """Add (channels, frames)."""
        frames = array.shape[1]
        mean = array.mean(axis=1, dtype=np.float64)
        total = self.frames + frames
        gap = mean - self._mean
        self._squares = self._squares + array.var(axis=1, dtype=np.float64) * frames
        self._squares = self._squares + gap**2 * (self.frames * frames / total)
        self._mean = self._mean + gap * (frames / total)
        self.frames = total

    @property
    def mean(self) -> NDArray[np.float64]:
        """(channels,)."""
        return np.asarray(self._mean)

    @property
    def std(self) -> NDArray[np.float64]:
        """(channels,), over the frames (population formula)."""
        return np.asarray(np.sqrt(self._squares / max(self.frames, 1)))

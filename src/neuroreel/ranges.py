"""Ranges of colors and axes that outliers and empty or constant panels do not spoil."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike


def range_with_zero(*values: ArrayLike, narrowest: float = 0.0, cut: float = 0.0) -> tuple[float, float]:
    """The ends of a scale that includes 0; 1 apart if all values are 0.

    Parameters
    ----------
    values
        All values that share the scale, in arrays of any shape. NaN and infinite values do not count.
    narrowest
        The least distance between the ends.
    cut
        Percentage of the values that may lie beyond each end.

    Returns
    -------
    tuple
        The lower end, 0 or less, and the upper one, 0 or more.
    """
    each = np.concatenate([np.asarray(value, np.float64).ravel() for value in values])
    known = each[np.isfinite(each)]
    low, high = np.percentile(known, [cut, 100 - cut]) if known.size else (0.0, 0.0)
    low = min(float(low), 0.0)
    high = max(float(high), 0.0, low + narrowest)
    return low, high if high > low else low + 1.0

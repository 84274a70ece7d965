"""Ranges of colors and axes that neither single values nor an empty or constant panel spoil."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike


def range_with_zero(*values: ArrayLike, narrowest: float = 0.0, cut: float = 0.0) -> tuple[float, float]:
    """Where a scale that shows 0 begins and ends; 1 apart where all values are the same 0.

    Parameters
    ----------
    values
        All that share the scale, in arrays of any shape. NaN and infinite values do not count.
    narrowest
        The least distance between the ends.
    cut
        Percent of the values that may lie beyond each end.

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

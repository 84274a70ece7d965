"""Ranges of colors: what they hold whatever the numbers are."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from neuroreel.ranges import range_with_zero

ANY = st.lists(st.floats(allow_nan=True, allow_infinity=True, width=32), max_size=30)


@given(ANY, ANY, st.floats(0, 10), st.floats(0, 20))
def test_a_range_is_finite_is_not_empty_and_holds_zero(
    first: list[float], second: list[float], narrowest: float, cut: float
) -> None:
    low, high = range_with_zero(first, second, narrowest=narrowest, cut=cut)
    assert -np.inf < low <= 0 <= high < np.inf and low < high and high - low >= 0.999 * narrowest
    known = [value for value in (*first, *second) if np.isfinite(value)]
    assert all(low <= value <= high for value in known if cut == 0)


def test_outliers_are_cut() -> None:
    values = np.append(np.linspace(-1, 1, 2001), [1e9, np.nan, -np.inf])
    low, high = range_with_zero(values, cut=2.5)
    assert np.isclose(low, -0.95, atol=0.002) and np.isclose(high, 0.95, atol=0.002)
    assert range_with_zero(np.zeros(3)) == range_with_zero([np.nan]) == range_with_zero([]) == (0.0, 1.0)

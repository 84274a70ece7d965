"""The screen: degrees of a pixel, Nyquist limit, flat-screen angles."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import neuroreel as nr
from neuroreel.errors import InputError


def test_the_sensorium_screen() -> None:
    """56.5 cm at 15 cm: a pixel of 64 is 0.883 cm, 3.37 degrees; the whole width atan(28.25 / 15) to each side."""
    screen = nr.Screen()
    assert screen.degrees_per_pixel(64) == pytest.approx(3.368, abs=1e-3)
    assert screen.highest_frequency(64) == pytest.approx(1 / (2 * 3.368), rel=1e-3)
    pixel = 56.5 / 64
    edge = screen.azimuth(64)[-1]
    assert edge == pytest.approx(math.degrees(math.atan((28.25 - pixel / 2) / 15)))
    assert screen.azimuth(65)[32] == 0


def test_angles_go_right_and_up_and_shrink_towards_the_edges() -> None:
    screen = nr.Screen()
    azimuth, elevation = screen.azimuth(64), screen.elevation(36, width=64)
    steps = np.diff(azimuth)
    assert (steps > 0).all() and (np.diff(elevation) < 0).all()
    np.testing.assert_allclose(azimuth, -azimuth[::-1])
    assert steps.argmax() == 31 and steps[31] == pytest.approx(screen.degrees_per_pixel(64), rel=2e-3)
    assert steps[0] < 0.3 * steps[31]
    assert np.isin(elevation, -azimuth).all()  # pixels are square


@given(degrees=st.floats(0.01, 20), width=st.integers(1, 500), distance=st.floats(5, 100))
def test_a_screen_can_be_made_for_pixels_of_some_degrees(degrees: float, width: int, distance: float) -> None:
    screen = nr.Screen.with_pixels_of(degrees, width=width, distance_cm=distance)
    assert screen.degrees_per_pixel(width) == pytest.approx(degrees)
    assert screen.distance_cm == distance


@pytest.mark.parametrize("name", ["width_cm", "height_cm", "distance_cm"])
@pytest.mark.parametrize("value", [0, -1.0, math.nan, math.inf])
def test_lengths_that_cannot_be(name: str, value: float) -> None:
    with pytest.raises(InputError, match=f"{name}.*positive number of centimeters"):
        nr.Screen(**{name: value})


@pytest.mark.parametrize("width", [0, -3, 2.5, True, "64"])
def test_pixels_that_cannot_be(width: Any) -> None:
    for ask in (nr.Screen().degrees_per_pixel, nr.Screen().highest_frequency, nr.Screen().azimuth):
        with pytest.raises(InputError, match=r"width is .* whole number"):
            ask(width)
    with pytest.raises(InputError, match="height is 0"):
        nr.Screen().elevation(0, width=64)


@pytest.mark.parametrize("degrees", [0, 90, -1, math.nan])
def test_pixels_of_impossible_size(degrees: float) -> None:
    with pytest.raises(InputError, match="degrees is impossible"):
        nr.Screen.with_pixels_of(degrees, width=64)

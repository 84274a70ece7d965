"""Drifting gratings: frequencies, directions, and the measurement of a movie's frequency."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import neuroreel as nr
from neuroreel.errors import InputError
from neuroreel.stimuli.gratings import PUBLISHED_SPATIAL_FREQUENCIES, PUBLISHED_TEMPORAL_LABELS

ONE_DEGREE = nr.Screen.with_pixels_of(1, width=64)
GRATING: dict[str, Any] = {"direction_deg": 0.0, "spatial_frequency": 0.071, "temporal_frequency_hz": 3.75}


def spectrum_peak(signal: np.ndarray, *, rate: float) -> float:
    """The frequency of the highest peak of a Fourier transform, without the mean; an independent measurement."""
    power = np.abs(np.fft.rfft(signal - signal.mean())) ** 2
    return float(np.fft.rfftfreq(len(signal), 1 / rate)[power.argmax()])


def test_frequencies_in_time_and_space_are_those_asked_for() -> None:
    fine = nr.Screen.with_pixels_of(1 / 3.4, width=480)
    movie = nr.drifting_grating(**GRATING, frames=160, width=480, height=4, screen=fine)
    assert movie.shape == (160, 4, 480) and movie.dtype == np.float32
    assert spectrum_peak(movie[:, 0, 0], rate=30) == pytest.approx(3.75)
    assert spectrum_peak(movie[0, 0], rate=3.4) == pytest.approx(0.071, abs=3.4 / 480 / 2)
    np.testing.assert_allclose([movie.min(), movie.max(), movie.mean()], [0, 255, 127.5], atol=0.5)


def test_a_degree_is_that_of_the_screen_whatever_the_pixels() -> None:
    """A cycle of 0.036 c/deg is 27.8 degrees: 8.2 of 64 pixels, 4.1 of 32."""
    for width, pixels in ((64, 8.25), (32, 4.14)):
        frame = nr.drifting_grating(**GRATING | {"spatial_frequency": 0.036}, frames=8, height=2, width=width)[0, 0]
        padded = np.pad(frame - frame.mean(), (0, 64 * width))
        assert spectrum_peak(padded, rate=1) == pytest.approx(1 / pixels, rel=0.03)


@pytest.mark.parametrize(("direction", "row", "column"), [(0, 0, 1), (90, -1, 0), (180, 0, -1), (270, 1, 0)])
def test_it_drifts_where_it_should(direction: float, row: int, column: int) -> None:
    """One cycle is 16 pixels long and takes 16 frames: a pixel a frame."""
    movie = nr.drifting_grating(
        direction_deg=direction, spatial_frequency=1 / 16, temporal_frequency_hz=30 / 16, screen=ONE_DEGREE
    )
    inner = (slice(1, -1), slice(1, -1))
    moved = np.roll(movie[0], (row, column), axis=(0, 1))
    np.testing.assert_allclose(movie[1][inner], moved[inner], atol=0.01)


@settings(max_examples=20, deadline=None)
@given(right=st.integers(-5, 5), up=st.integers(-5, 5), cycles=st.integers(1, 7))
def test_spectrum_has_one_peak_and_its_sign_is_the_direction(right: int, up: int, cycles: int) -> None:
    """Whole cycles along each axis of 16 x 16 pixels and 16 frames, so that a grating is one pair of bins.

    cos(kx x - ky row - w t) has its peak where the signs of kx, and of the row's, are opposite to that of time.
    """
    if right == up == 0:
        return
    movie = nr.drifting_grating(
        direction_deg=float(np.degrees(np.arctan2(up, right))),
        spatial_frequency=float(np.hypot(right, up)) / 16,
        temporal_frequency_hz=cycles / 16 * 30,
        frames=16,
        height=16,
        width=16,
        screen=nr.Screen.with_pixels_of(1, width=16),
    )
    power = np.abs(np.fft.fftn(movie - movie.mean())) ** 2
    peak = power[cycles, up % 16, -right % 16]
    assert peak > 0.49 * power.sum() and power[-cycles, -up % 16, right] > 0.49 * power.sum()


def test_oblique_gratings_are_as_coarse_as_the_others() -> None:
    one, other = (
        nr.drifting_grating(**(GRATING | {"direction_deg": angle}), height=200, width=200)[0] for angle in (0, 45)
    )
    cycles = spectrum_peak(one[100], rate=200), spectrum_peak(other[100], rate=200)
    assert cycles[1] == pytest.approx(cycles[0] / 2**0.5, abs=1)


def test_contrast() -> None:
    half = nr.drifting_grating(**GRATING, contrast=0.5)
    np.testing.assert_allclose(half - 127.5, (nr.drifting_grating(**GRATING) - 127.5) / 2, atol=1e-4)


@settings(max_examples=20, deadline=None)
@given(frequency=st.floats(0.4, 15), direction=st.floats(0, 360), rate=st.sampled_from([30.0, 60.0]))
def test_measured_frequency_is_the_one_asked_for(frequency: float, direction: float, rate: float) -> None:
    asked = GRATING | {"direction_deg": direction, "temporal_frequency_hz": frequency}
    movie = nr.drifting_grating(
        **asked, frame_rate_hz=rate, height=6, width=8, screen=nr.Screen.with_pixels_of(1, width=8)
    )
    assert nr.temporal_frequency(movie, frame_rate_hz=rate) == pytest.approx(frequency, abs=rate / 60 / 100 * 1.01)


def test_all_published_gratings_can_be_made() -> None:
    for spatial in PUBLISHED_SPATIAL_FREQUENCIES:
        for label in PUBLISHED_TEMPORAL_LABELS:
            asked = GRATING | {"spatial_frequency": spatial, "temporal_frequency_hz": label}
            assert nr.temporal_frequency(nr.drifting_grating(**asked)) == pytest.approx(label, abs=0.006)


def test_a_still_movie_and_a_noisy_one() -> None:
    random = np.random.default_rng(0)
    assert nr.temporal_frequency(np.repeat(random.uniform(0, 255, (1, 6, 8)), 20, axis=0)) == 0
    movie = nr.drifting_grating(**GRATING) + random.normal(0, 20, (60, 36, 64))
    assert nr.temporal_frequency(movie) == pytest.approx(3.75, abs=0.1)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"temporal_frequency_hz": 15.1}, "0 to 15"),
        ({"temporal_frequency_hz": -1}, "0 to 15"),
        ({"spatial_frequency": 2}, "pixels can show 0 to 0.148"),
        ({"direction_deg": float("nan")}, "finite"),
        ({"frames": 0}, "frames is 0"),
        ({"height": 2.5}, "height is 2.5"),
        ({"contrast": 1.5}, "no grey levels"),
        ({"frame_rate_hz": 0}, "positive"),
    ],
)
def test_bad_gratings(change: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        nr.drifting_grating(**(GRATING | change))


@pytest.mark.parametrize("video", [np.zeros((7, 4, 4)), np.zeros((20, 4)), np.full((20, 4, 4), np.nan)])
def test_movies_without_a_frequency(video: np.ndarray) -> None:
    with pytest.raises(InputError, match="at least 8 frames"):
        nr.temporal_frequency(video)
    with pytest.raises(InputError, match="frame_rate_hz"):
        nr.temporal_frequency(np.zeros((20, 4, 4)), frame_rate_hz=0)

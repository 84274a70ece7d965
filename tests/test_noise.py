"""Noise movies: autocorrelation, spectrum, mean, contrast, padding; ours and the published ones."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter

import neuroreel as nr
from neuroreel.errors import InputError
from neuroreel.stimuli.noise import published_noise


def autocorrelation(array: np.ndarray, axis: int, lags: int) -> np.ndarray:
    """Of an array of mean 0, along one axis, without wrapping around."""
    moved = np.moveaxis(array, axis, 0)
    products = [np.mean(moved[lag:] * moved[: len(moved) - lag]) for lag in range(lags)]
    return np.array(products) / products[0]


@pytest.mark.parametrize(("space", "time"), [(0, 0), (1, 2), (2, 0), (3, 1), (0, 4)])
def test_autocorrelation_is_that_of_filtered_noise(space: float, time: float) -> None:
    """White noise through a Gaussian of sigma s: exp(-d^2 / 4 s^2), a Gaussian of s times the root of 2."""
    movie = nr.gaussian_noise(spatial_px=space, temporal_frames=time, frames=240, height=120, width=120)
    noise = movie.astype(np.float64) - 127.5
    lags = np.arange(8)
    for axis, length in enumerate((time, space, space)):
        theory = np.exp(-((lags / (2 * length)) ** 2)) if length else (lags == 0).astype(float)
        np.testing.assert_allclose(autocorrelation(noise, axis, len(lags)), theory, atol=0.03)


def test_autocorrelation_is_that_of_an_independent_filter() -> None:
    """SciPy's filter, its movie cut out of a larger one, has the same autocorrelation and spectrum."""
    white = np.random.default_rng(1).normal(size=(160, 90, 90))
    theirs = gaussian_filter(white, (3, 2, 2))[20:-20, 15:-15, 15:-15]
    ours = nr.gaussian_noise(spatial_px=2, temporal_frames=3, frames=120, height=60, width=60, seed=2) - 127.5
    for axis in range(3):
        apart = autocorrelation(ours, axis, 10) - autocorrelation(theirs, axis, 10)
        assert np.abs(apart).max() < 0.06

    def spectrum(noise: np.ndarray) -> np.ndarray:
        power = (np.abs(np.fft.rfft(noise * np.hanning(60), axis=2)) ** 2).mean(axis=(0, 1))
        return power / power.sum()

    frequency = np.fft.rfftfreq(60)
    theory = np.exp(-((2 * np.pi * frequency * 2) ** 2))  # power behind a Gaussian of sigma 2
    strong = (theory > 0.05) & (frequency > 2 / 60)
    ratio = spectrum(ours)[strong] / theory[strong]
    np.testing.assert_allclose(ratio / ratio.mean(), 1, atol=0.25)
    np.testing.assert_allclose(spectrum(ours)[strong], spectrum(theirs)[strong], rtol=0.3)


def test_it_is_as_strong_and_as_smooth_at_the_edges_as_in_the_middle() -> None:
    movies = np.stack([nr.gaussian_noise(spatial_px=4, frames=60, height=18, width=32, seed=s) for s in range(20)])
    deviation = movies.std(axis=(0, 1))
    assert deviation.min() > 0.85 * deviation.max()
    step = np.diff(movies, axis=3).std(axis=(0, 1, 2))
    assert step.min() > 0.85 * step.max()


@settings(max_examples=30, deadline=None)
@given(
    space=st.sampled_from([0, 0.3, 1, 2, 8, 32]),
    time=st.sampled_from([0, 0.3, 1, 4, 16, 32]),
    size=st.tuples(st.integers(9, 40), st.integers(8, 20), st.integers(8, 20)),
    seed=st.integers(0, 99),
)
def test_mean_contrast_and_range(space: float, time: float, size: tuple[int, int, int], seed: int) -> None:
    frames, height, width = size
    asked = {"spatial_px": space, "temporal_frames": time, "seed": seed}
    movie = nr.gaussian_noise(**asked, frames=frames, height=height, width=width)
    assert movie.shape == size and movie.dtype == np.float32 and movie.min() >= 0 and movie.max() <= 255
    assert movie.mean() == pytest.approx(127.5, abs=3) and movie.std() == pytest.approx(51, abs=4)  # clipping
    np.testing.assert_array_equal(movie, nr.gaussian_noise(**asked, frames=frames, height=height, width=width))
    np.testing.assert_allclose((255 - movie) + movie, 255, atol=1e-4)


def test_units_are_those_of_the_screen_and_the_frame_rate() -> None:
    screen = nr.Screen.with_pixels_of(2.5, width=20)
    size: dict[str, Any] = {"frames": 30, "height": 12, "width": 20, "frame_rate_hz": 20.0}
    ours = nr.gaussian_noise(spatial_deg=5, temporal_s=0.15, screen=screen, **size)
    np.testing.assert_allclose(ours, nr.gaussian_noise(spatial_px=2, temporal_frames=3, **size), atol=0.01)
    half = nr.gaussian_noise(spatial_deg=2 * nr.Screen().degrees_per_pixel(20), **size)
    np.testing.assert_allclose(half, nr.gaussian_noise(spatial_px=2, **size), atol=0.01)


def test_lengths_without_end_are_still_pictures_and_flicker() -> None:
    still = nr.gaussian_noise(spatial_px=2, temporal_frames=1e6, frames=20, height=12, width=16)
    assert np.abs(np.diff(still, axis=0)).max() < 0.1 and still[0].std() > 40
    flicker = nr.gaussian_noise(spatial_px=1e6, temporal_frames=2, frames=20, height=12, width=16)
    assert flicker.std(axis=(1, 2)).max() < 0.1 and flicker[:, 0, 0].std() > 40


def test_seeds() -> None:
    movies = [nr.gaussian_noise(frames=9, height=8, width=8, seed=seed) for seed in (0, 1, (0, 1), (1, 1))]
    alike = np.corrcoef(np.stack(movies).reshape(4, -1))
    assert np.abs(alike[~np.eye(4, dtype=bool)]).max() < 0.2


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"spatial_px": -1}, "spatial length constant is -1.* 0 or more"),
        ({"temporal_frames": math.nan}, "temporal length constant is nan"),
        ({"temporal_s": math.inf}, "temporal length constant is inf"),
        ({"spatial_px": 2, "spatial_deg": 5}, "both spatial_px=2 and spatial_deg=5"),
        ({"temporal_frames": 2, "temporal_s": 0.1}, "both temporal_frames=2 and temporal_s=0.1"),
        ({"spatial_px": 1e9, "temporal_frames": 1e9}, "one grey level throughout"),
        ({"frames": 0}, "frames is 0"),
        ({"height": 2.5}, "height is 2.5"),
        ({"frame_rate_hz": 0}, "frame_rate_hz is 0"),
        ({"seed": -1}, "seed is -1"),
        ({"seed": (0, 0.5)}, "seed is"),
        ({"frames": 1, "height": 1, "width": 1}, "no contrast"),
    ],
)
def test_bad_noise(change: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        nr.gaussian_noise(**change)


def test_published_movies_have_the_published_shape_mean_and_contrast() -> None:
    stimuli = np.random.default_rng(0).normal(3, 2, size=(36, 36, 10, 2, 3, 4))
    movies = published_noise(stimuli)
    assert movies.shape == (2, 3, 4, 10, 36, 64) and movies.dtype == np.float32
    assert movies.min() >= 0 and movies.max() <= 255
    np.testing.assert_allclose(movies.mean(axis=(-3, -2, -1)), 127.5, atol=0.5)  # clipping moves it a little
    np.testing.assert_allclose(movies.std(axis=(-3, -2, -1)), 51, atol=4)  # and takes some contrast


def test_a_published_movie_by_the_formula_and_its_padding() -> None:
    stimuli = np.random.default_rng(1).normal(size=(4, 36, 5, 2))
    scaled = (stimuli - stimuli.mean()) / stimuli.std() * 51 + 127.5
    padded = np.full((5, 4, 64), 125.0)
    padded[:, :, 11:47] = scaled[..., 1].transpose(2, 0, 1)
    expected = ((padded - padded.mean()) / padded.std() * 51 + 127.5).clip(0, 255)
    np.testing.assert_allclose(published_noise(stimuli)[1], expected, atol=1e-4)


@pytest.mark.parametrize(
    ("stimuli", "words"),
    [
        (np.zeros((36, 36, 5)), "contrast"),
        (np.zeros((36, 36)), "must be"),
        (np.full((36, 36, 5), np.nan), "finite"),
        (np.zeros((36, 36, 0)), "must be"),
    ],
)
def test_bad_published_stimuli(stimuli: np.ndarray, words: str) -> None:
    with pytest.raises(InputError, match=words):
        published_noise(stimuli)

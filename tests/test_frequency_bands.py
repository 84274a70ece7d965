"""Correlation by frequency band, on movies that were made of known bands."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

import neuroreel as nr
from neuroreel.errors import InputError

FRAMES, HEIGHT, WIDTH, RATE = 90, 36, 48, 30.0
ELLIPSE = np.hypot((np.arange(HEIGHT)[:, None] - 17) / 13, (np.arange(WIDTH) - 23) / 17) < 1


def natural(seed: int) -> np.ndarray:
    """A movie whose amplitudes fall with spatial and temporal frequency, as those of natural movies do."""
    random = np.random.default_rng(seed)
    in_time, rows, columns = (np.fft.fftfreq(size) for size in (FRAMES, HEIGHT, WIDTH))
    frequency = np.sqrt((3 * in_time[:, None, None]) ** 2 + rows[:, None] ** 2 + columns**2)
    frequency[0, 0, 0] = np.inf
    movie = np.fft.ifftn(np.fft.fftn(random.normal(size=(FRAMES, HEIGHT, WIDTH))) / frequency**1.5).real
    return 127.5 + 40 * movie / movie.std()


def low_pass(movie: np.ndarray, limit: float) -> np.ndarray:
    """What is below a spatial frequency, in cycles a pixel."""
    radius = np.hypot(np.fft.fftfreq(HEIGHT)[:, None], np.fft.fftfreq(WIDTH))
    return np.fft.ifftn(np.fft.fftn(movie) * (radius < limit)).real


def grating(cycles_per_pixel: float, hz: float, *, angle: float = 0.5, phase: float = 0.0) -> np.ndarray:
    seconds, rows, columns = np.arange(FRAMES)[:, None, None] / RATE, np.arange(HEIGHT)[:, None], np.arange(WIDTH)
    along = rows * np.sin(angle) + columns * np.cos(angle)
    return np.cos(2 * np.pi * (cycles_per_pixel * along - hz * seconds) + phase)


def test_gratings_of_known_bands() -> None:
    """One is recovered at half its contrast, one is inverted, one is a quarter of a cycle late."""
    slow, fine, fast = (0.05, 1.5), (0.35, 1.5), (0.05, 10.0)
    truth = 127.5 + 30 * grating(*slow) + 20 * grating(*fine) + 25 * grating(*fast)
    video = 100 + 15 * grating(*slow) - 20 * grating(*fine) + 25 * grating(*fast, phase=np.pi / 2)
    edges: dict[str, Any] = {"spatial_edges": [0, 0.5, 1.0, 2.0], "temporal_edges": [0, 5, 15], "skip": 0}
    bands = nr.band_correlation(truth, video, frame_rate_hz=RATE, pixels_per_degree=4, mask=ELLIPSE, **edges)
    assert bands.spatial_unit == "cycles/degree"
    assert bands.correlation[0] == pytest.approx([1, 0], abs=0.02)
    assert bands.correlation[2, 0] == pytest.approx(-1, abs=0.02)
    assert bands.gain[[0, 2, 0], [0, 0, 1]] == pytest.approx([0.5, 1, 1], abs=0.02)
    assert np.unravel_index(bands.power_truth.argmax(), (3, 2)) == (0, 0)
    assert bands.power_truth[1].max() < 0.05 * bands.power_truth[0, 0]
    assert f"1 to 2 cycles/degree: {bands.by_spatial_band[2]:.3f}" in str(bands)


def test_a_soft_window_keeps_low_frequencies_out_of_high_bands() -> None:
    """Detail that was not recovered at all must not seem so because of the coarse picture, which was."""
    hard, soft = [], []
    for seed in range(3):
        truth, other = natural(seed), natural(seed + 10)
        video = low_pass(truth, 0.125) + other - low_pass(other, 0.125)
        common: dict[str, Any] = {"frame_rate_hz": RATE, "mask": ELLIPSE, "skip": 0}
        hard.append(nr.band_correlation(truth, video, **common, taper_px=0).by_spatial_band)
        soft.append(nr.band_correlation(truth, video, **common).by_spatial_band)
    assert np.mean(hard, axis=0)[-1] > 0.05
    assert abs(np.mean(soft, axis=0)[-1]) < 0.01
    assert (np.mean(soft, axis=0)[:2] > 0.99).all()


def test_against_an_ideal_band_pass_filter() -> None:
    """Cut out a band of the windowed movies, bring them back from the frequencies, and correlate them as they are."""
    truth, video = natural(0), natural(1) + natural(0)
    in_space, in_time = [0.1, 0.2, 0.35], [1.0, 4.0, 8.9]
    found = nr.band_correlation(
        truth,
        video,
        frame_rate_hz=RATE,
        spatial_edges=in_space,
        temporal_edges=in_time,
        skip=10,
        taper_px=0,
        taper_frames=0,
    )
    hz, rows, columns = np.meshgrid(
        np.fft.fftfreq(FRAMES - 10, 1 / RATE), np.fft.fftfreq(HEIGHT), np.fft.fftfreq(WIDTH), indexing="ij"
    )
    radius = np.sqrt(rows**2 + columns**2)
    for i, j in np.ndindex(2, 2):
        band = (
            (radius >= in_space[i]) & (radius < in_space[i + 1]) & (abs(hz) >= in_time[j]) & (abs(hz) < in_time[j + 1])
        )
        passed = [np.fft.ifftn(np.fft.fftn(movie[10:]) * band).real.ravel() for movie in (truth, video)]
        assert found.correlation[i, j] == pytest.approx(np.corrcoef(*passed)[0, 1], abs=1e-9)


def test_all_bands_together_are_the_video_correlation() -> None:
    """Of movies without frequencies in the corners of the spectrum, and with nothing tapered."""
    truth, video = low_pass(natural(2), 0.4), low_pass(natural(3) + natural(2), 0.4)
    whole = nr.band_correlation(
        truth,
        video,
        frame_rate_hz=RATE,
        spatial_edges=[0, 0.5],
        temporal_edges=[0, 15],
        skip=0,
        taper_px=0,
        taper_frames=0,
    )
    assert whole.correlation.item() == pytest.approx(nr.video_correlation(truth, video, skip=0))


@settings(max_examples=25, deadline=None)
@given(npst.arrays(np.float64, (8, 9, 10), elements=st.floats(0, 255, width=32)), st.integers(0, 2**32 - 1))
def test_bounds_symmetry_and_what_lies_outside(noise: np.ndarray, seed: int) -> None:
    random = np.random.default_rng(seed)
    truth, mask = random.uniform(0, 255, noise.shape), random.random(noise.shape[1:]) > 0.4
    mask[4, 4] = True
    common: dict[str, Any] = {"frame_rate_hz": RATE, "mask": mask, "skip": 0, "taper_px": 1}
    one, other = (nr.band_correlation(*pair, **common) for pair in ((truth, noise), (noise, truth)))
    np.testing.assert_allclose(one.correlation, other.correlation, atol=1e-9)
    defined = one.correlation[~np.isnan(one.correlation)]
    assert (abs(defined) <= 1 + 1e-9).all()
    elsewhere = np.where(mask, noise, 255 - noise)
    np.testing.assert_allclose(nr.band_correlation(truth, elsewhere, **common).cross, one.cross, atol=1e-6)
    same = nr.band_correlation(truth, 20 + 0.5 * truth, **common)
    np.testing.assert_allclose(same.correlation[~np.isnan(same.correlation)], 1)


def test_two_movies_add_up() -> None:
    truths, videos = [natural(0), natural(1)], [natural(0) + natural(4), natural(5)]
    common: dict[str, Any] = {"frame_rate_hz": RATE, "skip": 0, "taper_frames": 0}
    one, other = (nr.band_correlation(a, b, **common) for a, b in zip(truths, videos, strict=True))
    both = one + other
    np.testing.assert_allclose(both.cross, one.cross + other.cross)
    weights = np.sqrt(one.power_truth * one.power_video), np.sqrt(other.power_truth * other.power_video)
    assert ((one.correlation * weights[0] > both.cross) | (other.correlation * weights[1] < both.cross)).all()
    with pytest.raises(InputError, match="bands of the two movies differ"):
        one + nr.band_correlation(truths[0], videos[0], **common, temporal_edges=[0, 15])


def test_nothing_there_is_undefined() -> None:
    truth = natural(0)
    grey = nr.band_correlation(truth, np.full_like(truth, 93.3), frame_rate_hz=RATE)
    assert np.isnan(grey.correlation).all()
    assert (grey.gain == 0).all()
    narrow = nr.band_correlation(truth, truth, frame_rate_hz=RATE, spatial_edges=[0, 0.0001, 0.001, 0.5])
    assert np.isnan(narrow.by_spatial_band[1])


def test_refusals() -> None:
    movie = natural(0)
    for wrong, words in [
        ({"spatial_edges": [0, 0.6]}, "above the Nyquist frequency 0.5"),
        ({"temporal_edges": [0, 15.1]}, "above the Nyquist frequency 15"),
        ({"temporal_edges": [3, 2]}, "must rise"),
        ({"temporal_edges": [3]}, "at least two edges"),
        ({"spatial_edges": [-1, 0.2]}, "from 0"),
        ({"spatial_edges": [0, np.nan]}, "must rise"),
        ({"pixels_per_degree": 0}, "pixels_per_degree is 0"),
        ({"frame_rate_hz": np.inf}, "frame_rate_hz is inf"),
        ({"taper_px": -1}, "taper_px is -1"),
        ({"mask": np.zeros((HEIGHT, WIDTH))}, "mask is empty"),
    ]:
        with pytest.raises(InputError, match=words):
            nr.band_correlation(movie, movie, **({"frame_rate_hz": RATE} | wrong))  # type: ignore[arg-type]

"""Sparse pixels: places, sizes, times, and what is refused."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import neuroreel as nr
from neuroreel.errors import InputError


def test_the_published_stimulus() -> None:
    """One pixel of 36 x 64; 15 grey frames, 15 with it, 15 grey ones."""
    stimuli = nr.SparsePixels()
    assert len(stimuli.rows) * len(stimuli.columns) == 36 * 64
    for on, grey in ((True, 255), (False, 0)):
        movie = stimuli.movie(10, 20, on=on)
        assert movie.shape == (45, 36, 64) and movie.dtype == np.float32
        expected = np.full((45, 36, 64), 127.5)
        expected[15:30, 10, 20] = grey
        np.testing.assert_array_equal(movie, expected)


@given(
    height=st.integers(4, 40),
    width=st.integers(4, 40),
    size=st.integers(1, 4),
    step=st.none() | st.integers(1, 6),
)
def test_spots_lie_inside_and_around_the_middle(height: int, width: int, size: int, step: int | None) -> None:
    stimuli = nr.SparsePixels(height=height, width=width, size_px=size, step_px=step)
    for firsts, length in ((stimuli.rows, height), (stimuli.columns, width)):
        assert firsts.min() >= 0 and firsts.max() + size <= length
        before, behind = firsts.min(), length - size - firsts.max()
        assert 0 <= behind - before <= 1 and before < (step or size)  # nothing more would fit
        assert set(np.diff(firsts)) <= {step or size}
    if step is None:
        covered = sum(
            (stimuli.movie(0, column)[15, stimuli.rows[0]] > 200).sum() for column in range(len(stimuli.columns))
        )
        assert covered == size * len(stimuli.columns)  # they do not overlap


def test_times_and_sizes_have_units() -> None:
    asked: dict[str, Any] = {"height": 20, "width": 20, "frame_rate_hz": 20.0, "before_s": 0.2, "shown_s": 0.1}
    stimuli = nr.SparsePixels(**asked, after_s=0.0, size_deg=7.4, screen=nr.Screen.with_pixels_of(2.5, width=20))
    assert stimuli.side == 3 and stimuli.frames == 6 and stimuli.shown == slice(4, 6)
    assert nr.SparsePixels(frame_rate_hz=29.97).shown == slice(15, 30)
    movie = nr.SparsePixels(contrast=0.5).movie(0, 0, on=False)
    assert movie[20, 0, 0] == pytest.approx(127.5 / 2)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"size_px": 0}, "size_px is 0"),
        ({"size_px": 1.5}, r"size_px is 1\.5"),
        ({"size_px": 37}, "larger than the movie"),
        ({"step_px": 0}, "step_px is 0"),
        ({"size_px": 2, "size_deg": 5.0}, "both"),
        ({"size_deg": 1.0}, r"a pixel of this movie is 3\.4 degrees"),
        ({"size_deg": math.nan}, "size_deg is nan"),
        ({"size_deg": 200.0}, "larger than the movie"),
        ({"shown_s": 0.01}, "at least 1 frame"),
        ({"before_s": -0.1}, "before_s"),
        ({"after_s": math.inf}, "after_s"),
        ({"contrast": 0}, "contrast is 0"),
        ({"contrast": 1.1}, "contrast"),
        ({"frame_rate_hz": -30.0}, "frame_rate_hz"),
        ({"width": 0}, "width is 0"),
    ],
)
def test_bad_spots(change: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        nr.SparsePixels(**change)


@pytest.mark.parametrize("place", [(-1, 0), (36, 0), (0, 64)])
def test_spots_that_are_not_there(place: tuple[int, int]) -> None:
    with pytest.raises(InputError, match="36 rows and 64 columns"):
        nr.SparsePixels().movie(*place)

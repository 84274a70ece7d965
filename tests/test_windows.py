"""Where windows lie in a movie."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuroreel.errors import InputError
from neuroreel.bauer_2026.windows import ShiftedWindows, SlidingWindows, TiledWindows, WholeMovie, windows_for
from toy_encoder import ToyEncoder


@given(length=st.integers(1, 40), step=st.integers(1, 40), more=st.integers(0, 200))
def test_windows_cover_every_frame_and_the_last_ends_with_the_movie(length: int, step: int, more: int) -> None:
    step = min(step, length)  # longer steps would leave gaps
    frames = length + more
    starts, got = SlidingWindows(length=length, step=step).lay(frames)
    assert got == length
    assert len(starts) == 2 + (frames - length) // step
    assert starts == sorted(starts)
    assert starts[0] == 0 and starts[-1] + length == frames
    assert {frame for start in starts for frame in range(start, start + length)} == set(range(frames))


@given(length=st.integers(1, 40), more=st.integers(0, 200))
def test_tiles_cover_every_frame_and_none_is_computed_twice(length: int, more: int) -> None:
    frames = length + more
    starts, got = TiledWindows(length=length).lay(frames)
    assert got == length
    assert len(set(starts)) == len(starts) == -(-frames // length)
    assert starts[0] == 0 and starts[-1] + length == frames
    assert {frame for start in starts for frame in range(start, start + length)} == set(range(frames))


def test_tiles_of_movies_that_suit_their_length() -> None:
    assert TiledWindows(length=8).lay(40) == ([0, 8, 16, 24, 32], 8)
    assert TiledWindows(length=8).lay(41) == ([0, 8, 16, 24, 32, 33], 8)
    assert TiledWindows(length=8).lay(8) == ([0], 8)
    assert SlidingWindows(length=8, step=8).lay(40)[0] == [0, 8, 16, 24, 32, 32]  # so it is published


def test_published_windows_of_a_ten_second_trial() -> None:
    starts, length = SlidingWindows().lay(300)
    assert (length, starts[:3], starts[-2:], len(starts)) == (32, [0, 8, 16], [264, 268], 35)


@given(
    length=st.integers(1, 40),
    step=st.integers(1, 40),
    more=st.integers(0, 200),
    seed=st.integers(0, 5),
    iteration=st.integers(0, 50),
)
def test_shifted_windows_cover_every_frame_once_but_at_the_ends(
    length: int, step: int, more: int, seed: int, iteration: int
) -> None:
    step, frames = min(step, length), length + more
    starts, got = ShiftedWindows(length=length, step=step, seed=seed).lay(frames, iteration)
    assert got == length
    assert starts[0] == 0 and starts[-1] + length == frames  # moved in, where they would hang over
    assert len(set(starts)) == len(starts) <= 3 + (more - 1) // step
    assert {frame for start in starts for frame in range(start, start + length)} == set(range(frames))
    gaps = np.diff(starts)
    assert (gaps[1:-1] == step).all() and (gaps > 0).all() and (gaps <= step).all()


def test_shifted_windows_differ_between_passes_and_seeds_but_not_between_calls() -> None:
    laid = [ShiftedWindows(seed=1).lay(300, iteration)[0] for iteration in range(40)]
    assert laid == [ShiftedWindows(seed=1).lay(300, iteration)[0] for iteration in range(40)]
    assert laid != [ShiftedWindows(seed=2).lay(300, iteration)[0] for iteration in range(40)]
    seams = {starts[2] for starts in laid}
    assert len(seams) > 15  # of 32 shifts
    assert all(10 <= len(starts) <= 11 for starts in laid)  # 35 are published


def test_no_pass_of_shifted_windows_depends_on_the_passes_before() -> None:
    windows = ShiftedWindows(seed=3)
    later = windows.lay(300, 7)
    windows.lay(300, 1)
    assert windows.lay(300, 7) == later


def test_a_movie_shorter_than_a_window_is_refused() -> None:
    with pytest.raises(InputError, match=r"31 frames, fewer than a window \(32 frames"):
        SlidingWindows().lay(31)
    with pytest.raises(InputError, match=r"31 frames, fewer than a window \(32 frames"):
        ShiftedWindows().lay(31)
    with pytest.raises(InputError, match=r"31 frames, fewer than a window \(32 frames"):
        TiledWindows().lay(31)


def test_windows_of_models() -> None:
    fixed, free = ToyEncoder(), ToyEncoder(any_length=True)
    assert windows_for(fixed, "sliding") == SlidingWindows(length=8)
    assert windows_for(fixed, "tiled") == TiledWindows(length=8)
    assert windows_for(fixed, "shifted", seed=4) == ShiftedWindows(length=8, step=8, seed=4)
    assert windows_for(free, "shifted") == ShiftedWindows(length=33, step=32)  # what counts does not overlap
    assert windows_for(free, "sliding") == SlidingWindows(length=33)  # 32 that count after a run-up of one
    assert windows_for(free, "tiled") == WholeMovie()
    assert WholeMovie().lay(77) == ([0], 77)

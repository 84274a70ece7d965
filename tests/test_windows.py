"""Where windows lie in a movie."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuroreel.errors import InputError
from neuroreel.inversion.windows import SlidingWindows, WholeMovie, windows_for
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


def test_published_windows_of_a_ten_second_trial() -> None:
    starts, length = SlidingWindows().lay(300)
    assert (length, starts[:3], starts[-2:], len(starts)) == (32, [0, 8, 16], [264, 268], 35)


def test_a_movie_shorter_than_a_window_is_refused() -> None:
    with pytest.raises(InputError, match=r"31 frames, fewer than a window \(32 frames"):
        SlidingWindows().lay(31)


def test_windows_of_models() -> None:
    fixed, free = ToyEncoder(), ToyEncoder(any_length=True)
    assert windows_for(fixed, "sliding") == SlidingWindows(length=8)
    assert windows_for(fixed, "tiled") == SlidingWindows(length=8, step=8)
    assert windows_for(free, "sliding") == SlidingWindows(length=33)  # 32 that count after a run-up of one
    assert windows_for(free, "tiled") == WholeMovie()
    assert WholeMovie().lay(77) == ([0], 77)

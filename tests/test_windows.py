"""Where the published method's windows lie in a movie."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuroreel.bauer_2026.likelihood import WINDOW_STEP, window_length, window_starts
from neuroreel.encoding.readout import ReadoutConfig, ReadoutModel
from neuroreel.errors import InputError
from toy_encoder import ToyEncoder


@given(length=st.integers(WINDOW_STEP, 40), more=st.integers(0, 200))
def test_published_windows_cover_every_frame_and_the_last_ends_with_the_movie(length: int, more: int) -> None:
    frames = length + more
    starts = window_starts(frames, length)
    assert len(starts) == 2 + more // 8
    assert starts == sorted(starts)
    assert starts[0] == 0 and starts[-1] + length == frames
    assert {frame for start in starts for frame in range(start, start + length)} == set(range(frames))


def test_published_windows_of_a_ten_second_trial() -> None:
    starts = window_starts(300, 32)
    assert (starts[:3], starts[-2:], len(starts)) == ([0, 8, 16], [264, 268], 35)
    assert window_starts(40, 32) == [0, 8, 8]  # the last one counts twice: so it is published


def test_a_movie_shorter_than_a_window_is_refused() -> None:
    with pytest.raises(InputError, match=r"31 frames, fewer than a window \(32 frames"):
        window_starts(31, 32)


def test_published_windows_of_models() -> None:
    assert window_length(ToyEncoder()) == 8
    assert window_length(ToyEncoder(any_length=True)) == 33  # 32 that count after a run-up of one
    free = ReadoutModel(ReadoutConfig(neurons=3, video_height=8, video_width=8, frame_rate_hz=30.0))
    assert window_length(free) == 32 + free.warmup_frames > 32

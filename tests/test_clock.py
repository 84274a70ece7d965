"""Questions of time, each with an answer computed in another way."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from neuroreel.errors import InputError
from neuroreel.recordings.clock import Clock, rate_of

RATES = st.floats(1, 120)
STARTS = st.floats(0, 1e4)
COUNTS = st.integers(5, 400)
SEEDS = st.integers(0, 99)


def images_of(clock: Clock) -> NDArray[np.int64]:
    return np.arange(len(clock.times))


@pytest.mark.parametrize("board_hz", [1000, 2000, 10_000])
@pytest.mark.parametrize("rate", [24, 29.97, 30, 59.94, 60, 100])
def test_a_clock_of_whole_milliseconds_keeps_the_rate_and_every_image(rate: float, board_hz: int) -> None:
    clock = Clock(np.round(7 + np.arange(300) / rate * board_hz) / board_hz)
    first, last = clock.times[[0, -1]]
    assert 1 / clock.interval_s == pytest.approx(299 / (last - first), rel=1e-12)
    frames = clock.frames(images_of(clock), frame_s=clock.interval_s)
    np.testing.assert_array_equal(frames.images, np.arange(300))
    np.testing.assert_array_equal(frames.onsets_s, clock.times)
    assert 0 <= frames.deviation_s <= 1 / board_hz


@given(rate=RATES, start=STARTS, count=COUNTS, jitter=st.floats(0, 0.1), seed=SEEDS)
@settings(max_examples=100, deadline=None)
def test_jitter_neither_drops_nor_doubles_an_image(
    rate: float, start: float, count: int, jitter: float, seed: int
) -> None:
    off = np.random.default_rng(seed).uniform(-jitter, jitter, count)
    clock = Clock(start + (np.arange(count) + off) / rate)
    assert clock.interval_s == pytest.approx((clock.times[-1] - clock.times[0]) / (count - 1), rel=1e-9)
    frames = clock.frames(images_of(clock), frame_s=clock.interval_s)
    np.testing.assert_array_equal(frames.images, images_of(clock))
    np.testing.assert_array_equal(frames.onsets_s, clock.times)


@given(rate=RATES, start=STARTS, count=st.integers(40, 200), seed=SEEDS)
@settings(max_examples=100, deadline=None)
def test_images_that_stay_for_several_frames_are_repeated(rate: float, start: float, count: int, seed: int) -> None:
    """Some images stay two or three frames: the movie is what was on the screen, whichever the images."""
    stays = np.random.default_rng(seed).choice([1, 2, 3], count, p=[0.8, 0.15, 0.05])
    onsets = np.cumsum(stays) - stays
    stays[-1] = 1  # of the last one, nobody knows
    clock = Clock(start + onsets / rate)
    assert 1 / clock.interval_s == pytest.approx(rate, rel=1e-6)
    frames = clock.frames(images_of(clock), frame_s=clock.interval_s)
    np.testing.assert_array_equal(frames.images, np.repeat(np.arange(count), stays))
    np.testing.assert_allclose(frames.onsets_s, start + np.arange(stays.sum()) / rate, rtol=1e-9, atol=1e-6 / rate)


@pytest.mark.parametrize("dropped", [1, 40, 150, 298])
def test_a_single_dropped_frame_is_no_jitter(dropped: int) -> None:
    times = np.delete(np.arange(300) / 30, dropped)
    frames = Clock(times).frames(np.arange(299), frame_s=1 / 30)
    assert len(frames.images) == 300
    assert frames.images[dropped] == frames.images[dropped - 1] == dropped - 1


def test_a_film_of_24_frames_on_a_screen_of_60() -> None:
    times = np.cumsum(np.tile([2, 3], 60)) / 60
    clock = Clock(times)
    assert 1 / clock.interval_s == pytest.approx(24, rel=0.01)
    np.testing.assert_array_equal(clock.frames(np.arange(120), frame_s=1 / 24).images, np.arange(120))


def test_pauses_do_not_count() -> None:
    times = np.concatenate([np.arange(40) / 30, 100 + np.arange(50) / 30])
    assert 1 / Clock(times).interval_s == pytest.approx(30)


def test_one_image_and_none() -> None:
    assert Clock(np.array([3.0])).interval_s == Clock(np.zeros(0)).interval_s == np.inf
    assert Clock(np.array([3.0])).frames(np.array([0]), frame_s=0.1).onsets_s.tolist() == [3.0]
    assert Clock(np.zeros(0)).farthest(np.array([1.0])) == np.inf


@given(rate=RATES, start=STARTS, first=st.integers(0, 40), frames=st.integers(2, 30), seed=SEEDS)
@settings(max_examples=50, deadline=None)
def test_a_series_on_the_clock_of_the_movie_is_not_changed(
    rate: float, start: float, first: int, frames: int, seed: int
) -> None:
    values = np.random.default_rng(seed).random((80, 2)).astype(np.float32)
    clock = Clock(start + np.arange(80) / rate)
    frames_s = clock.times[first] + np.arange(frames) / rate
    got = clock.on_frames(lambda rows: values[rows], frames_s, frame_s=1 / rate)
    np.testing.assert_array_equal(got, values[first : first + frames].T)


@given(rate=st.floats(1, 300), frame_rate=RATES, start=STARTS, jitter=st.floats(0, 0.3), seed=SEEDS)
@settings(max_examples=200, deadline=None)
def test_no_rate_and_no_jitter_shifts_a_series(
    rate: float, frame_rate: float, start: float, jitter: float, seed: int
) -> None:
    """A series that tells the time tells the onset of each frame, averaged or interpolated."""
    random, span = np.random.default_rng(seed), 20 / min(rate, frame_rate)
    count = int((span + 6 / rate) * rate) + 8
    times = start + (np.arange(count) - 3 + random.uniform(-jitter, jitter, count)) / rate
    frames_s = start + 1 / frame_rate + np.arange(0, span - 1 / frame_rate, 1 / frame_rate)
    got = Clock(times).on_frames(lambda rows: times[rows, None] - start, frames_s, frame_s=1 / frame_rate)
    inside = frames_s + 0.5 / frame_rate <= times[-1]  # a frame at the end is averaged over what there is of it
    np.testing.assert_allclose(got[0, inside], (frames_s - start)[inside], atol=1e-6 * span)


@pytest.mark.parametrize("frame_s", [0.3, 0.02])
def test_a_series_at_the_frames_against_numpy(frame_s: float) -> None:
    """The mean of a line through the samples is that of very many points on it."""
    random = np.random.default_rng(0)
    times, values = np.sort(random.random(100)) * 10, random.random((100, 3))
    frames_s = 2 + np.arange(20) * frame_s
    clock = Clock(times)
    assert (clock.interval_s < frame_s / 2) == (frame_s == 0.3)
    got = clock.on_frames(lambda rows: values[rows], frames_s, frame_s=frame_s)
    for channel in range(3):
        for frame, onset in enumerate(frames_s):
            around = [onset] if frame_s == 0.02 else onset + frame_s * (np.arange(20_000) + 0.5) / 20_000 - frame_s / 2
            wanted = np.interp(around, times, values[:, channel]).mean()
            assert got[channel, frame] == pytest.approx(wanted, rel=1e-4), (channel, frame)
    assert clock.farthest(frames_s) == pytest.approx(np.abs(times[:, None] - frames_s).min(axis=0).max())


def test_what_lies_beside_a_trial_does_not_matter() -> None:
    """NaN just before the first frame and just after the last one are not looked at."""
    clock, values = Clock(np.arange(60) / 30), np.arange(60.0)[:, None]
    values[:10], values[50:] = np.nan, np.nan
    for step in (1, 2, 4):
        frames_s = clock.times[10 + step : 50 - step : step]
        got = clock.on_frames(lambda rows: values[rows], frames_s, frame_s=step / 30)
        np.testing.assert_allclose(got[0], 30 * frames_s, rtol=1e-6)


def test_frames_in_gaps() -> None:
    times = np.arange(100) / 10
    clock = Clock(np.delete(times, np.r_[20, 50:60]))
    frames_s = np.arange(-1, 11, 0.05)
    at = {round(float(moment), 2) for moment in frames_s[clock.in_gaps(frames_s)]}
    beyond = {round(m, 2) for m in np.r_[np.arange(-1, -0.101, 0.05), np.arange(10.05, 11, 0.05)]}
    between = {round(m, 2) for m in np.r_[1.95, 2.0, 2.05, np.arange(4.95, 5.96, 0.05)]}
    assert at == beyond | between
    assert not clock.in_gaps(np.arange(6, 9, 1 / 30)).any()
    assert Clock(np.zeros(0)).in_gaps(np.array([1.0])).tolist() == [False]  # with no sample at all, see farthest


def test_samples_in_a_stretch_of_time() -> None:
    """Half an interval early is on time, and half an interval before the end is too late."""
    clock = Clock(np.arange(10) / 10)
    assert clock.within(0.2, 0.5).tolist() == clock.within(0.24, 0.46).tolist() == [2, 3, 4]
    assert clock.within(0.26, 0.56).tolist() == [3, 4, 5]
    assert clock.within(2, 3).tolist() == []
    assert Clock(np.array([3.0])).within(3, 4).tolist() == [0]


def test_pauses_and_the_stretches_between_them() -> None:
    clock = Clock(np.concatenate([np.arange(20) / 10, 5 + np.arange(30) / 10]))
    every = np.arange(50)
    assert clock.pause_s(every) == pytest.approx(3.1)
    assert clock.pause_s(every[:20]) is None
    assert clock.pause_s(every[:1]) is None
    ends = clock.stretches(np.array([30]))
    np.testing.assert_allclose(ends, [(0, 2), (5, 6), (6, 8)], atol=1e-9)
    assert Clock(np.array([3.0])).stretches(np.zeros(0, np.int64)) == [(3.0, 3.0)]


def test_a_series_covers_the_frames_that_have_a_sample_nearby() -> None:
    clock = Clock(np.array([0.0, 1.0, 2.0, 4.0]))
    assert clock.covers(np.arange(0, 2.5, 0.1), frame_s=0.1)
    assert not clock.covers(np.arange(0, 3, 0.1), frame_s=0.1)
    assert clock.covers(np.arange(0, 4, 1.0), frame_s=1.0)  # a sample a frame away will do where frames are long
    assert not Clock(np.zeros(0)).covers(np.array([0.0]), frame_s=0.1)


@pytest.mark.parametrize(
    ("times", "message"),
    [
        ([0, np.nan, 2], "dff: 1 of 3 timestamps are NaN or infinite, the first that of sample 1"),
        ([0, 1, np.inf], "the first that of sample 2"),
        ([0, 1, 1], "dff has timestamps that do not increase, the first at sample 2"),
    ],
)
def test_times_that_are_refused(times: list[float], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Clock(np.array(times, np.float64)).check(what="dff")


@pytest.mark.parametrize(("rate", "start"), [(None, 0.0), (0.0, 0.0), (np.inf, 0.0), (10.0, np.nan)])
def test_rates_that_are_refused(rate: float | None, start: float) -> None:
    with pytest.raises(InputError, match=r"dff has rate .* cannot be placed in time"):
        Clock.of_rate(rate, start_s=start, count=5, what="dff")


def test_rates_without_the_noise_of_timestamps() -> None:
    assert Clock.of_rate(10, start_s=1, count=3, what="dff").times.tolist() == [1.0, 1.1, 1.2]
    assert rate_of(1 / 30.000001) == 30.0
    assert rate_of(1001 / 30_000) == 29.97

"""Time: frame rates, which frames a series of images makes, and other series at those frames.

A sample belongs to its timestamp; an image comes on then, and stays until the next. A series with two or more samples
per frame is averaged over one frame's length around each frame's onset; a slower one is interpolated linearly at the
onset. Either way a frame's value is that at its onset, so that two series never shift against each other.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuroreel.errors import InputError

PAUSE = 5  # usual intervals: if images are further apart, the stimulus paused
REGULAR = 0.25  # of a frame: images within this distance of a regular clock are its frames
_REACH_S = 0.5  # if no sample is this close to a frame, the series was not recorded then
_GAP = 1.5  # usual intervals: if samples are further apart, some are missing
_ON_TIME = 1e-6  # of an interval: less is rounding of clocks


def same_rate(one_hz: float, other_hz: float) -> bool:
    """Whether two frame rates are the same: within 0.1 %, one frame in 1000, like 29.98 and 30 Hz."""
    return math.isclose(one_hz, other_hz, rel_tol=1e-3)


def rate_of(interval_s: float) -> float:
    """Samples per second, rounded to remove the noise of timestamps."""
    return float(f"{1 / interval_s:.6g}")


@dataclass(frozen=True)
class Frames:
    """The frames of a movie whose images came on at certain times.

    Attributes
    ----------
    onsets_s
        (frames,) seconds.
    images
        (frames,): the number of the image that each frame shows.
    deviation_s
        Largest deviation of the images' onsets from a regular clock.
    """

    onsets_s: NDArray[np.float64]
    images: NDArray[np.int64]
    deviation_s: float


@dataclass(frozen=True, eq=False)
class Clock:
    """The times of a series' samples or images.

    Parameters
    ----------
    times
        (samples,) seconds, increasing.
    """

    times: NDArray[np.float64]

    @classmethod
    def of_rate(cls, rate_hz: float | None, *, start_s: float, count: int, what: str) -> Clock:
        """Regular samples; InputError, which names ``what``, for a rate or start that gives no times."""
        if rate_hz is None or not 0 < rate_hz < np.inf or not np.isfinite(start_s):
            raise InputError(
                f"{what} has rate {rate_hz} and starting time {start_s}, and no timestamps; its samples cannot be "
                "placed in time: please correct the file"
            )
        return cls(start_s + np.arange(count) / float(rate_hz))

    def check(self, *, what: str) -> None:
        """Raise InputError, which names ``what``, unless all times are finite and increase."""
        missing = np.flatnonzero(~np.isfinite(self.times))
        if len(missing):
            raise InputError(
                f"{what}: {len(missing)} of {len(self.times)} timestamps are NaN or infinite, the first that of sample "
                f"{missing[0]}; these samples cannot be placed in time: please correct the file"
            )
        wrong = np.flatnonzero(np.diff(self.times) <= 0)
        if len(wrong):
            raise InputError(
                f"{what} has timestamps that do not increase, the first at sample {wrong[0] + 1}: please correct the "
                "file"
            )

    @cached_property
    def interval_s(self) -> float:
        """The usual interval between samples in seconds; infinite for fewer than two samples.

        A mean, because the median of rounded timestamps is itself rounded. Pauses do not count, and an interval with
        dropped samples counts as the nearest whole number of usual intervals.
        """
        steps = np.diff(self.times)
        if not len(steps):
            return float("inf")
        median = np.median(steps)
        steps = steps[steps <= PAUSE * median]
        mean = steps.mean()
        offsets = np.cumsum(np.append(0, steps - mean))
        if np.ptp(offsets) / 2 <= REGULAR * mean:
            return float(mean)
        usual = steps[steps < 1.75 * median].mean()
        return float(steps.sum() / np.rint(steps / usual).sum())

    def within(self, start_s: float, stop_s: float) -> NDArray[np.int64]:
        """The samples in a period of time; half an interval early still counts."""
        early = self.interval_s / 2 if np.isfinite(self.interval_s) else 0.0
        return np.flatnonzero((self.times >= start_s - early) & (self.times < stop_s - early))

    def pause_s(self, samples: NDArray[np.int64]) -> float | None:
        """The longest pause between consecutive samples; None if there is none."""
        longest = float(np.diff(self.times[samples]).max(initial=0))
        return longest if longest > PAUSE * self.interval_s else None

    def stretches(self, starts: NDArray[np.int64]) -> list[tuple[float, float]]:
        """Start and end of each run of samples without a pause; runs also end before the samples ``starts``."""
        pauses = np.flatnonzero(np.diff(self.times) > PAUSE * self.interval_s) + 1
        pieces = np.split(self.times, np.union1d(pauses, starts))
        return [(float(times[0]), float(times[-1] + self._image_s(0.0))) for times in pieces]

    def frames(self, images: NDArray[np.int64], *, frame_s: float, stop_s: float = np.inf) -> Frames:
        """The frames that successive images make in a movie of ``1 / frame_s`` frames per second.

        If the images come on regularly, each is one frame; see :meth:`regular_frames`. Otherwise the frames are regular
        from the first image on, and each shows the image that is on the screen in its middle (or half an image after
        its onset, if that is sooner).

        Parameters
        ----------
        images
            (images,): consecutive image numbers; at least one.
        frame_s
            Duration of a frame.
        stop_s
            Latest end of the last image, which otherwise stays for a usual interval.
        """
        if frames := self.regular_frames(images, frame_s=frame_s):
            return frames
        times, image_s = self.times[images], self._image_s(frame_s)
        count = max(round((min(stop_s, times[-1] + image_s) - times[0]) / frame_s), 0)
        onsets = times[0] + np.arange(count) * frame_s
        shown = np.searchsorted(times, onsets + min(frame_s, image_s) / 2, "right") - 1
        first = np.flatnonzero(np.diff(shown, prepend=-1))
        off = np.abs(times[shown[first]] - onsets[first])
        return Frames(onsets, images[shown], float(off.max(initial=0)))

    def regular_frames(self, images: NDArray[np.int64], *, frame_s: float) -> Frames | None:
        """One frame for each image, with the image's own onset.

        None if any onset, or the end of the last image, is more than a quarter of a frame from a regular clock of
        ``1 / frame_s`` frames per second.
        """
        times = self.times[images]
        offsets = np.append(times, times[-1] + self._image_s(frame_s)) - frame_s * np.arange(len(times) + 1)
        if np.ptp(offsets) / 2 > REGULAR * frame_s:
            return None
        return Frames(times, images, float(np.ptp(offsets[:-1])) / 2)

    def _image_s(self, alone_s: float) -> float:
        """How long an image stays: a usual interval, or ``alone_s`` for a single image."""
        return self.interval_s if np.isfinite(self.interval_s) else alone_s

    def covers(self, frames_s: NDArray[np.float64], *, frame_s: float) -> bool:
        """Whether there is a sample within half a second, or a frame, of every frame."""
        return self.farthest(frames_s) <= max(_REACH_S, frame_s)

    def farthest(self, frames_s: NDArray[np.float64]) -> float:
        """The largest distance in seconds of a frame from its nearest sample; infinite without samples."""
        if not len(self.times):
            return float("inf")
        after = np.searchsorted(self.times, frames_s)
        before, after = np.maximum(after - 1, 0), np.minimum(after, len(self.times) - 1)
        return float(np.minimum(np.abs(frames_s - self.times[before]), np.abs(frames_s - self.times[after])).max())

    def in_gaps(self, frames_s: NDArray[np.float64]) -> NDArray[np.bool_]:
        """(frames,): whether samples are missing around a frame, so that its value is only a guess."""
        first, last, on_time = self.times[:1], self.times[-1:], self.interval_s * _ON_TIME
        times = np.concatenate([[-np.inf], first - self.interval_s, self.times, last + self.interval_s, [np.inf]])
        before = times[np.searchsorted(times, frames_s + on_time, "right") - 1]
        after = times[np.searchsorted(times, frames_s - on_time, "left")]
        return np.asarray(after - before > _GAP * self.interval_s)

    def on_frames(
        self, read: Callable[[slice], NDArray[Any]], frames_s: NDArray[np.float64], *, frame_s: float
    ) -> NDArray[np.float32]:
        """The series at the frames of a movie, by the rule at the top of this module.

        Parameters
        ----------
        read
            Maps the needed samples to (samples, channels).
        frames_s
            (frames,), seconds: the onset of each frame.
        frame_s
            Duration of a frame.

        Returns
        -------
        numpy.ndarray
            (channels, frames). Beyond its ends, the series keeps its first or last value.
        """
        averaged = self.interval_s <= frame_s / 2 * (1 + _ON_TIME)
        reach = frame_s / 2 if averaged else 0.0
        rows = self._around(frames_s[0] - reach, frames_s[-1] + reach)
        values, times = read(rows), self.times[rows]
        made = _mean(values, times, frames_s, frame_s) if averaged else _interpolated(values, times, frames_s)
        return np.ascontiguousarray(made.T, np.float32)

    def _around(self, first_s: float, last_s: float) -> slice:
        """The samples between two moments, plus the neighbors outside if there is none at a moment."""
        on_time = self.interval_s * _ON_TIME
        first = int(np.searchsorted(self.times, first_s + on_time, "right")) - 1
        last = int(np.searchsorted(self.times, last_s - on_time, "left")) + 1
        return slice(min(max(first, 0), len(self.times) - 1), min(max(last, 1), len(self.times)))


def _interpolated(
    values: NDArray[Any], times: NDArray[np.float64], moments: NDArray[np.float64]
) -> NDArray[np.floating[Any]]:
    """(moments, channels) interpolated between neighboring samples, constant beyond the ends."""
    if len(times) == 1:
        return np.repeat(values, len(moments), axis=0)
    before = _before(times, moments)
    share = np.clip((moments - times[before]) / (times[before + 1] - times[before]), 0, 1)
    share[share < _ON_TIME], share[share > 1 - _ON_TIME] = 0, 1  # so that equal clocks give equal numbers
    weight = share[:, None].astype(np.result_type(values, np.float32))
    return values[before] * (1 - weight) + values[before + 1] * weight


def _mean(
    values: NDArray[Any], times: NDArray[np.float64], frames_s: NDArray[np.float64], frame_s: float
) -> NDArray[np.floating[Any]]:
    """(frames, channels): the mean, over a frame's length around its onset, of a line through the samples."""
    at_onset = _interpolated(values, times, frames_s)
    if len(times) == 1:
        return at_onset
    steps = (values[1:] + values[:-1]) / 2 * np.diff(times)[:, None]
    areas = np.concatenate([np.zeros((1, values.shape[1])), np.cumsum(steps, axis=0, dtype=np.float64)])

    def area_until(moments: NDArray[np.float64]) -> NDArray[np.floating[Any]]:
        before = _before(times, moments)
        mean = (values[before] + _interpolated(values, times, moments)) / 2
        return np.asarray(areas[before] + mean * (moments - times[before])[:, None])

    starts, stops = (np.clip(frames_s + side * frame_s / 2, times[0], times[-1]) for side in (-1, 1))
    lengths = (stops - starts)[:, None]
    recorded = lengths > _ON_TIME * frame_s
    return np.where(recorded, (area_until(stops) - area_until(starts)) / np.where(recorded, lengths, 1), at_onset)


def _before(times: NDArray[np.float64], moments: NDArray[np.float64]) -> NDArray[np.int64]:
    """Index of the last sample at or before each moment, limited to the first through the second to last."""
    return np.clip(np.searchsorted(times, moments, "right") - 1, 0, len(times) - 2)

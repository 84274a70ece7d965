"""Which parts of a session become trials."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from neuroreel.arguments import positive_number
from neuroreel.errors import InputError
from neuroreel.recordings.clock import Frames
from neuroreel.recordings.nwb.contents import AUTO, Unreadable
from neuroreel.recordings.nwb.images import Stimulus
from neuroreel.recordings.splits import HASHED_FRAMES

STIMULUS = "stimulus"
LONGEST_TRIAL_S = 120.0  # a trial is held in memory
_TIERS = ("tier", "split")


@dataclass(frozen=True)
class Epoch:
    """A part of the session: its number in the table or in time, its ends in seconds and its tier."""

    number: int
    start_s: float
    stop_s: float
    tier: str = "train"


@dataclass(frozen=True)
class Show:
    """An epoch with its stimulus, and the frames that the images make.

    Attributes
    ----------
    repeated, lost
        Number of frames that repeat the previous image, and number of images that are in no frame.
    """

    epoch: Epoch
    stimulus: Stimulus
    frames: Frames
    repeated: int = 0
    lost: int = 0


def find_epochs(
    intervals: dict[str, Any],
    stimuli: Sequence[Stimulus],
    *,
    trials: str,
    tier_column: str | None,
    trial_seconds: float | None,
) -> list[Epoch]:
    """The epochs of a table of intervals or of the stimulus itself, cut into pieces if requested.

    For a stimulus, they are runs of images without a pause or a restart of the movie, in order of time.
    """
    if trials == AUTO:
        trials = "trials" if "trials" in intervals else STIMULUS
    if trials == STIMULUS:
        if tier_column is not None:
            raise InputError("tier_column names a column of a table; name the table with trials=")
        stretches = sorted(ends for stimulus in stimuli for ends in stimulus.clock.stretches(stimulus.restarts))
        epochs = [Epoch(number, start, stop) for number, (start, stop) in enumerate(stretches)]
    elif trials in intervals:
        epochs = _rows(intervals[trials], name=trials, tier_column=tier_column)
    else:
        has = ", ".join(intervals) or "none"
        raise InputError(f"there is no table of intervals {trials!r}; there is {has}, or use {STIMULUS!r}")
    if trial_seconds is not None:
        epochs = _cut(epochs, trial_seconds)
    return epochs


def find_show(epoch: Epoch, stimuli: Sequence[Stimulus], *, frame_s: float) -> Show | str:
    """The frames shown in an epoch, or the reason why it cannot be a trial.

    The first frame starts with the first image in the epoch; for the others see :meth:`Clock.frames`.

    Raises
    ------
    InputError
        It would be too long to hold in memory.
    """
    shown = [
        (stimulus, rows) for stimulus in stimuli if len(rows := stimulus.clock.within(epoch.start_s, epoch.stop_s))
    ]
    if len(shown) != 1:
        names = ", ".join(stimulus.path for stimulus, _ in shown)
        return f"several stimuli were shown at once ({names})" if shown else "no stimulus was shown"
    stimulus, rows = shown[0]
    if pause_s := stimulus.clock.pause_s(rows):
        return f"the stimulus paused for {pause_s:.2g} s"
    frames = stimulus.clock.frames(rows, frame_s=frame_s, stop_s=epoch.stop_s)
    count = len(frames.images)
    if count * frame_s > LONGEST_TRIAL_S:
        raise InputError(
            f"trial {epoch.number} would last {count * frame_s:.0f} s, more than {LONGEST_TRIAL_S:.0f}; name the table "
            "that defines trials with trials=, or cut them into pieces, for instance with trial_seconds=10"
        )
    if count < HASHED_FRAMES:
        return f"it has {count} frames; at least {HASHED_FRAMES} are needed"
    different = len(np.unique(frames.images))
    return Show(epoch, stimulus, frames, repeated=count - different, lost=len(rows) - different)


def _rows(table: Any, *, name: str, tier_column: str | None) -> list[Epoch]:
    if isinstance(table, Unreadable):
        raise InputError(f"{table}; please correct the file, or choose something else with trials=")
    if tier_column is not None and tier_column not in table.colnames:
        raise InputError(f"{name} has no column {tier_column!r}; it has {', '.join(table.colnames)}")
    column = tier_column or next((known for known in _TIERS if known in table.colnames), None)
    starts, stops = (np.asarray(table[side].data[:], np.float64) for side in ("start_time", "stop_time"))
    words = ["train"] * len(starts) if column is None else [_word(value) for value in table[column].data[:]]
    return [
        Epoch(number, float(start), float(stop), word)
        for number, (start, stop, word) in enumerate(zip(starts, stops, words, strict=True))
    ]


def _word(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _cut(epochs: Sequence[Epoch], seconds: float) -> list[Epoch]:
    """Whole pieces of this length; the remainder of an epoch is dropped."""
    positive_number(seconds, name="trial_seconds")
    pieces = [
        (epoch.start_s + piece * seconds, epoch.tier)
        for epoch in epochs
        if np.isfinite(epoch.stop_s - epoch.start_s)
        for piece in range(int((epoch.stop_s - epoch.start_s) / seconds + 1e-6))
    ]
    return [Epoch(number, start, start + seconds, tier) for number, (start, tier) in enumerate(pieces)]

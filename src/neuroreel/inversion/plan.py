"""How a reconstruction is cut to fit into memory: which trials run together, how many windows a model sees at once."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from neuroreel.allocator import give_back_freed_memory
from neuroreel.encoding.interface import EncodingModel
from neuroreel.errors import ResourceError
from neuroreel.inversion.cost import prediction_bytes, window_bytes
from neuroreel.inversion.likelihood import Fit
from neuroreel.inversion.loop import Progress
from neuroreel.inversion.presets import Settings
from neuroreel.inversion.windows import windows_for
from neuroreel.memory import free_bytes, in_words, used_bytes

SLACK, CLIP_SLACK = 2.0, 1.5
"""Of the tensors' bytes: libraries take some, and allocators lose some between blocks, more so in later passes. Models
of any length were seen to take 1.3 to 2.1 times those bytes, models of clips 0.9 to 1.2 times."""
MOVIES_HELD = 20  # of a trial on the model's canvas: start, gradients, what the update and the prior need, results
RESPONSES_HELD = 16  # of a trial: recorded, predicted, and what is computed on the way


@dataclass(kw_only=True)
class Plan:
    """What runs together, and what that takes.

    Attributes
    ----------
    groups
        Numbers of the trials that run together, in order; their lengths are equal.
    windows_at_once
        How many windows go through a model together; halved where memory runs out all the same.
    windows, first_windows
        Of all trials together, and of the first group: what one model computes in one pass.
    passes
        Of each window by each model.
    models
        How many.
    needed, room
        Bytes that it will take beside what the process has taken already, and that it may take; None where unknown.
    """

    groups: list[range]
    windows_at_once: int
    windows: int
    first_windows: int
    passes: int
    models: int
    needed: int
    room: int | None

    def __str__(self) -> str:
        """One line for the terminal, before the start."""
        movies = sum(map(len, self.groups))
        room = "" if self.room is None else f" ({in_words(self.room)} may be used)"
        return (
            f"{_count(movies, 'movie')}, {_count(self.models, 'model')}, {_count(self.passes, 'pass', 'passes')} over "
            f"{_count(self.windows, 'window')}, {self.windows_at_once} at once: about {in_words(self.needed)} of "
            f"memory{room}"
        )


def plan_work(
    frames: Sequence[int],
    *,
    models: Sequence[EncodingModel],
    settings: Settings,
    device: torch.device,
    windows_at_once: int | None,
    max_memory: int | None,
) -> Plan:
    """Cut the work so that it fits into memory.

    The result does not depend on the cut, but for rounding. A group has as many trials as fill a batch of windows, so
    that what must be held does not grow with the number of trials.

    Parameters
    ----------
    frames
        Of each trial.
    models
        As they are inverted, on the device.
    windows_at_once
        At most so many; by default as many as are worth while.
    max_memory
        Bytes that the process may take on the device; None allows all that is free.

    Raises
    ------
    ResourceError
        Not even one window fits.
    """
    room = Room.now(device, max_memory)
    most = windows_at_once or min(worthwhile_windows(device, model) for model in models)
    windows = {count: max(len(_lay(model, settings, count)[0]) for model in models) for count in set(frames)}
    trial = max(_trial_bytes(max(frames), model, settings) for model in models)
    window = max(_window_bytes(max(frames), model, settings, device, most=room.bytes) for model in models)
    together = max(1, min(most, room.bytes / (4 * trial)))  # most of the memory is for the windows
    groups = _groups(frames, [int(min(together, math.ceil(most / windows[count]))) for count in frames])
    trials = max(map(len, groups))
    fitting = (room.bytes - trials * trial) / window
    if fitting < 1:
        raise ResourceError(
            f"a window of {_lay(models[0], settings, max(frames))[1]} frames and its movie take about "
            f"{in_words(window + trials * trial)} of memory on the device {device}, but {room.why}"
        )
    at_once = int(min(most, fitting, max(windows[frames[group[0]]] * len(group) for group in groups)))
    return Plan(
        groups=groups,
        windows_at_once=at_once,
        windows=sum(windows[count] for count in frames),
        first_windows=windows[frames[0]] * len(groups[0]),
        passes=settings.iterations,
        models=len(models),
        needed=at_once * window + trials * trial,
        room=None if room.bytes == math.inf else int(room.bytes),
    )


@dataclass(frozen=True, kw_only=True)
class Room:
    """Bytes that may still be taken on a device, infinite where the system does not say, and why no more."""

    bytes: float
    why: str

    @classmethod
    def now(cls, device: torch.device, max_memory: int | None) -> Room:
        """What is free at present, or what ``max_memory`` leaves of it."""
        give_back_freed_memory()
        free, held = free_bytes(device), used_bytes(device)
        rooms = [
            cls(bytes=math.inf, why=""),
            cls(
                bytes=math.inf if free is None else free,
                why=f"{in_words(free or 0)} are free: close other programs, use another device or a smaller model; "
                "a model that sees the whole movie at once needs less with windows='sliding'",
            ),
        ]
        if max_memory is not None:
            why = (
                f"max_memory is {in_words(max_memory)}, of which the process holds {in_words(held)} already: allow more"
            )
            rooms.append(cls(bytes=max(0, max_memory - held), why=why))
        return min(rooms, key=lambda room: room.bytes)


def worthwhile_windows(device: torch.device, model: EncodingModel) -> int:
    """How many windows at once are worth while where memory does not matter.

    On a CPU a window of a clip model fills the processor's caches and cores by itself: more take memory and no less
    time. A GPU needs many to be busy.
    """
    if device.type == "cpu":
        return 8 if model.any_length else 1
    return 64


def _trial_bytes(frames: int, model: EncodingModel, settings: Settings) -> int:
    """What a trial takes beside the windows that are computed at the time."""
    canvas = model.canvas.height * model.canvas.width
    held = frames * (MOVIES_HELD * canvas + RESPONSES_HELD * model.neurons) * 4
    return held + (0 if settings.prior == "none" else 36 * frames**2)  # the correlations between frames


def _window_bytes(frames: int, model: EncodingModel, settings: Settings, device: torch.device, *, most: float) -> int:
    """What a window of a trial takes; of a model of any length at least what predicting the whole trial takes."""
    _, length = _lay(model, settings, frames)
    slack = SLACK if model.any_length else CLIP_SLACK
    taken = window_bytes(model, frames=length, unit_norm=settings.window_norm, device=device, most=most / slack)
    if model.any_length and length < frames:
        taken = max(taken, prediction_bytes(model, frames=frames, device=device, most=most / slack))
    return int(slack * taken)


def _lay(model: EncodingModel, settings: Settings, frames: int) -> tuple[list[int], int]:
    """Where a pass has its windows, and their length."""
    return windows_for(model, settings.windows).lay(frames)


def _groups(frames: Sequence[int], together: Sequence[int]) -> list[range]:
    """Runs of trials of one length, at most so many together as the first of them allows."""
    groups: list[range] = []
    for number, count in enumerate(frames):
        last = groups[-1] if groups else range(0)
        if len(last) and frames[last[0]] == count and len(last) < together[last[0]]:
            groups[-1] = range(last[0], number + 1)
        else:
            groups.append(range(number, number + 1))
    return groups


class Forecast:
    """A callback that says once how long it will take, from the time between the first two passes.

    Parameters
    ----------
    passes_like_first
        How many passes like the first run's are to be made.
    """

    def __init__(self, passes_like_first: float, *, say: Callable[[str], object]) -> None:
        self.passes_like_first, self.say = passes_like_first, say
        self.clock: list[float] = []

    def __call__(self, progress: Progress, fit: Fit) -> None:
        """Look at the clock."""
        if len(self.clock) < 2:
            self.clock.append(time.perf_counter())
            if len(self.clock) == 2:
                seconds = (self.clock[1] - self.clock[0]) * self.passes_like_first
                if seconds > 10:
                    self.say(f"This takes about {_duration(seconds)}.")


def _duration(seconds: float) -> str:
    for unit, size in (("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}" if seconds >= 9.5 * size else f"{seconds / size:.1f} {unit}"
    return f"{max(seconds, 1):.0f} s"


def _count(number: int, one: str, many: str | None = None) -> str:
    return f"{number:,} {one if number == 1 else many or one + 's'}"

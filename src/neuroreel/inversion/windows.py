"""Which stretches of the movie the encoding model sees at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from neuroreel.encoding.interface import EncodingModel
from neuroreel.errors import InputError


class Windows(Protocol):
    """Says where windows lie in a movie."""

    def lay(self, frames: int, iteration: int = 0) -> tuple[list[int], int]:
        """First frames of the windows of a movie of ``frames`` frames in one pass, and the length of each."""
        ...


@dataclass(frozen=True, kw_only=True)
class SlidingWindows:
    """A window of ``length`` frames every ``step`` frames, and one more that ends with the movie (Bauer et al. 2026).

    There are 2 + (T - length) // step of them. Where the movie's length suits the step, the last two coincide and
    count twice: so it is in the published code.
    """

    length: int = 32
    step: int = 8

    def lay(self, frames: int, iteration: int = 0) -> tuple[list[int], int]:
        """See ``Windows.lay``."""
        _check_long_enough(frames, self.length)
        return [*range(0, frames - self.length + 1, self.step), frames - self.length], self.length


@dataclass(frozen=True, kw_only=True)
class TiledWindows:
    """As few windows of ``length`` frames as cover the movie: end to end, the last one moved in; none counts twice."""

    length: int = 32

    def lay(self, frames: int, iteration: int = 0) -> tuple[list[int], int]:
        """See ``Windows.lay``."""
        _check_long_enough(frames, self.length)
        return [min(start, frames - self.length) for start in range(0, frames, self.length)], self.length


@dataclass(frozen=True, kw_only=True)
class ShiftedWindows:
    """A window of ``length`` frames every ``step`` frames, shifted anew in each pass by a random number of frames.

    Seams between windows, where a model knows least of what came before, lie elsewhere in each pass, so that few
    windows do over many passes what overlapping ones do in each. Windows that would hang over an end of the movie
    are moved in, so that every frame is covered. The shift is a function of seed and pass alone: a run that goes on
    from a snapshot sees the same windows.
    """

    length: int = 32
    step: int = 32
    seed: int = 0

    def lay(self, frames: int, iteration: int = 0) -> tuple[list[int], int]:
        """See ``Windows.lay``."""
        _check_long_enough(frames, self.length)
        last = frames - self.length
        shift = int(np.random.default_rng((self.seed, iteration)).integers(self.step))
        starts = range(shift - self.step, last + self.step, self.step)
        return sorted({min(max(start, 0), last) for start in starts}), self.length


@dataclass(frozen=True)
class WholeMovie:
    """One window: the whole movie. For models of any length; no frame is computed twice."""

    def lay(self, frames: int, iteration: int = 0) -> tuple[list[int], int]:
        """See ``Windows.lay``."""
        return [0], frames


def windows_for(model: EncodingModel, kind: str, *, seed: int = 0) -> Windows:
    """The windows of a preset's kind ("sliding", "shifted" or "tiled") for a model."""
    # a model that needs a run-up gets it on top of the 32 frames that count
    length = 32 + model.warmup_frames if model.any_length else model.window_frames
    if kind == "sliding":
        return SlidingWindows(length=length)
    if kind == "shifted":
        return ShiftedWindows(length=length, step=length - model.warmup_frames, seed=seed)
    if model.any_length:
        return WholeMovie()
    return TiledWindows(length=model.window_frames)


def _check_long_enough(frames: int, length: int) -> None:
    if frames < length:
        raise InputError(
            f"the movie has {frames} frames, fewer than a window ({length} frames): it is too short; use longer trials"
        )

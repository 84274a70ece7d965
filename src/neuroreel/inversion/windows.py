"""Which stretches of the movie the encoding model sees at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from neuroreel.encoding.interface import EncodingModel
from neuroreel.errors import InputError


class Windows(Protocol):
    """Says where windows lie in a movie."""

    def lay(self, frames: int) -> tuple[list[int], int]:
        """First frames of the windows of a movie of ``frames`` frames, and the length of each."""
        ...


@dataclass(frozen=True, kw_only=True)
class SlidingWindows:
    """A window of ``length`` frames every ``step`` frames, and one more that ends with the movie (Bauer et al. 2026).

    There are 2 + (T - length) // step of them. Where the movie's length suits the step, the last two coincide and
    count twice: so it is in the published code.
    """

    length: int = 32
    step: int = 8

    def lay(self, frames: int) -> tuple[list[int], int]:
        """See ``Windows.lay``."""
        if frames < self.length:
            raise InputError(
                f"the movie has {frames} frames, fewer than a window ({self.length} frames): it is too short; "
                "use longer trials"
            )
        return [*range(0, frames - self.length + 1, self.step), frames - self.length], self.length


@dataclass(frozen=True)
class WholeMovie:
    """One window: the whole movie. For models of any length; no frame is computed twice."""

    def lay(self, frames: int) -> tuple[list[int], int]:
        """See ``Windows.lay``."""
        return [0], frames


def windows_for(model: EncodingModel, kind: str) -> Windows:
    """The windows of a preset's kind ("sliding" or "tiled") for a model."""
    if kind == "sliding":
        # a model that needs a run-up gets it on top of the 32 frames that count
        return SlidingWindows(length=32 + model.warmup_frames if model.any_length else model.window_frames)
    if model.any_length:
        return WholeMovie()
    return SlidingWindows(length=model.window_frames, step=model.window_frames)

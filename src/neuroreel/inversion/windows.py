"""Which stretches of the movie the encoding model sees at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from neuroreel.errors import InputError


class Windows(Protocol):
    """Says where windows lie in a movie."""

    def lay(self, frames: int) -> tuple[list[int], int]:
        """First frames of the windows of a movie of ``frames`` frames, and the length of each."""
        ...


@dataclass(frozen=True, kw_only=True)
class SlidingWindows:
    """A window of ``length`` frames every ``step`` frames, and one more that ends with the movie (PROTOCOL section 5).

    There are 2 + (T - length) // step of them. Where the movie's length suits the step, the last two coincide and
    count twice: so it is in the published code.
    """

    length: int = 32
    step: int = 8

    def lay(self, frames: int) -> tuple[list[int], int]:
        """See ``Windows.lay``."""
        if frames < self.length:
            raise InputError(f"the movie has {frames} frames, fewer than a window ({self.length}): it is too short")
        return [*range(0, frames - self.length + 1, self.step), frames - self.length], self.length


@dataclass(frozen=True)
class WholeMovie:
    """One window: the whole movie. For models of any length; no frame is computed twice."""

    def lay(self, frames: int) -> tuple[list[int], int]:
        """See ``Windows.lay``."""
        return [0], frames

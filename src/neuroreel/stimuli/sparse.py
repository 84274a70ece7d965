"""Sparse noise: one light or dark spot at a time on a gray screen, to map receptive fields."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from neuroreel.arguments import positive_number, whole_number
from neuroreel.errors import InputError
from neuroreel.grey import MID_GREY
from neuroreel.stimuli.screen import SENSORIUM_SCREEN, Screen


@dataclass(frozen=True, kw_only=True)
class SparsePixels:
    """A grid of square spots; each is shown alone, between two periods of gray (Bauer et al. 2026, supplement).

    Parameters
    ----------
    height, width
        Size of the movie, in pixels.
    frame_rate_hz
        Frames per second.
    size_px
        Side of a spot; 1 in the paper.
    size_deg
        The same in degrees, in the middle of the screen, rounded to whole pixels; instead of ``size_px``.
    step_px
        Distance between neighboring spots; by default they touch.
    before_s, shown_s, after_s
        Seconds of gray, of the spot, and of gray again: 15 frames each at 30 Hz, as published.
    contrast
        1 for white and black spots.
    screen
        Screen that the movie fills.

    Raises
    ------
    InputError
        A size in two units, spots larger than the movie or smaller than a pixel, times shorter than a frame, a contrast
        outside 0..1.
    """

    height: int = 36
    width: int = 64
    frame_rate_hz: float = 30.0
    size_px: int = 1
    size_deg: float | None = None
    step_px: int | None = None
    before_s: float = 0.5
    shown_s: float = 0.5
    after_s: float = 0.5
    contrast: float = 1.0
    screen: Screen = SENSORIUM_SCREEN

    def __post_init__(self) -> None:
        for name in ("height", "width", "size_px"):
            whole_number(getattr(self, name), name=name)
        if self.step_px is not None:
            whole_number(self.step_px, name="step_px")
        positive_number(self.frame_rate_hz, name="frame_rate_hz")
        if self.size_deg is not None:
            self._check_degrees(self.size_deg)
        if self.side > min(self.height, self.width):
            raise InputError(
                f"a spot of {self.side} pixels is larger than the movie, {self.width}x{self.height} pixels"
            )
        if not 0 < self.contrast <= 1:
            raise InputError(f"contrast is {self.contrast!r}; it must be more than 0 and at most 1")
        for name, least in (("before_s", 0), ("shown_s", 1), ("after_s", 0)):
            seconds = getattr(self, name)
            if not (np.isfinite(seconds) and seconds >= 0 and round(seconds * self.frame_rate_hz) >= least):
                raise InputError(
                    f"{name} is {seconds!r}; it must be a finite number of at least {least} frame(s) of "
                    f"{1 / self.frame_rate_hz:.3g} s"
                )

    def _check_degrees(self, size_deg: float) -> None:
        if self.size_px != 1:
            raise InputError(f"both size_px={self.size_px} and size_deg={size_deg!r} were given; give one of them")
        pixel = self.screen.degrees_per_pixel(self.width)
        if not (np.isfinite(size_deg) and size_deg >= 0.5 * pixel):
            raise InputError(
                f"size_deg is {size_deg!r}; a pixel of this movie is {pixel:.2g} degrees, give at least half of it"
            )

    @property
    def side(self) -> int:
        """Side of a spot in pixels."""
        if self.size_deg is None:
            return self.size_px
        return max(1, round(self.size_deg / self.screen.degrees_per_pixel(self.width)))

    @cached_property
    def rows(self) -> NDArray[np.intp]:
        """The first row of each spot, down the screen; the remainder is split between both edges."""
        return self._firsts(self.height)

    @cached_property
    def columns(self) -> NDArray[np.intp]:
        """The first column of each spot, from left to right."""
        return self._firsts(self.width)

    def _firsts(self, length: int) -> NDArray[np.intp]:
        firsts = np.arange(0, length - self.side + 1, self.step_px or self.side)
        return np.asarray(firsts + (length - self.side - firsts[-1]) // 2, np.intp)

    @property
    def shown(self) -> slice:
        """The frames that show the spot."""
        first = round(self.before_s * self.frame_rate_hz)
        return slice(first, first + round(self.shown_s * self.frame_rate_hz))

    @property
    def frames(self) -> int:
        """Frames in a movie."""
        return self.shown.stop + round(self.after_s * self.frame_rate_hz)

    def grey(self, *, on: bool) -> float:
        """The gray level of a light (ON) or dark (OFF) spot."""
        return MID_GREY * (1 + self.contrast if on else 1 - self.contrast)

    def movie(self, row: int, column: int, *, on: bool = True) -> NDArray[np.float32]:
        """The movie of one spot, (frames, height, width), gray levels 0..255.

        Parameters
        ----------
        row, column
            Index of the spot in ``rows`` and ``columns``, from 0.
        on
            True for a light spot, False for a dark one.
        """
        if not (0 <= row < len(self.rows) and 0 <= column < len(self.columns)):
            raise InputError(
                f"there is no spot {row}, {column}; there are {len(self.rows)} rows and {len(self.columns)} columns"
            )
        video = np.full((self.frames, self.height, self.width), MID_GREY, np.float32)
        top, left = self.rows[row], self.columns[column]
        video[self.shown, top : top + self.side, left : left + self.side] = self.grey(on=on)
        return video

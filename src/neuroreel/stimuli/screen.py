"""The screen in front of the animal: pixels of a movie in degrees of visual angle."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from neuroreel.arguments import whole_number
from neuroreel.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Screen:
    """A flat screen, perpendicular to the line from the eye to its middle. A movie fills its width with square pixels.

    Parameters
    ----------
    width_cm, height_cm
        Size; by default that of the Sensorium recordings.
    distance_cm
        From the eye to its middle.

    Raises
    ------
    InputError
        A length that is not positive and finite.
    """

    width_cm: float = 56.5
    height_cm: float = 31.8
    distance_cm: float = 15.0

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not 0 < value < math.inf:
                raise InputError(f"the screen's {field.name} is {value!r}; it must be a positive number of centimeters")

    @classmethod
    def with_pixels_of(cls, degrees: float, *, width: int, distance_cm: float = 15.0) -> Screen:
        """A screen on which the middle pixel of a movie ``width`` pixels wide spans this many degrees."""
        if not 0 < degrees < 90:
            raise InputError(f"a pixel of {degrees!r} degrees is impossible; it must be more than 0 and less than 90")
        side = whole_number(width, name="width") * distance_cm * math.tan(math.radians(degrees))
        return cls(width_cm=side, height_cm=side, distance_cm=distance_cm)

    def degrees_per_pixel(self, width: int) -> float:
        """Visual angle of a pixel in the middle of the screen, for a movie ``width`` pixels wide.

        3.37 degrees for 64 pixels on the Sensorium screen. Toward the edges a pixel covers less.
        """
        return math.degrees(math.atan(self._pixel_cm(width) / self.distance_cm))

    def highest_frequency(self, width: int) -> float:
        """The finest grating of a movie ``width`` pixels wide, in cycles per degree: two pixels per cycle."""
        return 0.5 / self.degrees_per_pixel(width)

    def azimuth(self, width: int) -> NDArray[np.float64]:
        """(width,) centers of the columns, in degrees to the right of the middle of the screen."""
        return self._angles(width, self._pixel_cm(width))

    def elevation(self, height: int, *, width: int) -> NDArray[np.float64]:
        """(height,) centers of the rows, in degrees above the middle; rows are counted downward."""
        return -self._angles(whole_number(height, name="height"), self._pixel_cm(width))

    def _pixel_cm(self, width: int) -> float:
        return self.width_cm / whole_number(width, name="width")

    def _angles(self, count: int, pixel_cm: float) -> NDArray[np.float64]:
        off_middle = (np.arange(count) - (count - 1) / 2) * pixel_cm
        return np.asarray(np.degrees(np.arctan2(off_middle, self.distance_cm)))


SENSORIUM_SCREEN = Screen()

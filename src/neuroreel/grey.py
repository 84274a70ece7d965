"""Grey levels of a screen: 0 is black, 255 white."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from neuroreel.errors import InputError

MID_GREY = 127.5
CONTRAST_GREY = 51.0  # standard deviation of the published stimuli, in grey levels (Bauer et al. 2026)


def check_white(video: NDArray[Any], *, what: str, advice: str = "multiply the movie by 255") -> None:
    """Raise InputError if a movie's white seems to be 1: floats from 0 to 1, booleans, or integers that are 0 and 1.

    Taken as grey levels, such a movie would be black to the eye and to every model. One that is 0 throughout is black.

    Parameters
    ----------
    video
        Any shape, real numbers.
    what
        What it is, in the message.
    advice
        What to do where white is 1.
    """
    if 0 < (highest := float(video.max())) <= 1:
        raise InputError(
            f"{what}: the largest grey level is {highest:g}, but white is 255; {advice} (if it really is this "
            "dark, set it to 0 throughout)"
        )

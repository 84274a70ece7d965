"""Gray levels of a screen: 0 is black, 255 white."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from neuroreel.errors import InputError

MID_GREY = 127.5
CONTRAST_GREY = 51.0  # standard deviation of the published stimuli, in gray levels (Bauer et al. 2026)


def check_white(video: NDArray[Any], *, what: str, advice: str = "multiply the movie by 255") -> None:
    """Raise InputError if white seems to be 1 in a movie: floats from 0 to 1, booleans, or integers 0 and 1.

    Read as gray levels, such a movie would look black to the eye and to every model. A movie of zeros is accepted as
    black.

    Parameters
    ----------
    video
        Any shape, real numbers.
    what
        What to call the movie in the message.
    advice
        What to do if white is 1.
    """
    if 0 < (highest := float(video.max())) <= 1:
        raise InputError(
            f"{what}: the largest grey level is {highest:g}, but white is 255; {advice} (if it really is this "
            "dark, set it to 0 throughout)"
        )

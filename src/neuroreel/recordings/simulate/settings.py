"""The settings of a simulated mouse, checked before anything is computed."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, TypedDict

import numpy as np

from neuroreel.arguments import positive_number
from neuroreel.errors import InputError
from neuroreel.recordings.splits import FOLD_COUNT, HASHED_FRAMES


class MovieSize(TypedDict):
    """Size and rate of the movies."""

    frames: int
    height: int
    width: int
    frame_rate_hz: float


@dataclass(frozen=True, kw_only=True)
class SimulationSettings:
    """The arguments of ``simulate``, and their defaults.

    Attributes
    ----------
    trials
        Number of movies, at least one for each of the seven folds.
    seconds
        Length of each movie.
    neurons
        Number of neurons.
    seed
        Random seed: the same seed gives the same recording.
    frame_rate_hz
        Frames per second.
    height
        Height of the movies in pixels.
    width
        Width of the movies in pixels. The screen's size is fixed.
    signal_to_noise
        Variance of a neuron's expected response divided by the variance of its noise, median over neurons.
    repeats
        Number of repeats of one further movie, to measure the noise.
    name
        Name of the mouse, starting with "simulated"; by default "simulated mouse SEED".

    Raises
    ------
    InputError
        Invalid numbers, or a name that hides that the mouse is simulated.
    """

    trials: int = 60
    seconds: float = 10.0
    neurons: int = 400
    seed: int = 0
    frame_rate_hz: float = 30.0
    height: int = 36
    width: int = 64
    signal_to_noise: float = 0.4
    repeats: int = 0
    name: str = ""

    def __post_init__(self) -> None:
        if not self.name:
            object.__setattr__(self, "name", f"simulated mouse {self.seed}")
        for field, (smallest, why) in _LEAST.items():
            value = getattr(self, field)
            if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < smallest:
                raise InputError(f"{field} is {value!r}; it must be a whole number, at least {smallest}{why}")
        for field in ("seconds", "frame_rate_hz", "signal_to_noise"):
            positive_number(getattr(self, field), name=field)
        if self.frames < HASHED_FRAMES:
            raise InputError(
                f"{self.seconds} s at {self.frame_rate_hz} Hz are {self.frames} frames; "
                f"a movie needs at least {HASHED_FRAMES}: make the trials longer"
            )
        if not self.name.startswith("simulated"):
            raise InputError(
                f"name is {self.name!r}; it must start with 'simulated', so that nobody takes it for a real mouse"
            )

    @property
    def frames(self) -> int:
        """Number of frames in a movie."""
        return round(self.seconds * self.frame_rate_hz)

    @property
    def screen(self) -> MovieSize:
        """Size and rate of the movies."""
        return {
            "frames": self.frames,
            "height": self.height,
            "width": self.width,
            "frame_rate_hz": self.frame_rate_hz,
        }

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {name: value.item() if isinstance(value, np.generic) else value for name, value in asdict(self).items()}


_LEAST = {
    "trials": (FOLD_COUNT, ", one for each fold"),
    "neurons": (1, ""),
    "seed": (0, ""),
    "height": (8, ""),
    "width": (8, ""),
    "repeats": (0, ""),
}

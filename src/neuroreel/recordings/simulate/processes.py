"""The simulated mouse's random processes in time, and its independent streams of random numbers."""

from __future__ import annotations

from enum import IntEnum
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter


class Stream(IntEnum):
    """Purposes of random streams, kept separate so that, for instance, more neurons never change the movies."""

    POPULATION = 0
    CALIBRATION = 1
    BEHAVIOR = 2
    FOLDS = 3
    MOVIE = 4
    NOISE = 5
    COORDINATES = 6


class Sampling(TypedDict):
    """How long a process lasts, and how finely it is sampled."""

    frames: int
    frame_rate_hz: float


def generator(seed: int, stream: Stream, trial: int = 0) -> np.random.Generator:
    """The random numbers of one part of the simulation, independent of all other parts."""
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(int(stream), trial)))


def fluctuations(
    random: np.random.Generator, *, channels: int, frames: int, time_constant_s: float, frame_rate_hz: float
) -> NDArray[np.float64]:
    """Stationary Ornstein-Uhlenbeck noise (channels, frames): mean 0, variance 1, exponential autocorrelation."""
    memory = np.exp(-1 / (time_constant_s * frame_rate_hz))
    shocks = random.standard_normal((channels, frames))
    shocks[:, 1:] *= np.sqrt(1 - memory**2)
    return np.asarray(lfilter([1.0], [1.0, -memory], shocks, axis=1))


def low_pass(signal: NDArray[np.float64], *, time_constant_s: float, frame_rate_hz: float) -> NDArray[np.float64]:
    """A signal (..., frames) that follows ``signal`` with an exponential delay, starting at its first value."""
    memory = np.exp(-1 / (time_constant_s * frame_rate_hz))
    start = memory * signal[..., :1]
    return np.asarray(lfilter([1 - memory], [1.0, -memory], signal, axis=-1, zi=start)[0])

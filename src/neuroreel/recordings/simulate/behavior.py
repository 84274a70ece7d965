"""The simulated mouse's behavior: running in bouts, a pupil that follows arousal, eye drift and jumps."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neuroreel.recordings.simulate.processes import Sampling, fluctuations, low_pass

AROUSAL_TIME_S = 30.0
REST_S, BOUT_S = 10.0, 4.0  # mean lengths at medium arousal
SPEED_CM_PER_S = 12.0
HALF_SPEED_CM_PER_S = 5.0  # running speed with half of the largest effect on the neurons
PUPIL_PIXELS, PUPIL_AROUSAL_PIXELS, PUPIL_RUNNING_PIXELS = 30.0, 5.0, 10.0
EYE_PIXELS = (140.0, 120.0)
SACCADES_PER_S = 0.4


@dataclass(frozen=True, kw_only=True, eq=False)
class Behavior:
    """Behavior over a period of time, in the units and order of the Sensorium recordings.

    Parameters
    ----------
    pupil
        (frames,) pupil dilation in pixels of the eye camera.
    running
        (frames,) running speed in centimeters per second.
    pupil_center
        (2, frames) horizontal and vertical position of the pupil in pixels of the eye camera.
    """

    pupil: NDArray[np.float64]
    running: NDArray[np.float64]
    pupil_center: NDArray[np.float64]

    def between(self, start: int, stop: int) -> Behavior:
        """The frames from ``start`` to ``stop``."""
        return Behavior(
            pupil=self.pupil[start:stop],
            running=self.running[start:stop],
            pupil_center=self.pupil_center[:, start:stop],
        )

    @property
    def channels(self) -> NDArray[np.float32]:
        """(2, frames): pupil dilation, running speed."""
        return np.stack([self.pupil, self.running]).astype(np.float32)

    @property
    def drive(self) -> NDArray[np.float64]:
        """(2, frames): how strongly pupil and running affect the neurons.

        The pupil is in units of its standard deviation around its mean; running speed saturates between 0 and 1.
        """
        pupil = (self.pupil - PUPIL_PIXELS) / PUPIL_AROUSAL_PIXELS
        return np.stack([np.clip(pupil, -2.5, 2.5), self.running / (self.running + HALF_SPEED_CM_PER_S)])


def simulate_behavior(random: np.random.Generator, *, frames: int, frame_rate_hz: float) -> Behavior:
    """One uninterrupted session of ``frames`` frames.

    1. Arousal is slow noise (30 s).
    2. Rest and running alternate with exponential durations; arousal shortens rest and lengthens running.
    3. Within a bout the speed fluctuates (1 s) around a speed drawn for the bout; the legs lag by 0.3 s.
    4. The pupil follows arousal, and running with 1.5 s delay (Reimer et al. 2014).
    5. The eye drifts slowly and jumps at random, mostly horizontally.
    """
    sampling: Sampling = {"frames": frames, "frame_rate_hz": frame_rate_hz}
    arousal = fluctuations(random, channels=1, time_constant_s=AROUSAL_TIME_S, **sampling)[0]
    wanted_speed = _draw_bouts(random, arousal, frame_rate_hz=frame_rate_hz)
    stride = np.exp(0.25 * fluctuations(random, channels=1, time_constant_s=1.0, **sampling)[0])
    running = low_pass(wanted_speed * stride, time_constant_s=0.3, frame_rate_hz=frame_rate_hz)

    effort = low_pass(running / (running + HALF_SPEED_CM_PER_S), time_constant_s=1.5, frame_rate_hz=frame_rate_hz)
    flicker = fluctuations(random, channels=1, time_constant_s=0.8, **sampling)[0]
    flicker = low_pass(flicker, time_constant_s=0.2, frame_rate_hz=frame_rate_hz)
    pupil = PUPIL_PIXELS + PUPIL_AROUSAL_PIXELS * arousal + PUPIL_RUNNING_PIXELS * (effort - 0.3) + flicker
    return Behavior(
        pupil=np.maximum(pupil, 5.0), running=running, pupil_center=_move_eye(random, frames, frame_rate_hz)
    )


def _draw_bouts(
    random: np.random.Generator, arousal: NDArray[np.float64], *, frame_rate_hz: float
) -> NDArray[np.float64]:
    """(frames,) the mouse's target speed: 0 at rest."""
    speed = np.zeros(len(arousal))
    start, running = 0, bool(random.random() < BOUT_S / (BOUT_S + REST_S))
    while start < len(arousal):
        mean_s = BOUT_S * np.exp(0.5 * arousal[start]) if running else REST_S * np.exp(-0.5 * arousal[start])
        stop = start + max(1, round(random.exponential(mean_s) * frame_rate_hz))
        if running:
            speed[start:stop] = SPEED_CM_PER_S * random.lognormal(0.0, 0.4)
        start, running = stop, not running
    return speed


def _move_eye(random: np.random.Generator, frames: int, frame_rate_hz: float) -> NDArray[np.float64]:
    drift = fluctuations(random, channels=2, frames=frames, time_constant_s=20.0, frame_rate_hz=frame_rate_hz)
    jumps = random.random(frames) < SACCADES_PER_S / frame_rate_hz
    gaze = random.normal(0.0, 1.0, (2, int(jumps.sum()) + 1))[:, np.cumsum(jumps)]
    spread = np.array([[4.0], [1.5]])
    return np.array(EYE_PIXELS)[:, None] + spread * (gaze + 0.5 * drift)

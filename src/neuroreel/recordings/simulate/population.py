"""Responses of simulated neurons: threshold, gain from behavior, shared and private noise, calcium."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from neuroreel.grey import MID_GREY
from neuroreel.recordings.simulate.behavior import Behavior, simulate_behavior
from neuroreel.recordings.simulate.calcium import image
from neuroreel.recordings.simulate.processes import Sampling, fluctuations
from neuroreel.recordings.simulate.receptive_fields import ReceptiveFields, draw_receptive_fields
from neuroreel.stimuli.movies import Movie, render

LEAD_S, TAIL_S = 1.0, 0.3  # gray screen before and after a movie: the calcium of its first and last frames needs it
HALF_SATURATION = 2.0  # drive above threshold that gives half of the largest response, in root mean squares
MEAN_RESPONSE = (4.0, 0.5)  # median over neurons, and spread of the logarithm, in the units of the responses
SCAN_PLANES = 10
SHARED_TIMES_S = (0.3, 1.0, 3.0, 10.0)
SHARED_OF_NOISE = 0.2
FEWEST_EVENTS_HZ = 0.5  # rarer neurons would be silent throughout a short recording
SPREAD_OF_SNR = 0.5


@dataclass(frozen=True, kw_only=True, eq=False)
class Population:
    """Neurons of a simulated mouse; every array but ``shared`` is (neurons,).

    Parameters
    ----------
    fields
        Their receptive fields.
    frame_rate_hz
        Frames per second of movies and responses.
    threshold, exponent
        A neuron fires with the part of its drive above threshold; the exponent is the steepness of the rise.
    baseline
        Added to the evoked response, in the same unit: fractions of the largest.
    amplitude
        Factor to the units of the responses.
    pupil_gain, running_gain
        How strongly the logarithm of the response follows ``Behavior.drive``.
    shared
        (neurons, sources): how strongly each neuron follows each shared fluctuation.
    event_size
        Response to one event: large events make noisy neurons.
    scan_delay
        0..1: when within a scan the neuron is read.
    """

    fields: ReceptiveFields
    frame_rate_hz: float
    threshold: NDArray[np.float64]
    exponent: NDArray[np.float64]
    baseline: NDArray[np.float64]
    amplitude: NDArray[np.float64]
    pupil_gain: NDArray[np.float64]
    running_gain: NDArray[np.float64]
    shared: NDArray[np.float64]
    event_size: NDArray[np.float64]
    scan_delay: NDArray[np.float64]

    @property
    def lead(self) -> int:
        """Number of gray frames before a movie."""
        return round(LEAD_S * self.frame_rate_hz)

    @property
    def tail(self) -> int:
        """Number of gray frames after a movie."""
        return int(np.ceil(TAIL_S * self.frame_rate_hz)) + 2

    def rates(self, drive: NDArray[np.float32], behavior: Behavior) -> NDArray[np.float32]:
        """Expected events (neurons, frames) for the drive of the receptive fields, ``fields.drive``.

        1. The drive above threshold grows as a power and saturates (Albrecht & Hamilton 1982); a baseline is added.
        2. A gain that follows pupil and running multiplies it (Niell & Stryker 2010; Reimer et al. 2014).
        """
        above = np.maximum(drive - _column(self.threshold), 0) / HALF_SATURATION
        power = above ** _column(self.exponent)
        gain = np.exp(np.stack([self.pupil_gain, self.running_gain], axis=1) @ behavior.drive, dtype=np.float32)
        return np.asarray(_column(self.amplitude) * (_column(self.baseline) + power / (1 + power)) * gain)

    def respond(
        self, random: np.random.Generator, video: NDArray[np.floating], behavior: Behavior
    ) -> NDArray[np.float32]:
        """Recorded responses (neurons, frames) to one presentation of a movie.

        1. Expected events, with gray screen before and after the movie.
        2. Slow fluctuations that neurons share multiply them (Goris et al. 2014).
        3. Poisson events of the neuron's own size.
        4. Calcium imaging.

        Parameters
        ----------
        random
            The random generator.
        video
            (frames, height, width), gray levels 0..255.
        behavior
            From ``lead`` frames before the movie to ``tail`` frames after it, see ``behavior_of``.
        """
        rates = self.rates(self._drive(video), behavior)
        size = _column(self.event_size)
        events = size * random.poisson(rates / size * self.shared_gain(random, rates.shape[1]))
        return self.image(events, before=rates[:, 0])[:, self.lead : self.lead + len(video)]

    def expect(self, video: NDArray[np.floating], behavior: Behavior) -> NDArray[np.float32]:
        """The mean of ``respond`` over infinitely many repeats: without any noise."""
        rates = self.rates(self._drive(video), behavior)
        return self.image(rates, before=rates[:, 0])[:, self.lead : self.lead + len(video)]

    def behavior_of(self, trial: int, session: Behavior, *, frames: int) -> Behavior:
        """The behavior around one trial of a session whose trials all have ``frames`` frames."""
        return session.between(trial * self.period(frames), (trial + 1) * self.period(frames))

    def period(self, frames: int) -> int:
        """Frames from the start of one trial to the start of the next, for movies of ``frames`` frames."""
        return self.lead + frames + self.tail

    def _drive(self, video: NDArray[np.floating]) -> NDArray[np.float32]:
        padding = ((self.lead, self.tail), (0, 0), (0, 0))
        return self.fields.drive(np.pad(np.asarray(video, np.float32), padding, constant_values=MID_GREY))

    def shared_gain(self, random: np.random.Generator, frames: int) -> NDArray[np.float32]:
        """(neurons, frames) fluctuations of mean 1 that neurons have in common."""
        sampling: Sampling = {"frames": frames, "frame_rate_hz": self.frame_rate_hz}
        sources = [fluctuations(random, channels=1, time_constant_s=seconds, **sampling) for seconds in SHARED_TIMES_S]
        strength = np.asarray(self.shared, np.float32)
        surplus = np.sum(strength**2, axis=1, keepdims=True) / 2  # offsets the mean of a log-normal above 1
        return np.exp(strength @ np.concatenate(sources).astype(np.float32) - surplus)

    def image(self, events: NDArray[np.floating], *, before: NDArray[np.floating]) -> NDArray[np.float32]:
        """Deconvolved calcium (neurons, frames) from events (neurons, frames), after mean events ``before``."""
        return image(events, before=before, frame_rate_hz=self.frame_rate_hz, delays=self.scan_delay)


def draw_population(
    random: np.random.Generator,
    *,
    neurons: int,
    movies: list[Movie],
    signal_to_noise: float,
) -> Population:
    """Draw neurons at random, and scale their drive, responses and noise on typical movies.

    Parameters
    ----------
    random
        The random generator.
    neurons
        How many.
    movies
        Typical movies of one size and frame rate, to which the neurons are scaled.
    signal_to_noise
        Median over neurons of the expected response's variance divided by the variance of everything else.
    """
    first = movies[0]
    fields = draw_receptive_fields(
        random, neurons=neurons, height=first.height, width=first.width, frame_rate_hz=first.frame_rate_hz
    )
    fields, drive = fields.calibrated(np.concatenate([render(movie) for movie in movies]))
    complex_cells = fields.kind == "complex"
    population = Population(
        fields=fields,
        frame_rate_hz=first.frame_rate_hz,
        # An energy cell's drive is never negative: this threshold silences it about half of the time, as 0 does for
        # others.
        threshold=np.where(complex_cells, 0.7, 0.0) + random.uniform(0.0, 0.5, neurons),
        exponent=random.uniform(1.0, 1.6, neurons),
        baseline=np.zeros(neurons),
        amplitude=np.ones(neurons),
        pupil_gain=random.normal(0.1, 0.1, neurons),
        running_gain=random.normal(0.5, 0.3, neurons),
        shared=np.zeros((neurons, len(SHARED_TIMES_S))),
        event_size=np.ones(neurons),
        scan_delay=random.integers(SCAN_PLANES, size=neurons) / SCAN_PLANES,
    )
    behavior = _sparse_behavior(random, frames=drive.shape[1], frame_rate_hz=first.frame_rate_hz)
    population = _with_amplitude(random, population, drive, behavior)
    return _with_noise(random, population, population.rates(drive, behavior), signal_to_noise=signal_to_noise)


def _with_amplitude(
    random: np.random.Generator, population: Population, drive: NDArray[np.float32], behavior: Behavior
) -> Population:
    """The population with baselines, and amplitudes that give the desired mean responses."""
    evoked = population.rates(drive, behavior).mean(axis=1)
    population = replace(population, baseline=random.uniform(0.1, 0.4, len(evoked)) * evoked)
    wanted = random.lognormal(np.log(MEAN_RESPONSE[0]), MEAN_RESPONSE[1], len(evoked))
    return replace(population, amplitude=wanted / population.rates(drive, behavior).mean(axis=1))


def _with_noise(
    random: np.random.Generator, population: Population, rates: NDArray[np.float32], *, signal_to_noise: float
) -> Population:
    """The population with shared fluctuations and event sizes that give the desired signal-to-noise ratio.

    The ratio sets the noise variance. A fifth of it is shared; Poisson events make up the rest, with a variance of
    event size times rate, times the sum of squares of one event's calcium signal.
    """
    expected = population.image(rates, before=rates[:, 0])
    neurons = len(expected)
    noise = expected.var(axis=1) / (signal_to_noise * random.lognormal(0.0, SPREAD_OF_SNR, neurons))
    # The variance of a log-normal gain is exp(strength^2) - 1.
    strength = np.sqrt(np.log1p(SHARED_OF_NOISE * noise / np.mean(expected**2, axis=1)))
    direction = random.normal([1.0, 0.5, 0.0, 0.0], 1.0, (neurons, len(SHARED_TIMES_S)))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)

    event = np.zeros((neurons, 5 * population.lead))
    event[:, population.lead] = 1
    smear = np.sum(population.image(event, before=np.zeros(neurons)) ** 2, axis=1)
    mean = rates.mean(axis=1, dtype=np.float64)
    event_size = (1 - SHARED_OF_NOISE) * noise / (mean * smear)
    largest = mean * population.frame_rate_hz / FEWEST_EVENTS_HZ
    return replace(population, shared=strength[:, None] * direction, event_size=np.minimum(event_size, largest))


def _column(values: NDArray[np.float64]) -> NDArray[np.float32]:
    return values[:, None].astype(np.float32)


def _sparse_behavior(random: np.random.Generator, *, frames: int, frame_rate_hz: float) -> Behavior:
    """Behavior for calibration: seconds from all over a long session, to cover all of the mouse's states."""
    block = max(1, round(frame_rate_hz))
    session = simulate_behavior(random, frames=20 * frames, frame_rate_hz=frame_rate_hz)
    starts = np.arange(0, frames, block)
    kept = np.concatenate([np.arange(20 * start, 20 * start + block) for start in starts])[:frames]
    return Behavior(
        pupil=session.pupil[kept], running=session.running[kept], pupil_center=session.pupil_center[:, kept]
    )

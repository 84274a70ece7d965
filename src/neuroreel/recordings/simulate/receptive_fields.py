"""Spatiotemporal Gabor receptive fields over a retinotopic patch: what each simulated neuron responds to, and where.

``docs/simulated_mouse.md`` explains equations, ranges and their sources.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from neuroreel.stimuli.screen import SENSORIUM_SCREEN

KINDS = {"on": 0.1, "off": 0.1, "simple": 0.4, "complex": 0.4}
"""Fractions of the neurons: unoriented ON and OFF cells, oriented phase-sensitive and energy cells."""

PATCH_DEG = (42.0, 58.0)  # semi-axes of the visual field covered by the neurons: elevation, azimuth
PATCH_SCATTER_DEG = 3.0
MICROMETRES_PER_DEG = 10.0
SIZE_DEG = (5.5, 0.3, 3.0, 9.0)  # median, spread of the logarithm, smallest, largest
SPATIAL_CYCLES_PER_DEG = (0.04, 0.4, 0.015, 0.12)
TEMPORAL_HZ = (2.5, 0.4, 1.4, 6.0)
CYCLES_IN_SIZE = (0.12, 0.5)  # spatial frequency times size: from one blob to about three stripes
FEWEST_CYCLES_OF_COMPLEX = 0.18  # with fewer, no two filters match in quadrature
LATENCY_S, KERNEL_S = 0.03, 0.7


@dataclass(frozen=True, kw_only=True, eq=False)
class ReceptiveFields:
    """The receptive fields of a population; every array has one entry per neuron.

    Parameters
    ----------
    kind
        "on", "off", "simple" or "complex".
    centers
        (neurons, 2): row and column of the center, in pixels of the video.
    size_deg, elongation
        Standard deviation of the envelope across the stripes, in degrees, and the ratio of its length along them.
    orientation
        Direction across the stripes in radians, measured from the horizontal toward the bottom of the screen.
    spatial_frequency, temporal_frequency
        Preferred cycles per degree and cycles per second. 0 cycles per degree if there are no stripes.
    phase
        Radians: 0 prefers light in the center, pi prefers dark. Meaningless for complex cells.
    transience
        0..1: how much the late part of a temporal kernel cancels its early part; at 1 still pictures have no effect.
    direction_selectivity
        0..1: at 0 opposite directions give equal responses, at 1 the opposite direction gives none.
    scale
        Factor that gives the drive by natural movies a root mean square of 1.
    even, odd
        (neurons, height, width) spatial filters in cosine and sine phase.
    early, late
        (neurons, lags) temporal kernels in approximate quadrature; lag 0 is the current frame.
    """

    kind: NDArray[np.str_]
    centers: NDArray[np.float64]
    size_deg: NDArray[np.float64]
    elongation: NDArray[np.float64]
    orientation: NDArray[np.float64]
    spatial_frequency: NDArray[np.float64]
    temporal_frequency: NDArray[np.float64]
    phase: NDArray[np.float64]
    transience: NDArray[np.float64]
    direction_selectivity: NDArray[np.float64]
    scale: NDArray[np.float64]
    even: NDArray[np.float32]
    odd: NDArray[np.float32]
    early: NDArray[np.float32]
    late: NDArray[np.float32]

    @property
    def envelopes(self) -> NDArray[np.float32]:
        """(neurons, height, width): Gaussian envelope of each neuron, 1 in the center, 0 beyond 3.5 deviations."""
        across, along = _axes(self)
        width = self.size_deg[:, None, None].astype(np.float32)
        length = width * self.elongation[:, None, None].astype(np.float32)
        distance = (across / width) ** 2 + (along / length) ** 2
        # Far tails would be subnormal numbers, which make matrix products several times slower.
        return np.where(distance < 3.5**2, np.exp(-distance / 2), np.float32(0))

    def drive(self, video: NDArray[np.floating]) -> NDArray[np.float32]:
        """The drive of the receptive fields: (frames, height, width) gray levels 0..255 to (neurons, frames).

        Signed for phase-sensitive cells, never negative for energy cells; the screen is gray before the first frame.
        Adelson & Bergen 1985: each quadrature channel is a sum of two filters that are separable in space and time.
        """
        contrast = np.ascontiguousarray((np.asarray(video, np.float32).reshape(len(video), -1) / 127.5 - 1).T)
        even, odd = (filters.reshape(len(filters), -1) @ contrast for filters in (self.even, self.odd))
        selective = self.direction_selectivity[:, None].astype(np.float32)
        cosine = _filter_in_time(even, self.early) + selective * _filter_in_time(odd, self.late)
        sine = _filter_in_time(odd, self.early) - selective * _filter_in_time(even, self.late)
        phase = self.phase[:, None].astype(np.float32)
        linear = np.cos(phase) * cosine + np.sin(phase) * sine
        seen = np.where((self.kind == "complex")[:, None], np.hypot(cosine, sine), linear)
        return np.asarray(seen * self.scale[:, None].astype(np.float32))

    def calibrated(self, video: NDArray[np.floating]) -> tuple[ReceptiveFields, NDArray[np.float32]]:
        """The same receptive fields, scaled to a root mean square drive of 1 for ``video``; and that drive."""
        drive = self.drive(video)
        factor = 1 / np.maximum(np.sqrt(np.mean(drive**2, axis=1, dtype=np.float64)), 1e-6)
        return replace(self, scale=self.scale * factor), drive * factor[:, None].astype(np.float32)


def draw_receptive_fields(
    random: np.random.Generator, *, neurons: int, height: int, width: int, frame_rate_hz: float
) -> ReceptiveFields:
    """Draw a population at random; its drive is not calibrated yet."""
    kind = random.permutation(np.repeat(list(KINDS), _shares(neurons)))
    striped = np.isin(kind, ("simple", "complex"))
    size = _lognormal(random, SIZE_DEG, neurons)
    fewest = np.where(kind == "complex", FEWEST_CYCLES_OF_COMPLEX, CYCLES_IN_SIZE[0])
    frequency = np.clip(_lognormal(random, SPATIAL_CYCLES_PER_DEG, neurons), fewest / size, CYCLES_IN_SIZE[1] / size)
    phase = np.where(kind == "off", np.pi, random.uniform(0, 2 * np.pi, neurons) * striped)
    fields = ReceptiveFields(
        kind=kind,
        centers=_draw_centers(random, neurons=neurons, height=height, width=width),
        size_deg=size,
        elongation=np.where(striped, random.uniform(1.0, 1.8, neurons), 1.0),
        orientation=random.uniform(0, 2 * np.pi, neurons),
        spatial_frequency=np.where(striped, frequency, 0.0),
        temporal_frequency=_lognormal(random, TEMPORAL_HZ, neurons),
        phase=phase,
        transience=random.uniform(0.4, 1.0, neurons),
        direction_selectivity=np.where(striped, random.beta(0.8, 1.2, neurons), 0.0),
        scale=np.ones(neurons),
        **dict.fromkeys(("even", "odd"), np.zeros((neurons, height, width), np.float32)),
        **dict.fromkeys(("early", "late"), np.zeros((neurons, 0), np.float32)),
    )
    return _with_filters(fields, frame_rate_hz=frame_rate_hz)


def cortical_coordinates(
    random: np.random.Generator, fields: ReceptiveFields, scan_delay: NDArray[np.float64]
) -> NDArray[np.float64]:
    """(neurons, 3): positions in micrometers, retinotopic in the plane, deeper where read later."""
    height, width = fields.even.shape[1:]
    pixels = fields.centers - (np.array([height, width]) - 1) / 2
    scatter = random.normal(0.0, PATCH_SCATTER_DEG, pixels.shape)
    elevation, azimuth = (pixels * SENSORIUM_SCREEN.degrees_per_pixel(width) + scatter).T * MICROMETRES_PER_DEG
    return np.stack([azimuth, elevation, 200.0 + 100.0 * scan_delay], axis=1)


def _with_filters(fields: ReceptiveFields, *, frame_rate_hz: float) -> ReceptiveFields:
    """The same receptive fields with their Gabors and temporal kernels computed."""
    across, _ = _axes(fields)
    stripes = (2 * np.pi * fields.spatial_frequency[:, None, None]).astype(np.float32) * across
    envelopes = fields.envelopes
    even, odd = _in_quadrature(fields, envelopes, envelopes * np.cos(stripes)), envelopes * np.sin(stripes)
    seconds = np.arange(math.ceil(KERNEL_S * frame_rate_hz)) / frame_rate_hz
    early, late = (_temporal_kernels(fields, seconds, stages=stages) for stages in (3, 5))
    return replace(
        fields,
        even=even.astype(np.float32),
        odd=odd.astype(np.float32),
        early=early.astype(np.float32),
        late=late.astype(np.float32),
    )


def _in_quadrature(
    fields: ReceptiveFields, envelopes: NDArray[np.float32], even: NDArray[np.float32]
) -> NDArray[np.float32]:
    """The even filters (neurons, height, width), matched to the odd ones in energy cells.

    An energy cell must ignore mean light, so its even filter has its mean removed. It then responds more weakly to a
    grating than the odd filter does, by (1 - a) / (1 + a) with a = exp(-(2 pi frequency size)^2), which is compensated.
    """
    mean = even.sum(axis=(1, 2), keepdims=True) / envelopes.sum(axis=(1, 2), keepdims=True)
    a = np.exp(-((2 * np.pi * fields.spatial_frequency * fields.size_deg) ** 2))[:, None, None]
    complex_cells = (fields.kind == "complex")[:, None, None]
    weaker = np.where(complex_cells, (1 - a) / (1 + a), 1)
    return np.asarray((even - complex_cells * mean * envelopes) / weaker)


def _temporal_kernels(fields: ReceptiveFields, seconds: NDArray[np.float64], *, stages: int) -> NDArray[np.float64]:
    """(neurons, lags), after Adelson & Bergen 1985, eq. 1: (kt)^n exp(-kt) (1/n! - transience (kt)^2/(n+2)!)."""
    # With n = 3 stages and transience 1 this responds best to 0.46 k radians per second.
    rate = 2 * np.pi * fields.temporal_frequency[:, None] / 0.46
    kt = rate * np.maximum(seconds - LATENCY_S, 0)
    late = fields.transience[:, None] * kt**2 / math.factorial(stages + 2)
    kernels = kt**stages * np.exp(-kt) * (1 / math.factorial(stages) - late)
    return np.asarray(kernels / np.sqrt(np.sum(kernels**2, axis=1, keepdims=True)))


def _filter_in_time(signal: NDArray[np.float32], kernels: NDArray[np.float32]) -> NDArray[np.float32]:
    """Causal convolution of each row (neurons, frames) with its own kernel (neurons, lags)."""
    result = np.zeros_like(signal)
    for lag in range(min(kernels.shape[1], signal.shape[1])):
        result[:, lag:] += kernels[:, lag, None] * signal[:, : signal.shape[1] - lag]
    return result


def _axes(fields: ReceptiveFields) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """(neurons, height, width): degrees from the center of each receptive field, across and along its stripes."""
    height, width = fields.even.shape[1:]
    rows, columns = (
        (np.arange(length) - center[:, None]).astype(np.float32) * np.float32(SENSORIUM_SCREEN.degrees_per_pixel(width))
        for length, center in zip((height, width), fields.centers.T, strict=True)
    )
    cos, sin = (function(fields.orientation)[:, None, None].astype(np.float32) for function in (np.cos, np.sin))
    rows, columns = rows[:, :, None], columns[:, None, :]
    return columns * cos + rows * sin, rows * cos - columns * sin


def _draw_centers(random: np.random.Generator, *, neurons: int, height: int, width: int) -> NDArray[np.float64]:
    """(neurons, 2): rows and columns, uniform over an elliptical patch near the middle of the screen."""
    angle, radius = random.uniform(0, 2 * np.pi, neurons), np.sqrt(random.random(neurons))
    middle = random.normal(0.0, 4.0, 2)
    offsets_deg = np.stack([np.sin(angle), np.cos(angle)], axis=1) * radius[:, None] * np.array(PATCH_DEG) + middle
    return (np.array([height, width]) - 1) / 2 + offsets_deg / SENSORIUM_SCREEN.degrees_per_pixel(width)


def _shares(neurons: int) -> list[int]:
    """Number of neurons of each kind, adding up to ``neurons``."""
    ends = np.rint(np.cumsum(list(KINDS.values())) * neurons).astype(int)
    return list(np.diff(ends, prepend=0))


def _lognormal(
    random: np.random.Generator, values: tuple[float, float, float, float], count: int
) -> NDArray[np.float64]:
    median, spread, smallest, largest = values
    return np.clip(random.lognormal(math.log(median), spread, count), smallest, largest)

"""Correlation by band of spatial and temporal frequency: how well each scale of a movie was recovered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import distance_transform_edt

from neuroreel.arguments import positive_number
from neuroreel.defaults import SKIP_FRAMES
from neuroreel.errors import InputError
from neuroreel.evaluation.comparison import compare

Floats = NDArray[np.float64]
ROUNDING = 1e-20  # of a movie's total power: less is rounding of the transform


@dataclass(frozen=True, kw_only=True, eq=False)
class BandCorrelation:
    """Correlation of a movie and its reconstruction in frequency bands. Results of several movies can be added.

    Attributes
    ----------
    spatial_edges
        (spatial bands + 1,): edges of the bands, in ``spatial_unit``.
    spatial_unit
        "cycles/degree" or "cycles/pixel".
    temporal_edges
        (temporal bands + 1,), in Hz.
    cross, power_truth, power_video
        (spatial bands, temporal bands): the real part of the cross-spectrum, and both power spectra, summed over the
        frequencies of a band.
    """

    spatial_edges: Floats
    spatial_unit: str
    temporal_edges: Floats
    cross: Floats
    power_truth: Floats
    power_video: Floats

    @property
    def correlation(self) -> Floats:
        """(spatial bands, temporal bands); nan where a movie has no power or a band has no frequencies."""
        return _ratio(self.cross, self.power_truth, self.power_video)

    @property
    def by_spatial_band(self) -> Floats:
        """(spatial bands,): over all temporal bands together."""
        return _ratio(*(each.sum(axis=1) for each in self._sums))

    @property
    def by_temporal_band(self) -> Floats:
        """(temporal bands,): over all spatial bands together."""
        return _ratio(*(each.sum(axis=0) for each in self._sums))

    @property
    def gain(self) -> Floats:
        """(spatial bands, temporal bands): contrast of the reconstruction divided by that of the movie."""
        powers = np.where(self.power_truth > 0, self.power_truth, np.nan)
        return np.sqrt(self.power_video / powers)

    @property
    def _sums(self) -> tuple[Floats, Floats, Floats]:
        return self.cross, self.power_truth, self.power_video

    def __add__(self, other: BandCorrelation) -> BandCorrelation:
        """Combine two movies, weighted by their power."""
        same = self.spatial_unit == other.spatial_unit and all(
            np.array_equal(one, another)
            for one, another in (
                (self.spatial_edges, other.spatial_edges),
                (self.temporal_edges, other.temporal_edges),
            )
        )
        if not same:
            raise InputError("the bands of the two movies differ; give both the same spatial_edges and temporal_edges")
        cross, truth, video = (one + another for one, another in zip(self._sums, other._sums, strict=True))
        return replace(self, cross=cross, power_truth=truth, power_video=video)

    def __str__(self) -> str:
        parts = [
            (self.spatial_edges, self.spatial_unit, self.by_spatial_band),
            (self.temporal_edges, "Hz", self.by_temporal_band),
        ]
        return "\n".join(
            f"{low:.3g} to {high:.3g} {unit}: {value:.3f}"
            for edges, unit, values in parts
            for low, high, value in zip(edges, edges[1:], values, strict=False)
        )


def band_correlation(
    truth: ArrayLike,
    video: ArrayLike,
    *,
    frame_rate_hz: float,
    pixels_per_degree: float | None = None,
    spatial_edges: Sequence[float] | None = None,
    temporal_edges: Sequence[float] | None = None,
    mask: ArrayLike | None = None,
    skip: int = SKIP_FRAMES,
    mask_threshold: float = 1.0,
    taper_px: int = 4,
    taper_frames: int | None = None,
) -> BandCorrelation:
    """Correlation of a movie and its reconstruction by band of spatial and temporal frequency, inside the mask.

    1. Both movies are multiplied by a window: 1 in the middle of the mask, falling to 0 outside along a squared sine
       over ``taper_px`` pixels, and the same over time. A mask with hard edges would spread the low frequencies that
       dominate natural movies over all others, so that fine detail would falsely appear recovered.
    2. Each loses its mean, weighted by the window, and is Fourier transformed over frames, rows and columns.
    3. In each band, the cross-spectrum of both is summed and divided by the root of the product of their summed
       powers. By Parseval's theorem this is the correlation of the two windowed movies after an ideal band-pass filter.

    Spatial frequency is that of the grating, whatever its orientation: sqrt(fx² + fy²); temporal frequency has no sign.
    Frequencies closer than about 1 / (extent of the mask), or 2 / (duration), cannot be resolved: bands should be
    wider than that.

    Parameters
    ----------
    truth, video
        (frames, height, width): the movie that was shown and its reconstruction.
    frame_rate_hz
        Frames per second.
    pixels_per_degree
        Pixels per degree of visual angle. Frequencies are then in cycles per degree; without it, in cycles per pixel.
    spatial_edges, temporal_edges
        Increasing edges of the bands; a band includes its lower edge, the last one also its upper. By default octaves
        below the Nyquist frequency: 0, 1/32, 1/16, 1/8, 1/4, 1/2 cycles per pixel and per frame.
    mask, skip, mask_threshold
        Which pixels and frames count, as in :func:`neuroreel.compare`.
    taper_px
        Width of the window's edge, inward from the mask's edge; 0 for a hard edge.
    taper_frames
        The same at the start and the end; by default half the frames, which is a Hann window.

    Raises
    ------
    InputError
        Movies that do not fit, edges that do not increase or exceed the Nyquist frequency.
    """
    both = compare(truth, video, mask=mask, skip=skip, mask_threshold=mask_threshold)
    true, shown, inside = both.truth, both.video, both.inside
    pixels = 1.0 if pixels_per_degree is None else pixels_per_degree
    for name, value in (("frame_rate_hz", frame_rate_hz), ("pixels_per_degree", pixels)):
        positive_number(value, name=name)
    unit = "cycles/pixel" if pixels_per_degree is None else "cycles/degree"
    in_space = _edges(spatial_edges, nyquist=pixels / 2, unit=unit, name="spatial_edges")
    in_time = _edges(temporal_edges, nyquist=frame_rate_hz / 2, unit="Hz", name="temporal_edges")
    window = _window(inside, len(true), taper_px=taper_px, taper_frames=taper_frames)
    spectra = _spectrum(true, window), _spectrum(shown, window)
    frames, height, width = window.shape
    radius = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width)) * pixels
    space_bands = _membership(radius.ravel(), in_space)
    time_bands = _membership(np.abs(np.fft.fftfreq(frames)) * frame_rate_hz, in_time)

    def summed(values: Floats) -> Floats:
        return space_bands @ values.reshape(frames, -1).T @ time_bands.T

    return BandCorrelation(
        spatial_edges=in_space,
        spatial_unit=unit,
        temporal_edges=in_time,
        cross=summed((spectra[0] * spectra[1].conj()).real),
        power_truth=summed(_power(spectra[0])),
        power_video=summed(_power(spectra[1])),
    )


def _edges(edges: Sequence[float] | None, *, nyquist: float, unit: str, name: str) -> Floats:
    if edges is None:
        return nyquist * np.array([0, 1 / 16, 1 / 8, 1 / 4, 1 / 2, 1])
    values = np.asarray(edges, np.float64)
    if values.ndim != 1 or len(values) < 2 or not (np.diff(values) > 0).all() or values[0] < 0:
        raise InputError(f"{name} is {list(edges)}; it must rise from 0 or more, with at least two edges")
    if values[-1] > nyquist * (1 + 1e-9):
        raise InputError(
            f"{name} ends at {values[-1]:g} {unit}, above the Nyquist frequency {nyquist:g}; lower its last edge"
        )
    return values


def _window(inside: NDArray[np.bool_], frames: int, *, taper_px: int, taper_frames: int | None) -> Floats:
    """(frames, height, width) between 0 and 1: 0 outside the mask, 1 away from its edge and from both ends."""
    to_edge = distance_transform_edt(np.pad(inside, 1))[1:-1, 1:-1]  # outside the frame is outside the mask
    to_end = np.minimum(np.arange(1, frames + 1), np.arange(frames, 0, -1))
    over_time = _ramp(to_end, frames // 2 if taper_frames is None else taper_frames, name="taper_frames")
    return over_time[:, None, None] * _ramp(to_edge, taper_px, name="taper_px")


def _ramp(distance: NDArray[np.generic], length: int, *, name: str) -> Floats:
    """Rises from 0 at distance 0 to 1 beyond ``length``, along a squared sine."""
    if length < 0:
        raise InputError(f"{name} is {length}; it must be 0 or more")
    rise: Floats = np.sin(np.pi / 2 * np.clip(np.asarray(distance, np.float64) / (length + 1), 0, 1)) ** 2
    return rise


def _spectrum(movie: Floats, window: Floats) -> NDArray[np.complex128]:
    contrast = movie - movie[0, 0, 0]  # a constant movie becomes exactly 0, despite rounding
    mean = (contrast * window).sum() / window.sum()
    return np.fft.fftn((contrast - mean) * window)


def _power(spectrum: NDArray[np.complex128]) -> Floats:
    power = np.abs(spectrum) ** 2
    return np.where(power > ROUNDING * power.sum(), power, 0)


def _membership(frequencies: Floats, edges: Floats) -> Floats:
    """(bands, frequencies): 1 if a frequency is in a band."""
    last = np.isclose(frequencies, edges[-1])
    band = np.where(last, len(edges) - 2, np.digitize(frequencies, edges) - 1)
    return (band == np.arange(len(edges) - 1)[:, None]).astype(np.float64)


def _ratio(cross: Floats, power_truth: Floats, power_video: Floats) -> Floats:
    norms = np.sqrt(power_truth * power_video)
    return np.divide(cross, norms, out=np.full_like(cross, np.nan), where=norms > 0)

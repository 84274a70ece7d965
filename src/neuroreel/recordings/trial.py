"""One trial: a movie and the responses of the neurons."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from neuroreel.arguments import positive_number
from neuroreel.errors import InputError
from neuroreel.grey import check_white

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure


@dataclass(frozen=True, kw_only=True, eq=False)
class Trial:
    """A movie, the responses to it and, if recorded, the animal's behavior, all on one clock.

    Parameters
    ----------
    video
        (frames, height, width), gray levels 0..255. None if the movie is unknown.
    responses
        (neurons, frames): deconvolved calcium, fluorescence, spike counts. None if nothing was recorded.
    frame_rate_hz
        Frames per second of all arrays.
    behavior
        (channels, frames), any unit; in Sensorium recordings pupil dilation and running speed. None if not recorded.
    pupil_center
        (2, frames), in camera pixels. None if not recorded.
    name
        Name of the trial in messages, plots and results.
    recording
        Name of its recording.
    simulated
        True if no animal was recorded; this is said wherever its results are shown.

    Raises
    ------
    InputError
        An array of the wrong rank, lengths that differ, gray levels outside 0..255, NaN or infinite values.
    """

    video: NDArray[Any] | None = None
    responses: NDArray[Any] | None = None
    frame_rate_hz: float
    behavior: NDArray[Any] | None = None
    pupil_center: NDArray[Any] | None = None
    name: str = "trial"
    recording: str = ""
    simulated: bool = False

    def __post_init__(self) -> None:
        if self.video is None and self.responses is None:
            raise InputError(f"{self.name} has neither a video nor responses; give at least one of them")
        positive_number(self.frame_rate_hz, name=f"{self.name}: frame_rate_hz")
        for field, axes in _AXES.items():
            array = getattr(self, field)
            if array is not None:
                array = _as_array(array, f"{self.name}: {field}")
                object.__setattr__(self, field, array)
                _check_array(array, axes, f"{self.name}: {field}")
        if self.video is not None:
            lowest, highest = self.video.min(), self.video.max()
            if lowest < 0 or highest > 255:
                raise InputError(
                    f"{self.name}: video has grey levels from {lowest:g} to {highest:g}; they must lie in 0..255: "
                    "scale the movie so that black is 0 and white is 255"
                )
        lengths = {field: _frames(field, array) for field in _AXES if (array := getattr(self, field)) is not None}
        if len(set(lengths.values())) > 1:
            advice = "cut or resample them to one clock; video is (frames, height, width), others (channels, frames)"
            if odd := turned(lengths, {field: getattr(self, field).shape for field in lengths}):
                advice = f"{odd} seems to have its axes in another order; it must be ({', '.join(_AXES[odd])})"
            raise InputError(f"{self.name}: lengths differ, in frames: {lengths}; {advice}")

    @property
    def frames(self) -> int:
        """Number of frames."""
        array = self.video if self.video is not None else self.responses
        assert array is not None  # __post_init__ made sure
        return _frames("video" if self.video is not None else "responses", array)

    @property
    def neurons(self) -> int:
        """Number of recorded neurons (0 without responses)."""
        return 0 if self.responses is None else self.responses.shape[0]

    @property
    def duration_s(self) -> float:
        """Length of the trial in seconds."""
        return self.frames / self.frame_rate_hz

    @property
    def covariates(self) -> NDArray[np.float32]:
        """(channels, frames): behavior and pupil center together; no channels if neither was recorded."""
        recorded = [array for array in (self.behavior, self.pupil_center) if array is not None]
        if not recorded:
            return np.zeros((0, self.frames), np.float32)
        return np.concatenate(recorded).astype(np.float32, copy=False)

    def needs_video(self) -> NDArray[np.float32]:
        """The video as float32 (frames, height, width); InputError if it is unknown, or its white seems to be 1."""
        if self.video is None:
            raise InputError(f"{self.name} has no video; this step needs the movie that was shown")
        check_white(self.video, what=self.name)
        return np.ascontiguousarray(self.video, dtype=np.float32)

    def needs_responses(self) -> NDArray[np.float32]:
        """The responses as float32 (neurons, frames), with negative values set to 0; InputError if there are none.

        Deconvolved calcium has small negative values where the deconvolution overshot, but encoding models count
        events.
        """
        if self.responses is None:
            raise InputError(f"{self.name} has no responses; this step needs recorded activity")
        return np.maximum(self.responses, 0, dtype=np.float32)

    def replace(self, **changes: Any) -> Trial:
        """A copy with some fields changed, validated again."""
        return replace(self, **changes)

    def to_xarray(self) -> xr.Dataset:
        """The arrays on labeled axes, with times in seconds; the screen is right side up in xarray's plots.

        ``video`` (frame, height, width), ``responses`` (neuron, frame), ``behavior`` (channel, frame) and
        ``pupil_center`` (coordinate, frame): those that were recorded, without copying.
        """
        from neuroreel.recordings.pictures import trial_dataset

        return trial_dataset(self)

    def plot(self, *, columns: int = 6) -> Figure:
        """Frames of the movie, the responses as a raster, behavior and pupil; drawn without pyplot."""
        from neuroreel.recordings.pictures import trial_figure

        return trial_figure(self, columns=columns)

    def _repr_html_(self) -> str:
        from neuroreel.showing import figure_html

        return figure_html(self.plot(), title=self.name, facts=[repr(self)])

    def __repr__(self) -> str:
        size = "no video" if self.video is None else f"{self.video.shape[2]}x{self.video.shape[1]} pixels"
        length = f"{self.frames} frames at {self.frame_rate_hz:g} Hz"
        return f"Trial({self.name!r}, {length}, {size}, {self.neurons} neurons)"


_AXES = {
    "video": ("frames", "height", "width"),
    "responses": ("neurons", "frames"),
    "behavior": ("channels", "frames"),
    "pupil_center": ("channels", "frames"),
}


def turned(lengths: Mapping[str, int], shapes: Mapping[str, tuple[int, ...]]) -> str | None:
    """Which array seems to have its axes in another order: another of its axes has the length that all others share.

    None if that is true for no array, or for several.
    """
    others = {kind: {lengths[other] for other in lengths if other != kind} for kind in lengths}
    found = [kind for kind in lengths if len(others[kind]) == 1 and others[kind] <= set(shapes[kind])]
    return found[0] if len(found) == 1 else None


def _frames(field: str, array: NDArray[Any]) -> int:
    return int(array.shape[_AXES[field].index("frames")])


def _as_array(values: Any, what: str) -> NDArray[Any]:
    """The values as an ndarray (memory-mapped arrays stay mapped); InputError for ragged lists or tensors on a GPU."""
    if np.ma.is_masked(values):
        raise InputError(f"{what} has masked values; crop or interpolate them first")
    try:
        array = np.asanyarray(values)
        return array if isinstance(array, np.memmap) else np.asarray(array)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"{what} is a {type(values).__name__} that NumPy cannot take as an array: {error}") from error


def _check_array(array: NDArray[Any], axes: tuple[str, ...], what: str) -> None:
    if array.ndim != len(axes):
        raise InputError(f"{what} has shape {array.shape}; it must be ({', '.join(axes)})")
    if array.size == 0:
        raise InputError(f"{what} has shape {array.shape}: it is empty")
    if array.dtype.kind not in "fiub":
        raise InputError(f"{what} has type {array.dtype}; it must hold real numbers")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        bad = int((~np.isfinite(array)).sum())
        raise InputError(f"{what} holds {bad} NaN or infinite values; crop or interpolate them first")

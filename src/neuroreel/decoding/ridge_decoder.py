"""A fitted linear decoder, and how it decodes trials and is saved."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from neuroreel.decoding.decoder import Decoder, read_arrays, write_arrays
from neuroreel.decoding.features import ResponseFeatures
from neuroreel.recordings.trial import Trial

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, kw_only=True, eq=False)
class RidgeDecoder(Decoder):
    """A linear map from the responses around a frame to its pixels, with its error statistics. Made by ``fit_decoder``.

    Parameters
    ----------
    features
        How responses become features: standardization, principal components, lags.
    weights, intercept
        (features, pixels) and (pixels,), in gray levels; pixels run along rows.
    video_height, video_width, frame_rate_hz
        Size and rate of the movies it was fitted to and decodes.
    penalty
        The chosen penalty, in the units of ``fit_decoder``.
    held_out_errors
        Root mean squared error in gray levels on held-out trials, by penalty, over an even grid of about 300 pixels;
        empty if nothing could be held out.
    mean_video
        (height, width): mean frame of the training movies.
    video_covariance
        (pixels, pixels): covariance of the training movies. None above 10,000 pixels.
    residual_covariance
        (pixels, pixels): mean of residual x residual over the frames of held-out trials, residual = truth - decoded.
        None above 10,000 pixels, or if nothing could be held out.
    residual_autocorrelation
        (lags,): autocorrelation of that residual, averaged over pixels, from lag 0 (which is 1) to one second, in
        frames. None if nothing could be held out.
    """

    FORMAT: ClassVar[str] = "neuroreel ridge decoder"

    features: ResponseFeatures
    weights: NDArray[np.float32]
    intercept: NDArray[np.float32]
    video_height: int
    video_width: int
    frame_rate_hz: float
    penalty: float
    held_out_errors: dict[float, float]
    mean_video: NDArray[np.float32]
    video_covariance: NDArray[np.float32] | None
    residual_covariance: NDArray[np.float32] | None
    residual_autocorrelation: NDArray[np.float32] | None

    @property
    def neurons(self) -> int:
        """Number of neurons."""
        return self.features.neurons

    @property
    def lags_s(self) -> tuple[float, ...]:
        """Times of the responses it uses, in seconds after the frame."""
        return tuple(lag / self.frame_rate_hz for lag in self.features.lags)

    def movie(self, trial: Trial) -> NDArray[np.float32]:
        """The movie of a trial, clipped to 0..255."""
        pixels = self.features.of(trial) @ torch.from_numpy(self.weights) + torch.from_numpy(self.intercept)
        return pixels.clamp_(0, 255).reshape(-1, self.video_height, self.video_width).numpy()

    def save(self, path: str | Path, *, overwrite: bool = False) -> Path:
        """Write one safetensors file with everything in it."""
        return write_arrays(path, *self.to_arrays(), kind=self.FORMAT, overwrite=overwrite)

    @classmethod
    def load(cls, path: str | Path) -> RidgeDecoder:
        """Read what ``save`` wrote; InputError if the file is missing, damaged or something else."""
        arrays, facts, _ = read_arrays(path, formats=(cls.FORMAT,))
        return cls.from_arrays(arrays, facts)

    def to_arrays(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """The decoder as arrays and plain facts."""
        arrays = {name: getattr(self, name) for name in _ARRAYS}
        arrays |= {name: getattr(self.features, name) for name in _FEATURE_ARRAYS}
        facts = {name: getattr(self, name) for name in _FACTS}
        facts |= {"lags": self.features.lags, "held_out_errors": list(self.held_out_errors.items())}
        return {name: array for name, array in arrays.items() if array is not None}, facts

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]], facts: Mapping[str, Any]) -> RidgeDecoder:
        """Rebuild the decoder from what ``to_arrays`` returned."""
        parts: dict[str, Any] = {name: arrays.get(name) for name in _FEATURE_ARRAYS}
        features = ResponseFeatures(lags=tuple(facts["lags"]), **parts)
        errors = {float(penalty): float(error) for penalty, error in facts["held_out_errors"]}
        rest: dict[str, Any] = {name: facts[name] for name in _FACTS} | {name: arrays.get(name) for name in _ARRAYS}
        return cls(features=features, held_out_errors=errors, **rest)

    def plot(self) -> Figure:
        """The mean frame, the strongest filters, the held-out error; drawn without pyplot."""
        from neuroreel.decoding.pictures import decoder_figure

        return decoder_figure(self)

    def _repr_html_(self) -> str:
        from neuroreel.decoding.pictures import decoder_html

        return decoder_html(self, repr(self))

    def __repr__(self) -> str:
        size = f"{self.video_width}x{self.video_height} pixels"
        lags = f"{self.lags_s[0]:.3f}..{self.lags_s[-1]:.3f} s"
        return f"RidgeDecoder({self.neurons} neurons, lags {lags}, {size}, penalty {self.penalty:g})"


_FEATURE_ARRAYS = ("mean", "scale", "axes")
_ARRAYS = (
    "weights",
    "intercept",
    "mean_video",
    "video_covariance",
    "residual_covariance",
    "residual_autocorrelation",
)
_FACTS = ("video_height", "video_width", "frame_rate_hz", "penalty")

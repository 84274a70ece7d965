"""A fitted linear decoder: what it holds, how it decodes a trial, how it is kept in a file."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from neuroreel.arguments import instance_of
from neuroreel.decoding.features import ResponseFeatures
from neuroreel.errors import InputError
from neuroreel.files import atomic_path, user_path
from neuroreel.recordings.checks import same_rate
from neuroreel.recordings.disk import check_fetched
from neuroreel.recordings.trial import Trial

FORMAT, VERSION = "neuroreel ridge decoder", "1"


@dataclass(frozen=True, kw_only=True, eq=False)
class RidgeDecoder:
    """A linear map from the responses around a frame to its pixels, and what it gets wrong. Made by ``fit_decoder``.

    Parameters
    ----------
    features
        How responses become features: standardization, principal components, lags.
    weights, intercept
        (features, pixels) and (pixels,), in grey levels; pixels run along rows.
    video_height, video_width, frame_rate_hz
        Of the movies it was fitted to, and of those it decodes.
    penalty
        The penalty that was chosen, in the units of ``fit_decoder``.
    held_out_errors
        Root mean squared error in grey levels on held-out trials, by penalty, over an even grid of about 300 pixels;
        empty where nothing could be held out.
    mean_video
        (height, width): mean frame of the training movies.
    video_covariance
        (pixels, pixels): of the training movies around ``mean_video``. None above 10,000 pixels.
    residual_covariance
        (pixels, pixels): mean of residual x residual over the frames of held-out trials, residual = truth - decoded.
        None above 10,000 pixels, or where nothing could be held out.
    residual_autocorrelation
        (lags,): of that residual over time, averaged over pixels, from lag 0 (which is 1) to one second, in frames.
        None where nothing could be held out.
    """

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
        """How many neurons it decodes from."""
        return self.features.neurons

    @property
    def lags_s(self) -> tuple[float, ...]:
        """Times of the responses it uses, in seconds after the frame."""
        return tuple(lag / self.frame_rate_hz for lag in self.features.lags)

    def save(self, path: str | Path, *, overwrite: bool = False) -> Path:
        """Write one safetensors file with everything in it.

        Raises
        ------
        InputError
            The file exists and ``overwrite`` is False.
        ResourceError
            The disk is full, or the folder may not be written.
        """
        from safetensors.numpy import save

        arrays = {name: getattr(self, name) for name in _ARRAYS}
        arrays |= {name: getattr(self.features, name) for name in _FEATURE_ARRAYS}
        facts = {name: getattr(self, name) for name in _FACTS}
        facts |= {"lags": self.features.lags, "held_out_errors": list(self.held_out_errors.items())}
        written = save(
            {name: np.ascontiguousarray(array) for name, array in arrays.items() if array is not None},
            metadata={"format": FORMAT, "version": VERSION, "facts": json.dumps(facts)},
        )
        with atomic_path(path, overwrite=overwrite) as partial:
            partial.write_bytes(written)
        return user_path(path)

    @classmethod
    def load(cls, path: str | Path) -> RidgeDecoder:
        """Read what ``save`` wrote; InputError if the file is missing, damaged or something else."""
        arrays, facts = _read(user_path(path))
        lags = tuple(facts.pop("lags"))
        errors = {float(penalty): float(error) for penalty, error in facts.pop("held_out_errors")}
        features: dict[str, Any] = {name: arrays.get(name) for name in _FEATURE_ARRAYS}
        rest: dict[str, Any] = facts | {name: arrays.get(name) for name in _ARRAYS}
        return cls(features=ResponseFeatures(lags=lags, **features), held_out_errors=errors, **rest)

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


def decode(decoder: RidgeDecoder, trial: Trial) -> NDArray[np.float32]:
    """The movie that the decoder reads from a trial's responses.

    Parameters
    ----------
    decoder
        From ``fit_decoder``, on other trials of the same neurons.
    trial
        With responses; its video, if any, is not looked at.

    Returns
    -------
    (frames, height, width) float32
        Grey levels, clipped to 0..255.

    Raises
    ------
    InputError
        No responses, another number of neurons, another frame rate.
    """
    instance_of(decoder, RidgeDecoder, name="decoder")
    check_decodable(decoder, trial)
    pixels = decoder.features.of(trial) @ torch.from_numpy(decoder.weights) + torch.from_numpy(decoder.intercept)
    return pixels.clamp_(0, 255).reshape(-1, decoder.video_height, decoder.video_width).numpy()


def check_decodable(decoder: RidgeDecoder, trial: Trial) -> None:
    """Raise InputError unless the trial has the responses that the decoder was fitted to."""
    if instance_of(trial, Trial, name="the trial").responses is None:
        raise InputError(f"{trial.name} has no responses; decoding needs recorded activity")
    if trial.neurons != decoder.neurons:
        raise InputError(
            f"{trial.name} has {trial.neurons} neurons, the decoder was fitted to {decoder.neurons}; "
            "use trials of the same recording, or fit a decoder to these neurons"
        )
    if not same_rate(trial.frame_rate_hz, decoder.frame_rate_hz):
        raise InputError(
            f"{trial.name} runs at {trial.frame_rate_hz:g} Hz, the decoder at {decoder.frame_rate_hz:g} Hz; "
            "resample the trial, or fit a decoder at this rate"
        )


def _read(path: Path) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """Arrays and facts of a decoder file."""
    from safetensors import SafetensorError, safe_open

    check_fetched(path)
    if not path.is_file():
        raise InputError(f"{path} is no file; give the file that RidgeDecoder.save wrote")
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            if (metadata.get("format"), metadata.get("version")) != (FORMAT, VERSION):
                raise InputError(
                    f"{path} holds {metadata.get('format', 'unnamed arrays')}, version {metadata.get('version', '?')}, "
                    f"not a {FORMAT}, version {VERSION}; give a file that RidgeDecoder.save wrote"
                )
            names = list(file.keys())
            return {name: file.get_tensor(name) for name in names}, json.loads(metadata["facts"])
    except SafetensorError as error:
        raise InputError(f"{path} is no safetensors file, or a damaged one: {error}") from error

"""Real neurons: the noise movie that pieces of mouse retina saw, reconstructed from their spikes.

    python examples/retina.py mouse_retina_dense_noise.npz --out retina

Everything is fitted to the first 1800 noise frames; the last 300 are reconstructed, once from the units of the largest
recording, which were recorded at once, and once from the units of all recordings, which saw the same movie.
"""

from __future__ import annotations

import argparse
import csv
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

import neuroreel as nr
from neuroreel.files import atomic_path, refuse_existing

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DISPLAY_FRAMES = 4  # each noise frame stood for four display frames
TRAINING_FRAMES = 1800
VALIDATION_FRAMES = 200  # the last of the training frames: they stop the encoding model's training
TRIAL_FRAMES = 100

# A receptive field covers little more than one pixel and 0.2 s, so the filters are small and nothing is left out.
ARCHITECTURE: dict[str, Any] = {
    "stride": 1,
    "spatial_kernel": 3,
    "temporal_kernel": 6,
    "hidden_kernel": 1,
    "channels": 16,
    "hidden_channels": 24,
    "clip_frames": 30,
}
RECIPE: dict[str, Any] = {
    "learning_rate": 1e-2,
    "window_frames": 96,
    "batches_per_epoch": 20,
    "epochs": 7,
    "ema_decay": 0.95,
}
# Chosen on the 200 validation frames, with an encoding model trained on the 1600 before them.
LAGS_S = [2 / 15]
SETTINGS: dict[str, Any] = {"evidence_weight": 0.3, "iterations": 30}
SCORES = ("video_correlation", "frame_correlation", "pixel_correlation")


@dataclass(frozen=True)
class Retina:
    """The noise movie (frames, height, width), grey 0 or 255, and spike counts (units, frames) a noise frame."""

    video: NDArray[np.uint8]
    counts: NDArray[np.int64]
    recording: NDArray[np.str_]
    frame_rate_hz: float

    @classmethod
    def read(cls, file: str | Path) -> Retina:
        """Read the file; its counts are those of display frames."""
        with np.load(file, allow_pickle=False) as data:
            counts = data["counts60"]
            units, display_frames = counts.shape
            return cls(
                video=data["stimulus"] * np.uint8(255),
                counts=counts.reshape(units, display_frames // DISPLAY_FRAMES, DISPLAY_FRAMES).sum(axis=2),
                recording=data["recording"],
                frame_rate_hz=float(np.mean(data["frame_rate_hz"])) / DISPLAY_FRAMES,
            )

    def largest_recording(self) -> NDArray[np.bool_]:
        """Which units are from the recording with the most of them."""
        names, units = np.unique(self.recording, return_counts=True)
        return self.recording == names[units.argmax()]

    def trial(self, units: NDArray[np.bool_], first: int, last: int) -> nr.Trial:
        """The noise frames from ``first`` to before ``last``, and what some units did meanwhile."""
        return nr.Trial(
            video=self.video[first:last],
            responses=self.counts[units, first:last],
            frame_rate_hz=self.frame_rate_hz,
            name=f"frames {first}-{last - 1}",
            recording=f"{units.sum()} units of mouse retina",
        )


@dataclass(frozen=True)
class Outcome:
    """What came of one population."""

    units: int
    encoding_correlation: float
    mask: NDArray[np.bool_]
    ridge: NDArray[np.float32]
    result: nr.Reconstruction
    seconds: float

    def scores(self) -> dict[str, dict[str, float]]:
        """Scores inside the mask over all held-out frames, for ridge and for the reconstruction."""
        truth = self.result.truth
        assert truth is not None  # the trial had its movie
        movies = {"ridge": self.ridge, "reconstruction": self.result.video}
        found = {name: nr.scores(truth, movie, mask=self.mask, skip=0) for name, movie in movies.items()}
        return {name: {score: values[score] for score in SCORES} for name, values in found.items()}


def run(
    retina: Retina, units: NDArray[np.bool_], *, recipe: dict[str, Any] | None = None, progress: bool = True
) -> Outcome:
    """Fit to the training frames, find the mask there, and reconstruct the frames after them."""
    started = time.perf_counter()
    trials = [
        retina.trial(units, first, first + TRIAL_FRAMES) for first in range(0, TRAINING_FRAMES, TRIAL_FRAMES)
    ]
    held_out = retina.trial(units, TRAINING_FRAMES, len(retina.video))
    kept_back = VALIDATION_FRAMES // TRIAL_FRAMES
    model = nr.fit_encoder(
        trials[:-kept_back],
        validation=trials[-kept_back:],
        recipe=RECIPE | (recipe or {}),
        architecture=ARCHITECTURE,
        progress=progress,
    )
    decoder = nr.fit_decoder(trials, lags_s=LAGS_S, progress=progress)
    mask = readable_pixels(decoder)
    result = nr.reconstruct(
        held_out, model, mask=mask.astype(np.float32), decoder=decoder, progress=progress, **SETTINGS
    )
    return Outcome(
        units=int(units.sum()),
        encoding_correlation=nr.encoder_correlation(model, [held_out]),
        mask=mask,
        ridge=nr.decode(decoder, held_out),
        result=result,
        seconds=time.perf_counter() - started,
    )


def readable_pixels(decoder: nr.RidgeDecoder, *, correlation: float = 0.25) -> NDArray[np.bool_]:
    """(height, width): pixels that the decoder read from training trials it had not been fitted to.

    A pixel counts if the decoder explained as much of its variance there as goes with this correlation.
    """
    if decoder.residual_covariance is None or decoder.video_covariance is None:
        raise nr.InputError("the decoder was fitted without holding any trial out; give several training trials")
    unexplained = decoder.residual_covariance.diagonal() / decoder.video_covariance.diagonal()
    return (1 - unexplained > correlation**2).reshape(decoder.video_height, decoder.video_width)

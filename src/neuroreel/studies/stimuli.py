"""Movies that no animal watched, as parts of a job: small declarations that make the movie on demand."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neuroreel.bauer_2026.stimulus_sets import grating_stimuli, noise_stimuli
from neuroreel.errors import InputError
from neuroreel.recordings.recording import Recording
from neuroreel.stimuli.gratings import drifting_grating


@dataclass(frozen=True, kw_only=True)
class NoiseStimulus:
    """A movie of Gaussian noise, or its phase inversion.

    Attributes
    ----------
    spatial_px, temporal_frames
        Length constants of the noise; 0 is white.
    repeat
        Number of the draw.
    inverted
        True for 255 minus the movie.
    frames
        Number of frames.
    file
        The authors' ``gaussian_noise_movies.npz``, instead of our own movies.
    """

    spatial_px: float
    temporal_frames: float
    repeat: int = 0
    inverted: bool = False
    frames: int = 60
    file: Path | None = None

    @property
    def key(self) -> str:
        """Short and readable; names this movie's files."""
        phase = "_inverted" if self.inverted else ""
        return f"noise-{self.spatial_px:g}px-{self.temporal_frames:g}f_r{self.repeat}{phase}"

    @property
    def columns(self) -> dict[str, Any]:
        """Its columns in the table."""
        return {
            "spatial_px": self.spatial_px,
            "temporal_frames": self.temporal_frames,
            "repeat": self.repeat,
            "inverted": self.inverted,
        }

    def movie(self, recording: Recording) -> NDArray[np.float32]:
        """(frames, height, width) of the recording's frame size, grey levels 0..255."""
        if self.file is not None:
            return _one_of(_noise_of(self.file), self.columns)
        height, width = recording.video_size
        stimuli = noise_stimuli(
            repeats=(self.repeat,),
            spatial_px=(self.spatial_px,),
            temporal_frames=(self.temporal_frames,),
            inverted=(self.inverted,),
            frames=self.frames,
            height=height,
            width=width,
        )
        return np.asarray(stimuli.values[0, 0, 0, 0], np.float32)


@dataclass(frozen=True, kw_only=True)
class GratingStimulus:
    """A drifting grating.

    Attributes
    ----------
    direction_deg
        Direction of drift: 0 is right, 90 is up.
    spatial_frequency
        Cycles per degree.
    temporal_frequency_hz
        Cycles per second.
    frames
        Number of frames.
    file
        The authors' ``grating_movies.npz``, instead of our own movies.
    """

    direction_deg: float
    spatial_frequency: float
    temporal_frequency_hz: float
    frames: int = 60
    file: Path | None = None

    @property
    def key(self) -> str:
        """Short and readable; names this movie's files."""
        return f"grating-{self.direction_deg:g}deg-{self.spatial_frequency:.3g}cpd-{self.temporal_frequency_hz:.3g}hz"

    @property
    def columns(self) -> dict[str, Any]:
        """Its columns in the table."""
        return {
            "direction_deg": self.direction_deg,
            "spatial_frequency": self.spatial_frequency,
            "temporal_frequency_hz": self.temporal_frequency_hz,
        }

    def movie(self, recording: Recording) -> NDArray[np.float32]:
        """(frames, height, width) of the recording's frame size, gray levels 0..255."""
        if self.file is not None:
            return _one_of(_gratings_of(self.file), self.columns)
        height, width = recording.video_size
        return drifting_grating(
            direction_deg=self.direction_deg,
            spatial_frequency=self.spatial_frequency,
            temporal_frequency_hz=self.temporal_frequency_hz,
            frames=self.frames,
            height=height,
            width=width,
            frame_rate_hz=recording.frame_rate_hz,
        )


Stimulus = NoiseStimulus | GratingStimulus


@lru_cache(maxsize=1)
def _noise_of(file: Path) -> xr.DataArray:
    """All movies of the file, which is read once for all jobs."""
    return noise_stimuli(file)


@lru_cache(maxsize=1)
def _gratings_of(file: Path) -> xr.DataArray:
    return grating_stimuli(file)


def _one_of(stimuli: xr.DataArray, wanted: dict[str, Any]) -> NDArray[np.float32]:
    """The movie with these labels; InputError lists the labels for an unknown one."""
    for axis, value in wanted.items():
        if value not in stimuli[axis].values:
            there = ", ".join(f"{each:g}" for each in stimuli[axis].values)
            raise InputError(f"{stimuli.attrs['source']} has no {axis} {value:g}; it has {there}")
    return np.asarray(stimuli.sel(wanted).values, np.float32)

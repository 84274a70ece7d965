"""Movies that no animal watched, as parts of a job: small declarations that make the movie when it is needed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuroreel.recordings.recording import Recording


@dataclass(frozen=True, kw_only=True)
class NoiseStimulus:
    """A movie of Gaussian noise, or its phase inversion.

    Attributes
    ----------
    spatial_px, temporal_frames
        Length constants of the noise; 0 is white.
    repeat
        Which draw.
    inverted
        255 minus the movie.
    frames
        Its length.
    file
        The authors' ``gaussian_noise_movies.npz``, in place of our own movies.
    """

    spatial_px: float
    temporal_frames: float
    repeat: int = 0
    inverted: bool = False
    frames: int = 60
    file: Path | None = None

    @property
    def key(self) -> str:
        """Short and readable: what this movie's files are called."""
        phase = "_inverted" if self.inverted else ""
        return f"noise-{self.spatial_px:g}px-{self.temporal_frames:g}f_r{self.repeat}{phase}"

    @property
    def columns(self) -> dict[str, Any]:
        """Its place in the table."""
        return {
            "spatial_px": self.spatial_px,
            "temporal_frames": self.temporal_frames,
            "repeat": self.repeat,
            "inverted": self.inverted,
        }

    def movie(self, recording: Recording) -> NDArray[np.float32]:
        """(frames, height, width) of the recording's frame size, grey levels 0..255."""
        from neuroreel.stimuli.noise import noise_stimuli

        height, width = recording.video_size
        chosen: dict[str, Any] = {
            "spatial_px": (self.spatial_px,),
            "temporal_frames": (self.temporal_frames,),
            "repeats": (self.repeat,),
        }
        stimuli = noise_stimuli(self.file, **chosen, frames=self.frames, height=height, width=width)
        one = stimuli.sel(inverted=self.inverted).isel(spatial_px=0, temporal_frames=0, repeat=0)
        return np.asarray(one.values, np.float32)


@dataclass(frozen=True, kw_only=True)
class GratingStimulus:
    """A drifting grating.

    Attributes
    ----------
    direction_deg
        Where it drifts to: 0 is right, 90 is up.
    spatial_frequency
        Cycles a degree.
    temporal_frequency_hz
        Cycles a second.
    frames
        Its length.
    file
        The authors' ``grating_movies.npz``, in place of our own movies.
    """

    direction_deg: float
    spatial_frequency: float
    temporal_frequency_hz: float
    frames: int = 60
    file: Path | None = None

    @property
    def key(self) -> str:
        """Short and readable: what this movie's files are called."""
        return f"grating-{self.direction_deg:g}deg-{self.spatial_frequency:g}cpd-{self.temporal_frequency_hz:g}hz"

    @property
    def columns(self) -> dict[str, Any]:
        """Its place in the table."""
        return {
            "direction_deg": self.direction_deg,
            "spatial_frequency": self.spatial_frequency,
            "temporal_frequency_hz": self.temporal_frequency_hz,
        }

    def movie(self, recording: Recording) -> NDArray[np.float32]:
        """(frames, height, width) of the recording's frame size, grey levels 0..255."""
        from neuroreel.stimuli.gratings import grating_stimuli

        height, width = recording.video_size
        stimuli = grating_stimuli(
            self.file,
            directions_deg=(self.direction_deg,),
            spatial_frequencies=(self.spatial_frequency,),
            temporal_frequencies_hz=(self.temporal_frequency_hz,),
            frames=self.frames,
            height=height,
            width=width,
            frame_rate_hz=recording.frame_rate_hz,
        )
        one = stimuli.isel(direction_deg=0, spatial_frequency=0, temporal_frequency_hz=0)
        return np.asarray(one.values, np.float32)


Stimulus = NoiseStimulus | GratingStimulus

"""The baselines of the Sensorium 2023 competition, built with neuralpredictors (MIT).

Follows ``VideoFiringRateEncoder.forward`` of the competition's starter kit (ecker-lab/sensorium_2023,
``sensorium/models/video_encoder.py``), with the inputs of its ``mouse_video_loaders.py``: the movie and, as further
channels, pupil dilation and running speed, (batch, 3, frames, 36, 64); pupil centers for the shifter, (batch, 2,
frames). Responses are (batch, frames returned, neurons), the last frames. Turishcheva et al. 2023, arXiv 2305.19654.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from neuroreel.encoding.adapters.common import choose, find_sizes, read_weights, sensorium_scales, split_of
from neuroreel.encoding.interface import Canvas, EncodingModel
from neuroreel.errors import InputError
from neuroreel.recordings.recording import Recording

BEHAVIOR = 2  # channels before the pupil's center: dilation and speed


class Sensorium2023(EncodingModel):
    """A baseline and the readout of one mouse.

    Parameters
    ----------
    model
        The model that the starter kit's ``make_video_model`` returned, with weights.
    recording
        The mouse's recording: its statistics are used to standardize, its "train" trials are declared as trained on,
        and its name selects the model's readout.
    session
        The readout's name or number, if it is not the recording's name.
    planes
        How many behavior channels join the movie in its core's input: 2, 4 with pupil centers, or 0.
    video_statistics
        Mean and std of gray levels; by default those stored with the recording.

    Raises
    ------
    InputError
        An unknown mouse, no statistics, or a core with other inputs.
    """

    any_length = True
    behavior_as = "vectors"
    output_axes = "batch frames neurons"
    license = "MIT (neuralpredictors, sensorium_2023)"

    def __init__(
        self,
        model: nn.Module,
        *,
        recording: Recording,
        session: int | str | None = None,
        planes: int = BEHAVIOR,
        video_statistics: tuple[float, float] | None = None,
    ) -> None:
        super().__init__()
        self.model, self.planes = model, planes
        readouts = list(getattr(model, "readout", {}).keys())
        self.session = choose(recording.name if session is None else session, readouts, what="mouse")
        self.needs_pupil = getattr(model, "shifter", None) is not None
        self.covariates = max(planes, 2 * BEHAVIOR if self.needs_pupil else 0)
        self.canvas = Canvas.plain(*recording.video_size)
        self.frame_rate_hz, self.clip_frames = recording.frame_rate_hz, 80
        find_sizes(self)
        if self.neurons != recording.neurons:
            raise InputError(f"the readout has {self.neurons} neurons, {recording.name} has {recording.neurons}")
        sensorium_scales(self, recording, video=video_statistics)
        self.training_split = split_of(recording, "train", description=f"the training trials of {recording.name}")

    def forward(self, clips: Tensor, behavior: Tensor) -> Tensor:
        """(batch, 1, frames, height, width) and (batch, covariates, frames) to (batch, frames returned, neurons)."""
        planes = behavior[:, : self.planes, :, None, None].expand(-1, -1, -1, *clips.shape[-2:])
        pupil = behavior[:, BEHAVIOR : 2 * BEHAVIOR] if self.needs_pupil else None
        return self.model(torch.cat([clips, planes], dim=1), data_key=self.session, pupil_center=pupil)


def load(
    file: str | Path, *, model: nn.Module, recording: Recording, session: int | str = 0, **options: Any
) -> Sensorium2023:
    """Weights of a baseline, into the model that ``make_video_model`` built with the same settings."""
    read_weights(model, file)
    return Sensorium2023(model, recording=recording, session=session or None, **options)

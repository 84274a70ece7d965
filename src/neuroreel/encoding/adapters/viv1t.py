"""ViV1T, a transformer of mouse V1 trained on movies (MIT).

Follows ``Model.forward`` of bryanlimy/ViV1T-closed-loop and bryanlimy/ViV1T, as their ``predict.py`` calls it: inputs
(batch, 1, frames, 36, 64), a mouse's letter, behaviors (batch, 2, frames) and pupil centers (batch, 2, frames), all
standardized; it returns responses (batch, neurons, last frames) and features without a gradient. Li et al. 2025.

Neither is on PyPI: install one from its repository, build the model with its weights, and pass it here.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from neuroreel.encoding.adapters.common import choose, find_sizes, read_weights, sensorium_scales, split_of
from neuroreel.encoding.interface import Canvas, EncodingModel
from neuroreel.encoding.training_split import TrainingSplit
from neuroreel.errors import InputError
from neuroreel.recordings.recording import Recording

MICE = {
    "A": "dynamic29156-11-10-Video",
    "B": "dynamic29228-2-10-Video",
    "C": "dynamic29234-6-9-Video",
    "D": "dynamic29513-3-5-Video",
    "E": "dynamic29514-2-9-Video",
    "F": "dynamic29515-10-12-Video",
    "G": "dynamic29623-4-9-Video",
    "H": "dynamic29647-19-8-Video",
    "I": "dynamic29712-5-9-Video",
    "J": "dynamic29755-2-8-Video",
}
"""ViV1T's letters for the Sensorium 2023 recordings; all ten are in its training set."""


class ViV1T(EncodingModel):
    """ViV1T and the readout of one mouse.

    Most of fold 0 of the published reconstructions is in its training set: a reconstruction of one of those trials is
    refused unless explicitly allowed.

    Parameters
    ----------
    model
        ``Model`` of the package viv1t, with its weights. It is converted to float32.
    recording
        The mouse's recording: its statistics are used to standardize, and its tiers say which trials were trained on.
    mouse
        The readout's letter; by default ViV1T's letter for the recording.
    trained_tiers
        Which of the recording's trials were trained on. With the competition entry's ``--ds_mode=3``, the old mice's
        test tiers were too.
    video_statistics
        Mean and std of gray levels; by default those stored with the recording.

    Raises
    ------
    InputError
        A mouse that the model does not have, no statistics, or another number of neurons.
    """

    any_length = True
    behavior_as = "vectors"
    covariates = 4
    license = "MIT (ViV1T)"

    def __init__(
        self,
        model: nn.Module,
        *,
        recording: Recording,
        mouse: str | None = None,
        trained_tiers: Sequence[str] = ("train",),
        video_statistics: tuple[float, float] | None = None,
    ) -> None:
        super().__init__()
        self.model = model.float()
        if mouse is None:
            own = [letter for letter, name in MICE.items() if recording.name.startswith(name)]
            if not own:
                raise InputError(
                    f"{recording.name} is not one of the Sensorium 2023 mice; pass mouse=, the letter of its readout"
                )
            mouse = own[0]
        shapes = getattr(model, "output_shapes", {})
        self.mouse = choose(mouse, list(shapes), what="mouse")
        self.canvas = Canvas.plain(*recording.video_size)
        self.frame_rate_hz, self.clip_frames = recording.frame_rate_hz, 140
        self.training_split = self._split(recording, trained_tiers)
        find_sizes(self)
        if recording.neurons not in (0, self.neurons):
            raise InputError(
                f"mouse {self.mouse} of the model has {self.neurons} neurons, {recording.name} has "
                f"{recording.neurons}: is it another mouse, or were its neurons limited when it was trained?"
            )
        sensorium_scales(self, recording, video=video_statistics)

    @staticmethod
    def _split(recording: Recording, tiers: Sequence[str]) -> TrainingSplit:
        own = split_of(recording, *tiers, description="the training set of ViV1T, all ten mice of Sensorium 2023")
        others = tuple(name for name in MICE.values() if not recording.name.startswith(name))
        return TrainingSplit(description=own.description, trials=own.trials, movies=own.movies, recordings=others)

    def forward(self, clips: Tensor, behavior: Tensor) -> Tensor:
        """(batch, 1, frames, height, width) and (batch, 4, frames) to (batch, neurons, frames returned)."""
        with torch.autocast(device_type=clips.device.type, enabled=False):  # too coarse for gradients of pixels
            responses, _ = self.model(
                inputs=clips, mouse_id=self.mouse, behaviors=behavior[:, :2], pupil_centers=behavior[:, 2:]
            )
        return responses


def load(file: str | Path, *, model: nn.Module, recording: Recording, session: int | str = 0, **options: Any) -> ViV1T:
    """Weights of ViV1T (``ckpt/model_state.pt``), into the ``Model`` that viv1t built with the run's ``args.yaml``."""
    read_weights(model, file)
    return ViV1T(model, recording=recording, mouse=str(session) if session else None, **options)

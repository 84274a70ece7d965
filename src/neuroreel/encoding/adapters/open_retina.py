"""Retina models from open-retina (MIT): mouse, marmoset, salamander and axolotl.

Follows ``openretina`` 1.1, ``openretina/models/core_readout.py`` (``BaseCoreReadout.forward``) and
``openretina/data_io/base.py`` (``data_info``): movies (batch, channels, frames, height, width), standardized by
``stim_mean`` and ``stim_std``; responses (batch, frames, neurons), without the first frames. D'Agostino et al. 2025,
doi 10.1101/2025.03.07.642012.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor, nn

from neuroreel.encoding.adapters.common import choose, find_sizes, library, needs_trust
from neuroreel.encoding.interface import Canvas, EncodingModel
from neuroreel.encoding.standardization import Standardization
from neuroreel.encoding.training_split import TrainingSplit
from neuroreel.errors import InputError


class OpenRetina(EncodingModel):
    """A core and the readout of one recording, as an encoding model for gray movies.

    Parameters
    ----------
    model
        An open-retina model: ``load_core_readout_from_remote(...)``, or one that you trained.
    session
        Which recording's neurons: a name in ``model.data_info["n_neurons_dict"]``, or its number.
    frame_rate_hz
        Frame rate of the training movies, which open-retina does not store (30 in Hoefling et al. 2024).
    video_statistics
        Mean and std of the gray levels, one number each or one per channel; by default those stored with the model.
        All its channels (green and ultraviolet, in mice) are shown the same gray movie.
    training_split
        Which movies it was trained on, if known.

    Raises
    ------
    InputError
        An unknown session, or a model without ``data_info``.
    """

    any_length = True
    output_axes = "batch frames neurons"
    license = "MIT (open-retina)"

    def __init__(
        self,
        model: nn.Module,
        *,
        session: int | str = 0,
        frame_rate_hz: float = 30.0,
        video_statistics: tuple[Any, Any] | None = None,
        training_split: TrainingSplit | None = None,
    ) -> None:
        super().__init__()
        self.model = model
        facts: Mapping[str, Any] = getattr(model, "data_info", None) or {}
        if "n_neurons_dict" not in facts or "input_shape" not in facts:
            raise InputError(
                "the model has no data_info with n_neurons_dict and input_shape, which open-retina keeps with models "
                "that it trained; pass data_info= when you make one"
            )
        self.session = choose(session, list(facts["n_neurons_dict"]), what="session")
        channels, height, width = (int(size) for size in facts["input_shape"])
        if video_statistics is None:
            video_statistics = facts.get("stim_mean") or 0.0, facts.get("stim_std") or 1.0
        mean, std = (np.broadcast_to(np.asarray(each, np.float32), channels) for each in video_statistics)
        self.standardize_video = Standardization(mean=mean, std=std)
        self.canvas = Canvas.plain(height, width)
        self.frame_rate_hz, self.clip_frames = frame_rate_hz, 60
        self.training_split = training_split
        find_sizes(self)

    def forward(self, clips: Tensor) -> Tensor:
        """(batch, channels, frames, height, width) to (batch, frames returned, neurons)."""
        return self.model(clips, data_key=self.session)


def load(file: str | Path, *, session: int | str = 0, trust: bool = False, **options: Any) -> OpenRetina:
    """Open a model by its open-retina name ("hoefling_2024_low_res", ...; downloaded), or your own checkpoint.

    Raises
    ------
    RefusedError
        Without ``trust``: open-retina's checkpoints are pickles, and hydra builds any class that they name.
    ResourceError
        open-retina is not installed.
    """
    needs_trust(trust, what=f"{file} is an open-retina checkpoint, a pickle and the name of a class to build")
    core_readout = library("openretina.models.core_readout", install="run pip install 'openretina>=1.1'")
    try:
        model = core_readout.load_core_readout_model(str(file), "cpu")
    except Exception as error:  # it tries two classes, and reports only the second
        raise InputError(f"open-retina cannot open {file} ({type(error).__name__}: {error})") from error
    return OpenRetina(model, session=session, **options)

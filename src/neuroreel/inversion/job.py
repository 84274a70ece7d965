"""What all trials of one call of ``nr.reconstruct`` share, resolved and checked."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from neuroreel import __version__
from neuroreel.decoding.decoder import RidgeDecoder
from neuroreel.encoding.interface import EncodingModel
from neuroreel.inversion.engine import engine_of, is_compiled, precision_of
from neuroreel.inversion.loop import Callback, Stopping
from neuroreel.inversion.plan import Plan, plan_work
from neuroreel.inversion.presets import Settings
from neuroreel.masks import mask_on_video
from neuroreel.progress import note
from neuroreel.results.provenance import hash_model


@dataclass(frozen=True, kw_only=True)
class Job:
    """What all groups of trials share."""

    models: list[EncodingModel]
    settings: Settings
    mask: NDArray[np.float32] | None
    update_mask: Tensor
    keep: NDArray[np.bool_]
    decoder: RidgeDecoder | None
    device: torch.device
    asked_precision: str  # of what lies between a model's first and last layer, where it can be chosen
    frames: list[int]  # of each trial
    windows_at_once: int | None
    max_memory: int | None
    seed: int
    snapshot_file: Path | None
    stopping: Stopping
    callbacks: list[Callback]
    show_progress: bool
    snapshots: list[Path] = field(default_factory=list)  # of the runs that are finished

    def crop(self, videos: Tensor) -> Tensor:
        """The videos out of the movies that the loop moves."""
        return self.models[0].canvas.crop(videos) if self.settings.optimize_padding else videos

    @cached_property
    def engines(self) -> list[EncodingModel]:
        """The models in the form that inverts fastest; made at first use, when they lie on the device."""
        return [engine_of(model, precision=self.asked_precision) for model in self.models]

    @cached_property
    def precision(self) -> str:
        """In which the engines do compute, whatever was asked for; both, if they differ."""
        return ", ".join(sorted({precision_of(engine) for engine in self.engines}))

    @property
    def prior_covariance(self) -> str:
        """Whose covariance the prior has: a decoder that was fitted to one movie alone does not know its errors."""
        unknown = self.decoder is None or self.decoder.residual_covariance is None
        return "movies" if self.settings.prior == "decoder" and unknown else self.settings.prior

    @property
    def arithmetic(self) -> dict[str, str | bool]:
        """What else decides how numbers are rounded: a run that resumes with others would end with another movie."""
        return {
            "neuroreel": __version__,
            "torch": torch.__version__,
            "device": self.device.type,
            "compiled": any(map(is_compiled, self.engines)),
        }

    @cached_property
    def plan(self) -> Plan:
        """How the work is cut to fit into memory; made at first use, when the models lie on the device."""
        return plan_work(
            self.frames,
            models=self.engines,
            settings=self.settings,
            device=self.device,
            windows_at_once=self.windows_at_once,
            max_memory=self.max_memory,
        )

    @property
    def clips_at_once(self) -> int:
        """How many clips are predicted together: as many as go through a model together in a pass, at least."""
        return self.plan.windows_at_once * self.models[0].clip_stride

    def warn(self, line: str) -> None:
        """Tell the user, in a log file too."""
        note(f"neuroreel: {line}", enabled=self.show_progress, always=True)

    @cached_property
    def model_hashes(self) -> list[str]:
        """Fingerprints of the models' weights, taken once for all trials."""
        return [hash_model(model) for model in self.models]

    def scored(self, size: tuple[int, int]) -> NDArray[np.bool_]:
        """(height, width): pixels scored on the way, mask >= 1; all of them without a mask or where none reaches 1."""
        if self.mask is None:
            return np.ones(size, bool)
        chosen = mask_on_video(self.mask, size) >= 1
        return chosen if chosen.any() else np.ones(size, bool)

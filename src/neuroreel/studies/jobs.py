"""A job: the frozen declaration of one reconstruction or one map of receptive fields."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from neuroreel.errors import InputError
from neuroreel.studies.stimuli import Stimulus

MASK_THRESHOLDS = {"trained": 0.5, "strict": 1.0}  # of the update (Bauer et al. 2026)


@dataclass(frozen=True, kw_only=True)
class Job:
    """What to reconstruct, and from what.

    Attributes
    ----------
    recording
        Name of the recording.
    trial, stimulus
        The movie: a trial by its number in the recording, or a movie that no animal watched. Neither for "fields".
    target
        Reconstructed from the "recorded" responses, or from those "predicted" for the true movie.
    target_models
        Whose prediction: the "ensemble"'s mean, or its "first" model's.
    ensemble
        "videos": each model makes a video, and they are averaged. "gradients": the models' gradients are averaged.
    members
        Indices of the animal's encoding models to use; by default all.
    mask
        Pixels that may move: the "trained" mask, the "strict" mask (mask >= 1), or all ("none").
    mask_threshold
        Threshold of the trained mask, if not 0.5.
    fraction, repeat
        Fraction of the neurons to keep, and which draw.
    product
        "reconstruction"; "responses": also responses predicted for it; "fields": a map of receptive fields.
    settings
        Further settings of ``nr.reconstruct`` that differ from the method's, for experiments about settings.
    """

    recording: str
    trial: int | None = None
    stimulus: Stimulus | None = None
    target: Literal["recorded", "predicted"] = "recorded"
    target_models: str = "ensemble"
    ensemble: Literal["videos", "gradients"] = "videos"
    members: tuple[int, ...] | None = None
    mask: Literal["none", "trained", "strict"] = "trained"
    mask_threshold: float | None = None
    fraction: float = 1.0
    repeat: int = 0
    product: Literal["reconstruction", "responses", "fields"] = "reconstruction"
    settings: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        movies = (self.trial is not None) + (self.stimulus is not None)
        if movies != (self.product != "fields"):
            raise InputError(f"a job needs a trial or a stimulus, and not both; receptive fields need neither: {self}")
        if self.stimulus is not None and self.target != "predicted":
            raise InputError("no responses were recorded to a stimulus: its target must be 'predicted'")
        if self.members is not None and not self.members:
            raise InputError("a job has members=(); it needs at least one encoding model")
        if self.mask_threshold is not None and self.mask != "trained":
            raise InputError(f"mask_threshold applies to the trained mask; this job has mask={self.mask!r}")

    @property
    def threshold(self) -> float | None:
        """The responses move pixels of the mask of at least this; None: all pixels."""
        if self.mask_threshold is not None:
            return self.mask_threshold
        return MASK_THRESHOLDS.get(self.mask)

    @property
    def key(self) -> str:
        """Readable and unique within its experiment; names its files. Defaults are left out."""
        parts = [_plain(self.recording)]
        parts += [] if self.trial is None else [f"t{self.trial:03d}"]
        parts += [] if self.stimulus is None else [self.stimulus.key]
        parts += ["predicted"] if self.target == "predicted" and self.stimulus is None else []
        parts += ["target-first"] if self.target_models == "first" else []
        single = self.members is not None and len(self.members) == 1
        parts += ["gradients"] if self.ensemble == "gradients" and not single else []
        if self.members is not None:
            parts += ["single" if self.members == (0,) else "models-" + "-".join(map(str, self.members))]
        parts += [f"mask-{self.mask}"] if self.mask != "trained" else []
        parts += [f"mask-{self.mask_threshold:g}"] if self.mask_threshold not in (None, 0.5) else []
        parts += [f"kept-{self.fraction:g}"] if self.fraction != 1 else []
        parts += [f"r{self.repeat}"] if self.repeat else []
        parts += [f"{name}-{_plain(str(value))}" for name, value in sorted(self.settings.items())]
        return "_".join(parts)

    @property
    def columns(self) -> dict[str, Any]:
        """Its columns in the table, as far as the job alone determines them."""
        columns: dict[str, Any] = {"recording": self.recording, "trial": self.trial}
        if self.product == "fields":
            return columns
        columns |= {"target": self.target, "mask": self.mask, "mask_threshold": self.threshold}
        columns |= {"fraction": self.fraction, "repeat": self.repeat}
        return columns | ({} if self.stimulus is None else self.stimulus.columns) | dict(self.settings)


def _plain(text: str) -> str:
    """Make text safe for file names on any system."""
    return re.sub(r"[^A-Za-z0-9.+-]", "_", text)

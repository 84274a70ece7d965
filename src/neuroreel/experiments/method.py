"""How the jobs of an experiment are done: what all of them share, beside what they are about."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from neuroreel.errors import InputError
from neuroreel.evaluation.scores import SKIP_FRAMES
from neuroreel.inversion.presets import PRESETS, resolve_settings

PUBLISHED_SMOOTHING = 0.5  # sigma in frames and pixels (Bauer et al. 2026)


@dataclass(frozen=True, kw_only=True)
class Method:
    """Preset and settings of the reconstructions, and how they are scored.

    Attributes
    ----------
    preset, settings
        See :func:`neuroreel.reconstruct`.
    seed
        Of everything random in a reconstruction.
    skip
        Frames left out of the scores at the start of each movie.
    evaluation_threshold
        Pixels of the mask of at least this are scored.
    smoothing
        Sigma of the blur before a reconstruction is scored, in frames and pixels: by default 0.5 with the published
        preset, as in the paper, and 0 with any other.

    Raises
    ------
    InputError
        An unknown preset or setting, or a number that cannot be.
    """

    preset: str = "default"
    settings: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0
    skip: int = SKIP_FRAMES
    evaluation_threshold: float = 1.0
    smoothing: float | None = None

    def __post_init__(self) -> None:
        if self.preset not in PRESETS:
            raise InputError(f"there is no preset {self.preset!r}; there are {', '.join(PRESETS)}")
        resolve_settings(self.preset, dict(self.settings))
        decided = {"ensemble", "mask_threshold"} & set(self.settings)
        if decided:
            raise InputError(f"{' and '.join(sorted(decided))} cannot be set here: each job of an experiment decides")
        if self.skip < 0:
            raise InputError(f"skip is {self.skip}; it must be a number of frames, at least 0")

    @property
    def scoring(self) -> dict[str, float]:
        """What decides the scores of a result that is there."""
        smoothing = self.smoothing
        if smoothing is None:
            smoothing = PUBLISHED_SMOOTHING if self.preset == "published" else 0.0
        return {"skip": self.skip, "mask_threshold": float(self.evaluation_threshold), "smoothing": float(smoothing)}

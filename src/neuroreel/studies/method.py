"""How to run the jobs of an experiment: the settings that all of them share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from neuroreel.arguments import finite_number, refuse_unknown, whole_number
from neuroreel.bauer_2026.settings import Settings
from neuroreel.defaults import SKIP_FRAMES
from neuroreel.errors import InputError
from neuroreel.posterior.reconstruct import PASSES

METHODS = ("posterior", "bauer_2026")
PUBLISHED_SMOOTHING = 0.5  # sigma in frames and pixels (Bauer et al. 2026)


@dataclass(frozen=True, kw_only=True)
class Method:
    """How to reconstruct and score movies.

    Attributes
    ----------
    method
        "posterior": :func:`neuroreel.reconstruct`; "bauer_2026": the published method.
    settings
        ``passes`` of the posterior's search, or the fields of the published method's
        :class:`~neuroreel.bauer_2026.settings.Settings`.
    seed
        Random seed.
    skip
        Frames left out of the scores at the start of each movie.
    evaluation_threshold
        Pixels of the mask of at least this are scored.
    smoothing
        Sigma of the blur before a reconstruction is scored, in frames and pixels: by default 0.5 with the published
        method, as in the paper, and 0 with the posterior.

    Raises
    ------
    InputError
        An unknown method or setting, or an invalid number.
    """

    method: str = "posterior"
    settings: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0
    skip: int = SKIP_FRAMES
    evaluation_threshold: float = 1.0
    smoothing: float | None = None

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise InputError(f"there is no method {self.method!r}; there are {', '.join(METHODS)}")
        decided = {"ensemble", "mask_threshold"} & set(self.settings)
        if decided:
            raise InputError(f"{' and '.join(sorted(decided))} cannot be set here: each job of an experiment decides")
        self.resolved({})
        whole_number(self.seed, name="seed", least=0)
        whole_number(self.skip, name="skip", least=0)
        finite_number(self.evaluation_threshold, name="evaluation_threshold", least=0)
        if self.smoothing is not None:
            finite_number(self.smoothing, name="smoothing", least=0)

    def resolved(self, changes: Mapping[str, Any]) -> dict[str, Any]:
        """All settings of a reconstruction: this method's, with changes."""
        settings = {**self.settings, **changes}
        if self.method == "bauer_2026":
            return asdict(Settings.of(settings))
        refuse_unknown(settings, ("passes",), what="setting of the posterior's search")
        return {"passes": whole_number(settings.get("passes", PASSES), name="passes")}

    @property
    def scoring(self) -> dict[str, float]:
        """What determines the scores of an existing result."""
        smoothing = self.smoothing
        if smoothing is None:
            smoothing = PUBLISHED_SMOOTHING if self.method == "bauer_2026" else 0.0
        return {"skip": self.skip, "mask_threshold": float(self.evaluation_threshold), "smoothing": float(smoothing)}

"""The options of the published method; their defaults are the published values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args, get_type_hints

from neuroreel.arguments import finite_number, refuse_unknown, whole_number
from neuroreel.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Settings:
    """All settings that determine what the published method computes; by default as published.

    Parameters
    ----------
    iterations
        Passes over all windows; the first one only records.
    learning_rate
        Learning rate of the update rule.
    mask_threshold
        Pixels move where the transparency mask is at least this; without a mask, all pixels move.
    ensemble
        "gradients": average the models' gradients. "videos": make a video with each model, and average the videos.
    ablated
        How to treat neurons excluded by ``neurons=``: "silenced" keeps them in the loss with a target of zero, as
        published; "left_out" drops them.
    window_norm
        Divide each window's gradient by its norm over the model's whole input.
    optimize_padding
        The padding around the video on the model's canvas starts gray and is optimized too; otherwise it keeps the
        value the model was trained with.
    record
        What is recorded about the responses. "published": loss and correlation of responses predicted again for the
        movie after the pass, with gray outside the evaluation mask (mask >= 1), which takes as long as a pass. "pass":
        those from the pass itself, which belong to the movie before it and cost nothing.
    record_every
        Iterations between recorded losses and correlations.

    Raises
    ------
    InputError
        A value out of range.
    """

    iterations: int = 1000
    learning_rate: float = 1000.0
    mask_threshold: float = 0.5
    ensemble: Literal["gradients", "videos"] = "gradients"
    ablated: Literal["silenced", "left_out"] = "silenced"
    window_norm: bool = True
    optimize_padding: bool = True
    record: Literal["published", "pass"] = "published"
    record_every: int = 10

    def __post_init__(self) -> None:
        for name in ("iterations", "record_every"):
            whole_number(getattr(self, name), name=name)
        finite_number(self.learning_rate, name="learning_rate", least=0)
        finite_number(self.mask_threshold, name="mask_threshold")
        kinds = get_type_hints(type(self))
        for name in ("ensemble", "ablated", "record", "window_norm", "optimize_padding"):
            allowed = get_args(kinds[name]) or (True, False)
            if getattr(self, name) not in allowed:
                raise InputError(f"{name} is {getattr(self, name)!r}; it must be one of {', '.join(map(str, allowed))}")

    @classmethod
    def of(cls, changes: dict[str, Any]) -> Settings:
        """Settings with some values changed; InputError for an unknown name."""
        refuse_unknown(changes, cls.__dataclass_fields__, what="setting of the published method")
        return cls(**changes)

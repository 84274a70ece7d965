"""Presets: named sets of settings of a reconstruction."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from neuroreel.arguments import finite_number, refuse_unknown, whole_number
from neuroreel.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Everything that decides what a reconstruction computes.

    Attributes
    ----------
    iterations
        Passes over all windows; the published rule spends the first one on recording alone.
    windows
        "sliding": 32 frames every 8 (Bauer et al. 2026). "shifted": 32 frames every 32, shifted by a random number of
        frames in each pass. "tiled": as few windows as cover the movie, or the whole movie at once for models of any
        length.
    window_norm
        Divide each window's gradient by its norm over the model's whole input.
    optimize_padding
        The padding around the video on the model's canvas is grey and optimised too, as published; otherwise it
        keeps the value the model was trained with.
    start
        "grey", or "decoder": the movie that the linear decoder reads from the responses.
    prior
        "none"; "decoder": the movie is pulled towards the decoder's, by the inverse covariance of its errors; "movies":
        towards grey, by the inverse covariance of natural movies.
    update
        "published" (momentum with two bias corrections) or "momentum" (Nesterov's, for gradients that a prior has
        scaled).
    learning_rate
        Of the update rule.
    evidence_weight
        How much the responses count against the prior. At 1 every frame of every neuron would be independent evidence
        with Poisson noise of the dispersion found; they are not, for calcium smears over time and the model errs.
    held_out
        Fraction of the neurons that the likelihood does not see; 0 for none. The correlation of their predicted and
        recorded responses is watched: once it has not risen for ``patience`` passes the search ends, and the movie at
        which it was highest is kept. More neurons watched say better when to stop, and leave fewer to reconstruct from.
    patience
        Passes that this correlation may go without rising. The published rule, whose first steps lead away from grey
        movies faster than to the true one, needs about 150.
    ensemble
        "gradients": the models' gradients are averaged. "videos": each model makes a video, the videos are averaged.
    ablated
        Neurons left out by ``neurons=``: "left_out" of the loss, or "silenced": they stay in it with a target of
        zero, as published by Bauer et al. 2026.
    mask_threshold
        The responses move pixels where the transparency mask is at least this.
    record_every
        Iterations between recorded losses and correlations.
    record
        What is recorded of the responses. "pass": the loss and the correlation that the pass itself found, which are
        those of the movie before it and cost nothing. "published": of responses predicted anew for the movie after the
        pass, with grey outside the evaluation mask (mask >= 1), which takes as long as a pass (Bauer et al. 2026).
    """

    iterations: int
    windows: Literal["sliding", "shifted", "tiled"]
    window_norm: bool
    optimize_padding: bool
    start: Literal["grey", "decoder"]
    prior: Literal["none", "decoder", "movies"]
    update: Literal["published", "momentum"]
    learning_rate: float
    evidence_weight: float = 1.0
    held_out: float = 0.0
    patience: int = 50
    ensemble: Literal["gradients", "videos"] = "gradients"
    ablated: Literal["left_out", "silenced"] = "left_out"
    mask_threshold: float = 0.5
    record_every: int = 10
    record: Literal["pass", "published"] = "pass"

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for provenance."""
        return asdict(self)


PRESETS = {
    "published": Settings(
        iterations=1000,
        windows="sliding",
        window_norm=True,
        optimize_padding=True,
        start="grey",
        prior="none",
        update="published",
        learning_rate=1000.0,
        ablated="silenced",
        record="published",
    ),
    "default": Settings(
        iterations=4,
        windows="tiled",
        window_norm=False,
        optimize_padding=False,
        start="decoder",
        prior="decoder",
        update="momentum",
        learning_rate=0.3,
        evidence_weight=0.02,
        record_every=1,
    ),
}


def resolve_settings(preset: str, changes: dict[str, Any], *, parameters: Sequence[str] = ()) -> Settings:
    """A preset with some settings changed.

    A misspelled setting may be one of the caller's ``parameters`` in truth.

    Raises
    ------
    InputError
        Unknown preset or setting, or a value that makes no sense.
    """
    if preset not in list(PRESETS):
        raise InputError(f"preset is {preset!r}; it must be one of {', '.join(PRESETS)}")
    refuse_unknown(changes, [*parameters, *Settings.__dataclass_fields__], what="setting")
    settings = replace(PRESETS[preset], **changes)
    for name, allowed in _CHOICES.items():
        if getattr(settings, name) not in allowed:
            raise InputError(f"{name} is {getattr(settings, name)!r}; it must be one of {', '.join(map(str, allowed))}")
    for name in ("iterations", "patience", "record_every"):
        whole_number(getattr(settings, name), name=name)
    for name, least in (("learning_rate", 0), ("evidence_weight", 0), ("held_out", 0), ("mask_threshold", -math.inf)):
        finite_number(getattr(settings, name), name=name, least=least)
    if settings.held_out > 0.5:
        raise InputError(f"held_out is {settings.held_out!r}; it must be a fraction of the neurons, from 0 to 0.5")
    if settings.optimize_padding and settings.prior != "none":
        raise InputError(
            f"prior is {settings.prior!r}, but no prior knows the padding: pass optimize_padding=False with it"
        )
    return settings


_CHOICES: dict[str, tuple[str | bool, ...]] = {
    "window_norm": (False, True),
    "optimize_padding": (False, True),
    "windows": ("sliding", "shifted", "tiled"),
    "start": ("grey", "decoder"),
    "prior": ("none", "decoder", "movies"),
    "update": ("published", "momentum"),
    "ensemble": ("gradients", "videos"),
    "ablated": ("left_out", "silenced"),
    "record": ("pass", "published"),
}

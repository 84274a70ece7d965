"""How long and how fast to train: one set of numbers for each kind of encoding model."""

from __future__ import annotations

import math
from dataclasses import dataclass

from neuroreel.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Settings of a training run.

    Attributes
    ----------
    learning_rate, weight_decay, gradient_clip
        Of AdamW; gradients are clipped to this norm.
    batch_size, window_frames
        Windows in a batch, movie frames in a window (fewer by default where trials are shorter).
    batches_per_epoch, epochs, warmup_epochs
        The learning rate rises from 0 over the warm-up and falls along a cosine to 1 % at the end.
    ema_decay
        Of the exponential moving average of the weights, which is what is kept.
    patience
        Epochs without a better validation correlation after which training stops.
    validate_every
        Epochs between validations.
    """

    learning_rate: float
    weight_decay: float
    gradient_clip: float
    batch_size: int
    window_frames: int
    batches_per_epoch: int
    epochs: int
    warmup_epochs: int
    ema_decay: float
    patience: int
    validate_every: int = 1

    def __post_init__(self) -> None:
        for setting in ("batch_size", "window_frames", "batches_per_epoch", "epochs", "patience", "validate_every"):
            value = getattr(self, setting)
            if not isinstance(value, int) or value < 1:
                raise InputError(f"recipe: {setting} is {value!r}; it must be a whole number of at least 1")
        for setting in ("learning_rate", "weight_decay", "gradient_clip", "warmup_epochs", "ema_decay"):
            value = getattr(self, setting)
            if not isinstance(value, int | float) or not 0 <= value < math.inf:
                raise InputError(f"recipe: {setting} is {value!r}; it must be a number of at least 0")
        if self.ema_decay >= 1:
            raise InputError(f"recipe: ema_decay is {self.ema_decay!r}; it must be below 1, or no weight ever moves")


RECIPES = {
    "readout": Recipe(
        learning_rate=5e-3,
        weight_decay=1e-2,
        gradient_clip=1.0,
        batch_size=8,
        window_frames=72,
        batches_per_epoch=30,
        epochs=12,
        warmup_epochs=1,
        ema_decay=0.98,
        patience=4,
    ),
    # Baikulov 2023, on one recording
    "dwiseneuro": Recipe(
        learning_rate=3e-4 * 24 / 4,
        weight_decay=0.05,
        gradient_clip=1.0,
        batch_size=12,  # windows of 32 frames, each of them two clips
        window_frames=32,
        batches_per_epoch=3000,
        epochs=21,
        warmup_epochs=3,
        ema_decay=0.999,
        patience=21,
    ),
}

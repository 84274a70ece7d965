"""Training recipes for each kind of encoding model, and training devices."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import torch

from neuroreel.arguments import finite_number, instance_of, refuse_unknown, whole_number
from neuroreel.devices import choose_device
from neuroreel.errors import InputError, ResourceError


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Settings of a training run.

    Attributes
    ----------
    learning_rate, weight_decay, gradient_clip
        AdamW settings; gradients are clipped to this norm (0: no clipping).
    batch_size
        Windows (core_readout) or clips (dwiseneuro) per optimizer step, on all devices together.
    accumulate
        Number of passes into which to split a batch that does not fit into the device's memory: gradients are summed,
        so batch and learning rate stay the same. Must divide the batch size.
    window_frames
        Movie frames in a window (fewer by default if trials are shorter).
    batches_per_epoch, epochs, warmup_epochs
        The learning rate rises from 0 over the warm-up and falls along a cosine to 1 % at the end.
    ema_decay
        Decay of the exponential moving average of weights and buffers, which is what is kept.
    patience
        Stop training after this many epochs without a better validation correlation.
    validate_every
        Epochs between validations.
    cutmix_probability, cutmix_alpha
        Probability that a box from another clip of the recording is pasted into a clip (dwiseneuro), and the parameter
        of the Beta distribution of its size.
    distillation
        Share of the loss of what is learned from teachers, where there are teachers.
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
    accumulate: int = 1
    cutmix_probability: float = 0.0
    cutmix_alpha: float = 1.0
    distillation: float = 0.36

    def __post_init__(self) -> None:
        for setting in _COUNTS:
            whole_number(getattr(self, setting), name=f"recipe: {setting}")
        for setting, most in _AMOUNTS.items():
            value = getattr(self, setting)
            if finite_number(value, name=f"recipe: {setting}", least=0) > most:
                raise InputError(f"recipe: {setting} is {value!r}; it must be at most {most:g}")
        if self.ema_decay >= 1:
            raise InputError(f"recipe: ema_decay is {self.ema_decay!r}; it must be below 1, or no weight ever moves")
        if self.cutmix_alpha == 0:
            raise InputError("recipe: cutmix_alpha is 0; it must be above 0 (cutmix_probability 0 turns CutMix off)")

    def rate_factor(self, step: int) -> float:
        """The learning rate at an optimizer step, relative to its maximum."""
        warmup = max(1, self.warmup_epochs * self.batches_per_epoch)
        total = self.epochs * self.batches_per_epoch
        if step < warmup:
            return step / warmup
        done = min(1.0, (step - warmup) / max(1, total - warmup))
        return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * done))


_COUNTS = ("batch_size", "window_frames", "batches_per_epoch", "epochs", "patience", "validate_every", "accumulate")
_AMOUNTS = dict.fromkeys(
    ("learning_rate", "weight_decay", "gradient_clip", "warmup_epochs", "ema_decay", "cutmix_alpha"), math.inf
) | {"cutmix_probability": 1.0, "distillation": 1.0}

WATCHED = "validation_correlation"  # the log's name for the score that decides which epoch is kept

EPOCH_CLIPS = 72_000
RATE_OF_A_BATCH_OF_4 = 3e-4

RECIPES = {
    "core_readout": Recipe(
        learning_rate=5e-3,
        weight_decay=1e-2,
        gradient_clip=1.0,
        batch_size=8,
        window_frames=72,
        batches_per_epoch=30,
        epochs=4,  # more epochs predict slightly better but do not improve movies
        warmup_epochs=1,
        ema_decay=0.98,
        patience=2,
    ),
    # Baikulov 2023, with the batch of Bauer et al. 2026
    "dwiseneuro": Recipe(
        learning_rate=RATE_OF_A_BATCH_OF_4 * 24 / 4,
        weight_decay=0.05,
        gradient_clip=0.0,
        batch_size=24,
        window_frames=32,  # spanned by a clip of every second frame
        batches_per_epoch=EPOCH_CLIPS // 24,
        epochs=21,
        warmup_epochs=3,
        ema_decay=0.999,
        patience=21,
        cutmix_probability=0.5,
    ),
}


def resolve_recipe(kind: str, changes: dict[str, Any] | None) -> Recipe:
    """The recipe of a kind of model, with changes.

    With dwiseneuro, another batch size also changes the learning rate (3e-4 per 4 clips) and the batches (72,000 clips
    per epoch), unless they are given too.

    Raises
    ------
    InputError
        An unknown kind or setting, or an invalid value.
    """
    if kind not in list(RECIPES):
        raise InputError(f"kind is {kind!r}; the encoding models that can be trained are {', '.join(RECIPES)}")
    changes = instance_of(changes or {}, dict, name="recipe")
    refuse_unknown(changes, Recipe.__dataclass_fields__, what="setting of the recipe")
    changes = {name: value.item() if isinstance(value, np.generic) else value for name, value in changes.items()}
    recipe = replace(RECIPES[kind], **changes)
    if kind != "dwiseneuro" and recipe.cutmix_probability:
        raise InputError(f"recipe: cutmix_probability is for kind='dwiseneuro'; leave it out with kind={kind!r}")
    if kind != "dwiseneuro" or "batch_size" not in changes:
        return recipe
    follow = {
        "learning_rate": RATE_OF_A_BATCH_OF_4 * recipe.batch_size / 4,
        "batches_per_epoch": max(1, EPOCH_CLIPS // recipe.batch_size),
    }
    return replace(recipe, **(follow | changes))


def stalled(scores: Iterable[float], *, patience: int, least: float = 0.0) -> bool:
    """Whether none of the last ``patience`` scores exceeded the best earlier score by more than ``least``."""
    best, waited = -math.inf, 0
    for score in scores:
        best, waited = (score, 0) if score - least > best else (best, waited + 1)
    return waited >= patience


_START_METHODS: dict[str, Literal["popen", "spawn", "fork"]] = {
    "ddp": "popen",
    "ddp_spawn": "spawn",
    "ddp_fork": "fork",
    "ddp_notebook": "fork",
}
_RANKS = ("RANK", "LOCAL_RANK", "SLURM_PROCID")  # environment variables with a process's rank in a training run


@dataclass(frozen=True)
class Devices:
    """The kind of device, how many of them share each batch, and how Lightning starts a process for each."""

    device: torch.device
    count: int = 1
    strategy: str = "ddp_spawn"

    @classmethod
    def choose(cls, device: str, *, count: Any, strategy: str) -> Devices:
        """Check and choose devices; InputError or ResourceError says why they are not available."""
        whole_number(count, name="devices")
        if strategy not in ("auto", *_START_METHODS):
            raise InputError(f"strategy is {strategy!r}; it must be one of auto, {', '.join(_START_METHODS)}")
        chosen = choose_device(device)
        if count > 1 and device not in ("auto", "cuda", "cpu"):
            raise InputError(f"device is {device!r} and devices is {count}; name a kind of device, 'cuda' or 'cpu'")
        if count > 1 and chosen.type == "cuda" and torch.cuda.device_count() < count:
            raise ResourceError(
                f"devices is {count}; {torch.cuda.device_count()} CUDA device(s) are visible to PyTorch"
            )
        return cls(chosen, count, "ddp_spawn" if count == 1 or strategy == "auto" else strategy)

    @property
    def start_method(self) -> Literal["popen", "spawn", "fork"]:
        """How the processes are started, in Fabric's words."""
        return _START_METHODS[self.strategy]

    @property
    def precision(self) -> Literal["32-true", "16-mixed", "bf16-mixed"]:
        """Mixed precision if the device has it, in Fabric's words."""
        if self.device.type != "cuda":
            return "32-true"
        return "bf16-mixed" if torch.cuda.is_bf16_supported() else "16-mixed"

    @property
    def first_process(self) -> bool:
        """False in the other processes of the strategy "ddp", which run the same script."""
        return self.strategy != "ddp" or all(os.environ.get(name, "0") == "0" for name in _RANKS)

    @contextmanager
    def random_numbers_kept(self) -> Iterator[None]:
        """Restore the caller's random state afterwards, on the CPU and on these GPUs."""
        first = self.device.index or 0
        with torch.random.fork_rng(range(first, first + self.count) if self.device.type == "cuda" else []):
            yield

"""Two tiny made-up mice with untrained models and a mask each: experiments on them take a fraction of a second."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

import neuroreel as nr
from neuroreel.encoding.readout import ReadoutConfig, ReadoutModel
from neuroreel.studies import Animal, Grid, Method, ModelFile

HEIGHT, WIDTH, NEURONS, FRAMES = 12, 16, 10, 40
NAMES = ("mouse_a", "mouse_b")
GRID = Grid(
    movies=2,
    fractions=(1.0, 0.5),
    mask_thresholds=(0.25, 0.5),
    spatial_px=(0, 2),
    temporal_frames=(0,),
    noise_repeats=1,
    directions_deg=(0,),
    spatial_frequencies=(0.02,),
    temporal_frequencies_hz=(2.0, 0.0),
    stimulus_frames=24,
    stimulus_animals=1,
    field_size_px=4,
)
METHOD = Method(settings={"passes": 2}, skip=6)
ONE_MOVIE = replace(GRID, movies=1)
SETTINGS: dict[str, Any] = {
    "settings": METHOD.settings,
    "scoring": {"skip": METHOD.skip},
    "grid": {
        each.name: getattr(ONE_MOVIE, each.name)
        for each in fields(Grid)
        if getattr(ONE_MOVIE, each.name) != getattr(Grid(), each.name)
    },
}
"""``METHOD`` and one movie of ``GRID``, as the content of a file of settings."""


def make_mice(folder: Path) -> None:
    """Recordings ``NAME``, models ``models/NAME/encoder_N.safetensors`` and masks ``mask_NAME.npy``."""
    mask = np.zeros((HEIGHT, WIDTH), np.float32)
    mask[2:10, 3:13] = 0.6
    mask[4:8, 5:11] = 1.2
    for number, name in enumerate(NAMES):
        trials = [_trial(seed) for seed in range(10 * number, 10 * number + 4)]
        nr.write_recording(folder / name, trials, folds=["fold_1", "fold_0", "fold_0", "fold_2"])
        for each in range(2):
            torch.manual_seed(10 * number + each)
            nr.save_encoder(ReadoutModel(CONFIG), folder / "models" / name / f"encoder_{each}.safetensors")
        nr.save_mask(folder / f"mask_{name}.npy", mask)


CONFIG = ReadoutConfig(
    neurons=NEURONS,
    video_height=HEIGHT,
    video_width=WIDTH,
    frame_rate_hz=30.0,
    channels=4,
    hidden_channels=4,
    spatial_kernel=3,
    temporal_kernel=3,
    clip_frames=20,
)


def open_mice(folder: Path, *, names: tuple[str, ...] = NAMES, models: int = 2) -> list[Animal]:
    return [
        Animal(
            nr.open_recording(folder / name),
            [ModelFile(file=folder / "models" / name / f"encoder_{each}.safetensors") for each in range(models)],
            mask=folder / f"mask_{name}.npy",
        )
        for name in names
    ]


def options(folder: Path, *names: str) -> list[str]:
    """What is typed to do experiments on some of them."""
    chosen = names or NAMES
    files: list[Any] = ["--recordings", *(folder / name for name in chosen)]
    files += ["--encoders", *(folder / "models" / name / f"encoder_{n}.safetensors" for name in chosen for n in (0, 1))]
    files += ["--masks", *(folder / f"mask_{name}.npy" for name in chosen)]
    return [*map(str, files), "--settings", str(folder / "settings.json")]


def small(**changes: Any) -> Grid:
    return replace(GRID, **changes)


def _trial(seed: int) -> nr.Trial:
    random = np.random.default_rng(seed)
    video = random.integers(0, 256, (FRAMES, HEIGHT, WIDTH)).astype(np.float32)
    return nr.Trial(video=video, responses=random.gamma(2.0, 1.0, (NEURONS, FRAMES)), frame_rate_hz=30.0)

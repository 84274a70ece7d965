"""Made-up mice for tests of training: random movies, responses that follow the grey level, a tiny model."""

from __future__ import annotations

from typing import Any

import numpy as np

import neuroreel as nr

HEIGHT, WIDTH = 9, 16
SIZES = {"core_features": (4, 4), "spatial_strides": (2, 2), "cortex_features": (8,), "expansion_ratio": 1}
STILL = {"drop_rate": 0.0, "drop_path_rate": 0.0}
RECIPE = {"epochs": 3, "batches_per_epoch": 4, "batch_size": 4, "warmup_epochs": 1}


def made_up_trial(name: str, *, neurons: int, seed: int, frames: int = 50) -> nr.Trial:
    rng = np.random.default_rng([seed, neurons])
    video = rng.integers(0, 256, (frames, HEIGHT, WIDTH)).astype(np.uint8)
    drive = video.mean(axis=(1, 2)) / 127.5
    return nr.Trial(
        video=video,
        responses=(rng.gamma(2.0, 0.5, (neurons, frames)) * drive).astype(np.float32),
        behavior=rng.random((2, frames)),
        pupil_center=rng.random((2, frames)),
        frame_rate_hz=30.0,
        name=f"{name}/trial {seed}",
        recording=name,
    )


def made_up_mice(neurons: tuple[int, ...] = (5, 7), *, trials: int = 3, first: int = 0) -> dict[str, list[nr.Trial]]:
    """{"mouse 0": trials, …}; another ``first`` gives other trials of the same mice."""
    return {
        f"mouse {k}": [made_up_trial(f"mouse {k}", neurons=count, seed=first + i, frames=50 + i) for i in range(trials)]
        for k, count in enumerate(neurons)
    }


def fit_mice(trials: Any, **changes: Any) -> nr.EncodingModel:
    settings = {"kind": "dwiseneuro", "recipe": RECIPE, "architecture": SIZES, "progress": False, "seed": 3}
    return nr.fit_encoder(trials, **(settings | changes))

"""What inverting one distilled model gives, beside the ensemble of its teachers: video correlation and seconds.

    python benchmarks/distillation.py [--folder distillation] [--neurons 200] [--teachers 3] [--movies 12] [--out FILE]

Simulates two mice that saw different movies and trains small DwiseNeuros with a readout for each: the teachers, and a
student, whose readout of one mouse also learns what the teachers predict for the movies of the other. Fits a posterior
to each way of using them, and reconstructs held-out movies of the first mouse. What lies in the folder is taken.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import neuroreel as nr
from _machine import described
from neuroreel.studies.mouse import TEST_FOLD, TRAINING_FOLDS, VALIDATION_FOLD, SimulatedMouse
from neuroreel.studies.quality import half_interval, simulated_recordings

ARCHITECTURE = {
    "core_features": (16, 32, 64),
    "spatial_strides": (2, 2, 2),
    "cortex_features": (128, 256),
    "expansion_ratio": 3,
}
RECIPE = {"batch_size": 16, "learning_rate": 2.4e-3, "batches_per_epoch": 100, "epochs": 8, "ema_decay": 0.99}
QUIET = nr.Compute(progress=False)


def main() -> None:
    """Train, reconstruct, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path("distillation"))
    parser.add_argument("--neurons", type=int, default=200)
    parser.add_argument("--teachers", type=int, default=3)
    parser.add_argument("--movies", type=int, default=12)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/distillation.json"))
    args = parser.parse_args()
    size = SimulatedMouse(trials=84, seconds=10.0, neurons=args.neurons)
    mice = simulated_recordings(args.folder / "recordings", [size], [41, 42])
    teachers = [trained(mice, args.folder, seed=seed) for seed in range(args.teachers)]
    student = trained(mice, args.folder, seed=args.teachers, teachers=teachers)
    ways = {"one model": teachers[:1], "distilled model": [student], f"its {args.teachers} teachers": teachers}
    mouse = mice[0]
    train, validation = mouse.select(*TRAINING_FOLDS), mouse.select(VALIDATION_FOLD)
    held_out = list(mouse.select(TEST_FOLD))[: args.movies]
    decoder = nr.fit_decoder(train)
    posteriors = {
        way: nr.fit_posterior([model.of_readout(mouse.name) for model in models], train, validation=validation)
        for way, models in ways.items()
    }
    mask = nr.posterior_mask(posteriors[f"its {args.teachers} teachers"], train)
    found: dict[str, list[float]] = {"ridge": [scored(trial, nr.decode(decoder, trial), mask) for trial in held_out]}
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    for trial in held_out:
        for way, posterior in posteriors.items():
            began = time.perf_counter()
            video = nr.reconstruct(trial, posterior, mask=mask, compute=QUIET).video
            seconds[way].append(time.perf_counter() - began)
            found.setdefault(way, []).append(scored(trial, video, mask))
        print(trial.name, {way: round(values[-1], 3) for way, values in found.items()}, flush=True)
    predicted = {
        way: nr.encoder_correlation([model.of_readout(mouse.name) for model in models], validation)
        for way, models in ways.items()
    }
    report(found, seconds, predicted)
    facts = {"settings": {name: str(value) for name, value in vars(args).items()}, "recipe": RECIPE}
    args.out.parent.mkdir(parents=True, exist_ok=True)
    measured = {"video_correlation": found, "seconds": seconds, "response_correlation": predicted}
    args.out.write_text(json.dumps(described() | facts | measured, indent=1) + "\n")


def trained(mice: list[nr.Recording], folder: Path, *, seed: int, teachers: list[Any] | None = None) -> Any:
    """A DwiseNeuro with a readout for each mouse, from its folder if it is there."""
    return nr.fit_encoder(
        {mouse.name: mouse.select(*TRAINING_FOLDS) for mouse in mice},
        validation={mouse.name: mouse.select(VALIDATION_FOLD) for mouse in mice},
        kind="dwiseneuro",
        seed=seed,
        teachers=teachers or [],
        folder=folder / f"model_{seed}",
        recipe=RECIPE,
        architecture=ARCHITECTURE,
    )


def scored(trial: nr.Trial, video: np.ndarray, mask: np.ndarray) -> float:
    """Video correlation inside the mask."""
    return nr.video_correlation(trial.needs_video(), video, mask=mask, skip=30)


def report(found: dict[str, list[float]], seconds: dict[str, list[float]], predicted: dict[str, float]) -> None:
    """A line for each way, with paired differences to one model."""
    for way, values in found.items():
        line = f"{way}: {np.mean(values):.3f}"
        if way in seconds:
            gain = pd.Series(np.subtract(values, found["one model"]))
            line += f", {gain.mean():+.3f} ± {half_interval(gain):.3f} beside one model, "
            line += f"{np.mean(seconds[way]):.1f} s a movie; responses to unseen movies {predicted[way]:.3f}"
        print(line)


if __name__ == "__main__":
    main()

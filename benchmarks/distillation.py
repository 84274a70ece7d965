"""One distilled model beside the ensemble of its teachers: score and time of reconstructions on simulated mice.

    python benchmarks/distillation.py [--folder distilled_mice] [--teachers 3] [--movies 4] [--out distillation.json]

Two mice are simulated, and small DwiseNeuros with a readout for each are trained: teachers with seeds of their own, one
that learns from them where a sample has no recorded responses (``neuroreel train --teachers``), and the same without
teachers. Movies of the first mouse that nothing was trained on are reconstructed with each.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np

import neuroreel as nr
from _machine import described

FOLDS = [f"fold_{number}" for number in range(2, 7)]  # 0: to reconstruct, 1: validation
ARCHITECTURE: dict[str, Any] = {
    "core_features": (16, 32),
    "spatial_strides": (2, 2),
    "cortex_features": (128,),
    "expansion_ratio": 3,
    "drop_rate": 0.1,
}
RECIPE: dict[str, Any] = {
    "batch_size": 8,
    "batches_per_epoch": 60,
    "epochs": 8,
    "warmup_epochs": 1,
    "ema_decay": 0.98,
    "learning_rate": 3e-3,
}
SEED = 41  # of the mice; nothing was tuned on them


def main() -> None:
    """Simulate, train, reconstruct, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path("distilled_mice"))
    parser.add_argument("--teachers", type=int, default=3)
    parser.add_argument("--movies", type=int, default=4)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    mice = {f"mouse_{number}": mouse(args.folder / f"mouse_{number}", SEED + number) for number in range(2)}
    teachers = [trained(args.folder, mice, seed=seed) for seed in range(args.teachers)]
    student = trained(args.folder, mice, seed=9, teachers=teachers)
    taught_nothing = trained(args.folder, mice, seed=9)
    rows = {
        f"ensemble of {args.teachers} teachers": teachers,
        "one teacher": teachers[:1],
        "distilled from them": [student],
        "the same without teachers": [taught_nothing],
    }
    first = next(iter(mice.values()))
    found = {name: inverted(models, first, movies=args.movies) for name, models in rows.items()}
    print(f"{'models':<28} {'response r':>10} {'video r':>8} {'s a pass':>9}")
    for name, row in found.items():
        print(f"{name:<28} {row['response']:>10.3f} {row['video']:>8.3f} {row['seconds_a_pass']:>9.2f}")
    if args.out is not None:
        args.out.write_text(json.dumps({**described(), "seed": SEED, "rows": found}, indent=1) + "\n")


def mouse(folder: Path, seed: int) -> nr.Recording:
    """Simulated once, and kept."""
    if not folder.exists():
        nr.simulate(folder, trials=50, seconds=5, neurons=100, height=18, width=32, seed=seed, progress=False)
    return nr.open_recording(folder)


def trained(folder: Path, mice: dict[str, nr.Recording], *, seed: int, teachers: Any = ()) -> nr.EncodingModel:
    """A DwiseNeuro of both mice; trained once, and kept."""
    model = nr.fit_encoder(
        {name: recording.select(*FOLDS) for name, recording in mice.items()},
        validation={name: recording.select("fold_1") for name, recording in mice.items()},
        kind="dwiseneuro",
        seed=seed,
        teachers=teachers,
        folder=folder / f"model_{seed}{'_distilled' if len(teachers) else ''}",
        recipe=RECIPE,
        architecture=ARCHITECTURE,
        progress=False,
    )
    print(f"seed {seed}{' distilled' if len(teachers) else ''}: {model.training_log[-1]}", flush=True)
    return model


def inverted(models: list[nr.EncodingModel], recording: nr.Recording, *, movies: int) -> dict[str, Any]:
    """Mean scores of some movies, how well responses to them are predicted, and seconds of a pass."""
    quiet = nr.Compute(progress=False)
    tested = recording.select("fold_0")[:movies]
    validation = recording.select("fold_1")
    posterior = nr.fit_posterior(models, recording.select(*FOLDS), validation=validation, compute=quiet)
    mask = nr.posterior_mask(posterior, recording.select(*FOLDS), compute=quiet)
    scores, seconds, passes = [], 0.0, 0
    for trial in tested:
        begin = time.perf_counter()
        result = nr.reconstruct(trial, posterior, mask=mask, compute=quiet)
        seconds += time.perf_counter() - begin
        passes += result.settings["passes"]
        scores.append(result.score())
    response = nr.encoder_correlation(models, list(tested), skip=50)
    return {
        "response": response,
        "video": float(np.mean(scores)),
        "videos": [round(score, 4) for score in scores],
        "seconds_a_pass": seconds / passes,
        "seconds": seconds / len(scores),
    }


if __name__ == "__main__":
    main()

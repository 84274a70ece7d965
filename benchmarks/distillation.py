"""What inverting one distilled model gives, beside the ensemble of its teachers: video correlation and seconds.

    python benchmarks/distillation.py [--folder distillation] [--seed 41] [--teachers 3] [--share 0.9] [--out FILE]

Simulates a mouse, trains the teachers, and a student that learns their mean prediction beside the recorded responses.
Fits a posterior to one teacher, to the student and to all teachers, and reconstructs the held-out movies with each.
Models that lie in the folder are taken.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import pandas as pd

import neuroreel as nr
from _machine import described
from neuroreel.studies.mouse import TEST_FOLD, TRAINING_FOLDS, VALIDATION_FOLD, SimulatedMouse
from neuroreel.studies.quality import half_interval, simulated_recordings

QUIET = nr.Compute(progress=False)


def main() -> None:
    """Train, reconstruct, print, keep."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path("distillation"))
    parser.add_argument("--neurons", type=int, default=400)
    parser.add_argument("--trials", type=int, default=84)
    parser.add_argument("--seed", type=int, default=41)
    parser.add_argument("--teachers", type=int, default=3)
    parser.add_argument("--share", type=float, default=0.9, help="of the student's loss, for what the teachers predict")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/distillation.json"))
    args = parser.parse_args()
    size = SimulatedMouse(trials=args.trials, seconds=10.0, neurons=args.neurons)
    (mouse,) = simulated_recordings(args.folder / "recordings", [size], [args.seed])
    train, validation = mouse.select(*TRAINING_FOLDS), mouse.select(VALIDATION_FOLD)

    def trained(seed: int, **changes: Any) -> nr.EncodingModel:
        return nr.fit_encoder(
            train, validation=validation, seed=seed, folder=args.folder / f"model_{seed}", progress=False, **changes
        )

    teachers = [trained(seed) for seed in range(args.teachers)]
    student = trained(args.teachers, teachers=teachers, recipe={"distillation": args.share})
    ways = {"one model": teachers[:1], "distilled model": [student], "its teachers": teachers}
    posteriors = {way: nr.fit_posterior(models, train, validation=validation) for way, models in ways.items()}
    mask = nr.posterior_mask(posteriors["its teachers"], train)
    decoder = nr.fit_decoder(train, progress=False)
    found: dict[str, list[float]] = {way: [] for way in ("ridge", *ways)}
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    for trial in mouse.select(TEST_FOLD):
        movies = {"ridge": nr.decode(decoder, trial)}
        for way, posterior in posteriors.items():
            began = time.perf_counter()
            movies[way] = nr.reconstruct(trial, posterior, mask=mask, compute=QUIET).video
            seconds[way].append(time.perf_counter() - began)
        for way, video in movies.items():
            found[way].append(nr.video_correlation(trial.needs_video(), video, mask=mask, skip=30))
        print(trial.name, {way: round(values[-1], 3) for way, values in found.items()}, flush=True)
    predicted = {way: nr.encoder_correlation(models, validation) for way, models in ways.items()}
    print(summary(found, seconds, predicted).to_string(float_format="{:.3f}".format))
    facts = {"settings": {name: str(value) for name, value in vars(args).items()}}
    measured = {"video_correlation": found, "seconds": seconds, "response_correlation": predicted}
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps(described() | facts | measured, indent=1) + "\n")


def summary(
    found: dict[str, list[float]], seconds: dict[str, list[float]], predicted: dict[str, float]
) -> pd.DataFrame:
    """A row for each way: scores, paired differences to one model with 95 % intervals, seconds of a movie."""
    movies = pd.DataFrame(found)
    gains = movies.sub(movies["one model"], axis=0)
    return pd.DataFrame(
        {
            "video_correlation": movies.mean(),
            "difference": gains.mean(),
            "interval": gains.apply(half_interval),
            "seconds": pd.DataFrame(seconds).mean(),
            "response_correlation": predicted,
        }
    ).reindex(movies.columns)


if __name__ == "__main__":
    main()

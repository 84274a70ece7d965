"""The posterior beside ridge regression, on simulated mice that nothing was tuned on.

    python benchmarks/posterior.py --neurons 400 1500 4000 --seeds 11 12 13 --folder mice

For each mouse: 84 trials of 10 s; encoding models, decoder, masks and posterior are fitted to five folds, one fold
validates, and the 12 movies of the last one are reconstructed. Prints video correlations (frames from 30 on) inside
the posterior's mask and inside the published rule's, paired differences with 95 % intervals, and how often intervals
of the posterior hold the truth. Everything made is kept in --folder; a second call resumes.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np

import neuroreel as nr
from neuroreel.decoding.ridge_decoder import RidgeDecoder
from neuroreel.files import atomic_path

TRAINING = [f"fold_{number}" for number in range(2, 7)]
RECIPE = {"epochs": 3, "batches_per_epoch": 30}


def mouse(folder: Path, *, neurons: int, seed: int, trials: int, models: int) -> dict[str, Any]:
    """Recording, models, decoder, mask and posterior of one mouse, made or taken from its folder."""
    if not (folder / "recording").exists():
        nr.simulate(folder / "recording", trials=trials, seconds=10.0, neurons=neurons, seed=seed)
    recording = nr.open_recording(folder / "recording")
    train, validation = recording.select(*TRAINING), recording.select("fold_1")
    if not (folder / "decoder.safetensors").exists():
        nr.fit_decoder(train).save(folder / "decoder.safetensors")
    encoders = []
    for number in range(models):
        file = folder / f"encoder_{number}.safetensors"
        if not file.exists():
            nr.save_encoder(nr.fit_encoder(train, validation=validation, seed=number, recipe=RECIPE), file)
        encoders.append(nr.load_encoder(file))
    if not (folder / "published_mask.npy").exists():
        nr.save_mask(folder / "published_mask.npy", nr.learn_mask(encoders[0], train, steps=200))
    if not (folder / f"posterior_{models}").exists():
        nr.fit_posterior(encoders, train, validation=validation).save(folder / f"posterior_{models}")
    posterior = nr.load_posterior(folder / f"posterior_{models}")
    if not (folder / "mask.npy").exists():
        nr.save_mask(folder / "mask.npy", nr.posterior_mask(posterior, train))
    return {
        "movies": recording.select("fold_0"),
        "decoder": RidgeDecoder.load(folder / "decoder.safetensors"),
        "mask": nr.load_mask(folder / "mask.npy"),
        "published_mask": nr.load_mask(folder / "published_mask.npy"),
        "posterior": posterior,
    }


def score_movie(trial: nr.Trial, made: dict[str, Any], *, samples: int) -> dict[str, float]:
    """Correlations of each method's movie with the true one, and the coverage of the posterior's intervals."""
    mask, row = made["mask"], dict[str, float]()
    began = time.perf_counter()
    result = nr.reconstruct(trial, made["posterior"], mask=mask, samples=samples)
    row["seconds"] = time.perf_counter() - began
    for name, video in (("ridge", nr.decode(made["decoder"], trial)), ("posterior", result.video)):
        row[name] = nr.video_correlation(trial.needs_video(), video, mask=mask)
        row[f"{name}_published_mask"] = nr.video_correlation(trial.needs_video(), video, mask=made["published_mask"])
    if samples:
        held = nr.coverage(result, levels=(0.68, 0.95))
        row |= {"coverage_68": held[0.68], "coverage_95": held[0.95]}
    return row


def interval(values: np.ndarray) -> tuple[float, float]:
    """Half the 95 % interval of a mean (Student), after the mean."""
    from scipy.stats import t

    half = t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / len(values) ** 0.5
    return float(values.mean()), float(half)


def main() -> None:
    """Make what is missing, score, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--neurons", type=int, nargs="+", default=[400])
    parser.add_argument("--seeds", type=int, nargs="+", default=[11, 12, 13])
    parser.add_argument("--trials", type=int, default=84)
    parser.add_argument("--models", type=int, default=4)
    parser.add_argument("--samples", type=int, default=0)
    parser.add_argument("--folder", type=Path, default=Path("posterior_mice"))
    args = parser.parse_args()
    for neurons in args.neurons:
        every: list[dict[str, float]] = []
        for seed in args.seeds:
            folder = args.folder / f"{neurons}_neurons_seed_{seed}"
            file = folder / f"scores_{args.models}_models_{args.samples}_samples.json"
            rows: list[dict[str, float]] = json.loads(file.read_text()) if file.exists() else []
            made = mouse(folder, neurons=neurons, seed=seed, trials=args.trials, models=args.models)
            for trial in list(made["movies"])[len(rows) :]:
                rows.append(score_movie(trial, made, samples=args.samples))
                with atomic_path(file, overwrite=True) as partial:
                    partial.write_text(json.dumps(rows, indent=1))
            print(f"{neurons} neurons, seed {seed}:", summary(rows), flush=True)
            every += rows
        print(f"{neurons} neurons, all:", summary(every), flush=True)


def summary(rows: list[dict[str, float]]) -> str:
    """One line."""
    columns = {name: np.array([row[name] for row in rows]) for name in rows[0]}
    lines = [f"{len(rows)} movies: " + ", ".join(f"{name} {values.mean():.3f}" for name, values in columns.items())]
    for ending in ("", "_published_mask"):
        posterior, ridge = columns[f"posterior{ending}"], columns[f"ridge{ending}"]
        difference, half = interval(posterior - ridge)
        factor = posterior.mean() / ridge.mean()
        least = (posterior - ridge).min()
        lines.append(
            f"posterior - ridge{ending} {difference:+.3f} ± {half:.3f}, least {least:+.3f}, {factor:.3f} times"
        )
    return "; ".join(lines)


if __name__ == "__main__":
    main()

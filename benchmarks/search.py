"""Does the search converge, from any start, and does it ever get worse? Video correlation over passes.

    python benchmarks/search.py [--neurons 400] [--seed 11] [--movies 4] [--passes 200] [--out search.png]

Simulates and fits a mouse, as ``neuroreel benchmark quality --models 4 --out mice`` does; what lies in the folder
already is taken. Each movie is searched for from the prior's mean and from the ridge movie. Prints the mean correlation
after some passes, how alike the two movies are after the default's, and draws the curves.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

import neuroreel as nr
from neuroreel.posterior.reconstruct import PASSES
from neuroreel.studies.mouse import Mouse, SimulatedMouse, Training
from neuroreel.studies.quality import simulated_recordings
from neuroreel.studies.run import Runner
from neuroreel.studies.store import Store

SHOWN = (10, 15, 20, 25, 30, 40, 60, 100, 150, 200)


def main() -> None:
    """Search, print, draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path("mice"))
    parser.add_argument("--neurons", type=int, default=400)
    parser.add_argument("--seed", type=int, default=11)
    parser.add_argument("--models", type=int, default=4)
    parser.add_argument("--movies", type=int, default=4)
    parser.add_argument("--passes", type=int, default=200)
    parser.add_argument("--out", type=Path, default=Path("search.png"))
    args = parser.parse_args()
    size = SimulatedMouse(trials=84, seconds=10.0, neurons=args.neurons)
    (recording,) = simulated_recordings(args.folder / "recordings", [size], [args.seed])
    training = Training(models=args.models, epochs=3, batches_per_epoch=30)
    mouse, runner = Mouse(recording=recording, training=training, home=recording.name), Runner(Store(args.folder))
    posterior, decoder, mask = (runner.get(task) for task in (mouse.posterior, mouse.decoder, mouse.mask))
    curves: dict[str, list[np.ndarray]] = {"prior's mean": [], "ridge": []}
    alike = []
    for trial in mouse.test[: args.movies]:
        starts = {"prior's mean": None, "ridge": nr.decode(decoder, trial)}
        early = {}
        for name, start in starts.items():
            asked = {"mask": mask, "start": start, "compute": nr.Compute(progress=False)}
            curves[name].append(by_pass(nr.reconstruct(trial, posterior, passes=args.passes, **asked), args.passes))
            early[name] = nr.reconstruct(trial, posterior, **asked).video[30:, mask >= 1]
        alike.append(np.corrcoef(*(video.ravel() for video in early.values()))[0, 1])
        ends = {name: (found[-1][PASSES - 1], found[-1][-1]) for name, found in curves.items()}
        print(
            f"{trial.name}: after the default's passes and at the end " + str(ends),
            f"alike {alike[-1]:.4f}",
            flush=True,
        )
    for name, found in curves.items():
        mean = np.mean(found, axis=0)
        shown = ", ".join(f"{passes}: {mean[passes - 1]:.4f}" for passes in SHOWN if passes <= args.passes)
        print(f"from {name}: {shown}")
    print(
        f"correlation of the two movies after the default's passes: {np.mean(alike):.4f}, at least {np.min(alike):.4f}"
    )
    draw(args.out, curves)


def by_pass(result: nr.Reconstruction, passes: int) -> np.ndarray:
    """Video correlation after each pass: that of the last iteration that had ended by then."""
    ended = result.dataset["iteration"].values
    found = result.dataset["video_correlation"].values
    places = np.searchsorted(ended, np.arange(1, passes + 1), side="right") - 1
    return np.where(places >= 0, found[places.clip(0)], np.nan)


def draw(file: Path, curves: dict[str, list[np.ndarray]]) -> None:
    """A line a movie, a color a start."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 3.6), layout="constrained")
    ax = figure.subplots()
    for (name, found), color in zip(curves.items(), ("#0072b2", "#d55e00"), strict=True):
        for number, curve in enumerate(found):
            ax.plot(np.arange(1, len(curve) + 1), curve, color=color, label=name if number == 0 else None)
    ax.axvline(PASSES, color="0.6", linewidth=0.8)
    ax.set(xlabel="passes", ylabel="video correlation inside the mask", xscale="log")
    ax.legend(title="started from")
    figure.savefig(file, dpi=120)


if __name__ == "__main__":
    main()

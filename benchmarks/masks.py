"""Do masks of two ensembles and two seeds agree, and with the truth? The posterior's rule beside the published one.

    python benchmarks/masks.py [--neurons 400] [--folder mice] [--out masks.png]

Simulates a mouse, trains two pairs of encoding models, learns each pair's mask twice; what lies in the folder already
is taken. Prints correlations of masks,
overlaps (intersection over union) of the scored areas (mask >= 1), and the correlation with how much of the simulated
population sees each pixel; draws all masks.
"""

from __future__ import annotations

import argparse
from itertools import combinations
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import neuroreel as nr
from neuroreel.recordings.simulate.truth import load_truth
from neuroreel.studies.mouse import Mouse, SimulatedMouse, Training
from neuroreel.studies.quality import simulated_recordings
from neuroreel.studies.run import Runner
from neuroreel.studies.store import Store

TRAINING = Training(models=2, epochs=3, batches_per_epoch=30)


def main() -> None:
    """Make the mouse and its masks; print and draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path("mice"))
    parser.add_argument("--neurons", type=int, default=400)
    parser.add_argument("--trials", type=int, default=60)
    parser.add_argument("--steps", type=int, default=200, help="of the published rule")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("masks.png"))
    args = parser.parse_args()
    size = SimulatedMouse(trials=args.trials, seconds=10.0, neurons=args.neurons)
    (recording,) = simulated_recordings(args.folder / "recordings", [size], [args.seed])
    truth, runner = load_truth(recording.folder).coverage(), Runner(Store(args.folder))
    posterior_masks, published_masks = {}, {}
    for pair in range(2):
        mouse = Mouse(recording=recording, training=TRAINING, home=f"{recording.name}_{pair}", seed=2 * pair)
        posterior, encoder = runner.get(mouse.posterior), runner.get(mouse.encoders["encoder_0"])
        for seed in range(2):
            name = f"models {pair}, seed {seed}"
            posterior_masks[name] = nr.posterior_mask(posterior, mouse.train, seed=2 * pair + seed)
            published_masks[name] = nr.learn_mask(encoder, mouse.train, steps=args.steps, seed=2 * pair + seed)
    for rule, masks in (("posterior", posterior_masks), (f"published, {args.steps} steps", published_masks)):
        for (name, one), (other_name, other) in combinations(masks.items(), 2):
            print(f"{rule}: {name} and {other_name}: correlation {correlation(one, other):.3f}, "
                  f"overlap {overlap(one >= 1, other >= 1):.2f}")  # fmt: skip
        for name, mask in masks.items():
            print(f"{rule}: {name}: area {np.mean(mask >= 1):.3f}, correlation with the truth "
                  f"{correlation(mask, truth):.3f}")  # fmt: skip
    draw(args.out, posterior_masks, published_masks, truth)


def correlation(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """Pearson correlation over pixels."""
    return float(np.corrcoef(one.ravel(), other.ravel())[0, 1])


def overlap(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    """Intersection over union; 0 where both are empty."""
    return float((one & other).sum() / max(1, (one | other).sum()))


def draw(
    file: Path,
    posterior_masks: dict[str, NDArray[np.float32]],
    published_masks: dict[str, NDArray[np.float32]],
    truth: NDArray[np.float32],
) -> None:
    """One row a rule, the scored area outlined; the truth at the end of both."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 3.6), layout="constrained")
    axes = figure.subplots(2, len(posterior_masks) + 1)
    for row, (rule, masks) in zip(axes, (("posterior", posterior_masks), ("published", published_masks)), strict=True):
        for ax, (name, mask) in zip(row, masks.items(), strict=False):
            ax.imshow(mask, vmin=0, cmap="cividis")
            ax.contour(mask, levels=[1], colors="white", linewidths=1)
            ax.set(title=name, xticks=[], yticks=[])
        row[0].set_ylabel(rule)
        row[-1].imshow(truth, cmap="cividis")
        row[-1].set(title="share of neurons that see it", xticks=[], yticks=[])
    figure.savefig(file, dpi=120)


if __name__ == "__main__":
    main()

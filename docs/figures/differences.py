"""Draw the two figures of docs/differences.md: writes docs/figures/differences_{ablation,padding}.png.

    python benchmarks/differences.py --only 1 15 --folder WORK
    python docs/figures/differences.py WORK

The curves are in benchmarks/results/differences.json and the movies in WORK, where the benchmark left them.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.ndimage import gaussian_filter

from neuroreel.evaluation.scores import contrast_gain, match_contrast

HERE = Path(__file__).parent
RESULTS = HERE.parents[1] / "benchmarks" / "results" / "differences.json"
OURS, PUBLISHED, OUTLINE = "#12758a", "#c4531d", "#12a5b8"
NAMES = {"ours": "neuroreel", "published": "published"}
SMOOTHED = 1.0  # sigma, in frames and pixels
SIMULATED = "simulated mouse, not a real one"


def draw_frames(grid: np.ndarray, movies: dict[str, np.ndarray], mask: np.ndarray) -> None:
    """A row for each movie, a column for each of some frames, with the outline of the evaluation mask."""
    for row, (label, movie) in zip(grid, movies.items(), strict=True):
        for axes, frame in zip(row, np.linspace(40, len(movie) - 15, len(row)).astype(int), strict=True):
            axes.imshow(movie[frame], cmap="gray", vmin=0, vmax=255, interpolation="nearest")
            axes.contour(mask, levels=[1.0], colors=OUTLINE, linewidths=1)
            axes.set(xticks=[], yticks=[])
            axes.spines[:].set_visible(False)
            if label == next(iter(movies)):
                axes.set_title(f"{frame / 30:.1f} s", fontsize=9)
        row[0].set_ylabel(label, rotation=0, ha="right", va="center", fontsize=9)


def plain(axes: Axes, **labels: Any) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", alpha=0.3)
    axes.set(**labels)


def ablation(work: Path) -> Figure:
    """Video correlation by the share of neurons kept, and frames of the movies from an eighth of them."""
    rows = json.loads(RESULTS.read_text())["faults"]["1"]["rows"]
    movies = np.load(work / "ablation.npz")
    figure = Figure(figsize=(9.4, 3.4), layout="constrained")
    left, right = figure.subfigures(1, 2, width_ratios=[1.05, 1])
    plots = left.subplots(1, 2, sharey=True)
    for axes, rule in zip(plots, ("published rule", "posterior"), strict=True):
        chosen = [row for row in rows if f", {rule}," in row["what"]]
        kept = [float(re.search(r"([\d.]+)% of", row["what"])[1]) for row in chosen]
        for way, color in (("ours", OURS), ("published", PUBLISHED)):
            label = {"ours": "left out", "published": "silenced (published)"}[way]
            if chosen[0][way] is not None:
                axes.plot(kept, [row[way] for row in chosen], "o-", color=color, label=label)
        axes.set_xscale("log")
        axes.set_xticks(kept, [f"{share:g}" for share in kept], minor=False)
        axes.minorticks_off()
        axes.invert_xaxis()
        plain(axes, title=f"{rule}", xlabel="neurons kept (%)")
    plots[0].set_ylabel("video correlation")
    plots[0].legend(frameon=False, fontsize=8, loc="upper right")
    left.suptitle(SIMULATED, fontsize=9)
    truth, mask = movies["truth"], movies["mask"]
    shown = {"shown": truth}
    for label, way in (("posterior", "posterior"), ("left out", "left_out"), ("silenced", "silenced")):
        smooth = movies[f"{way} 0.125"] if way == "posterior" else gaussian_filter(movies[f"{way} 0.125"], SMOOTHED)
        shown[label] = match_contrast(truth, smooth, mask=mask)
    draw_frames(right.subplots(4, 3), shown, mask)
    right.suptitle("12.5% of the neurons; those by the published rule are smoothed", fontsize=9)
    return figure


def padding(work: Path) -> Figure:
    """The movies of both ways, smoothed so that something is to be seen, and the correlation over iterations."""
    movies = np.load(work / "padding.npz")
    figure = Figure(figsize=(9.4, 3.6), layout="constrained")
    left, right = figure.subfigures(1, 2, width_ratios=[1.35, 1])
    mask, truth = movies["mask"], movies["truth"]
    shown = {"shown": truth} | {NAMES[way]: visible(movies[way], mask) for way in NAMES}
    draw_frames(left.subplots(3, 4), shown, mask)
    left.suptitle("smoothed, at one contrast", fontsize=9)
    axes = right.subplots()
    for way, color in (("ours", OURS), ("published", PUBLISHED)):
        axes.plot(movies[f"{way}_iteration"] + 1, movies[f"{way}_video_correlation"], color=color, label=NAMES[way])
    axes.axhline(0, color="0.5", linewidth=0.8)
    axes.legend(frameon=False)
    plain(axes, xlabel="iteration", ylabel="video correlation", title=SIMULATED)
    axes.title.set_fontsize(9)
    return figure


def visible(movie: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The movie, smoothed, at a standard deviation of 50 grey levels inside the mask."""
    smooth = gaussian_filter(movie, SMOOTHED)
    return 127.5 + (smooth - 127.5) * contrast_gain(50, smooth[30:, mask >= 1].std())


def main(arguments: list[str]) -> None:
    if len(arguments) != 1:
        sys.exit("give the folder that benchmarks/differences.py --folder left its movies in")
    for draw in (ablation, padding):
        file = HERE / f"differences_{draw.__name__}.png"
        draw(Path(arguments[0])).savefig(file, dpi=150)
        print(f"wrote {file}")


if __name__ == "__main__":
    main(sys.argv[1:])

"""Draw the README's pictures from the results of the demo: writes reconstruction.png and .gif into docs/_static.

    neuroreel demo                          # writes its results into a folder
    python docs/figures/readme_picture.py   # or with the result files as arguments

It shows the results at the quartiles of the video correlation, not the best ones; inside the mask, and at the true
movie's brightness and contrast, as the paper shows its own: correlations do not depend on either. The GIF plays the
median one: left what was shown, right the reconstruction, outlined what is scored.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

import neuroreel as nr
from neuroreel.evaluation.scores import match_contrast
from neuroreel.results.export import write_gif

TARGET = Path(__file__).parents[1] / "_static" / "reconstruction.png"
SKIPPED_FRAMES = 30  # as in the scores
COLUMNS = 7
PERCENTILES = (75, 50, 25)


def score(result: nr.Reconstruction) -> float:
    return nr.video_correlation(result.truth, result.video, mask=result.mask, skip=SKIPPED_FRAMES)


def at_percentiles(results: list[nr.Reconstruction]) -> list[nr.Reconstruction]:
    """The results at the quartiles of the score; all of them if there are no more than that."""
    ranked = sorted(results, key=score)
    places = [round((len(ranked) - 1) * percentile / 100) for percentile in PERCENTILES]
    return [ranked[place] for place in sorted(set(places), reverse=True)]


def draw(results: list[nr.Reconstruction]) -> Figure:
    """Two rows a movie: the frames that were shown, and the same frames reconstructed."""
    height, width = results[0].video.shape[1:]
    inch = 1.35
    rows = 2 * len(results)
    figure = Figure(figsize=(COLUMNS * inch + 1.1, rows * inch * height / width + 0.3), layout="constrained")
    figure.get_layout_engine().set(h_pad=0.015, w_pad=0.015, hspace=0, wspace=0)
    grid = figure.subplots(rows, COLUMNS, squeeze=False)
    for number, result in enumerate(results):
        frames = np.linspace(SKIPPED_FRAMES, len(result.video) - 10, COLUMNS).round().astype(int)
        draw_movie(grid[2 * number], result, result.truth, frames, label="shown")
        draw_movie(
            grid[2 * number + 1],
            result,
            match_contrast(result.truth, result.video, mask=result.mask),
            frames,
            label=f"reconstructed\n(r = {score(result):.2f})",
        )
        for axes, frame in zip(grid[2 * number], frames, strict=True):
            if number == 0:
                axes.set_title(f"{frame / result.frame_rate_hz:.1f} s", fontsize=8, pad=3)
    return figure


def draw_movie(row, result: nr.Reconstruction, video: np.ndarray, frames: np.ndarray, *, label: str) -> None:
    for axes, frame in zip(row, frames, strict=True):
        axes.imshow(video[frame], cmap="gray", vmin=0, vmax=255, interpolation="nearest")
        if result.mask is not None:
            axes.contour(result.mask, levels=[1.0], colors="#12a5b8", linewidths=0.9)
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set_visible(False)
    row[0].set_ylabel(label, rotation=0, ha="right", va="center", fontsize=8)


def main(names: list[str]) -> None:
    files = [Path(name) for name in names] or sorted(Path("neuroreel-demo").rglob("*.nc"))
    results = [nr.Reconstruction.load(file) for file in files]
    if not results:
        sys.exit("there is no neuroreel-demo here: run `neuroreel demo` first, or give the result files (.nc)")
    draw(at_percentiles(results)).savefig(TARGET, dpi=150)
    median = sorted(results, key=score)[len(results) // 2]
    write_gif(
        TARGET.with_suffix(".gif"),
        match_contrast(median.truth, median.video, mask=median.mask, outside=128),
        truth=median.truth,
        frame_rate_hz=median.frame_rate_hz,
        mask=median.mask,
        scale=4,
        overwrite=True,
    )
    print(f"wrote {TARGET} and its GIF")


if __name__ == "__main__":
    main(sys.argv[1:])

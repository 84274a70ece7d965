"""Real neurons: the noise movie that pieces of mouse retina saw, reconstructed from their spikes.

    python examples/retina.py mouse_retina_dense_noise.npz --out retina          # --more for every method

Everything is fitted to the first 1800 noise frames; the last 300 are reconstructed, once from the units of the largest
recording, which were recorded at once, and once from the units of all recordings, which saw the same movie.
"""

from __future__ import annotations

import argparse
import csv
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

import neuroreel as nr
from neuroreel.files import atomic_path, refuse_existing

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DISPLAY_FRAMES = 4  # each noise frame stood for four display frames
TRAINING_FRAMES = 1800
TRIAL_FRAMES = 100

# A receptive field covers little more than one pixel and 0.2 s, so the filters are small and nothing is left out.
ARCHITECTURE: dict[str, Any] = {
    "stride": 1,
    "spatial_kernel": 3,
    "temporal_kernel": 6,
    "hidden_kernel": 1,
    "channels": 16,
    "hidden_channels": 24,
    "clip_frames": 30,
}
RECIPE: dict[str, Any] = {
    "learning_rate": 1e-2,
    "window_frames": 96,
    "batches_per_epoch": 20,
    "epochs": 7,
    "ema_decay": 0.95,
}
# Chosen on the last 200 training frames, with models fitted to the 1600 before them. Ridge gets the lag that is best
# for it: with the default lags it is worse.
LAGS_S = [2 / 15]
MASK_STEPS = 200  # the published 1000 are for masks of 64 x 64 pixels; with so few pixels each step moves one further
SCORES = ("video_correlation", "frame_correlation", "pixel_correlation")


@dataclass(frozen=True)
class Retina:
    """The noise movie (frames, height, width), grey 0 or 255, and spike counts (units, frames) a noise frame."""

    video: NDArray[np.uint8]
    counts: NDArray[np.int64]
    recording: NDArray[np.str_]
    frame_rate_hz: float

    @classmethod
    def read(cls, file: str | Path) -> Retina:
        """Read the file; its counts are those of display frames."""
        with np.load(file, allow_pickle=False) as data:
            counts = data["counts60"]
            units, display_frames = counts.shape
            return cls(
                video=data["stimulus"] * np.uint8(255),
                counts=counts.reshape(units, display_frames // DISPLAY_FRAMES, DISPLAY_FRAMES).sum(axis=2),
                recording=data["recording"],
                frame_rate_hz=float(np.mean(data["frame_rate_hz"])) / DISPLAY_FRAMES,
            )

    def largest_recording(self) -> NDArray[np.bool_]:
        """Which units are from the recording with the most of them."""
        names, units = np.unique(self.recording, return_counts=True)
        return self.recording == names[units.argmax()]

    def trial(self, units: NDArray[np.bool_], first: int, last: int) -> nr.Trial:
        """The noise frames from ``first`` to before ``last``, and what some units did meanwhile."""
        return nr.Trial(
            video=self.video[first:last],
            responses=self.counts[units, first:last],
            frame_rate_hz=self.frame_rate_hz,
            name=f"frames {first}-{last - 1}",
            recording=f"{units.sum()} units of mouse retina",
        )


@dataclass(frozen=True)
class Outcome:
    """What came of one population."""

    units: int
    encoding_correlation: float
    mask: NDArray[np.float32]
    ridge: NDArray[np.float32]
    result: nr.Reconstruction
    others: dict[str, NDArray[np.float32]]  # movies by other methods
    seconds: float

    @property
    def inside(self) -> NDArray[np.bool_]:
        """(height, width): the pixels that are scored."""
        return self.mask >= 1

    def scores(self) -> dict[str, dict[str, float]]:
        """Scores inside the mask over all held-out frames, for each method."""
        truth = self.result.truth
        assert truth is not None  # the trial had its movie
        movies = {"ridge": self.ridge, **self.others, "reconstruction": self.result.video}
        found = {name: nr.scores(truth, movie, mask=self.mask, skip=0) for name, movie in movies.items()}
        return {name: {score: values[score] for score in SCORES} for name, values in found.items()}


def run(
    retina: Retina,
    units: NDArray[np.bool_],
    *,
    more: bool = False,
    recipe: dict[str, Any] | None = None,
    progress: bool = True,
) -> Outcome:
    """Fit model, mask, ridge and posterior to the training frames, and reconstruct the frames after them.

    ``more``: also by the convolutional decoder and by the published rule.
    """
    started = time.perf_counter()
    firsts = range(0, TRAINING_FRAMES, TRIAL_FRAMES)
    trials = [retina.trial(units, first, first + TRIAL_FRAMES) for first in firsts]
    held_out = retina.trial(units, TRAINING_FRAMES, len(retina.video))
    model = nr.fit_encoder(trials, recipe=RECIPE | (recipe or {}), architecture=ARCHITECTURE, progress=progress)
    mask = nr.learn_mask(model, trials, steps=MASK_STEPS, progress=progress)
    decoder = nr.fit_decoder(trials, lags_s=LAGS_S, progress=progress)
    compute = nr.Compute(progress=progress)
    posterior = nr.fit_posterior(model, trials, compute=compute)
    result = nr.reconstruct(held_out, posterior, mask=mask, compute=compute)
    others = by_other_methods(model, trials, held_out, mask, progress=progress) if more else {}
    return Outcome(
        units=int(units.sum()),
        encoding_correlation=nr.encoder_correlation(model, [held_out]),
        mask=mask,
        ridge=nr.decode(decoder, held_out),
        result=result,
        others=others,
        seconds=time.perf_counter() - started,
    )


def by_other_methods(
    model: nr.EncodingModel,
    trials: Sequence[nr.Trial],
    held_out: nr.Trial,
    mask: NDArray[np.float32],
    *,
    progress: bool,
) -> dict[str, NDArray[np.float32]]:
    """The held-out movie by the convolutional decoder, of ridge's lag, and by the published rule with one model."""
    network = nr.fit_decoder(trials, kind="convolutional", lags_s=LAGS_S, encoders=model, progress=progress)
    compute = nr.Compute(progress=progress)
    published = {
        f"bauer_2026, {iterations} iterations": nr.bauer_2026.reconstruct(
            held_out, model, mask=mask, iterations=iterations, compute=compute
        ).video
        for iterations in (30, 100, 300)
    }
    return {"convolutional": nr.decode(network, held_out), **published}


def write(outcomes: Sequence[Outcome], folder: Path, *, overwrite: bool) -> None:
    """Results, a table of scores, a picture and a page for the browser, one set a population."""
    for outcome in outcomes:
        outcome.result.save(folder / f"{outcome.units}_units.nc", overwrite=overwrite)
        with atomic_path(folder / f"{outcome.units}_units.png", overwrite=overwrite) as file:
            picture(outcome).savefig(file, dpi=120)
    with (
        atomic_path(folder / "scores.csv", overwrite=overwrite) as file,
        file.open("w", newline="", encoding="utf-8") as stream,
    ):
        table = csv.writer(stream)
        table.writerow(["units", "pixels", "encoding_correlation", "method", *SCORES])
        for outcome in outcomes:
            start = [outcome.units, outcome.inside.sum(), f"{outcome.encoding_correlation:.4f}"]
            for method, found in outcome.scores().items():
                table.writerow([*start, method, *(f"{found[score]:.4f}" for score in SCORES)])
    nr.write_report(
        folder / "report.html",
        [outcome.result for outcome in outcomes],
        title="Mouse retina, dense noise",
        scores={outcome.result.name: outcome.scores() for outcome in outcomes},
        movies={"ridge": [outcome.ridge for outcome in outcomes]},
        notes="Frames after those that everything was fitted to. Scores inside the mask.",
        overwrite=overwrite,
    )


def picture(outcome: Outcome, *, first: int = 100, frames: int = 8) -> Figure:
    """Successive frames of the true movie, of ridge and of the reconstruction, and the mask beside them."""
    from matplotlib.figure import Figure

    truth = outcome.result.truth
    assert truth is not None  # the trial had its movie
    rows = {"true": truth, "ridge": outcome.ridge, "reconstruction": outcome.result.video}
    figure = Figure(figsize=(1.2 * (frames + 1) + 0.4, 4.1), layout="constrained")
    axes = figure.subplots(len(rows), frames + 1)
    for row, (label, movie) in enumerate(rows.items()):
        axes[row, 0].set_ylabel(label)
        for column in range(frames):
            shown = np.ma.array(movie[first + column], mask=~outcome.inside)
            axes[row, column].imshow(shown, cmap="gray", vmin=0, vmax=255)
            axes[row, column].set(xticks=[], yticks=[], facecolor="#b8cbe0")
        axes[row, -1].set_axis_off()
    for column in range(frames):
        axes[0, column].set_title(f"{(first + column) / outcome.result.frame_rate_hz:.2f} s", fontsize="medium")
    axes[0, -1].imshow(outcome.mask, cmap="gray", vmin=0)
    axes[0, -1].contour(outcome.inside, levels=[0.5], colors="tab:orange", linewidths=1)
    axes[0, -1].set_title("mask", fontsize="medium")
    found = outcome.scores()
    lines = [f"{method} {found[method]['video_correlation']:.3f}" for method in ("ridge", "reconstruction")]
    figure.suptitle(f"{outcome.units} units of mouse retina; video correlation inside the mask: {', '.join(lines)}")
    return figure


def main() -> None:
    """Read the command line, run both populations, write what came of them."""
    parser = argparse.ArgumentParser(description="Reconstruct the noise that pieces of mouse retina saw.")
    parser.add_argument("file", type=Path, help="mouse_retina_dense_noise.npz")
    parser.add_argument("--out", type=Path, required=True, help="folder for results, made if it is not there")
    parser.add_argument("--more", action="store_true", help="also the convolutional decoder and the published rule")
    parser.add_argument("--overwrite", action="store_true", help="replace results that are there")
    arguments = parser.parse_args()
    try:
        refuse_existing(arguments.out / "scores.csv", overwrite=arguments.overwrite)
        retina = Retina.read(arguments.file)
        everybody = np.ones(len(retina.counts), bool)
        outcomes = [run(retina, units, more=arguments.more) for units in (retina.largest_recording(), everybody)]
        write(outcomes, arguments.out, overwrite=arguments.overwrite)
    except (nr.NeuroreelError, OSError, KeyError) as error:
        parser.exit(1, f"{error}\n")
    for outcome in outcomes:
        print(f"{outcome.units} units, mean response correlation {outcome.encoding_correlation:.3f},", end=" ")
        print(f"{outcome.inside.sum()} pixels in the mask, {outcome.seconds:.0f} s")
        for method, found in outcome.scores().items():
            print(f"  {method:<26}", "  ".join(f"{score} {value:.3f}" for score, value in found.items()))
    print(f"Open {arguments.out / 'report.html'}")


if __name__ == "__main__":
    main()

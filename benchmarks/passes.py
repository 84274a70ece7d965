"""How much work the published protocol's score takes: windows, starts, gradients, update rules and presets compared.

    python benchmarks/passes.py [--out passes.json] [--folder WORK] [--movies 3] [--only NAME ...] [--quick]

The work is counted in window-passes: one window of the published length (32 frames that count, and before them the
frames that the model needs to know) forward and backward through one model. A longer stretch counts by its frames. The
published protocol makes 1000 iterations of 34 or 35 windows for a movie of 300 frames.

Prints and stores, for every way to search, the window-passes after which its movies, smoothed as published, are as good
as those at the end of the published protocol, and as its best ones; how many times fewer that is than the published
protocol itself takes to be as good for the first time; and how good its own last ones are. Video
correlations are means over movies of fold 0 that nothing was trained on and no setting was chosen on: settings were
chosen on fold 1. One encoding model, as both kinds of start share it. Seconds are passes times the median pass.

With --folder the mouse, the model and all curves are kept: a killed call goes on where it was. The mouse is simulated:
the figures compare methods, they say nothing about mice.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from neuroreel.bauer_2026.loop import Progress, invert
from neuroreel.bauer_2026.presets import resolve_settings
from neuroreel.bauer_2026.update import PublishedMomentum, Update
from neuroreel.bauer_2026.windows import windows_for
from scipy.ndimage import gaussian_filter
from torch import Tensor

import neuroreel as nr
from _machine import described
from _mouse import Laboratory, prepared
from neuroreel.bauer_2026.likelihood import Evidence, PoissonLikelihood
from neuroreel.grey import MID_GREY

PUBLISHED = "published"
PUBLISHED_SIGMA = 0.5
SKIP = 30
MOUSE = {"height": 18, "width": 32, "neurons": 300, "trials": 70}
ENCODER = {"channels": 12, "hidden_channels": 16, "spatial_kernel": 7, "temporal_kernel": 9}  # small, for a long run
QUICK_MOUSE = {"height": 18, "width": 32, "neurons": 40, "trials": 21, "seconds": 3.0}


@dataclass(frozen=True, kw_only=True)
class Way:
    """One way to search.

    Attributes
    ----------
    options
        Of ``nr.reconstruct``; or, with ``parts``, of the published preset that the parts replace.
    parts
        An update rule, and a prior that smooths the gradient: parts that are not in the package, since others won.
    decoder
        Whether there is one.
    """

    name: str
    iterations: int
    options: dict[str, Any] = field(default_factory=dict)
    parts: Callable[[], tuple[Update, SmoothedGradient]] | None = None
    decoder: bool = False

    @property
    def windows(self) -> str:
        """The kind of its windows."""
        options = {"preset": "default"} | self.options
        return resolve_settings(options.pop("preset"), options).windows


@dataclass(frozen=True)
class SmoothedGradient:
    """Blurs the gradient in time and space with a Gaussian of so many frames and pixels."""

    sigma: float

    def direction(self, _videos: Tensor, gradient: Tensor) -> Tensor:
        """The blurred gradient."""
        return torch.from_numpy(gaussian_filter(gradient.numpy(), (0, self.sigma, self.sigma, self.sigma)))


class Adam:
    """Adam (Kingma & Ba 2015), on grey levels."""

    def __init__(self, learning_rate: float) -> None:
        self.learning_rate = learning_rate
        self.first: Tensor | float = 0.0
        self.second: Tensor | float = 0.0

    def step(self, videos: Tensor, gradient: Tensor, iteration: int) -> Tensor:
        """The next movies."""
        self.first = 0.9 * self.first + 0.1 * gradient
        self.second = 0.99 * self.second + 0.01 * gradient.square()
        first, second = self.first / (1 - 0.9**iteration), self.second / (1 - 0.99**iteration)
        return (videos - self.learning_rate * first / (second.sqrt() + 1e-12)).clamp(0, 255)

    def state(self) -> dict[str, Any]:
        """Not kept: these runs are short."""
        return {}

    def restore(self, state: dict[str, Any]) -> None:
        """Nothing to take up."""


def published_rule(**options: Any) -> dict[str, Any]:
    return {"preset": "published", "record": "pass"} | options


WAYS = (
    Way(name=PUBLISHED, iterations=1000, options=published_rule()),
    Way(
        name="published, 10 % of neurons held out", iterations=1000, options=published_rule(held_out=0.1, patience=150)
    ),
    Way(name="shifted windows", iterations=300, options=published_rule(windows="shifted")),
    Way(name="whole movie", iterations=200, options=published_rule(windows="tiled", learning_rate=3000)),
    Way(
        name="shifted, 3x the step",
        iterations=150,
        options=published_rule(windows="shifted", learning_rate=3000),
    ),
    Way(
        name="shifted, 3x the step, 10 % held out",
        iterations=300,
        options=published_rule(windows="shifted", learning_rate=3000, held_out=0.1, patience=50),
    ),
    Way(
        name="shifted, gradient smoothed 1, 5x the step",
        iterations=150,
        options=published_rule(windows="shifted"),
        parts=lambda: (PublishedMomentum(learning_rate=5000), SmoothedGradient(1.0)),
    ),
    Way(
        name="shifted, gradient smoothed 2, 10x the step",
        iterations=100,
        options=published_rule(windows="shifted"),
        parts=lambda: (PublishedMomentum(learning_rate=10000), SmoothedGradient(2.0)),
    ),
    Way(
        name="shifted, gradient smoothed 2, Adam",
        iterations=100,
        options=published_rule(windows="shifted"),
        parts=lambda: (Adam(4.0), SmoothedGradient(2.0)),
    ),
    Way(
        name="shifted, from the decoder's movie",
        iterations=100,
        options=published_rule(windows="shifted", start="decoder"),
        decoder=True,
    ),
    Way(name="default, no decoder", iterations=4),
    Way(name="default, no decoder, 12 passes", iterations=12),
    Way(name="default, no decoder, shifted, 12 passes", iterations=12, options={"windows": "shifted"}),
    Way(name="default", iterations=4, decoder=True),
    Way(name="default, 12 passes", iterations=12, decoder=True),
    Way(name="default, shifted, 12 passes", iterations=12, options={"windows": "shifted"}, decoder=True),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/passes.json"))
    parser.add_argument("--folder", type=Path, help="keeps mouse, model and curves")
    parser.add_argument("--movies", type=int, default=3)
    parser.add_argument("--frames", type=int, default=150, help="how much of each movie, from its start")
    parser.add_argument("--only", nargs="+", choices=[way.name for way in WAYS], metavar="NAME")
    parser.add_argument("--fold", choices=["fold_0", "fold_1"], default="fold_0", help="fold_1 to choose settings on")
    parser.add_argument("--seed", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="a small mouse, few passes: shows that it runs")
    options = parser.parse_args()
    ways = [way for way in WAYS if options.only is None or way.name in (PUBLISHED, *options.only)]
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        size, epochs = (QUICK_MOUSE, 1) if options.quick else (MOUSE, 4)
        lab = prepared(folder, seed=options.seed, size=size, models=1, epochs=epochs, architecture=ENCODER)
        movies = lab.held_out if options.fold == "fold_0" else lab.validation
        trials = [shortened(trial, options.frames) for trial in list(movies)[: options.movies]]
        curves: dict[str, list[list[dict[str, float]]]] = {way.name: [] for way in ways}
        for trial in trials:
            for way in ways:
                curves[way.name].append(followed(way, lab, trial, folder / "curves", quick=options.quick))
    ridge = [score(lab, trial, nr.decode(lab.decoder, trial)) for trial in trials]
    rows = compared(ways, curves, lab, frames=trials[0].frames, quick=options.quick)
    report = described() | {
        "seed": options.seed,
        "quick": options.quick,
        "mouse": "simulated, not a real one",
        "size": size,
        "fold": options.fold,
        "encoder": ENCODER,
        "movies": [trial.name for trial in trials],
        "frames": trials[0].frames,
        "decoder_alone": rounded(np.mean(ridge)),
        "rows": rows,
    }
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(report, indent=1) + "\n")
    print(table(report))


def shortened(trial: nr.Trial, frames: int) -> nr.Trial:
    """Its first frames."""
    arrays = {name: getattr(trial, name) for name in ("video", "responses", "behavior", "pupil_center")}
    start = slice(frames)
    cut = {name: None if array is None else array[..., start] for name, array in arrays.items()}
    return trial.replace(**(cut | {"video": trial.needs_video()[start]}))


# --- one search --------------------------------------------------------------------------------------------------


def followed(way: Way, lab: Laboratory, trial: nr.Trial, folder: Path, *, quick: bool) -> list[dict[str, float]]:
    """Scores of one movie on the way: a row of passes, seconds of that pass, smoothed and unsmoothed correlation.

    The last row is that of the movie that the search hands out.
    """
    folder.mkdir(parents=True, exist_ok=True)
    name = "".join(letter if letter.isalnum() else "_" for letter in f"{way.name} {trial.name}")
    done, rows = folder / f"{name}.json", folder / f"{name}.jsonl"
    if not done.exists():
        iterations = min(way.iterations, 6) if quick else way.iterations
        curve = Curve(lab, trial, rows)
        run = searched_by_parts if way.parts else searched_by_preset
        video = run(way, lab, trial, iterations, curve, snapshot=folder / f"{name}.pt")
        kept = curve.row(curve.passes, curve.seconds, video)
        done.write_text(json.dumps([*curve.rows(), kept]))
        rows.unlink()
    return json.loads(done.read_text())


class Curve:
    """A callback of the loop that scores the movie after some passes, and writes a line a score."""

    def __init__(self, lab: Laboratory, trial: nr.Trial, file: Path) -> None:
        self.lab, self.trial, self.file = lab, trial, file
        self.began = time.perf_counter()
        self.passes, self.seconds = 0, 0.0

    def __call__(self, progress: Progress, _fit: Any) -> None:
        self.passes, self.seconds = progress.iteration + 1, time.perf_counter() - self.began
        every = 1 if self.passes <= 20 else 5 if self.passes <= 100 else 20
        if self.passes % every == 0:
            row = self.row(self.passes, self.seconds, progress.videos[0].numpy())
            with self.file.open("a") as lines:
                lines.write(json.dumps(row) + "\n")
        self.began = time.perf_counter()

    def row(self, passes: int, seconds: float, video: Any) -> dict[str, float]:
        smooth = gaussian_filter(video, PUBLISHED_SIGMA)
        return {
            "passes": passes,
            "seconds": seconds,
            "smoothed": score(self.lab, self.trial, smooth),
            "unsmoothed": score(self.lab, self.trial, video),
        }

    def rows(self) -> list[dict[str, float]]:
        """In order; a pass that was made again after a kill counts once."""
        lines = self.file.read_text().splitlines() if self.file.exists() else []
        return list({row["passes"]: row for row in map(json.loads, lines)}.values())


def score(lab: Laboratory, trial: nr.Trial, video: Any) -> float:
    """Video correlation inside the evaluation mask; 0 where it is undefined, as for a grey movie."""
    value = nr.video_correlation(trial.video, video, mask=lab.mask, skip=min(SKIP, trial.frames // 2))
    return 0.0 if np.isnan(value) else float(value)


def searched_by_preset(
    way: Way, lab: Laboratory, trial: nr.Trial, iterations: int, curve: Curve, *, snapshot: Path
) -> Any:
    """``nr.reconstruct`` with a preset and what differs from it."""
    quiet = {"record_every": iterations, "callbacks": [curve], "snapshot": snapshot, "progress": False}
    decoder = lab.decoder if way.decoder else None
    options = {"mask": lab.mask, "decoder": decoder, "iterations": iterations} | quiet | way.options
    return nr.reconstruct(trial, lab.models[0], **options).video


def searched_by_parts(
    way: Way, lab: Laboratory, trial: nr.Trial, iterations: int, curve: Curve, *, snapshot: Path
) -> Any:
    """The loop itself, with parts of the benchmark's own, from grey."""
    assert way.parts is not None
    update, prior = way.parts()
    model = lab.models[0].eval().requires_grad_(False)
    grey = torch.full((1, trial.frames, *model.canvas.size), MID_GREY)
    evidence = Evidence(
        responses=torch.tensor(trial.needs_responses())[None],
        covariates=torch.tensor(trial.covariates)[None],
        keep=torch.ones(model.neurons, dtype=torch.bool),
    )
    return (
        invert(
            Progress(videos=grey),
            models=[model],
            evidence=evidence,
            windows=windows_for(model, way.windows),
            likelihood=PoissonLikelihood(starts=[], length=0, unit_norm=True, windows_at_once=8),
            prior=prior,
            update=update,
            update_mask=torch.from_numpy(lab.mask >= 0.5).float(),
            iterations=iterations,
            first_update=1,
            stopping=lambda _: False,
            callbacks=[curve],
        )
        .videos[0]
        .numpy()
    )


# --- all of them -------------------------------------------------------------------------------------------------


def compared(
    ways: Sequence[Way],
    curves: dict[str, list[list[dict[str, float]]]],
    lab: Laboratory,
    *,
    frames: int,
    quick: bool,
) -> list[dict[str, Any]]:
    """A row for each way: what it takes to be as good as the published protocol's last and best movies."""
    passes, smoothed, _ = mean_curve(curves[PUBLISHED])
    targets = {"published_final": smoothed[-1], "published_best": smoothed.max()}
    rows = []
    for way in ways:
        passes, smoothed, unsmoothed = mean_curve(curves[way.name])
        ended = [int(curve[-1]["passes"]) for curve in curves[way.name]]
        seconds = statistics.median(row["seconds"] for curve in curves[way.name] for row in curve)
        row = {"what": way.name, "windows": way.windows, "passes": max(ended), "seconds_a_pass": rounded(seconds)}
        row["window_passes"] = window_passes(way, lab, frames, max(ended))
        for name, target in targets.items():
            reached = np.flatnonzero(smoothed >= target - 1e-9)
            needed = int(passes[reached[0]]) if len(reached) else None
            work = None if needed is None else window_passes(way, lab, frames, needed)
            row[name] = {
                "target": rounded(target),
                "passes": needed,
                "window_passes": work,
                "seconds": None if needed is None else rounded(seconds * needed, 2),
            }
        row["final"] = {"smoothed": rounded(smoothed[-1]), "unsmoothed": rounded(unsmoothed[-1])}
        best = int(smoothed.argmax())
        row["best"] = {"smoothed": rounded(smoothed[best]), "passes": int(passes[best])}
        row["best"]["window_passes"] = window_passes(way, lab, frames, int(passes[best]))
        row["movies"] = [
            {"passes": int(curve[-1]["passes"]), "smoothed": rounded(curve[-1]["smoothed"])}
            | {"best": rounded(max(each["smoothed"] for each in curve))}
            for curve in curves[way.name]
        ]
        row["curve"] = {"passes": passes.tolist(), "smoothed": [rounded(value) for value in smoothed]}
        rows.append(row)
    for row in rows:
        for name in targets:
            published, own = rows[0][name]["window_passes"], row[name]["window_passes"]
            row[name]["times_fewer"] = None if own is None else rounded(published / own, 1)
    return rows


def mean_curve(curves: list[list[dict[str, float]]]) -> tuple[Any, Any, Any]:
    """Passes, and the scores (smoothed, unsmoothed) after them, mean over movies.

    A movie whose search ended early keeps the score of the movie that was handed out.
    """
    passes = np.array(sorted({row["passes"] for curve in curves for row in curve}))
    means = []
    for kind in ("smoothed", "unsmoothed"):
        each = []
        for curve in curves:
            known = {row["passes"]: row[kind] for row in curve}
            last = curve[-1]["passes"]
            known |= {number: curve[-1][kind] for number in passes if number >= last}
            each.append(np.interp(passes, list(known), list(known.values())))
        means.append(np.mean(each, axis=0))
    return passes, *means


def window_passes(way: Way, lab: Laboratory, frames: int, passes: int) -> int:
    """Frames that went through the model in so many passes, over those of a published window."""
    model = lab.models[0]
    _, published = windows_for(model, "sliding").lay(frames)
    windows = windows_for(model, way.windows)
    laid = [windows.lay(frames, iteration) for iteration in range(passes)]
    return round(sum(len(starts) * length for starts, length in laid) / published)


def rounded(value: Any, digits: int = 4) -> float:
    return round(float(value), digits)


def table(report: dict[str, Any]) -> str:
    """For people."""
    target = report["rows"][0]
    lines = [
        f"mean over {len(report['movies'])} movies of {report['frames']} frames; decoder alone "
        f"{report['decoder_alone']:.3f}; published: {target['published_final']['target']:.3f} at the end, "
        f"{target['published_best']['target']:.3f} at its best (smoothed {PUBLISHED_SIGMA:g})",
        f"{'':42}{'window-passes to the published':^36}{'':10}{'':8}",
        f"{'':42}{'end':>10}{'fewer':>8}{'best':>10}{'fewer':>8}{'passes':>8}{'score':>8}{'best':>8}{'s/pass':>8}",
    ]
    for row in report["rows"]:
        cells = ""
        for goal in ("published_final", "published_best"):
            needed, fewer = row[goal]["window_passes"], row[goal]["times_fewer"]
            cells += f"{'never':>10}{'':8}" if needed is None else f"{needed:>10}{fewer:>7.0f}x"
        scores = f"{row['final']['smoothed']:8.3f}{row['best']['smoothed']:8.3f}{row['seconds_a_pass']:8.3f}"
        lines.append(f"{row['what']:42}{cells}{row['passes']:>8}{scores}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()

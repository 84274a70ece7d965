"""What each fault of the published code does to the result, measured on one simulated mouse.

    python benchmarks/differences.py [--quick] [--only 1 15] [--folder WORK] [--out differences.json]

Prints a table and stores it with the machine it was made on; docs/differences.md explains each fault and quotes the
numbers. The mouse is simulated: the figures say what a fault changes here, and nothing about mice. With --folder the
mouse, the models and the movies of the figures are kept, and a second call takes them from there; --only replaces the
rows of some faults in the file.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.ndimage import gaussian_filter

import neuroreel as nr
from _machine import described
from neuroreel.encoding.correlation import neuron_correlations
from neuroreel.masks import mask_on_video
from neuroreel.recordings.simulate import load_truth
from neuroreel.stimuli.gratings import PUBLISHED_TEMPORAL_LABELS

Row = dict[str, Any]
OUT = Path("benchmarks/results/differences.json")
SKIP = 30
QUIET = nr.Compute(progress=False)


@dataclass(frozen=True, kw_only=True)
class Size:
    """How much is simulated, trained and reconstructed."""

    trials: int = 70
    seconds: float = 5.0
    neurons: int = 300
    models: int = 3
    epochs: int = 4
    small_dwiseneuro: tuple[int, int] = (5, 80)  # epochs, batches in each
    mask_steps: int = 200
    short: int = 30  # iterations of the published rule
    medium: int = 60
    long: int = 100
    longest: int = 400
    repeats: int = 2  # trials, where one is not enough


QUICK = Size(
    trials=21,
    seconds=3.0,
    neurons=40,
    models=2,
    epochs=1,
    small_dwiseneuro=(1, 4),
    mask_steps=60,
    short=3,
    medium=3,
    long=4,
    longest=6,
    repeats=1,
)


@dataclass(frozen=True, kw_only=True)
class Lab:
    """A simulated mouse and what was learned from it; made when first asked for, and kept in the folder."""

    folder: Path
    size: Size
    seed: int

    def mouse(self, number: int) -> nr.Recording:
        """Mouse 0 is the one that everything is measured on; mouse 1 only lends its mask (fault 4)."""
        folder, size = self.folder / f"mouse_{number}", self.size
        if folder.exists():
            return nr.open_recording(folder)
        made = {"trials": size.trials, "seconds": size.seconds, "neurons": size.neurons, "height": 18, "width": 32}
        return nr.simulate(folder, **made, seed=self.seed + number, progress=False)

    @cached_property
    def recording(self) -> nr.Recording:
        return self.mouse(0)

    def train(self, recording: nr.Recording) -> Sequence[nr.Trial]:
        return recording.select(*(f"fold_{number}" for number in range(2, 7)))

    @cached_property
    def held_out(self) -> list[nr.Trial]:
        return list(self.recording.select("fold_0")[: self.size.repeats])

    def encoder(self, seed: int, mouse: int = 0, **options: Any) -> Any:
        recording = self.mouse(mouse)
        options = {"recipe": {"epochs": self.size.epochs}} | options
        name = f"{options.get('kind', 'core_readout')}_{mouse}_{seed}"
        held = {"validation": recording.select("fold_1"), "folder": self.folder / name, "progress": False}
        return nr.fit_encoder(self.train(recording), seed=seed, **held, **options)

    @cached_property
    def model(self) -> Any:
        return self.encoder(self.seed)

    @cached_property
    def models(self) -> list[Any]:
        return [self.model, *(self.encoder(self.seed + number) for number in range(1, self.size.models))]

    @cached_property
    def dwiseneuro(self) -> Any:
        """A small DwiseNeuro: a canvas with the video in its middle and 0 around it, as the published models."""
        epochs, batches = self.size.small_dwiseneuro
        small = {"core_features": (8, 8, 16), "spatial_strides": (2, 2, 2), "expansion_ratio": 3}
        small |= {"cortex_features": (64, 128), "drop_rate": 0.1, "drop_path_rate": 0.0}
        recipe = {"epochs": epochs, "batches_per_epoch": batches, "warmup_epochs": 1, "ema_decay": 0.98}
        return self.encoder(self.seed, kind="dwiseneuro", architecture=small, recipe=recipe | {"batch_size": 8})

    def learned_mask(self, model: Any, trials: Sequence[nr.Trial], name: str, *, longer: int = 1) -> np.ndarray:
        file = self.folder / f"mask_{name}.npy"
        if not file.exists():
            steps = longer * self.size.mask_steps
            nr.save_mask(file, nr.learn_mask(model, trials, steps=steps, seed=self.seed, progress=False))
        return nr.load_mask(file)

    @cached_property
    def mask(self) -> np.ndarray:
        return self.learned_mask(self.model, self.train(self.recording), "0")

    def posterior(self, seeds: Sequence[int]) -> nr.Posterior:
        """That of some of the models, by their numbers."""
        folder = self.folder / f"posterior_{'_'.join(map(str, seeds))}"
        if not folder.exists():
            held = {"validation": self.recording.select("fold_1"), "seed": self.seed, "compute": QUIET}
            models = [self.models[number] for number in seeds]
            nr.fit_posterior(models, self.train(self.recording), **held).save(folder)
        return nr.load_posterior(folder)

    def reconstruct(self, trial: nr.Trial, seeds: Sequence[int] = (0,), **options: Any) -> nr.Reconstruction:
        """From the posterior of some of the models, by default that of the first."""
        return nr.reconstruct(trial, self.posterior(seeds), compute=QUIET, **options)

    def published(self, trial: nr.Trial, models: Any, **options: Any) -> nr.Reconstruction:
        """By the published rule, shortened, with the log that costs nothing."""
        quiet = {"mask": self.mask, "compute": QUIET, "record": "pass", "iterations": self.size.short}
        return nr.bauer_2026.reconstruct(trial, models, **(quiet | options))

    def score(self, truth: Any, video: Any, mask: Any = None) -> float:
        """Video correlation inside the mask >= 1, or its upper third where it is nowhere as high (a quick run)."""
        mask = self.mask if mask is None else mask
        return nr.video_correlation(truth, video, mask=mask, skip=SKIP, mask_threshold=threshold_of(mask))


def threshold_of(mask: np.ndarray) -> float:
    return 1.0 if (mask >= 1).any() else float(np.quantile(mask, 0.67))


def row(what: str, *, ours: float | None, published: float | None) -> Row:
    """One measurement, with our way and with the published one; None where there is no such number."""
    return {"what": what, "ours": ours, "published": published}


def mean(scores: Sequence[float]) -> float:
    return float(np.mean(scores))


def explained(result: nr.Reconstruction, of: str = "") -> float:
    """Mean correlation over neurons of recorded responses with those predicted for the movie found, or shown."""
    recorded, predicted = (result.dataset[name].values for name in ("responses", f"predicted{of}"))
    return float(neuron_correlations(recorded, predicted).mean())


def kept_neurons(neurons: int, *, trial: int, mouse: int, kept: float) -> np.ndarray:
    """The neurons that the published code keeps: a draw seeded by trial and mouse."""
    random = torch.Generator().manual_seed((trial + 1) * (mouse + 1))
    return (torch.rand(neurons, 1, generator=random) > 1 - kept)[:, 0].numpy()


def noise_movie(lab: Lab, *, space: float = 3.0, time: float = 3.0) -> np.ndarray:
    """Gaussian noise (60 frames), smooth over some pixels and frames, mean 127.5 and deviation 51 grey levels."""
    noise = np.random.default_rng(lab.seed).normal(size=(60, *lab.recording.video_size))
    smooth = gaussian_filter(noise, (time, space, space))
    return np.clip(127.5 + 51 * (smooth - smooth.mean()) / smooth.std(), 0, 255).astype(np.float32)


def target(lab: Lab, movie: np.ndarray, models: Any) -> nr.Trial:
    """A trial that was never run: its target is what models predict for the movie and mean behavior."""
    trial = lab.recording.trial_showing(movie)
    return trial.replace(responses=nr.predict(models, trial))


def ablation(lab: Lab) -> list[Row]:
    """The published rule with neurons left out of the loss or silenced in it; beside it the posterior."""
    rows, movies, trial = [], {}, lab.held_out[0]
    for kept in (1.0, 0.5, 0.25, 0.125):
        neurons = kept_neurons(lab.recording.neurons, trial=0, mouse=0, kept=kept)
        found = {}
        for way in ("left_out", "silenced"):
            options = {"neurons": neurons, "ablated": way, "iterations": lab.size.medium}
            movies[f"{way} {kept:g}"] = lab.published(trial, lab.model, **options).video
            found[way] = lab.score(trial.video, movies[f"{way} {kept:g}"])
        ways = {"ours": found["left_out"], "published": found["silenced"]}
        rows.append(row(f"video correlation, published rule, {kept:.1%} of neurons", **ways))
    for kept in (1.0, 0.5, 0.25, 0.125):
        scores = []
        for number, watched in enumerate(lab.held_out):
            neurons = kept_neurons(lab.recording.neurons, trial=number, mouse=0, kept=kept)
            result = lab.reconstruct(watched, neurons=neurons)
            scores.append(lab.score(watched.video, result.video))
            if number == 0:
                movies[f"posterior {kept:g}"] = result.video
        rows.append(row(f"video correlation, posterior, {kept:.1%} of neurons", ours=mean(scores), published=None))
    np.savez(lab.folder / "ablation.npz", truth=trial.video, mask=lab.mask, **movies)
    return rows


def one_model_seven_times(lab: Lab) -> list[Row]:
    movie = noise_movie(lab)
    trials = {"ours": target(lab, movie, lab.models), "published": target(lab, movie, lab.model)}
    apart = {"ensemble": "videos", "iterations": lab.size.short}
    videos = {way: lab.published(trial, lab.models, **apart).video for way, trial in trials.items()}
    return [row("video correlation of a noise movie", **{way: lab.score(movie, videos[way]) for way in videos})]


def last_model_only(lab: Lab) -> list[Row]:
    """ON pixels along the middle row: the predicted change of every neuron beside that of the true, simulated one."""
    height, width = lab.recording.video_size
    truth = load_truth(lab.recording.folder)
    behavior = truth.population.behavior_of(0, truth.behavior, frames=45)
    grey = np.full((45, height, width), 127.5, np.float32)
    changes: dict[str, list[np.ndarray]] = {"true": [], "ours": [], "published": []}
    for column in range(0, width, 2):
        movie = grey.copy()
        movie[15:30, height // 2, column] = 255
        shown, blank = lab.recording.trial_showing(movie), lab.recording.trial_showing(grey)
        true = truth.population.expect(movie, behavior) - truth.population.expect(grey, behavior)
        changes["true"].append(true[:, 15:35].mean(axis=1))
        for way, models in (("ours", lab.models), ("published", lab.models[-1])):
            change = nr.predict(models, shown) - nr.predict(models, blank)
            changes[way].append(change[:, 15:35].mean(axis=1))
    maps = {way: np.stack(change).ravel() for way, change in changes.items()}
    likeness = {way: float(np.corrcoef(maps["true"], maps[way])[0, 1]) for way in ("ours", "published")}
    return [row("correlation of predicted with true ON maps", **likeness)]


def mask_of_another_mouse(lab: Lab) -> list[Row]:
    other = lab.learned_mask(lab.encoder(lab.seed, mouse=1), lab.train(lab.mouse(1)), "1")
    rows = []
    results = [lab.reconstruct(trial) for trial in lab.held_out]
    masks = {"ours": lab.mask, "published": other}
    correlations = {
        way: mean([lab.score(result.truth, result.video, mask) for result in results]) for way, mask in masks.items()
    }
    rows.append(row("video correlation", **correlations))
    inside = {way: mask >= threshold_of(mask) for way, mask in masks.items()}
    shared = (inside["ours"] & inside["published"]).sum() / inside["ours"].sum()
    rows.append(row("share of the mouse's own mask that is scored", ours=1.0, published=float(shared)))
    return rows


def one_trials_length(lab: Lab) -> list[Row]:
    trial = lab.held_out[0]
    full = lab.reconstruct(trial)
    first = trial.frames * 2 // 3  # the first trial was that long, say
    short = trial.replace(
        video=trial.video[:first],
        responses=trial.responses[:, :first],
        behavior=None if trial.behavior is None else trial.behavior[:, :first],
        pupil_center=None if trial.pupil_center is None else trial.pupil_center[:, :first],
    )
    cut = lab.reconstruct(short)
    return [
        row("frames reconstructed, first trial two thirds as long", ours=trial.frames, published=first),
        row(
            "video correlation of the frames that both have",
            ours=lab.score(short.video, full.video[:first]),
            published=lab.score(short.video, cut.video),
        ),
    ]


def last_trial_never_drawn(lab: Lab) -> list[Row]:
    train = list(lab.train(lab.recording))
    without = lab.learned_mask(lab.model, train[:-1], "without_last")
    alike = float(np.corrcoef(lab.mask.ravel(), without.ravel())[0, 1])
    level = threshold_of(lab.mask)
    one, other = lab.mask >= level, without >= level
    result = lab.reconstruct(lab.held_out[0])
    scores = {
        "ours": lab.score(result.truth, result.video),
        "published": lab.score(result.truth, result.video, without),
    }
    return [
        row("correlation with our mask", ours=1.0, published=alike),
        row("pixels of our evaluation mask", ours=1.0, published=float((one & other).sum() / one.sum())),
        row("video correlation", **scores),
    ]


def inverted_noise(lab: Lab) -> list[Row]:
    movie = noise_movie(lab)
    videos = {
        way: lab.reconstruct(target(lab, shown, lab.models), range(len(lab.models))).video
        for way, shown in (("ours", movie), ("published", 255 - movie))
    }
    return [row("video correlation with the movie asked for", **{way: lab.score(movie, videos[way]) for way in videos})]


def no_ssim(lab: Lab) -> list[Row]:
    trial, another = lab.recording.select("fold_0")[:2]
    video = lab.reconstruct(trial).video
    where = {"mask": lab.mask, "skip": SKIP, "mask_threshold": threshold_of(lab.mask)}
    movies = {"the reconstruction": video, "another movie": another.video}
    return [
        row(
            f"similarity of {name}",
            ours=nr.ssim(trial.video, movie, **where),
            published=nr.published_ssim(trial.video, movie, **where),
        )
        for name, movie in movies.items()
    ]


def strict_mask(lab: Lab) -> list[Row]:
    strict = threshold_of(lab.mask)
    trial = lab.held_out[0]
    scores = [
        lab.score(trial.video, lab.published(trial, lab.model, mask_threshold=level).video)
        for level in (strict, min(0.5, strict / 2))
    ]
    return [row("video correlation where a strict mask was asked for", ours=scores[0], published=scores[1])]


def doubled_frequency(lab: Lab) -> list[Row]:
    height, width = lab.recording.video_size
    common = {"direction_deg": 0, "spatial_frequency": 0.036, "height": height, "width": width}
    rows = []
    for label in PUBLISHED_TEMPORAL_LABELS[:4]:
        movies = {
            way: nr.drifting_grating(**common, temporal_frequency_hz=label, published_labels=way == "published")
            for way in ("ours", "published")
        }
        measured = {way: nr.temporal_frequency(movie) for way, movie in movies.items()}
        rows.append(row(f"measured frequency (Hz) of the grating labelled {label:g} Hz", **measured))
    still = target(lab, nr.drifting_grating(**common, temporal_frequency_hz=0), lab.models).responses
    fast = [
        target(lab, nr.drifting_grating(**common, temporal_frequency_hz=15, published_labels=doubled), lab.models)
        for doubled in (False, True)
    ]
    gaps = [float(np.abs(trial.responses - still)[:, SKIP:].mean() / still[:, SKIP:].mean()) for trial in fast]
    rows.append(row("change of the responses from 0 to 15 Hz", ours=gaps[0], published=gaps[1]))
    return rows


def seeds(lab: Lab) -> list[Row]:
    tested = lab.recording.select("fold_0")
    correlations = [float(nr.encoder_correlation(model, tested)) for model in lab.models]
    trial = lab.held_out[0]
    videos = [lab.reconstruct(trial, (number,)).video for number in range(len(lab.models))]
    movies = [lab.score(trial.video, video) for video in videos]
    spread = float(np.ptp(correlations)), float(np.ptp(movies))
    return [
        row("range of the response correlation over trainings", ours=0.0, published=spread[0]),
        row("range of the video correlation over trainings", ours=0.0, published=spread[1]),
    ]


def gratings(lab: Lab) -> list[Row]:
    height, width = lab.recording.video_size
    movie = nr.drifting_grating(
        direction_deg=0,
        spatial_frequency=0.036,
        temporal_frequency_hz=1.875,
        height=height,
        width=width,
    )
    video = lab.published(target(lab, movie, lab.models), lab.model).video
    return [row("video correlation of a grating", ours=lab.score(movie, video), published=None)]


def canvas_padding(lab: Lab) -> list[Row]:
    curves: dict[str, Any] = {}
    movies: dict[str, np.ndarray] = {}
    trial = lab.held_out[0]
    # on the whole canvas; a model that predicts less needs more steps until pixels reach 1
    mask = lab.learned_mask(lab.dwiseneuro, lab.train(lab.recording), "dwiseneuro", longer=2)
    if threshold_of(mask) < 1:  # a quick run's model sees nothing
        mask = lab.dwiseneuro.canvas.place(torch.from_numpy(lab.mask)).numpy()
    for way, optimized in (("ours", False), ("published", True)):
        options = {"optimize_padding": optimized, "iterations": lab.size.long, "record_every": 2, "mask": mask}
        result = lab.published(trial, lab.dwiseneuro, **options)
        movies[way] = result.video
        curves[way] = {name: result.dataset[name].values for name in ("iteration", "loss", "video_correlation")}
        for sigma in (0.5, 1.0):
            curves[way][f"smoothed {sigma:g}"] = lab.score(trial.video, result.smooth(sigma).video, mask)
    arrays = {f"{way}_{name}": curves[way][name] for way in curves for name in ("iteration", "video_correlation")}
    inside = mask_on_video(mask, lab.recording.video_size)
    np.savez(lab.folder / "padding.npz", truth=trial.video, mask=inside, **movies, **arrays)
    passes = int(curves["ours"]["iteration"][-1]) + 1
    rows = [
        row("loss of a grey movie", **{way: float(curve["loss"][0]) for way, curve in curves.items()}),
        row(f"loss after {passes} iterations", **{way: float(curve["loss"][-1]) for way, curve in curves.items()}),
    ]
    for passed in (passes // 2, passes):
        reached = {way: float(curve["video_correlation"][passed // 2]) for way, curve in curves.items()}
        rows.append(row(f"video correlation after {passed} iterations", **reached))
    for name in ("smoothed 0.5", "smoothed 1"):
        smoothed = {way: curve[name] for way, curve in curves.items()}
        rows.append(row(f"the same, {name.replace(' ', ' with sigma ')}", **smoothed))
    correlation = float(nr.encoder_correlation(lab.dwiseneuro, lab.recording.select("fold_0")))
    return [*rows, row("response correlation of the encoding model", ours=correlation, published=None)]


def fitted_noise(lab: Lab) -> list[Row]:
    trial, model = lab.held_out[0], lab.model
    result = lab.published(trial, model, iterations=lab.size.longest, record_every=5)
    curve = {name: result.dataset[name].values for name in ("iteration", "loss", "video_correlation")}
    best = int(np.nanargmax(curve["video_correlation"]))
    ours = lab.reconstruct(trial)
    last = float(lab.score(trial.video, result.video))
    peak = {name: float(values[best]) for name, values in curve.items()}
    rows = [
        row("video correlation", ours=lab.score(trial.video, ours.video), published=last),
        row("response correlation of the reconstruction", ours=explained(ours), published=explained(result)),
        row("the same of the movie shown", ours=explained(ours, "_truth"), published=explained(result, "_truth")),
        row(f"at its best iteration ({peak['iteration'] + 1:g})", ours=None, published=peak["video_correlation"]),
        row("Poisson loss there", ours=None, published=peak["loss"]),
        row("Poisson loss at the end", ours=None, published=float(curve["loss"][-1])),
    ]
    for sigma in (0.5, 1.0, 2.0):
        smoothed = [lab.score(trial.video, movie.smooth(sigma).video) for movie in (ours, result)]
        rows.append(row(f"smoothed with sigma {sigma:g}", ours=smoothed[0], published=smoothed[1]))
    return rows


MEASURED: dict[int, Callable[[Lab], list[Row]]] = {
    1: ablation,
    2: one_model_seven_times,
    3: last_model_only,
    4: mask_of_another_mouse,
    5: one_trials_length,
    6: last_trial_never_drawn,
    7: inverted_noise,
    8: no_ssim,
    9: strict_mask,
    10: doubled_frequency,
    12: seeds,
    13: gratings,
    15: canvas_padding,
    16: fitted_noise,
}
"""Faults 11 and 14 change no number: a file opens or not, a word is whole or not."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--folder", type=Path, help="keeps the mouse, the models and the movies of the figures")
    parser.add_argument("--only", type=int, nargs="+", choices=MEASURED, default=list(MEASURED))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="a tiny mouse: shows that it runs, not what faults do")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        lab = Lab(folder=folder, size=QUICK if options.quick else Size(), seed=options.seed)
        for number in options.only:
            began = time.perf_counter()
            rows = MEASURED[number](lab)
            store(options.out, number, rows, lab, seconds=time.perf_counter() - began, quick=options.quick)
            for each in rows:
                print(
                    f"{number:2}  {each['what']:75} {shown(each['ours']):>9} {shown(each['published']):>9}", flush=True
                )


def store(file: Path, number: int, rows: list[Row], lab: Lab, *, seconds: float, quick: bool) -> None:
    """Put a fault's rows into the file, beside those of other faults that were measured alike."""
    alike = {"quick": quick, "seed": lab.seed, "size": vars(lab.size), "neuroreel": nr.__version__}
    alike = json.loads(json.dumps(alike))
    known: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {}
    faults = known.get("faults", {}) if all(known.get(name) == value for name, value in alike.items()) else {}
    about = described()
    faults[str(number)] = {"date": about.pop("date"), "seconds": round(seconds, 1), "rows": rows}
    ordered = {key: faults[key] for key in sorted(faults, key=int)}
    report = alike | {"mouse": "simulated, not a real one"} | about | {"faults": ordered}
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(report, indent=1) + "\n")


def shown(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:g}" if value == round(value) else f"{value:.3f}"


def table_line(measured: Row) -> str:
    """A row as it stands in the tables of docs/differences.md."""
    return f"| {measured['what']} | {shown(measured['ours'])} | {shown(measured['published'])} |"


if __name__ == "__main__":
    main()

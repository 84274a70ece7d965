"""``neuroreel benchmark quality``: every way to reconstruct a movie, on the same data, with the same scores."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import t as student

from neuroreel.arguments import whole_number
from neuroreel.decoding.convolutional import ConvolutionalDecoder
from neuroreel.decoding.fit import fit_decoder
from neuroreel.encoding.predict import predict
from neuroreel.errors import InputError
from neuroreel.evaluation.frequency_bands import band_correlation
from neuroreel.evaluation.identification import identify
from neuroreel.evaluation.scores import response_correlation
from neuroreel.evaluation.table import table_scores
from neuroreel.files import atomic_path
from neuroreel.posterior.fit import fit_posterior
from neuroreel.posterior.posterior import load_posterior
from neuroreel.progress import progress as progress_bar
from neuroreel.recordings.recording import Recording, open_recording
from neuroreel.recordings.simulate.truth import load_truth
from neuroreel.recordings.trial import Trial
from neuroreel.studies.methods import CEILINGS, METHODS, SLOW, Made, Subject
from neuroreel.studies.mouse import SimulatedMouse, Training, check_same_run, encoder, fit_mouse, kept, simulated_mouse

JUDGE = 1000  # added to the seed of the encoding model that judges
SKIP = 30
BANDS = (0.0, 1 / 16, 1 / 8, 1 / 2)  # cycles a pixel: coarse, middle, fine
BAND_NAMES = ("coarse", "middle", "fine")


@dataclass(frozen=True, kw_only=True)
class Quality:
    """What is compared, and how much is spent on it.

    Parameters
    ----------
    methods
        Names of ``METHODS``; empty: all but the slow ones.
    movies
        Test movies of each recording.
    training
        Of the encoding models.
    decoder_steps
        Training steps of the convolutional decoder.
    samples
        Draws of the posterior, for the coverage of its intervals; 0: none.
    iterations
        Of the published method.
    """

    methods: tuple[str, ...] = ()
    movies: int = 12
    training: Training = field(default_factory=lambda: Training(models=2, epochs=3, batches_per_epoch=30))
    decoder_steps: int = 350
    samples: int = 0
    iterations: int = 1000

    def __post_init__(self) -> None:
        if unknown := [name for name in self.methods if name not in METHODS]:
            raise InputError(f"there is no method {unknown[0]!r}; there are {', '.join(map(repr, METHODS))}")
        for name, least in (("movies", 1), ("decoder_steps", 1), ("samples", 0), ("iterations", 1)):
            whole_number(getattr(self, name), name=name, least=least)
        if self.samples == 1:
            raise InputError("samples is 1; a deviation needs at least 2 draws, or 0 for none")

    def chosen(self, *, simulated: bool) -> list[str]:
        """The methods in the order of the table; ceilings only where the truth is known."""
        wanted = self.methods or [name for name in METHODS if name not in SLOW]
        return [name for name in METHODS if name in wanted and (simulated or name not in CEILINGS)]


QUICK = Quality(movies=2, training=Training(models=2, epochs=1, batches_per_epoch=12), decoder_steps=30)
QUICK_MOUSE = SimulatedMouse(trials=28, seconds=5.0, neurons=120, height=18, width=32)


def compare_methods(
    folder: Path,
    recordings: Sequence[Recording],
    quality: Quality,
    *,
    seed: int = 0,
    say: Callable[[str], object] = lambda _: None,
) -> pd.DataFrame:
    """Fit everything to each recording, reconstruct its test movies in every way, score them.

    Parameters
    ----------
    folder
        Keeps every part; a second call finds what is finished. A folder holds one comparison of each recording.
    recordings
        With folds 0 to 6: fold 0 is tested, fold 1 validates, the others train.
    quality
        Methods and effort.
    seed
        Random seed.
    say
        Called with a line of text before each step.

    Returns
    -------
    DataFrame
        One row a recording, movie, method and score: ``recording``, ``group``, ``trial``, ``method``, ``score``,
        ``value``. Simulated recordings that differ in their seed alone share a group.

    Raises
    ------
    InputError
        The folder holds a comparison with other settings.
    """
    tables = []
    for recording in recordings:
        home = folder / recording.name
        fixed = replace(quality, methods=(), movies=1, iterations=1)  # these may be added later
        check_same_run(home, f"{recording.neurons} neurons, seed {seed}, {fixed}\n", what="comparison")
        say(f"{recording.name}: {recording.neurons} neurons{', a simulated mouse' if recording.simulated else ''}")
        subject = _fit(recording, home, quality, seed=seed, say=say)
        methods = quality.chosen(simulated=subject.truth is not None)
        numbers = subject.mouse.test.indices[: quality.movies]
        say(f"Reconstruct {len(numbers)} test movies in {len(methods)} ways")
        rows: list[dict[str, Any]] = []
        for index in progress_bar(range(len(numbers)), description=recording.name):
            trial = subject.mouse.test[index]
            for method in methods:
                rows += _scored(subject, trial, numbers[index], method)
        rows += _identified(subject, methods, numbers)
        group = recording.name.partition("_seed_")[0] if recording.simulated else recording.name
        tables.append(pd.DataFrame(rows).assign(recording=recording.name, group=group))
    return pd.concat(tables, ignore_index=True)[["recording", "group", "trial", "method", "score", "value"]]


def summarize(table: pd.DataFrame, score: str = "video_correlation") -> pd.DataFrame:
    """Mean of a score over movies, and its paired difference to ridge, with 95 % intervals (Student).

    Returns
    -------
    DataFrame
        Indexed by group and method: ``movies``, ``mean``, ``interval`` (half its width), ``difference``,
        ``difference_interval``, ``worst`` (the smallest difference), ``ratio`` to ridge's mean.
    """
    rows = {}
    chosen = table[table["score"] == score]
    for group, of_group in chosen.groupby("group", sort=False):
        wide = of_group.pivot_table(index=["recording", "trial"], columns="method", values="value", sort=False)
        for method in [name for name in METHODS if name in wide]:
            values = wide[method].dropna()
            row = {"movies": len(values), "mean": values.mean(), "interval": half_interval(values)}
            if "ridge" in wide:
                gap = (wide[method] - wide["ridge"]).dropna()
                row |= {
                    "difference": gap.mean(),
                    "difference_interval": half_interval(gap),
                    "worst": gap.min(),
                    "ratio": values.mean() / baseline if (baseline := wide["ridge"].mean()) else float("nan"),
                }
            rows[(group, method)] = row
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis(index=["group", "method"])


def half_interval(values: pd.Series[float]) -> float:
    """Half the 95 % interval of a mean (Student); NaN of one value."""
    if len(values) < 2:
        return float("nan")
    return float(student.ppf(0.975, len(values) - 1) * values.std(ddof=1) / len(values) ** 0.5)


def _fit(recording: Recording, home: Path, quality: Quality, *, seed: int, say: Callable[[str], object]) -> Subject:
    mouse = fit_mouse(recording, home, quality.training, seed=seed, say=say)
    say("Train the convolutional decoder")
    convolutional = kept(
        home / "convolutional.safetensors",
        ConvolutionalDecoder.load,
        lambda file: fit_decoder(
            mouse.train,
            kind="convolutional",
            validation=mouse.validation,
            encoders=mouse.models,
            steps=quality.decoder_steps,
            seed=seed,
            checkpoint=home / "convolutional.checkpoint",
        ).save(file),
    )
    one_model = kept(
        home / "posterior_1_model",
        load_posterior,
        lambda file: fit_posterior(mouse.models[:1], mouse.train, validation=mouse.validation, seed=seed).save(file),
    )
    say("Train the encoding model that judges; no method inverts it")
    judge = encoder(home, mouse.train, mouse.validation, quality.training, seed=seed + JUDGE)
    return Subject(
        mouse=mouse,
        convolutional=convolutional,
        one_model=one_model,
        judge=judge,
        truth=load_truth(recording.folder) if recording.simulated else None,
        samples=quality.samples,
        iterations=quality.iterations,
    )


def _made(subject: Subject, trial: Trial, number: int, method: str) -> Made:
    """A method's movie, from its file or made now."""

    def make(file: Path) -> None:
        began = time.perf_counter()
        made = METHODS[method](subject, trial, number, lambda other: _made(subject, trial, number, other))
        facts = {"seconds": time.perf_counter() - began, **made.facts}
        with atomic_path(file) as partial, partial.open("wb") as opened:
            np.savez(opened, video=made.video, facts=np.array(json.dumps(facts)))

    def load(file: Path) -> Made:
        with np.load(file) as arrays:
            return Made(video=arrays["video"], facts=json.loads(str(arrays["facts"])))

    folder = subject.mouse.folder / "movies" / method.replace(",", "").replace(" ", "_")
    return kept(folder / f"{number}.npz", load, make)


def _scored(subject: Subject, trial: Trial, number: int, method: str) -> list[dict[str, Any]]:
    """Rows of one movie's scores."""
    made, truth, mask = _made(subject, trial, number, method), trial.needs_video(), subject.mouse.mask
    skip = min(SKIP, trial.frames // 2)
    found = table_scores(truth, made.video, mask=mask, skip=skip)
    bands = band_correlation(
        truth, made.video, frame_rate_hz=trial.frame_rate_hz, spatial_edges=BANDS, mask=mask, skip=skip
    ).by_spatial_band
    found |= {f"correlation_{name}": float(value) for name, value in zip(BAND_NAMES, bands, strict=True)}
    predicted = predict(subject.judge, trial.replace(video=made.video))
    found["response_correlation"] = response_correlation(trial.needs_responses(), predicted, skip=skip)
    found |= made.facts
    return [{"trial": number, "method": method, "score": name, "value": value} for name, value in found.items()]


def _identified(subject: Subject, methods: Sequence[str], numbers: Sequence[int]) -> list[dict[str, Any]]:
    """Rows of each movie's clips of one second, identified among two and among all."""
    trials = [subject.mouse.test[index] for index in range(len(numbers))]
    truths = [trial.needs_video() for trial in trials]
    second = round(trials[0].frame_rate_hz)
    rows = []
    for method in methods:
        videos = [_made(subject, trial, number, method).video for trial, number in zip(trials, numbers, strict=True)]
        for name, ways in (("identified_of_2", 2), ("identified_of_all", None)):
            found = identify(
                truths,
                videos,
                ways=ways,
                clip_frames=second,
                every=second,
                mask=subject.mouse.mask,
                skip=min(SKIP, trials[0].frames // 2),
            )
            rows += [
                {"trial": number, "method": method, "score": name, "value": value}
                for number, value in zip(numbers, found.by_movie, strict=True)
            ]
    return rows


def simulated_recordings(folder: Path, mice: Sequence[SimulatedMouse], seeds: Sequence[int]) -> list[Recording]:
    """One simulated recording for each mouse and seed."""
    return [
        simulated_mouse(folder / f"{mouse.neurons}_neurons_snr_{mouse.signal_to_noise:g}_seed_{seed}", mouse, seed=seed)
        for mouse in mice
        for seed in seeds
    ]


def opened(recordings: Sequence[Path]) -> list[Recording]:
    """Recordings by folder; InputError for two of one name."""
    found = [open_recording(folder) for folder in recordings]
    names = [recording.name for recording in found]
    if repeated := {name for name in names if names.count(name) > 1}:
        raise InputError(f"two recordings are called {sorted(repeated)[0]}; rename the folder of one")
    return found

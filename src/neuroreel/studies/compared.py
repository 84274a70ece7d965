"""The movies of a comparison of methods and their scores, each a task of a study."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from neuroreel.compute import Compute
from neuroreel.defaults import frames_to_skip
from neuroreel.encoding.predict import predict
from neuroreel.evaluation.frequency_bands import band_correlation
from neuroreel.evaluation.identification import identify
from neuroreel.evaluation.scores import response_correlation, video_correlation
from neuroreel.evaluation.table import table_scores
from neuroreel.files import atomic_path
from neuroreel.recordings.simulate.truth import SimulatedTruth, load_truth
from neuroreel.recordings.trial import Trial
from neuroreel.studies.animals import hash_trial
from neuroreel.studies.methods import METHODS, Case, Made
from neuroreel.studies.mouse import Mouse
from neuroreel.studies.run import Runner
from neuroreel.studies.task import RESULTS_VERSION, Fit, Given, Task

if TYPE_CHECKING:
    from neuroreel.studies.quality import Quality

BANDS = (0.0, 1 / 16, 1 / 8, 1 / 2)  # cycles per pixel: coarse, medium, fine
BAND_NAMES = ("coarse", "middle", "fine")
IDENTIFIED = {"identified_of_2": 2, "identified_of_all": None}
Row = dict[str, Any]


@dataclass(frozen=True, kw_only=True, eq=False)
class Subject:
    """A recording with its fits; its test movies are reconstructed by every method."""

    mouse: Mouse
    quality: Quality

    @cached_property
    def numbers(self) -> tuple[int, ...]:
        """Numbers of the test movies in the recording."""
        return self.mouse.test.indices[: self.quality.movies]

    @cached_property
    def trials(self) -> dict[int, Trial]:
        """The test movies, by number; their arrays stay on disk until accessed."""
        return {number: self.mouse.test[index] for index, number in enumerate(self.numbers)}

    @cached_property
    def hashes(self) -> dict[int, str]:
        """Hashes of the trials."""
        return {number: hash_trial(trial) for number, trial in self.trials.items()}

    @cached_property
    def truth(self) -> SimulatedTruth | None:
        """The ground truth of a simulated recording."""
        recording = self.mouse.recording
        return load_truth(recording.folder) if recording.simulated else None

    @cached_property
    def movies(self) -> dict[tuple[str, int], Movie]:
        """The task of each method and movie."""
        return {
            (name, number): Movie(subject=self, method=name, number=number)
            for name in METHODS
            for number in self.numbers
        }

    def rows(self, methods: Sequence[str], runner: Runner) -> list[Row]:
        """Rows of the table; makes what is missing."""
        movies = [self.movies[name, number] for number in self.numbers for name in methods]
        identified = {name: _identified(self, name) for name in methods}
        runner.run([*movies, *identified.values()], description=self.mouse.recording.name)
        rows = [row for movie in movies for row in movie.rows(runner)]
        for method, task in identified.items():
            for score, values in zip(IDENTIFIED, runner.get(task), strict=True):
                for number, value in zip(self.numbers, values, strict=True):
                    rows.append({"trial": number, "method": method, "score": score, "value": float(value)})
        return rows


@dataclass(frozen=True, kw_only=True, eq=False)
class Movie(Task):
    """A test movie reconstructed by one method."""

    subject: Subject
    method: str
    number: int

    @property
    def place(self) -> str:  # type: ignore[override]
        """Its path, in the folder of its method."""
        return f"{_folder(self.subject, self.method)}/{self.number}.npz"

    @cached_property
    def needs(self) -> Mapping[str, Task]:
        """Fits and other movies."""
        way, mouse = METHODS[self.method], self.subject.mouse
        needs: dict[str, Task] = {name: self.subject.movies[name, self.number] for name in way.movies}
        for name in way.fits:
            needs |= mouse.encoders if name == "encoders" else {name: mouse.encoders.get(name) or getattr(mouse, name)}
        return needs

    @cached_property
    def needs_to_score(self) -> Mapping[str, Task]:
        """The mask, an encoding model that no method inverts, and optionally the published rule's mask."""
        mouse = self.subject.mouse
        own = {"mask": mouse.mask, "judge": mouse.judge}
        return {**own, "published_mask": mouse.published_mask} if self.subject.quality.published_mask else own

    @cached_property
    def decided_by(self) -> Mapping[str, Any]:
        """The trial, the method with its settings, and the inputs."""
        return {
            "results_version": RESULTS_VERSION,
            "method": self.method,
            "settings": {name: getattr(self.subject.quality, name) for name in METHODS[self.method].settings},
            "trial": self.subject.hashes[self.number],
            "needs": {name: task.hash for name, task in self.needs.items()},
        }

    def make(self, given: Given, compute: Compute) -> Made:
        """Reconstruct it."""
        subject = self.subject
        case = Case(
            trial=subject.trials[self.number],
            number=self.number,
            train=subject.mouse.train,
            truth=subject.truth,
            samples=subject.quality.samples,
            iterations=subject.quality.iterations,
        )
        return METHODS[self.method].make(case, given)

    def write(self, result: Made, file: Path) -> None:
        """Video and facts."""
        with atomic_path(file, overwrite=True) as partial, partial.open("wb") as opened:
            np.savez(opened, video=result.video, facts=np.array(json.dumps(dict(result.facts))))

    def read(self, file: Path) -> Made:
        """The result, read from its file."""
        with np.load(file) as arrays:
            return Made(video=arrays["video"], facts=json.loads(str(arrays["facts"])))

    @cached_property
    def scoring(self) -> Mapping[str, Any]:
        """Frames, bands, mask and judge."""
        judged = {name: task.hash for name, task in self.needs_to_score.items()}
        return {"skip": frames_to_skip(self.subject.trials[self.number].frames), "bands": list(BANDS), **judged}

    def scores(self, result: Made, given: Given, compute: Compute) -> dict[str, float]:
        """All scores of one movie."""
        trial, mask = self.subject.trials[self.number], given["mask"]
        truth, skip = trial.needs_video(), frames_to_skip(trial.frames)
        found = table_scores(truth, result.video, mask=mask, skip=skip)
        bands = band_correlation(
            truth, result.video, frame_rate_hz=trial.frame_rate_hz, spatial_edges=BANDS, mask=mask, skip=skip
        ).by_spatial_band
        found |= {f"correlation_{name}": float(value) for name, value in zip(BAND_NAMES, bands, strict=True)}
        predicted = predict(given["judge"], trial.replace(video=result.video))
        found["response_correlation"] = response_correlation(trial.needs_responses(), predicted, skip=skip)
        if "published_mask" in given:
            published = given["published_mask"]
            learned = (published >= 1).any()  # a few steps on a small mouse may leave nothing to score
            found["video_correlation_published_mask"] = (
                video_correlation(truth, result.video, mask=published, skip=skip) if learned else float("nan")
            )
        return {**found, **result.facts}

    def rows(self, runner: Runner) -> Iterator[Row]:
        """The scores and the cost in its record."""
        record = runner.store.record(self.place)
        assert record is not None  # the runner has made it
        values = {**record["scores"], "seconds": record.get("seconds")}
        if "memory_bytes" in record:
            values["memory_gb"] = record["memory_bytes"] / 1e9
        for name, value in values.items():
            yield {"trial": self.number, "method": self.method, "score": name, "value": float(value)}


def _identified(subject: Subject, method: str) -> Fit:
    """The task that finds how often clips of one second of a method's movies are told from one other and from all."""
    movies = {str(number): subject.movies[method, number] for number in subject.numbers}
    return Fit(
        place=f"{_folder(subject, method)}/identified.npy",
        decides={"identified": list(IDENTIFIED)},
        inputs={"mask": subject.mouse.mask, **movies},
        fit=lambda given, compute: _shares_identified(subject, given),
        save=_save_array,
        load=np.load,
    )


def _shares_identified(subject: Subject, given: Given) -> NDArray[np.float64]:
    """(kinds, movies) share of each movie's clips."""
    trials = list(subject.trials.values())
    second = round(trials[0].frame_rate_hz)
    found = [
        identify(
            [trial.needs_video() for trial in trials],
            [given[str(number)].video for number in subject.numbers],
            ways=ways,
            clip_frames=second,
            every=second,
            mask=given["mask"],
            skip=frames_to_skip(trials[0].frames),
        )
        for ways in IDENTIFIED.values()
    ]
    return np.array([each.by_movie for each in found])


def _save_array(array: NDArray[np.float64], file: Path) -> None:
    with atomic_path(file, overwrite=True) as partial, partial.open("wb") as opened:
        np.save(opened, array)


def _folder(subject: Subject, method: str) -> str:
    return f"{subject.mouse.home}/movies/{method.replace(',', '').replace(' ', '_')}"

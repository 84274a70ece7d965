"""Which of the authors' runs belong to which experiment, and which files to expect."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any

from neuroreel.bauer_2026.files.find import MODEL, Found
from neuroreel.recordings.disk import absolute
from neuroreel.stimuli.gratings import PUBLISHED_DIRECTIONS, PUBLISHED_SPATIAL_FREQUENCIES, PUBLISHED_TEMPORAL_LABELS
from neuroreel.stimuli.noise import PUBLISHED_LENGTHS
from neuroreel.studies.animals import PUBLISHED_MICE, PUBLISHED_MOVIES

_ENSEMBLE, _STIMULUS_MICE, _REPEATS = 7, 3, 5

_KINDS = (  # words in a run's name, and the run's kind; the first match counts
    ("PhaseInverted", "inverted"),
    ("Gausnoise", "noise"),
    ("rating", "gratings"),
    ("randneurons", ""),  # controls, in no figure
    ("_mse", ""),
    ("fit_to_predicted", "predicted"),
    ("popreduc", "ablation"),
    ("nontrainmask", "none"),
    ("strictmask", "strict"),
    ("datafold_", "natural"),
)
_CALLED = {
    "natural": "natural movies (datafold_0_pop100_…)",
    "gradients": "all models' gradients together (modelfold[0 1 2 3 4 5 6]_datafold_0_pop100_…)",
    "predicted": "predicted activity (…_fit_to_predicted)",
    "none": "no mask (…_nontrainmask)",
    "strict": "the strict mask (…_strictmask)",
    "ablation": "fewer neurons (…_popreduc)",
    "noise": "noise (…_Gausnoise)",
    "inverted": "inverted noise (…_Gausnoise_PhaseInverted)",
    "gratings": "gratings (…_Drifting_gratings)",
}
_USES: dict[str, dict[str, dict[str, Any]]] = {  # experiment: the kinds of runs it needs, with columns of the table
    "natural": {"natural": {"ensemble": "videos"}},
    "gradient_ensembling": {"natural": {"ensemble": "videos"}, "gradients": {"ensemble": "gradients"}},
    "predicted_activity": {"natural": {"target": "recorded"}, "predicted": {"target": "predicted"}},
    "masks": {
        "natural": {"mask": "trained", "mask_threshold": 0.5},
        "none": {"mask": "none"},
        "strict": {"mask": "strict", "mask_threshold": 1.0},
    },
    "ablation": {"natural": {}, "ablation": {}},
    "noise": {"noise": {"inverted": False}, "inverted": {"inverted": True}},
    "gratings": {"gratings": {}},
    "responses": {"natural": {}},
}


@dataclass(frozen=True, kw_only=True)
class Condition:
    """A run, all its models, as one condition of an experiment.

    Attributes
    ----------
    kind, run
        The run's kind and name.
    columns
        Its columns in the table.
    found
        Its files.
    models
        Number of files per movie: one per model, or one for all models together.
    """

    kind: str
    run: str
    columns: Mapping[str, Any]
    found: tuple[Found, ...]
    models: int = _ENSEMBLE

    def movies(self) -> list[Movie]:
        """Its files, movie by movie."""
        places: dict[tuple[int, ...], list[Found]] = {}
        for each in self.found:
            places.setdefault(_place(each), []).append(each)
        return [Movie(self, place, tuple(files)) for place, files in sorted(places.items())]

    def expected(self) -> list[tuple[int, ...]]:
        """The places of the paper's movies."""
        if self.kind in ("noise", "inverted"):
            lengths = range(len(PUBLISHED_LENGTHS))
            return list(product(range(_STIMULUS_MICE), range(_REPEATS), lengths, lengths))
        if self.kind == "gratings":
            mice = sorted({_place(each)[0] for each in self.found})
            sizes = (len(PUBLISHED_DIRECTIONS), len(PUBLISHED_SPATIAL_FREQUENCIES), len(PUBLISHED_TEMPORAL_LABELS))
            return list(product(mice, *map(range, sizes)))
        return [(mouse, trial) for mouse, trials in enumerate(PUBLISHED_MOVIES) for trial in trials]

    def expected_files(self) -> list[str]:
        """The expected files of the paper's movies, ``folder/name``."""
        folders = sorted({absolute(each.file).parent.name for each in self.found})
        if self.models > 1:  # one folder per model, named like the existing ones
            start, _, end = re.split(r"(\[?\d+\]?)", folders[0], maxsplit=1)
            opening, closing = ("[", "]") if "[" in folders[0] else ("", "")
            folders = [f"{start}{opening}{model}{closing}{end}" for model in range(self.models)]
        return [f"{folder}/{self._file(place)}" for folder in folders for place in self.expected()]

    def _file(self, place: tuple[int, ...]) -> str:
        letters = {2: "m{}_t{}", 4: "m{}_d{}s{}t{}" if self.kind == "gratings" else "m{}_r{}s{}t{}"}
        return f"reconstruction_summary_{letters[len(place)].format(*place)}.npy"

    def name_of(self, place: tuple[int, ...]) -> str:
        """``run, mouse 0 trial 10``."""
        axes = [axis for axis in self.found[0].place if axis != MODEL]
        return f"{self.run}, " + " ".join(f"{axis} {number}" for axis, number in zip(axes, place, strict=True))


@dataclass(frozen=True)
class Movie:
    """One movie of a condition: its place (mouse, trial and the like), and the files of its models."""

    condition: Condition
    place: tuple[int, ...]
    files: tuple[Found, ...] = field(repr=False)

    @property
    def name(self) -> str:
        """Name for lists of missing movies."""
        return self.condition.name_of(self.place)

    @property
    def recording(self) -> str:
        """The mouse's name."""
        mouse = self.place[0]
        return PUBLISHED_MICE[mouse] if mouse < len(PUBLISHED_MICE) else f"mouse {mouse}"

    @property
    def columns(self) -> dict[str, Any]:
        """The conditions in its row."""
        numbers = dict(zip((axis for axis in self.files[0].place if axis != MODEL), self.place, strict=True))
        columns: dict[str, Any] = {"recording": self.recording, **self.condition.columns}
        if "trial" in numbers:
            columns["trial"] = numbers["trial"]
        if "repeat" in numbers:
            columns["repeat"] = numbers["repeat"]
            columns["spatial_px"] = float(PUBLISHED_LENGTHS[numbers["spatial"]])
            columns["temporal_frames"] = float(PUBLISHED_LENGTHS[numbers["temporal"]])
        if "direction" in numbers:
            columns["direction_deg"] = PUBLISHED_DIRECTIONS[numbers["direction"]]
            columns["spatial_frequency"] = PUBLISHED_SPATIAL_FREQUENCIES[numbers["spatial"]]
            columns["temporal_frequency_hz"] = PUBLISHED_TEMPORAL_LABELS[numbers["temporal"]]
        return columns


def conditions_of(experiment: str, found: Sequence[Found]) -> list[Condition]:
    """The runs that an experiment's figures need; none if the essential runs are missing.

    If there are several runs of one kind (numbered ``…_round5``, ``…_round11``), the latest is used.
    """
    uses = _USES.get(experiment, {})
    chosen = []
    for kind, columns in uses.items():
        runs: dict[str, list[Found]] = {}
        for each in found:
            if kind_of(each) == kind:
                runs.setdefault(each.run, []).append(each)
        models = 1 if kind == "gradients" else _ENSEMBLE
        chosen += [
            Condition(kind=kind, run=run, columns=columns, found=tuple(runs[run]), models=models)
            for run in _latest(runs)
        ]
    own = list(uses)[0 if experiment == "noise" else -1 :] if uses else []
    about = {"masks": {"none", "strict"}}.get(experiment, set(own))
    return chosen if any(condition.kind in about for condition in chosen) else []


def absent_runs(experiment: str, conditions: Sequence[Condition]) -> list[str]:
    """Runs of an experiment that the paper has but the folder does not."""
    kinds = {condition.kind for condition in conditions}
    absent = [f"no run of {_CALLED[kind]}" for kind in _USES.get(experiment, {}) if kind not in kinds]
    if experiment == "ablation":
        runs = " ".join(condition.run for condition in conditions)
        absent += [
            f"no run of {share}% of the neurons (pop{share})" for share in (50, 25, 12) if f"_pop{share}_" not in runs
        ]
    return absent


def of_the_paper(movies: Sequence[Movie]) -> tuple[list[Movie], list[str]]:
    """The movies that the paper shows, if there are any, and a sentence about the others.

    Some first trials of the fold repeat movies of other folds ("hashing errors"); the authors' folders still contain
    them.
    """
    own = [movie for movie in movies if movie.place in movie.condition.expected()]
    others = [movie.name for movie in movies if movie.place not in movie.condition.expected()]
    if not others:
        return own, []
    if not own:
        return list(movies), [f"None of these movies is in the paper's figures: {'; '.join(others)}."]
    return own, [f"Left out, as in the paper: {'; '.join(others)}."]


def kind_of(found: Found) -> str:
    """A file's kind, from the names of its run and models; empty if it is not in any figure."""
    kind = next((kind for word, kind in _KINDS if word in found.run), "")
    several = " " in str(found.place[MODEL])
    return "gradients" if kind == "natural" and several else kind


def _latest(runs: Mapping[str, Sequence[Found]]) -> list[str]:
    """The latest of runs that differ only in their round."""
    latest: dict[str, tuple[int, str]] = {}
    for run in sorted(runs):
        match = re.search(r"round(\d+)", run)
        rest = re.sub(r"round\d+", "round", run)
        latest[rest] = max(latest.get(rest, (-1, "")), (int(match[1]) if match else 0, run))
    return [run for _, run in latest.values()]


def _place(found: Found) -> tuple[int, ...]:
    return tuple(int(number) for axis, number in found.place.items() if axis != MODEL)

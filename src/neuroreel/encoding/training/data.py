"""Training data: the checked training and validation trials of one or more recordings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

from neuroreel.encoding.checks import check_clock_fits
from neuroreel.encoding.interface import EncodingModel
from neuroreel.encoding.training.store import TrialStore, bytes_of, digest_of, pack
from neuroreel.encoding.training_split import TrainingSplit
from neuroreel.errors import InputError
from neuroreel.recordings.checks import TrialSpec, check_responses, check_trials, trial_specs
from neuroreel.recordings.trial import Trial

TrialsOrRecordings = Sequence[Trial] | Mapping[str, Sequence[Trial]]

MEMORY_BYTES = 2 * 2**30
"""Training trials up to this size stay in memory; more are packed into files and memory-mapped."""


@dataclass(frozen=True, kw_only=True)
class TrainingData:
    """Trials by recording, and what each recording's trials have in common.

    ``named`` says whether the recordings were given by name; otherwise the name comes from the trials.
    """

    training: Mapping[str, Sequence[Trial]]
    validation: Mapping[str, Sequence[Trial]]
    specs: Mapping[str, TrialSpec]
    named: bool

    @classmethod
    def of(cls, trials: TrialsOrRecordings, validation: TrialsOrRecordings | None) -> TrainingData:
        """Sort trials by recording; InputError unless recordings and trials fit together."""
        named = isinstance(trials, Mapping)
        if validation is not None and isinstance(validation, Mapping) != named:
            raise InputError(
                "trials and validation must both be lists of one recording's trials, or both be dictionaries "
                "{recording: trials}"
            )
        training = _by_name(trials, what="training trials")
        if isinstance(validation, Mapping):
            checking = _by_name(validation, what="validation trials")
        else:
            checking = dict.fromkeys(training, [] if validation is None else validation)
        if checking.keys() != training.keys():
            raise InputError(
                f"validation names the recordings {', '.join(checking)}, the training trials are from "
                f"{', '.join(training)}; give validation trials of each of them"
            )
        what = {name: f"trials of {name}" if named else "trials" for name in training}
        specs = {name: check_trials(each, what=f"training {what[name]}") for name, each in training.items()}
        for name, spec in specs.items():
            check_responses(training[name], spec, what=f"training {what[name]}")
        _check_alike(specs)
        for name, spec in specs.items():
            _check_validation(checking[name], spec, what=f"validation {what[name]}")
        return cls(training=training, validation={name: checking[name] for name in training}, specs=specs, named=named)

    @property
    def first(self) -> TrialSpec:
        """What all recordings have in common, and the first one's neurons."""
        return next(iter(self.specs.values()))

    def shortest(self) -> tuple[str, int]:
        """The shortest training trial, in words, and its frames."""
        lengths = [
            (spec.frames, name, index)
            for name, trials in self.training.items()
            for index, spec in enumerate(trial_specs(trials, what="training trials"))
        ]
        frames, name, index = min(lengths)
        return self.training[name][index].name, frames

    def stores(self, packed: Path, *, show_progress: bool) -> list[TrialStore]:
        """The training trials, in memory if they are small enough, else packed in a folder and memory-mapped."""
        if sum(map(bytes_of, self.specs.values())) <= MEMORY_BYTES:
            return [TrialStore(trials, show_progress=show_progress) for trials in self.training.values()]
        return [
            pack(trials, packed, spec=self.specs[name], name=name, show_progress=show_progress)
            for name, trials in self.training.items()
        ]

    def split(self) -> TrainingSplit:
        """What a model trained on these has seen; by movies alone, as trials of several recordings share names."""
        count = sum(map(len, self.training.values()))
        described = f"{count} training trials of {', '.join(self.training)}"
        movies = TrainingSplit.of(chain.from_iterable(self.training.values()), description=described).movies
        return TrainingSplit(description=described, movies=movies, refused=False)

    def describe(self, stores: Sequence[TrialStore]) -> dict[str, Any]:
        """Hashes of all trials, to tell whether two runs have the same data; the stores know theirs."""
        digests = [store.digest() for store in stores] or [digest_of(trials) for trials in self.training.values()]
        hashes: dict[str, Any] = {
            "training trials": dict(zip(self.training, digests, strict=True)),
            "validation trials": {name: digest_of(trials) for name, trials in self.validation.items()},
        }
        return hashes if self.named else {what: next(iter(each.values())) for what, each in hashes.items()}

    def check_lengths(self, model: EncodingModel) -> None:
        """InputError if a validation trial is too short for the model."""
        for trials in self.validation.values():
            for index, spec in enumerate(trial_specs(trials, what="validation trials")):
                if spec.frames < model.shortest_trial_frames:
                    check_clock_fits(model, trials[index])


def _by_name(given: Any, *, what: str) -> dict[str, Sequence[Trial]]:
    if not isinstance(given, Mapping):
        first = given[0] if isinstance(given, Sequence) and len(given) else None
        return {(first.recording if isinstance(first, Trial) else "") or "recording": given}
    if not given:
        raise InputError(f"{what}: there are none; give at least one recording")
    for name in given:
        if not str(name).strip():
            raise InputError(f"{what}: a recording is named {name!r}; name it with a word")
    return {str(name): trials for name, trials in given.items()}


def _check_alike(specs: Mapping[str, TrialSpec]) -> None:
    first = next(iter(specs))
    for name, spec in specs.items():
        difference = specs[first].difference(replace(spec, neurons=specs[first].neurons))
        if difference:
            raise InputError(
                f"recording {name} has {difference} in {first}; the recordings of one model may differ in neurons, but "
                "not in movie size, frame rate and behavior channels"
            )


def _check_validation(trials: Any, spec: TrialSpec, *, what: str) -> None:
    if isinstance(trials, Sequence) and not len(trials):
        return
    difference = spec.difference(check_trials(trials, what=what))
    if difference:
        raise InputError(f"the {what} have {difference} in the training trials; take them from one recording")

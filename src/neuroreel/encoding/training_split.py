"""Which movies a model was trained on: a reconstruction of one of them says little about others."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from neuroreel.recordings.trial import Trial
from neuroreel.results.provenance import hash_array


@dataclass(frozen=True, kw_only=True)
class TrainingSplit:
    """The training set of an encoding model, as far as it is declared.

    Parameters
    ----------
    description
        In words, for messages and provenance.
    trials
        Names of trials, as in ``Trial.name``.
    movies
        Hashes of movies: the same movie in another trial was trained on too.
    recordings
        Beginnings of the names of recordings of which any trial may have been trained on.
    refused
        Whether a reconstruction of what it holds is refused unless ``allow_trained_on`` is given, or only marked.
    """

    description: str
    trials: frozenset[str] = frozenset()
    movies: frozenset[str] = frozenset()
    recordings: tuple[str, ...] = ()
    refused: bool = True

    @classmethod
    def of(cls, trials: Iterable[Trial], *, description: str) -> TrainingSplit:
        """The split of a model that was trained on these trials; they are read once, one at a time."""
        names, movies = set(), set()
        for trial in trials:
            names.add(trial.name)
            if trial.video is not None:
                movies.add(_fingerprint(trial))
        return cls(description=description, trials=frozenset(names), movies=frozenset(movies))

    def holds(self, trial: Trial) -> bool:
        """Whether the model was trained on the trial, on its movie, or may have been."""
        if trial.name in self.trials or (trial.recording and trial.recording.startswith(self.recordings)):
            return True
        return bool(self.movies) and trial.video is not None and _fingerprint(trial) in self.movies


def _fingerprint(trial: Trial) -> str:
    return hash_array(np.rint(trial.needs_video()).astype(np.uint8))

"""The trials that a training draws from: time lies first, so that a clip is one contiguous slice of each array."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from neuroreel.progress import progress
from neuroreel.recordings.trial import Trial

COLUMNS_AT_ONCE = 1024  # neurons whose mean is taken together: bounds memory


class TimeFirst(NamedTuple):
    """The arrays of one trial, frames along the first axis of each."""

    video: NDArray[Any]  # (frames, height, width): bytes where the grey levels are whole, else float32
    covariates: NDArray[np.float32]  # (frames, channels)
    responses: NDArray[np.float32]  # (frames, neurons), not negative

    @classmethod
    def of(cls, trial: Trial) -> TimeFirst:
        """Copies of a trial's arrays."""
        video = trial.needs_video()
        whole = bool((video == np.rint(video)).all())
        return cls(
            video.astype(np.uint8) if whole else video.copy(),
            np.ascontiguousarray(trial.covariates.T),
            np.ascontiguousarray(trial.needs_responses().T),
        )

    def digest(self) -> str:
        """A hash of all values, which says whether two trials are the same."""
        hashed = hashlib.sha256()
        for array in self:
            hashed.update(f"{array.dtype}{array.shape}".encode())
            hashed.update(np.ascontiguousarray(array).data if array.size else b"")
        return hashed.hexdigest()


class TrialStore:
    """One recording's trials in memory; :class:`~neuroreel.encoding.training.pack.PackedStore` has them on disk.

    Attributes
    ----------
    videos, covariates, responses
        One array a trial, as in :class:`TimeFirst`.
    """

    def __init__(self, trials: Sequence[Trial], *, show_progress: bool) -> None:
        shown = progress(trials, description="Reading trials", enabled=show_progress)
        self._hold([TimeFirst.of(trial) for trial in shown])
        self._digest: str | None = None

    def _hold(self, trials: Sequence[TimeFirst]) -> None:
        self.videos = [trial.video for trial in trials]
        self.covariates = [trial.covariates for trial in trials]
        self.responses = [trial.responses for trial in trials]

    def __len__(self) -> int:
        return len(self.videos)

    def trial(self, index: int) -> TimeFirst:
        """All of one trial."""
        return TimeFirst(self.videos[index], self.covariates[index], self.responses[index])

    def stretch(self, index: int, frames: slice) -> TimeFirst:
        """Some frames of one trial: views, nothing is copied."""
        return TimeFirst(*(array[frames] for array in self.trial(index)))

    def digest(self) -> str:
        """A hash of movies, behaviour and responses, which says whether two trainings saw the same."""
        if self._digest is None:
            self._digest = joint_digest(self.trial(index).digest() for index in range(len(self)))
        return self._digest

    def mean(self, arrays: Sequence[NDArray[np.float32]]) -> Tensor:
        """Mean over all frames of a list of (frames, channels)."""
        return _each_channel(arrays, lambda values: values.mean(dim=1))

    def deviation(self, arrays: Sequence[NDArray[np.float32]]) -> Tensor:
        """Standard deviation over all frames of a list of (frames, channels)."""
        return _each_channel(arrays, lambda values: values.std(dim=1))


def joint_digest(digests: Iterable[str]) -> str:
    """One hash of many."""
    return hashlib.sha256("\n".join(digests).encode()).hexdigest()


def digest_of(trials: Iterable[Trial]) -> str:
    """What the store of these trials would have as its digest; one trial at a time is read."""
    return joint_digest(TimeFirst.of(trial).digest() for trial in trials)


def _each_channel(arrays: Sequence[NDArray[np.float32]], statistic: Any) -> Tensor:
    """A statistic over frames, for (channels, frames) of some channels at a time."""
    channels = arrays[0].shape[1]
    if not channels:
        return torch.zeros(0)
    parts = [slice(first, first + COLUMNS_AT_ONCE) for first in range(0, channels, COLUMNS_AT_ONCE)]
    stacked = (np.concatenate([array[:, part] for array in arrays]).T for part in parts)
    return torch.cat([statistic(torch.from_numpy(np.ascontiguousarray(values))) for values in stacked])

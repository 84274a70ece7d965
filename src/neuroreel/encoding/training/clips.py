"""Random windows of the training trials, the same ones again for the same seed and epoch."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from neuroreel.progress import progress
from neuroreel.recordings.trial import Trial


class Batch(NamedTuple):
    """Windows of movie frames with what went with them."""

    video: Tensor  # (batch, frames, height, width), grey 0..255
    covariates: Tensor  # (batch, channels, frames)
    responses: Tensor  # (batch, neurons, frames), not negative


class TrialStore:
    """All trials in memory: videos as bytes where they hold whole grey levels, the rest as float32."""

    def __init__(self, trials: Sequence[Trial], *, show_progress: bool) -> None:
        self.videos: list[Tensor] = []
        self.covariates: list[Tensor] = []
        self.responses: list[Tensor] = []
        for trial in progress(trials, description="Reading trials", enabled=show_progress):
            video = trial.needs_video()
            whole = bool((video == np.rint(video)).all())
            # a copy where it would be a view of a memory-mapped file, which PyTorch may not write to
            self.videos.append(torch.from_numpy(video.astype(np.uint8) if whole else video.copy()))
            self.covariates.append(torch.from_numpy(trial.covariates))
            self.responses.append(torch.from_numpy(trial.needs_responses()))

    def digest(self) -> str:
        """A hash of movies, behaviour and responses, which says whether two trainings saw the same."""
        hashed = hashlib.sha256()
        for tensors in zip(self.videos, self.covariates, self.responses, strict=True):
            for tensor in tensors:
                hashed.update(tensor.contiguous().numpy().data)
        return hashed.hexdigest()

    def mean(self, arrays: list[Tensor]) -> Tensor:
        """Mean over all frames of a list of (channels, frames)."""
        return torch.cat(arrays, dim=1).mean(dim=1)

    def deviation(self, arrays: list[Tensor]) -> Tensor:
        """Standard deviation over all frames of a list of (channels, frames)."""
        values = torch.cat(arrays, dim=1)
        return values.std(dim=1) if len(values) else values.new_zeros(0)  # torch warns of a deviation of nothing


class RandomWindows(Dataset[Batch]):
    """Item n is the n-th batch of the whole training: random windows, trials drawn equally, positions uniformly.

    A batch depends on the seed and its number alone, so a resumed run meets the batches it would have met.
    """

    def __init__(self, store: TrialStore, *, window_frames: int, batch_size: int, seed: int) -> None:
        self.store = store
        self.window_frames = window_frames
        self.batch_size = batch_size
        self.seed = seed

    def __getitem__(self, number: int) -> Batch:
        rng = np.random.default_rng([self.seed, number])
        windows = []
        for index in rng.integers(len(self.store.videos), size=self.batch_size):
            start = int(rng.integers(self.store.videos[index].shape[0] - self.window_frames + 1))
            windows.append((index, slice(start, start + self.window_frames)))
        return Batch(
            video=torch.stack([self.store.videos[i][frames] for i, frames in windows]).float(),
            covariates=torch.stack([self.store.covariates[i][:, frames] for i, frames in windows]),
            responses=torch.stack([self.store.responses[i][:, frames] for i, frames in windows]),
        )


class EpochSampler(Sampler[int]):
    """The numbers of one epoch's batches; Lightning says which epoch it is."""

    def __init__(self, batches: int) -> None:
        self.batches = batches
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Called by Lightning before each epoch, also after a resume."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.batches

    def __iter__(self) -> Iterator[int]:
        yield from range(self.epoch * self.batches, (self.epoch + 1) * self.batches)

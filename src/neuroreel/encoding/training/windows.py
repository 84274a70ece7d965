"""Random windows of the training trials, the same ones again for the same seed: what the readout model trains on."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from neuroreel.encoding.training.share import Share
from neuroreel.encoding.training.store import TrialStore


class WindowBatch(NamedTuple):
    """Windows of movie frames with what went with them."""

    video: Tensor  # (batch, frames, height, width), grey 0..255
    covariates: Tensor  # (batch, channels, frames)
    responses: Tensor  # (batch, neurons, frames), not negative


class RandomWindows(Dataset[WindowBatch]):
    """Batch n of the whole training: random windows, trials drawn equally, positions uniformly.

    A batch depends on the seed and its number alone, so a resumed run meets the batches it would have met.
    """

    def __init__(self, store: TrialStore, *, window_frames: int, batch_size: int, seed: int) -> None:
        self.store = store
        self.window_frames = window_frames
        self.batch_size = batch_size
        self.seed = seed

    def draw(self, number: int) -> list[tuple[int, slice]]:
        """Trial and frames of each window."""
        rng = np.random.default_rng([self.seed, number])
        windows = []
        for index in rng.integers(len(self.store), size=self.batch_size):
            start = int(rng.integers(len(self.store.videos[index]) - self.window_frames + 1))
            windows.append((int(index), slice(start, start + self.window_frames)))
        return windows

    def __getitem__(self, share: Share) -> WindowBatch:
        drawn = share.of(self.draw(share.batch))
        videos, covariates, responses = zip(*(self.store.stretch(*window) for window in drawn), strict=True)
        return WindowBatch(
            video=torch.from_numpy(np.stack(videos)).float(),
            covariates=torch.from_numpy(np.stack([array.T for array in covariates])),
            responses=torch.from_numpy(np.stack([array.T for array in responses])),
        )

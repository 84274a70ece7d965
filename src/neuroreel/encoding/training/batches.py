"""Training batches: random windows of one recording, or random clips of several, with CutMix.

A batch depends only on the seed and its number, so a resumed training run sees the same batches.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from neuroreel.encoding.dwiseneuro.network import DwiseNeuro
from neuroreel.encoding.interface import EncodingModel
from neuroreel.encoding.training.recipe import Recipe
from neuroreel.encoding.training.store import TimeFirst, TrialStore

Item = TypeVar("Item")


class Share(NamedTuple):
    """Part ``part`` of ``parts`` of batch number ``batch``."""

    batch: int
    part: int = 0
    parts: int = 1

    def of(self, whole: Sequence[Item]) -> Sequence[Item]:
        """Every parts-th item, from the part-th on: together the parts make the whole, without overlap."""
        return whole[self.part :: self.parts]


def shares_of(batches: range, *, accumulate: int, rank: int, processes: int) -> list[Share]:
    """The shares of these batches that one of several processes sees.

    A batch makes one optimizer step. It is split among the processes, and within each among ``accumulate`` passes,
    whose gradients are summed.
    """
    parts = accumulate * processes
    return [Share(number, turn * processes + rank, parts) for number in batches for turn in range(accumulate)]


# --- windows ---


class WindowBatch(NamedTuple):
    """Windows of movie frames with behavior and responses."""

    video: Tensor  # (batch, frames, height, width), gray 0..255
    covariates: Tensor  # (batch, channels, frames)
    responses: Tensor  # (batch, neurons, frames), not negative


class RandomWindows(Dataset[WindowBatch]):
    """Batches of random windows of a recording: trials drawn equally, positions uniformly."""

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
            start = int(rng.integers(self.store[index].frames - self.window_frames + 1))
            windows.append((int(index), slice(start, start + self.window_frames)))
        return windows

    def __getitem__(self, share: Share) -> WindowBatch:
        drawn = [self.store[index].cut(frames) for index, frames in share.of(self.draw(share.batch))]
        return WindowBatch(
            video=torch.from_numpy(np.stack([each.video for each in drawn])).float(),
            covariates=torch.from_numpy(np.stack([each.covariates.T for each in drawn])),
            responses=torch.from_numpy(np.stack([each.responses.T for each in drawn])),
        )


# --- clips ---


class Box(NamedTuple):
    """Rows top..bottom and columns left..right of the canvas, the last ones excluded."""

    top: int
    bottom: int
    left: int
    right: int

    @property
    def area(self) -> int:
        """Number of pixels."""
        return (self.bottom - self.top) * (self.right - self.left)

    def paste(self, target: Tensor, source: Tensor) -> None:
        """Copy the box from ``source`` (..., height, width) into ``target``, in place."""
        rows, columns = slice(self.top, self.bottom), slice(self.left, self.right)
        target[..., rows, columns] = source[..., rows, columns]


def draw_box(rng: np.random.Generator, *, height: int, width: int, alpha: float) -> Box:
    """A box with 1 - Beta(alpha, alpha) of the canvas's area, before clipping at its edges (Yun et al. 2019)."""
    side = math.sqrt(1.0 - rng.beta(alpha, alpha))
    half_height, half_width = int(height * side) // 2, int(width * side) // 2
    row, column = int(rng.integers(height)), int(rng.integers(width))
    return Box(
        top=max(row - half_height, 0),
        bottom=min(row + half_height, height),
        left=max(column - half_width, 0),
        right=min(column + half_width, width),
    )


class Place(NamedTuple):
    """A clip's trial and first frame."""

    trial: int
    start: int


class Clip(NamedTuple):
    """One sample; with CutMix, also the other clip of the recording and the box that is pasted from it."""

    recording: int
    place: Place
    other: Place | None
    box: Box | None


class Pasted(NamedTuple):
    """A second clip, and the box from it that is pasted into sample number ``row``."""

    row: int
    box: Box
    video: Tensor  # (frames, height, width)
    covariates: Tensor  # (channels, frames)


class ClipBatch(NamedTuple):
    """Clips with behavior and responses; the samples of each recording share a tensor of responses."""

    video: Tensor  # (batch, clip frames, height, width), gray 0..255, bytes if the levels are whole
    covariates: Tensor  # (batch, channels, clip frames)
    pasted: list[Pasted]
    rows: list[Tensor]  # for each recording, the numbers of its samples in the batch
    responses: list[Tensor]  # for each recording (its samples, clip frames, neurons), not negative, mixed by CutMix

    def inputs(self, model: EncodingModel) -> Tensor:
        """The model's input: clips on its canvas with behavior channels, and the boxes pasted in.

        The box is cut from the whole assembled input, behavior and padding included, as published.
        """
        inputs = model.assemble(model.canvas.place(self.video.float()), self.covariates)
        for row, box, video, covariates in self.pasted:
            box.paste(inputs[row], model.assemble(model.canvas.place(video.float())[None], covariates[None])[0])
        return inputs


class RandomClips(Dataset[ClipBatch]):
    """Batches of random clips: trials and positions drawn at random, recordings without replacement in each round."""

    def __init__(self, stores: Sequence[TrialStore], *, model: DwiseNeuro, recipe: Recipe, seed: int) -> None:
        self.stores = stores
        self.step = model.clip_stride
        self.span = (model.clip_frames - 1) * model.clip_stride + 1  # movie frames from a clip's first to its last
        self.canvas = model.canvas.size
        self.batch_size = recipe.batch_size
        self.alpha = recipe.cutmix_alpha
        self.probability = recipe.cutmix_probability
        self.seed = seed

    def draw(self, number: int) -> list[Clip]:
        """The clips of batch ``number``."""
        rng = np.random.default_rng([self.seed, number])
        return [self._clip(rng, recording) for recording in self._recordings(number)]

    def _recordings(self, number: int) -> list[int]:
        """The recording of each sample, from consecutive rounds of all recordings in random order."""
        count = len(self.stores)
        first, last = number * self.batch_size, (number + 1) * self.batch_size
        rounds = [
            # the last number separates these generators from those of the batches
            np.random.default_rng([self.seed, each, 1]).permutation(count)
            for each in range(first // count, -(-last // count))
        ]
        drawn: list[int] = np.concatenate(rounds)[first % count :][: self.batch_size].tolist()
        return drawn

    def _clip(self, rng: np.random.Generator, recording: int) -> Clip:
        place = self._place(rng, recording)
        if rng.random() >= self.probability:
            return Clip(recording, place, None, None)
        other, (height, width) = self._place(rng, recording), self.canvas
        return Clip(recording, place, other, draw_box(rng, height=height, width=width, alpha=self.alpha))

    def _place(self, rng: np.random.Generator, recording: int) -> Place:
        store = self.stores[recording]
        trial = int(rng.integers(len(store)))
        return Place(trial, int(rng.integers(store[trial].frames - self.span + 1)))

    def __getitem__(self, share: Share) -> ClipBatch:
        clips = share.of(self.draw(share.batch))
        seen = [self._read(clip.recording, clip.place) for clip in clips]
        pasted, responses = [], [each.responses for each in seen]
        for row, (recording, _, place, box) in enumerate(clips):
            if place is None or box is None:
                continue
            other = self._read(recording, place)
            part = box.area / (self.canvas[0] * self.canvas[1])
            responses[row] = responses[row] * np.float32(1 - part) + other.responses * np.float32(part)
            video, covariates = torch.from_numpy(other.video.copy()), torch.from_numpy(other.covariates.T.copy())
            pasted.append(Pasted(row, box, video, covariates))
        rows = [[row for row, clip in enumerate(clips) if clip.recording == each] for each in range(len(self.stores))]
        return ClipBatch(
            video=torch.from_numpy(np.stack([each.video for each in seen])),
            covariates=torch.from_numpy(np.stack([each.covariates.T for each in seen])),
            pasted=pasted,
            rows=[torch.tensor(numbers, dtype=torch.long) for numbers in rows],
            responses=[
                torch.from_numpy(np.stack([responses[row] for row in numbers])) if numbers else torch.empty(0)
                for numbers in rows
            ],
        )

    def _read(self, recording: int, place: Place) -> TimeFirst:
        return self.stores[recording][place.trial].cut(slice(place.start, place.start + self.span, self.step))

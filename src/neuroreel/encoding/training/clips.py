"""Random clips of several recordings, the same ones again for the same seed: what DwiseNeuro trains on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from neuroreel.encoding.dwiseneuro.network import DwiseNeuro
from neuroreel.encoding.interface import EncodingModel
from neuroreel.encoding.training.cutmix import Box, draw_box
from neuroreel.encoding.training.recipe import Recipe
from neuroreel.encoding.training.share import Share
from neuroreel.encoding.training.store import TimeFirst, TrialStore


class Place(NamedTuple):
    """Where a clip lies: its trial, and the frame it starts at."""

    trial: int
    start: int


class Paste(NamedTuple):
    """For CutMix: which box of which other clip of the recording is pasted."""

    place: Place
    box: Box


class Clip(NamedTuple):
    """One sample."""

    recording: int
    place: Place
    paste: Paste | None


class Pasted(NamedTuple):
    """For CutMix: a second clip, and the box of it that is pasted into sample number ``row``."""

    row: int
    box: Box
    video: Tensor  # (frames, height, width)
    covariates: Tensor  # (channels, frames)


class ClipBatch(NamedTuple):
    """Clips with what went with them; the samples of each recording share a tensor of responses."""

    video: Tensor  # (batch, clip frames, height, width), grey 0..255, bytes where the levels are whole
    covariates: Tensor  # (batch, channels, clip frames)
    pasted: list[Pasted]
    rows: list[Tensor]  # for each recording, the numbers of its samples in the batch
    responses: list[Tensor]  # for each recording (its samples, clip frames, neurons), not negative, mixed by CutMix

    def inputs(self, model: EncodingModel) -> Tensor:
        """What the model sees: clips laid on its canvas with the behaviour's channels, and the boxes pasted in.

        The box is cut from the whole assembled input, behaviour and padding included, as published.
        """
        inputs = model.assemble(model.canvas.place(self.video.float()), self.covariates)
        for row, box, video, covariates in self.pasted:
            box.paste(inputs[row], model.assemble(model.canvas.place(video.float())[None], covariates[None])[0])
        return inputs


class RandomClips(Dataset[ClipBatch]):
    """Batch n of the whole training: recordings drawn equally, trials and positions at random.

    A batch depends on the seed and its number alone, so a resumed run meets the batches it would have met. Recordings
    are dealt like cards: none comes again before all the others have come once.
    """

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
        return [self._clip(rng, recording) for recording in self._dealt(number)]

    def _dealt(self, number: int) -> list[int]:
        """The recording of each sample; deal after deal of all recordings runs through the batches."""
        recordings = len(self.stores)
        first, last = number * self.batch_size, (number + 1) * self.batch_size
        deals = [
            # the last number keeps these generators apart from those of the batches
            np.random.default_rng([self.seed, deal, 1]).permutation(recordings)
            for deal in range(first // recordings, -(-last // recordings))
        ]
        dealt: list[int] = np.concatenate(deals)[first % recordings :][: self.batch_size].tolist()
        return dealt

    def _clip(self, rng: np.random.Generator, recording: int) -> Clip:
        place = self._place(rng, recording)
        if rng.random() >= self.probability:
            return Clip(recording, place, None)
        other = self._place(rng, recording)
        height, width = self.canvas
        return Clip(recording, place, Paste(other, draw_box(rng, height=height, width=width, alpha=self.alpha)))

    def _place(self, rng: np.random.Generator, recording: int) -> Place:
        videos = self.stores[recording].videos
        trial = int(rng.integers(len(videos)))
        return Place(trial, int(rng.integers(len(videos[trial]) - self.span + 1)))

    def __getitem__(self, share: Share) -> ClipBatch:
        clips = share.of(self.draw(share.batch))
        seen = [self._read(clip.recording, clip.place) for clip in clips]
        pasted, responses = [], [each.responses for each in seen]
        for row, clip in enumerate(clips):
            if clip.paste is not None:
                other = self._read(clip.recording, clip.paste.place)
                share_pasted = clip.paste.box.area / (self.canvas[0] * self.canvas[1])
                responses[row] = mixed(responses[row], other.responses, share_pasted)
                video, covariates = torch.from_numpy(other.video.copy()), torch.from_numpy(other.covariates.T.copy())
                pasted.append(Pasted(row, clip.paste.box, video, covariates))
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
        return self.stores[recording].stretch(place.trial, slice(place.start, place.start + self.span, self.step))


def mixed(own: NDArray[np.float32], other: NDArray[np.float32], share: float) -> NDArray[np.float32]:
    """Responses to a clip with another one pasted into this share of its canvas."""
    return own * np.float32(1 - share) + other * np.float32(share)

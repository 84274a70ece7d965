"""One animal of an experiment: its recording and models, with hashes, read on demand."""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from neuroreel.encoding.dwiseneuro.network import DwiseNeuro
from neuroreel.encoding.files import load_encoder
from neuroreel.encoding.interface import EncodingModel
from neuroreel.errors import InputError
from neuroreel.masks import check_mask_values, load_mask
from neuroreel.recordings.recording import Recording
from neuroreel.recordings.trial import Trial
from neuroreel.results.provenance import hash_array, hash_file, hash_model

PUBLISHED_MICE = ("29515-10-12", "29623-4-9", "29647-19-8", "29712-5-9", "29755-2-8")
"""The mice of Bauer et al. 2026 in the order of their models: their numbers seed the draws of neurons."""

PUBLISHED_MOVIES = (
    (0, 1, 2, 10, 4, 5, 6, 7, 8, 11),
    (10, 1, 2, 3, 11, 5, 6, 7, 8, 9),
    (10, 1, 14, 3, 4, 5, 6, 15, 16, 9),
    (0, 1, 2, 3, 10, 5, 6, 7, 8, 9),
    (0, 1, 2, 3, 4, 5, 6, 7, 8, 9),
)
"""Their movies: numbers within fold 0. Trials that hash to another fold than in training are replaced by later ones."""


@dataclass(frozen=True, kw_only=True)
class ModelFile:
    """An encoding model in a file, loaded on first use.

    Attributes
    ----------
    file, session
        See :func:`neuroreel.load_encoder`.
    """

    file: Path
    session: int | str = 0

    def load(self) -> EncodingModel:
        """The model; a network with sessions for several recordings is loaded once for all of them."""
        first = _load_network(self.file)
        if isinstance(first, DwiseNeuro):
            return first.of_readout(self.session)
        return load_encoder(self.file, session=self.session)

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the weights and of the architecture in the side-car."""
        side_car = self.file.with_suffix(".json")
        described = json.loads(side_car.read_text()) if side_car.is_file() else {}
        described.pop("training_log", None)
        return _sha(hash_file(self.file), json.dumps(described, sort_keys=True), str(self.session))


class Animal:
    """A recording, the encoding models of its neurons and its mask.

    Parameters
    ----------
    recording
        With trials that have responses.
    models
        Encoding models of its neurons, loaded or in files: the ensemble.
    mask
        Transparency mask (height, width), or its .npy file. Without one every pixel is moved and scored.

    Raises
    ------
    InputError
        No model.
    """

    def __init__(
        self,
        recording: Recording,
        models: Sequence[EncodingModel | ModelFile],
        *,
        mask: ArrayLike | Path | None = None,
    ) -> None:
        if not models:
            raise InputError(f"{recording.name} has no encoding model; give at least one")
        self.recording = recording
        self._models = tuple(models)
        self._mask = mask
        self._trial_hashes: dict[int, str] = {}

    @property
    def name(self) -> str:
        """Name of the recording."""
        return self.recording.name

    @property
    def model_count(self) -> int:
        """Size of the ensemble."""
        return len(self._models)

    @cached_property
    def models(self) -> list[EncodingModel]:
        """The encoding models, loaded."""
        return [model.load() if isinstance(model, ModelFile) else model for model in self._models]

    @cached_property
    def mask(self) -> NDArray[np.float32] | None:
        """The transparency mask (height, width), on the models' canvas or on the video."""
        if self._mask is None or isinstance(self._mask, str | Path):
            return None if self._mask is None else load_mask(self._mask)
        return check_mask_values(self._mask, what=f"the mask of {self.name}")

    @cached_property
    def model_hashes(self) -> tuple[str, ...]:
        """A fingerprint of each model, without loading those in files."""
        return tuple(m.fingerprint if isinstance(m, ModelFile) else _fingerprint(m) for m in self._models)

    @cached_property
    def mask_hash(self) -> str:
        """Hash of the mask; empty without one."""
        return "" if self.mask is None else hash_array(self.mask)

    def trial_hash(self, number: int) -> str:
        """Hash of a trial's movie, responses and behavior; read once."""
        if number not in self._trial_hashes:
            self._trial_hashes[number] = hash_trial(self.trial(number))
        return self._trial_hashes[number]

    def trial(self, number: int) -> Trial:
        """A trial of the recording by its number; InputError if it does not exist or has no responses."""
        if not 0 <= number < len(self.recording.tiers):
            last = len(self.recording.tiers) - 1
            raise InputError(f"there is no trial {number} in {self.name}; its trials are numbered 0 to {last}")
        trial = self.recording.trials[number]
        if trial.responses is None:
            raise InputError(f"trial {number} of {self.name} has no responses (they are withheld); choose others")
        return trial

    def kept_neurons(self, fraction: float, trial: int, *, repeat: int = 0) -> NDArray[np.bool_]:
        """(neurons,) boolean: the neurons to keep, drawn separately for each trial (Bauer et al. 2026).

        As published, the seed is (trial + 1) * (mouse + 1), with the number of the trial in its fold and of the mouse
        among the models. Other mice get a number from their recording's name, so that the draw does not depend on the
        other recordings or their order. Further repeats have their own seeds.

        Raises
        ------
        InputError
            No neuron is kept.
        """
        if fraction >= 1:
            return np.ones(self.recording.neurons, bool)
        seed = (self._place_in_fold(trial) + 1) * (self.number + 1) + 1_000_003 * repeat
        drawn = torch.rand(self.recording.neurons, 1, generator=torch.Generator().manual_seed(seed))
        keep = drawn[:, 0].numpy() > 1 - fraction
        if not keep.any():
            raise InputError(
                f"a fraction of {fraction:g} leaves none of the {self.recording.neurons} neurons of {self.name} in "
                f"trial {trial}; keep a larger fraction"
            )
        return np.asarray(keep, bool)

    @property
    def number(self) -> int:
        """Number of the mouse: its index among the published models, or a number from its name."""
        published = self._published_number
        return zlib.crc32(self.name.encode()) % 100_003 if published is None else published

    @property
    def _published_number(self) -> int | None:
        return published_number(self.recording.folder.resolve().name)  # not the name of a link to it

    def movies(self, fold: str) -> tuple[int, ...]:
        """Numbers of the trials of a fold; for the published mice, the published trials come first."""
        numbers = self.recording.select(fold).indices
        if self._published_number is None or fold != "fold_0":
            return numbers
        chosen = [numbers[place] for place in PUBLISHED_MOVIES[self._published_number] if place < len(numbers)]
        return (*chosen, *(number for number in numbers if number not in chosen))

    def _place_in_fold(self, trial: int) -> int:
        words = self.recording.folds()
        return words[:trial].count(words[trial])

    def mean_behavior_hash(self) -> str:
        """Hash of the mean behavior that goes with a stimulus."""
        statistics = self.recording.statistics
        return _sha(*(hash_array(statistics[kind].mean) for kind in sorted(statistics) if kind != "responses"))

    def __repr__(self) -> str:
        return f"Animal({self.name!r}, {self.model_count} encoding models)"


@lru_cache(maxsize=16)
def _load_network(file: Path) -> EncodingModel:
    return load_encoder(file)


def _fingerprint(model: EncodingModel) -> str:
    """Of a model's weights and, as a network may have readouts of several recordings, of which one it predicts."""
    return _sha(hash_model(model), model.readout) if isinstance(model, DwiseNeuro) else hash_model(model)


def hash_trial(trial: Trial) -> str:
    """Hash of movie, responses, behavior and frame rate."""
    arrays = (trial.needs_video(), trial.needs_responses(), trial.covariates)
    return _sha(trial.frame_rate_hz, *map(hash_array, arrays))


def _sha(*parts: Any) -> str:
    return hashlib.sha256("\n".join(map(str, parts)).encode()).hexdigest()


def published_number(name: str) -> int | None:
    """The number of the published mouse with a recording of this name; None for any other."""
    names = [(mouse, f"dynamic{mouse}") for mouse in PUBLISHED_MICE]
    return next((number for number, starts in enumerate(names) if name.startswith(starts)), None)

"""One training, with everything that decides what comes out of it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from neuroreel.encoding.dwiseneuro.network import DwiseNeuro
from neuroreel.encoding.interface import EncodingModel
from neuroreel.encoding.readout import ReadoutModel
from neuroreel.encoding.training.devices import Devices
from neuroreel.encoding.training.folder import TrainingFolder
from neuroreel.encoding.training.material import Material
from neuroreel.encoding.training.recipe import Recipe
from neuroreel.encoding.training.store import TrialStore


@dataclass(frozen=True, kw_only=True)
class Training:
    """What is trained, on what, how, where, and where it is kept."""

    kind: str
    model: EncodingModel
    material: Material
    stores: Sequence[TrialStore]
    teachers: Sequence[DwiseNeuro]
    recipe: Recipe
    seed: int
    devices: Devices
    folder: TrainingFolder
    show_bar: bool

    @property
    def validated(self) -> bool:
        """Whether there are validation trials."""
        return any(len(trials) for trials in self.material.validation.values())

    def describe(self) -> dict[str, Any]:
        """What makes a training run the one it is; only devices and versions, which change rounding, are left out."""
        assert isinstance(self.model, ReadoutModel | DwiseNeuro)
        config = self.model.config if isinstance(self.model, ReadoutModel) else self.model.network.config
        return {
            "kind": self.kind,
            "seed": self.seed,
            "recipe": asdict(self.recipe),
            "architecture": config.as_dict(),
            **self.material.describe(self.stores),
            "teachers": [_hash_of(teacher) for teacher in self.teachers],
        }


def _hash_of(model: EncodingModel) -> str:
    hashed = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        hashed.update(name.encode())
        hashed.update(tensor.cpu().contiguous().numpy().data)
    return hashed.hexdigest()

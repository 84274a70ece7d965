"""The folder of one training: what it trains, its checkpoints, its log, and the model when it is done."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from neuroreel.encoding.files import load_encoder, save_encoder
from neuroreel.encoding.interface import EncodingModel
from neuroreel.errors import InputError
from neuroreel.files import atomic_path


@dataclass(frozen=True)
class TrainingFolder:
    """Where a training keeps what a later call needs to go on with it, or to find it done."""

    path: Path

    @property
    def description(self) -> Path:
        """What is trained here, on what and how."""
        return self.path / "training.json"

    @property
    def last(self) -> Path:
        """The checkpoint of the last finished epoch."""
        return self.path / "checkpoints" / "last.ckpt"

    @property
    def best(self) -> Path:
        """The checkpoint of the epoch with the best validation correlation."""
        return self.path / "checkpoints" / "best.ckpt"

    @property
    def log(self) -> Path:
        """A table with a row an epoch."""
        return self.path / "log" / "metrics.csv"

    @property
    def model(self) -> Path:
        """The trained model: it is there when the training is done."""
        return self.path / "model.safetensors"

    def claim(self, training: dict[str, Any]) -> None:
        """Note what is trained here; InputError if it is something else than what was trained here before."""
        wanted = json.loads(json.dumps(training))
        if not self.description.exists():
            if self.last.exists() or self.model.exists():
                raise InputError(
                    f"{self.path} holds checkpoints, but no {self.description.name} that tells what they are of; "
                    "train in another folder"
                )
            with atomic_path(self.description) as partial:
                partial.write_text(json.dumps(wanted, indent=1))
            return
        found = self._read()
        changed = [f"{key} is {_short(wanted.get(key))} now and was {_short(found.get(key))}" for key in wanted]
        changed = [text for key, text in zip(wanted, changed, strict=True) if wanted[key] != found.get(key)]
        if changed:
            raise InputError(
                f"{self.path} holds another training ({'; '.join(changed)}); train in another folder, or with the "
                "settings of that one"
            )

    def _read(self) -> dict[str, Any]:
        try:
            found = json.loads(self.description.read_text())
        except ValueError as error:
            raise InputError(f"{self.description} is damaged ({error}); train in another folder") from error
        if not isinstance(found, dict):
            raise InputError(f"{self.description} describes no training; train in another folder")
        return found

    def trained(self) -> EncodingModel | None:
        """The model of a training that is done."""
        return load_encoder(self.model) if self.model.exists() else None

    def keep(self, model: EncodingModel) -> None:
        """Write the trained model, which marks the training as done."""
        save_encoder(model, self.model, overwrite=True)

    def to_resume(self) -> Path | None:
        """The checkpoint to go on from, if there is one; InputError if it cannot be read."""
        if not self.last.exists():
            return None
        self.weights(self.last)
        return self.last

    def weights(self, checkpoint: Path) -> dict[str, Any]:
        """The averaged weights in a checkpoint; nothing in it is executed."""
        import torch

        try:
            return dict(torch.load(checkpoint, map_location="cpu", weights_only=True)["state_dict"])
        except Exception as error:  # a damaged archive or pickle raises nearly anything
            raise InputError(
                f"{checkpoint} is damaged ({type(error).__name__}: {error}); "
                f"delete the folder {self.path} and train anew"
            ) from error


def _short(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {item}" for key, item in value.items()) + "}"
    return repr(value)

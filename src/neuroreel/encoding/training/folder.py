"""The folder of one training run: description, checkpoints, log, and the finished model."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from neuroreel.encoding.files import load_encoder, save_encoder
from neuroreel.encoding.interface import EncodingModel
from neuroreel.errors import InputError
from neuroreel.files import atomic_path
from neuroreel.snapshot import Snapshot

NO_FINGERPRINT = ""  # training.json describes the run, and ``claim`` compares it


@dataclass(frozen=True)
class TrainingFolder:
    """Stores what a later call needs to resume a training run or find it finished."""

    path: Path

    @property
    def last(self) -> Snapshot:
        """The state after the last finished epoch."""
        return Snapshot(self._checkpoint("last"), fingerprint=NO_FINGERPRINT)

    @property
    def best(self) -> Snapshot:
        """The averaged weights of the epoch with the best validation correlation."""
        return Snapshot(self._checkpoint("best"), fingerprint=NO_FINGERPRINT)

    @property
    def has_begun(self) -> bool:
        """Whether there is a checkpoint to resume from."""
        return self._checkpoint("last").exists()

    def _checkpoint(self, name: str) -> Path:
        return self.path / "checkpoints" / f"{name}.ckpt"

    @property
    def description(self) -> Path:
        """The description of the run."""
        return self.path / "training.json"

    @property
    def model(self) -> Path:
        """The trained model, which exists when the run is done."""
        return self.path / "model.safetensors"

    def claim(self, run: dict[str, Any]) -> None:
        """Write the run's description; InputError if another run was trained here before."""
        wanted = json.loads(json.dumps(run))
        if not self.description.exists():
            if self.has_begun or self.model.exists():
                raise InputError(
                    f"{self.path} holds checkpoints, but no {self.description.name} that describes them; "
                    "train in another folder"
                )
            with atomic_path(self.description) as partial:
                partial.write_text(json.dumps(wanted, indent=1))
            return
        try:
            found = dict(json.loads(self.description.read_text()))
        except (ValueError, TypeError) as error:
            raise InputError(f"{self.description} is damaged ({error}); train in another folder") from error
        changed = [
            f"{key} is {_short(value)} now and was {_short(found.get(key))}"
            for key, value in wanted.items()
            if value != found.get(key)
        ]
        if changed:
            raise InputError(
                f"{self.path} holds another training run ({'; '.join(changed)}); train in another folder, or with the "
                "settings of that one"
            )

    def trained(self) -> EncodingModel | None:
        """The model of a finished run."""
        return load_encoder(self.model) if self.model.exists() else None

    def keep(self, model: EncodingModel) -> None:
        """Write the trained model, which marks the run as finished."""
        save_encoder(model, self.model, overwrite=True)

    def write_log(self, rows: Sequence[dict[str, float]]) -> None:
        """Write the log as a table, log/metrics.csv, one row per epoch."""
        columns = list(dict.fromkeys(name for row in rows for name in row))
        file = self.path / "log" / "metrics.csv"
        with atomic_path(file, overwrite=True) as partial, partial.open("w", newline="") as stream:
            table = csv.DictWriter(stream, columns)
            table.writeheader()
            table.writerows(rows)


def _short(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {item}" for key, item in value.items()) + "}"
    return repr(value)

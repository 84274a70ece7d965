"""The training log: one row an epoch, kept with the model and as a table, so that it can be plotted."""

from __future__ import annotations

import csv
import time
from pathlib import Path
from typing import Any

import lightning
from lightning.pytorch.callbacks import Callback

from neuroreel.files import atomic_path


class TrainingLog(Callback):
    """Collects every epoch's metrics and writes them to ``file``; a resume goes on with the rows of the checkpoint."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.rows: list[dict[str, float]] = []
        self._began = 0.0

    def on_train_epoch_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Start the epoch's clock."""
        self._began = time.perf_counter()

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Add a row; of several processes only the first writes it."""
        if not trainer.is_global_zero:
            return
        metrics = {name: float(value) for name, value in trainer.callback_metrics.items()}
        seconds = time.perf_counter() - self._began
        self.rows.append({"epoch": float(trainer.current_epoch), "seconds": seconds, **metrics})
        self._write()

    def _write(self) -> None:
        columns = list(dict.fromkeys(name for row in self.rows for name in row))
        with atomic_path(self.file, overwrite=True) as partial, partial.open("w", newline="") as stream:
            table = csv.DictWriter(stream, columns)
            table.writeheader()
            table.writerows(self.rows)

    def state_dict(self) -> dict[str, Any]:
        """What the checkpoint keeps."""
        return {"rows": self.rows}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """What a resume brings back."""
        self.rows = list(state_dict["rows"])


def read_log(file: Path) -> list[dict[str, float]]:
    """The rows that a training wrote, also if it ran in another process."""
    with file.open(newline="") as stream:
        return [{name: float(value) for name, value in row.items() if value} for row in csv.DictReader(stream)]

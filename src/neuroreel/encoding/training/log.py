"""The training log: one row an epoch, kept with the model so that it can be plotted."""

from __future__ import annotations

import time
from typing import Any

import lightning
from lightning.pytorch.callbacks import Callback


class TrainingLog(Callback):
    """Collects every epoch's metrics; survives a resume, because Lightning saves it in the checkpoint."""

    def __init__(self) -> None:
        self.rows: list[dict[str, float]] = []
        self._began = 0.0

    def on_train_epoch_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Start the epoch's clock."""
        self._began = time.perf_counter()

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Add a row."""
        metrics = {name: float(value) for name, value in trainer.callback_metrics.items()}
        seconds = time.perf_counter() - self._began
        self.rows.append({"epoch": float(trainer.current_epoch), "seconds": seconds, **metrics})

    def state_dict(self) -> dict[str, Any]:
        """What the checkpoint keeps."""
        return {"rows": self.rows}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """What a resume brings back."""
        self.rows = list(state_dict["rows"])

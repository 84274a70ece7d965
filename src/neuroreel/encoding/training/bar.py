"""One line for the whole training: how far it is, how long it will take, how good the model is by now."""

from __future__ import annotations

from typing import Any

import lightning
from lightning.pytorch.callbacks import Callback


class TrainingBar(Callback):
    """A progress bar over all epochs, so that its estimate is that of the training and not of an epoch."""

    def __init__(self) -> None:
        self._bar: Any = None

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Begin where a resumed training stands; of several processes only the first has a bar."""
        from tqdm.auto import tqdm

        passes = int(trainer.num_training_batches) * (trainer.max_epochs or 0)
        done = trainer.global_step * trainer.accumulate_grad_batches
        hidden = not trainer.is_global_zero
        self._bar = tqdm(total=passes, initial=done, desc="Training", dynamic_ncols=True, disable=hidden)

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """One batch further, or one pass of a batch that is split."""
        self._bar.update()

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Show the epoch's loss and correlation."""
        named = {"train_loss": "loss", "validation_correlation": "correlation"}
        metrics = trainer.callback_metrics
        self._bar.set_postfix(
            {short: f"{float(metrics[name]):.3f}" for name, short in named.items() if name in metrics}
        )

    def on_train_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Leave the line as it is."""
        self._bar.close()

    def on_exception(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, exception: BaseException
    ) -> None:
        """Leave the line before the error's message."""
        if self._bar is not None:
            self._bar.close()

"""The Lightning module: one training step, one validation step, the optimiser. It trains any encoding model."""

from __future__ import annotations

import math

import lightning
import numpy as np
import torch
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from numpy.typing import NDArray
from torch import Tensor

from neuroreel.encoding.correlation import neuron_correlations
from neuroreel.encoding.interface import EncodingModel
from neuroreel.encoding.loss import poisson_loss
from neuroreel.encoding.predict import predict
from neuroreel.encoding.training.clips import Batch
from neuroreel.encoding.training.recipe import Recipe
from neuroreel.errors import InputError
from neuroreel.recordings.trial import Trial


class EncoderTraining(lightning.LightningModule):
    """Minimises the Poisson loss of windows; reports the mean response correlation on the validation trials."""

    def __init__(self, model: EncodingModel, recipe: Recipe, *, seed: int) -> None:
        super().__init__()
        self.model = model
        self.recipe = recipe
        self.seed = seed
        self._validated: list[tuple[NDArray[np.float32], NDArray[np.float32]]] = []

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Seed dropout and jitter by the step, so that a resumed run goes on as the undisturbed one would have.

        Seeding by epoch would not do: how many random numbers Lightning draws before the first batch of an epoch
        depends on whether the run was resumed there.
        """
        torch.manual_seed(self.seed * 1_000_003 + self.global_step)

    def training_step(self, batch: Batch, _index: int) -> Tensor:
        """Mean over neurons and counted frames of the Poisson loss."""
        inputs = self.model.assemble(self.model.canvas.place(batch.video), batch.covariates)
        counted = slice(self.model.warmup_frames, None)
        prediction = self.model.window_responses(inputs)[..., counted]
        loss = poisson_loss(prediction.float(), batch.responses[..., counted]).mean()
        self._check_finite(loss)
        self.log("train_loss", loss, on_step=False, on_epoch=True, prog_bar=True, batch_size=len(batch.video))
        return loss

    def _check_finite(self, loss: Tensor) -> None:
        """Stop where the descent diverges: then all is nan, and sampling at a position that is nan ends the process."""
        if not bool(loss.isfinite()):
            raise InputError(
                f"the training loss is {loss.item()} at step {self.global_step}: the training has diverged; look for "
                f"extreme responses, or lower the learning rate from {self.recipe.learning_rate:g} with "
                "recipe={'learning_rate': …}"
            )

    def transfer_batch_to_device(
        self, batch: Batch | Trial, device: torch.device, dataloader_idx: int
    ) -> Batch | Trial:
        """Training batches go to the device; validation trials stay arrays, ``predict`` moves them."""
        return batch if isinstance(batch, Trial) else Batch(*(tensor.to(device) for tensor in batch))

    def validation_step(self, trial: Trial, _index: int) -> None:
        """Predict one whole trial."""
        self._validated.append((trial.needs_responses(), predict(self.model, trial)))

    def on_validation_epoch_end(self) -> None:
        """Log the mean over neurons of the correlation over all validation frames."""
        recorded, predicted = (np.concatenate(arrays, axis=1) for arrays in zip(*self._validated, strict=True))
        self._validated.clear()
        correlation = float(neuron_correlations(recorded, predicted).mean())
        self.log("validation_correlation", correlation, prog_bar=True, batch_size=1)

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """AdamW with a linear warm-up and a cosine to 1 %."""
        recipe = self.recipe
        optimizer = torch.optim.AdamW(self.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay)
        warmup = max(1, recipe.warmup_epochs * recipe.batches_per_epoch)
        total = recipe.epochs * recipe.batches_per_epoch

        def factor(step: int) -> float:
            if step < warmup:
                return step / warmup
            done = min(1.0, (step - warmup) / max(1, total - warmup))
            return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * done))

        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

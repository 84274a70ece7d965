"""The Lightning modules: one training step, one validation step, the optimiser."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import lightning
import torch
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor

from neuroreel.encoding.correlation import RunningCorrelation
from neuroreel.encoding.dwiseneuro.network import DwiseNeuro
from neuroreel.encoding.interface import EncodingModel
from neuroreel.encoding.loss import poisson_loss
from neuroreel.encoding.predict import predict
from neuroreel.encoding.training.clips import ClipBatch
from neuroreel.encoding.training.objective import Teachers, distilled_loss, labelled_loss
from neuroreel.encoding.training.quiet import silence_lightning
from neuroreel.encoding.training.recipe import WATCHED, Recipe
from neuroreel.encoding.training.share import rank_and_processes
from neuroreel.encoding.training.windows import WindowBatch
from neuroreel.errors import InputError
from neuroreel.recordings.trial import Trial


class EncoderTraining(lightning.LightningModule):
    """Minimises a loss of batches; reports the mean response correlation on the validation trials.

    ``readouts`` are the model as each recording sees it.
    """

    def __init__(self, model: EncodingModel, recipe: Recipe, *, seed: int, readouts: Sequence[EncodingModel]) -> None:
        super().__init__()
        self.model = model
        self.recipe = recipe
        self.seed = seed
        self._readouts = tuple(readouts)  # a tuple hides them from PyTorch: they are views of the model
        self._validated: list[RunningCorrelation] = []
        self._finite = torch.tensor(True)

    def setup(self, stage: str) -> None:
        """Each of several processes begins here."""
        if self._shared():
            silence_lightning()

    @abstractmethod
    def loss_of(self, batch: Any) -> Tensor:
        """The loss that is minimised; a batch that is shared has the mean of its shares' losses."""

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """Seed dropout and jitter by the pass, so that a resumed run goes on as the undisturbed one would have.

        Seeding by epoch would not do: how many random numbers Lightning draws before the first batch of an epoch
        depends on whether the run was resumed there.
        """
        rank, processes = rank_and_processes()
        turn = self.global_step * self.recipe.accumulate + batch_idx % self.recipe.accumulate
        seed = self.seed * 1_000_003 + turn * processes + rank
        torch.default_generator.manual_seed(seed)
        if self.device.type != "cpu":  # this one alone: torch.manual_seed would seed the caller's other GPUs too
            getattr(torch, self.device.type).manual_seed(seed)

    def training_step(self, batch: Any, _index: int) -> Tensor:
        """The loss of a batch, or of this pass's share of it."""
        loss = self.loss_of(batch)
        self._finite = self._finite & loss.detach().isfinite()
        if self.device.type == "cpu":
            self._stop_if_diverged()
        size = len(batch.video)
        self.log("train_loss", loss, on_step=False, on_epoch=True, batch_size=size, sync_dist=self._shared())
        return loss

    def on_train_epoch_end(self) -> None:
        """Before the checkpoint is written: nobody can resume from weights that are NaN."""
        self._stop_if_diverged()

    def _stop_if_diverged(self) -> None:
        """InputError once a loss was not finite.

        On a CPU this is asked at every step, for sampling at a position that is NaN ends the process there. A GPU would
        have to wait for it each time: it is asked once an epoch.
        """
        if not self._finite:
            raise InputError(
                f"the training loss became NaN or infinite by step {self.global_step}: the training has diverged; look "
                f"for extreme responses, or lower the learning rate from {self.recipe.learning_rate:g} with "
                "recipe={'learning_rate': …}"
            )

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        """Training batches go to the device; validation trials stay arrays, ``predict`` moves them."""
        if not isinstance(batch, WindowBatch | ClipBatch):
            return batch
        return super().transfer_batch_to_device(batch, device, dataloader_idx)

    def on_validation_epoch_start(self) -> None:
        """Start counting anew."""
        self._stop_if_diverged()
        self._validated = [RunningCorrelation.of_nothing(readout.neurons) for readout in self._readouts]

    def validation_step(self, place: tuple[int, Trial] | None, _index: int) -> None:
        """Predict one whole trial."""
        if place is not None:
            recording, trial = place
            self._validated[recording].add(trial.needs_responses(), predict(self._readouts[recording], trial))

    def on_validation_epoch_end(self) -> None:
        """Log the mean over recordings of the mean over neurons of the correlation over all validation frames."""
        means = [self._gathered(running).rows(constant=0.0).mean() for running in self._validated]
        self.log(WATCHED, float(torch.stack(means).mean()), batch_size=1, sync_dist=self._shared())

    def _gathered(self, running: RunningCorrelation) -> RunningCorrelation:
        """What all processes have seen."""
        if not self._shared():
            return running
        assert running.sums is not None  # it began with those of nothing
        everyone = RunningCorrelation()
        for sums in self.all_gather(running.sums):
            everyone.merge(sums.cpu())
        return everyone

    def _shared(self) -> bool:
        return rank_and_processes()[1] > 1

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """AdamW with a linear warm-up and a cosine to 1 %."""
        recipe = self.recipe
        optimizer = torch.optim.AdamW(self.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, recipe.rate_factor)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


class WindowTraining(EncoderTraining):
    """Trains a model of one recording on windows."""

    def loss_of(self, batch: WindowBatch) -> Tensor:
        """Mean over neurons and counted frames of the Poisson loss."""
        inputs = self.model.assemble(self.model.canvas.place(batch.video), batch.covariates)
        counted = slice(self.model.warmup_frames, None)
        prediction = self.model.window_responses(inputs)[..., counted]
        return poisson_loss(prediction.float(), batch.responses[..., counted]).mean()


class ClipTraining(EncoderTraining):
    """Trains a DwiseNeuro of one or more recordings on clips, from recorded responses and perhaps from teachers."""

    def __init__(self, model: DwiseNeuro, recipe: Recipe, *, seed: int, teachers: Sequence[DwiseNeuro] = ()) -> None:
        readouts = [model.of_readout(number) for number in range(model.readout_count)]
        super().__init__(model, recipe, seed=seed, readouts=readouts)
        self._teachers = Teachers([teacher.network for teacher in teachers])

    def on_fit_start(self) -> None:
        """The teachers go where the model is."""
        self._teachers.to(self.device)

    def loss_of(self, batch: ClipBatch) -> Tensor:
        """The weighted Poisson loss, summed over neurons and frames."""
        assert isinstance(self.model, DwiseNeuro)
        inputs, network = batch.inputs(self.model), self.model.network
        if not self._teachers:
            return labelled_loss(network, inputs, batch.rows, batch.responses)
        share = self.recipe.distillation
        return distilled_loss(network, inputs, batch.rows, batch.responses, teachers=self._teachers, share=share)

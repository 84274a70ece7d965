"""The training itself: Lightning's trainer with what it needs here."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import lightning
from lightning.pytorch.callbacks import Callback, EarlyStopping, ModelCheckpoint
from torch.multiprocessing.spawn import ProcessRaisedException
from torch.utils.data import DataLoader, Dataset

from neuroreel.encoding.dwiseneuro.network import DwiseNeuro
from neuroreel.encoding.training.average import MovingAverage
from neuroreel.encoding.training.bar import TrainingBar
from neuroreel.encoding.training.checkpoint import WholeCheckpoints
from neuroreel.encoding.training.clips import RandomClips
from neuroreel.encoding.training.devices import Devices
from neuroreel.encoding.training.folder import TrainingFolder
from neuroreel.encoding.training.interrupt import keyboard_interrupt_of
from neuroreel.encoding.training.log import TrainingLog, read_log
from neuroreel.encoding.training.module import ClipTraining, EncoderTraining, WindowTraining
from neuroreel.encoding.training.plan import Training
from neuroreel.encoding.training.quiet import quiet_lightning
from neuroreel.encoding.training.recipe import WATCHED
from neuroreel.encoding.training.share import EpochSampler
from neuroreel.encoding.training.validation import ValidationTrials
from neuroreel.encoding.training.windows import RandomWindows
from neuroreel.errors import InputError, ResourceError

MOST_WORKERS = 4  # of a GPU; each reads thousands of clips a second (benchmarks/clips.py)


def train(training: Training) -> None:
    """Train the model in place, from the folder's last checkpoint if there is one.

    It ends with the averaged weights of the epoch with the best validation correlation, of the last one without
    validation trials.
    """
    folder = training.folder
    module = _module(training)
    resumed = folder.to_resume()
    with quiet_lightning(), _explained(folder):
        trainer = _trainer(training)
        with keyboard_interrupt_of(trainer):
            trainer.fit(
                module,
                _training_loader(training),
                _validation_loader(training) if training.validated else None,
                ckpt_path=resumed,
                weights_only=True,
            )
    module.load_state_dict(folder.weights(folder.best if folder.best.exists() else folder.last))
    training.model.training_log = read_log(folder.log)


def _module(training: Training) -> EncoderTraining:
    """The loss and the optimiser."""
    model, recipe, seed = training.model, training.recipe, training.seed
    if isinstance(model, DwiseNeuro):
        return ClipTraining(model, recipe, seed=seed, teachers=training.teachers)
    return WindowTraining(model, recipe, seed=seed, readouts=[model])


def _batches(training: Training) -> Dataset[Any]:
    """All batches of the training, by number."""
    model, recipe, seed = training.model, training.recipe, training.seed
    if isinstance(model, DwiseNeuro):
        return RandomClips(training.stores, model=model, recipe=recipe, seed=seed)
    (store,) = training.stores
    return RandomWindows(store, window_frames=recipe.window_frames, batch_size=recipe.batch_size, seed=seed)


def _training_loader(training: Training) -> DataLoader[Any]:
    workers = _workers(training.devices)
    sampler: Any = EpochSampler(training.recipe.batches_per_epoch, accumulate=training.recipe.accumulate)
    return DataLoader(
        _batches(training),
        sampler=sampler,
        batch_size=None,
        num_workers=workers,
        persistent_workers=workers > 0,
        pin_memory=training.devices.device.type == "cuda",
    )


def _workers(devices: Devices) -> int:
    """Processes that read ahead of a GPU; beside a CPU they would only take its cores."""
    if devices.device.type != "cuda":
        return 0
    return max(0, min(MOST_WORKERS, (os.cpu_count() or 1) // devices.count - 1))


def _validation_loader(training: Training) -> DataLoader[Any]:
    return DataLoader(ValidationTrials(training.material.validation), batch_size=None, collate_fn=_as_is)


def _trainer(training: Training) -> lightning.Trainer:
    recipe, folder = training.recipe, training.folder
    return lightning.Trainer(
        **training.devices.of_trainer(),
        max_epochs=recipe.epochs,
        accumulate_grad_batches=recipe.accumulate,
        gradient_clip_val=recipe.gradient_clip or None,
        check_val_every_n_epoch=recipe.validate_every,
        callbacks=_callbacks(training),
        plugins=[WholeCheckpoints()],
        logger=False,
        default_root_dir=folder.path,
        use_distributed_sampler=False,  # the batches are shared by EpochSampler
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
    )


def _callbacks(training: Training) -> list[Callback]:
    """Averaging; with validation trials the early stop and the best epoch; last, the checkpoint to resume from."""
    recipe, folder = training.recipe, training.folder
    where = folder.last.parent
    resume = ModelCheckpoint(
        where, filename=folder.last.stem, save_on_train_epoch_end=True, enable_version_counter=False
    )
    shown = [TrainingLog(folder.log), *([TrainingBar()] if training.show_bar else [])]
    if not training.validated:
        return [MovingAverage(recipe.ema_decay), resume, *shown]
    best = ModelCheckpoint(
        where,
        filename=folder.best.stem,
        monitor=WATCHED,
        mode="max",
        save_on_train_epoch_end=False,
        enable_version_counter=False,
    )
    # less than this is rounding
    stop = StopEarly(WATCHED, mode="max", min_delta=1e-5, patience=recipe.patience, check_on_train_epoch_end=False)
    return [MovingAverage(recipe.ema_decay), stop, best, resume, *shown]


class StopEarly(EarlyStopping):
    """Stops when the correlation no longer rises; also a training that was killed after that had been decided."""

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Look at the count that the checkpoint brought back."""
        if self.wait_count >= self.patience:
            trainer.should_stop = True


@contextmanager
def _explained(folder: TrainingFolder) -> Iterator[None]:
    """A full disk, and what goes wrong in one of several processes, as errors of ours."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise ResourceError(f"no space left on the disk for checkpoints in {folder.path}; free some") from error
        raise
    except ProcessRaisedException as error:
        kind, _, message = str(error).strip().rpartition("\n")[2].partition(": ")
        if kind.endswith("InputError"):
            raise InputError(message) from error
        raise


def _as_is(place: Any) -> Any:
    return place

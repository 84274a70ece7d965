"""The training itself: Lightning's trainer with what it needs here."""

from __future__ import annotations

import errno
from collections.abc import Sequence

import lightning
import torch
from lightning.pytorch.callbacks import Callback, EarlyStopping, EMAWeightAveraging, ModelCheckpoint
from torch.utils.data import DataLoader

from neuroreel.encoding.interface import EncodingModel
from neuroreel.encoding.training.bar import TrainingBar
from neuroreel.encoding.training.clips import EpochSampler, RandomWindows, TrialStore
from neuroreel.encoding.training.folder import TrainingFolder
from neuroreel.encoding.training.interrupt import keyboard_interrupt_of
from neuroreel.encoding.training.log import TrainingLog
from neuroreel.encoding.training.module import EncoderTraining
from neuroreel.encoding.training.quiet import quiet_lightning
from neuroreel.encoding.training.recipe import Recipe
from neuroreel.errors import ResourceError
from neuroreel.recordings.trial import Trial

WATCHED = "validation_correlation"


def train(
    model: EncodingModel,
    store: TrialStore,
    *,
    recipe: Recipe,
    validation: Sequence[Trial],
    folder: TrainingFolder,
    device: torch.device,
    seed: int,
    show_bar: bool,
) -> None:
    """Train the model in place, from the folder's last checkpoint if there is one.

    It ends with the averaged weights of the epoch with the best validation correlation, of the last one without
    validation trials.
    """
    module = EncoderTraining(model, recipe, seed=seed)
    windows = RandomWindows(store, window_frames=recipe.window_frames, batch_size=recipe.batch_size, seed=seed)
    log = TrainingLog(folder.log)
    resumed = folder.to_resume()
    callbacks = [*_callbacks(recipe, folder, validated=bool(validation)), log, *([TrainingBar()] if show_bar else [])]
    with quiet_lightning():
        trainer = _trainer(recipe, callbacks, folder=folder, device=device)
        try:
            with keyboard_interrupt_of(trainer):
                trainer.fit(
                    module,
                    DataLoader(windows, sampler=EpochSampler(recipe.batches_per_epoch), batch_size=None),
                    DataLoader(list(validation), batch_size=None, collate_fn=_as_is) if validation else None,  # type: ignore[arg-type]
                    ckpt_path=resumed,
                    weights_only=True,
                )
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise ResourceError(f"no space left on the disk for checkpoints in {folder.path}; free some") from error
            raise
    module.load_state_dict(folder.weights(folder.best if folder.best.exists() else folder.last))
    model.training_log = log.rows


def _trainer(
    recipe: Recipe, callbacks: list[Callback], *, folder: TrainingFolder, device: torch.device
) -> lightning.Trainer:
    half = device.type == "cuda" and torch.cuda.is_bf16_supported()
    return lightning.Trainer(
        accelerator={"cuda": "gpu"}.get(device.type, device.type),
        devices=[device.index or 0] if device.type == "cuda" else 1,
        precision="bf16-mixed" if half else "32-true",
        max_epochs=recipe.epochs,
        gradient_clip_val=recipe.gradient_clip,
        check_val_every_n_epoch=recipe.validate_every,
        callbacks=callbacks,
        logger=False,
        default_root_dir=folder.path,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
    )


def _callbacks(recipe: Recipe, folder: TrainingFolder, *, validated: bool) -> list[Callback]:
    """Averaging; with validation trials the early stop and the best epoch; last, the checkpoint to resume from."""
    where = folder.last.parent
    resume = ModelCheckpoint(
        where, filename=folder.last.stem, save_on_train_epoch_end=True, enable_version_counter=False
    )
    average = EMAWeightAveraging(decay=recipe.ema_decay)
    if not validated:
        return [average, resume]
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
    return [average, stop, best, resume]


class StopEarly(EarlyStopping):
    """Stops when the correlation no longer rises; also a training that was killed after that had been decided."""

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Look at the count that the checkpoint brought back."""
        if self.wait_count >= self.patience:
            trainer.should_stop = True


def _as_is(trial: Trial) -> Trial:
    return trial

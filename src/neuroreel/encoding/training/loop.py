"""The training loop, on one device or on several that share each batch (Lightning Fabric)."""

from __future__ import annotations

import copy
import logging
import math
import os
import time
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import torch
from lightning.fabric import Fabric
from lightning.fabric.plugins import MixedPrecision
from lightning.fabric.strategies.ddp import DDPStrategy
from torch.multiprocessing.spawn import ProcessRaisedException
from torch.optim.swa_utils import AveragedModel, get_ema_avg_fn
from torch.utils.data import DataLoader

from neuroreel.encoding.correlation import RunningCorrelation
from neuroreel.encoding.dwiseneuro.network import DwiseNeuro
from neuroreel.encoding.interface import EncodingModel
from neuroreel.encoding.predict import predict
from neuroreel.encoding.training.batches import RandomClips, RandomWindows, shares_of
from neuroreel.encoding.training.folder import TrainingFolder
from neuroreel.encoding.training.losses import ClipLoss, WindowLoss
from neuroreel.encoding.training.recipe import WATCHED, Devices, Recipe, stalled
from neuroreel.encoding.training.store import TrialStore
from neuroreel.errors import InputError
from neuroreel.progress import bar_class
from neuroreel.recordings.trial import Trial

LEAST_RISE = 1e-5  # of the validation correlation; less is rounding
SHOWN = {"train_loss": "loss", WATCHED: "correlation"}  # shown next to the bar
MOST_WORKERS = 4  # per GPU; each reads thousands of clips per second (benchmarks/clips.py)


@dataclass(frozen=True, kw_only=True)
class TrainingRun:
    """Model, data, recipe, devices and folder of a training run; trials in the order of the model's readouts."""

    model: EncodingModel
    stores: Sequence[TrialStore]
    validation: Sequence[Sequence[Trial]]
    teachers: Sequence[EncodingModel]
    recipe: Recipe
    seed: int
    devices: Devices
    folder: TrainingFolder
    show_bar: bool


def train(run: TrainingRun) -> None:
    """Train the model in place, from the folder's last checkpoint if there is one.

    It ends with the averaged weights of the epoch with the best validation correlation, or of the last epoch without
    validation trials.
    """
    try:
        with _quiet():
            fabric_of(run.devices).launch(partial(_loop, run=run))
    except ProcessRaisedException as error:
        if (ours := _our_error(error)) is not None:
            raise ours from error
        raise
    last, best = (kept.load(device=torch.device("cpu")) for kept in (run.folder.last, run.folder.best))
    assert last is not None  # there is at least one epoch
    run.model.load_state_dict((best or last)["averaged"])
    run.model.training_log = last["rows"]


def _loop(fabric: Fabric, *, run: TrainingRun) -> None:
    """Run the remaining epochs. With several devices, each process runs this."""
    warnings.filterwarnings("ignore", module="lightning")  # the caller's filters are back after ``train``
    recipe, folder = run.recipe, run.folder
    loss_of = _loss(run)
    fabric.to_device(loss_of)
    model = loss_of.model
    optimizer = torch.optim.AdamW(model.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay)
    average = AveragedModel(model, avg_fn=get_ema_avg_fn(recipe.ema_decay), use_buffers=True)
    averaged = cast(EncodingModel, average.module)
    parts: dict[str, Any] = {"model": model, "averaged": averaged, "optimizer": optimizer}
    parts["scaler"] = fabric.strategy.precision  # gradient scaler, if the precision needs it
    rows = _resumed(folder, parts)
    average.n_averaged.fill_(len(rows) * recipe.batches_per_epoch)
    shared_loss, shared_optimizer = fabric.setup(loss_of, optimizer)
    batches = iter(_loader(fabric, run, epochs=range(len(rows), recipe.epochs)))

    with _bar(fabric, run, epochs_done=len(rows)) as bar:
        for epoch in range(len(rows), recipe.epochs):
            if stalled(_scores(rows), patience=recipe.patience, least=LEAST_RISE):
                break
            began, total = time.perf_counter(), torch.zeros((), device=fabric.device)
            model.train()
            for step in range(epoch * recipe.batches_per_epoch, (epoch + 1) * recipe.batches_per_epoch):
                for group in optimizer.param_groups:
                    group["lr"] = recipe.learning_rate * recipe.rate_factor(step)
                for turn in range(recipe.accumulate):
                    batch = fabric.to_device(next(batches))
                    _seed(fabric, run, turn=step * recipe.accumulate + turn)
                    with fabric.no_backward_sync(shared_loss, enabled=turn + 1 < recipe.accumulate):
                        loss = shared_loss(batch)
                        if fabric.device.type == "cpu":  # where sampling at a NaN position crashes the process
                            _check_finite(loss, recipe, step=step)
                        fabric.backward(loss / recipe.accumulate)
                    total += loss.detach() * len(batch.video)
                    bar.update()
                if recipe.gradient_clip:
                    fabric.clip_gradients(
                        shared_loss, optimizer, max_norm=recipe.gradient_clip, error_if_nonfinite=False
                    )
                shared_optimizer.step()
                shared_optimizer.zero_grad()
                average.update_parameters(model)

            fabric.all_reduce(total, reduce_op="sum")  # in place
            mean_loss = total / (recipe.batches_per_epoch * recipe.batch_size)
            _check_finite(mean_loss, recipe, step=step + 1)  # a run cannot resume from NaN weights
            row = {"epoch": float(epoch), "seconds": 0.0, "train_loss": float(mean_loss)}
            if any(map(len, run.validation)) and (epoch + 1) % recipe.validate_every == 0:
                row[WATCHED] = _validate(fabric, averaged, run.validation)
                if fabric.is_global_zero and row[WATCHED] > max(_scores(rows), default=-math.inf):
                    folder.best.save({"averaged": averaged.state_dict()})
            rows.append(row | {"seconds": time.perf_counter() - began})
            if fabric.is_global_zero:
                folder.last.save({name: part.state_dict() for name, part in parts.items()} | {"rows": rows})
                folder.write_log(rows)
            bar.set_postfix({short: f"{row[name]:.3f}" for name, short in SHOWN.items() if name in row})
    fabric.barrier()  # the first process has finished writing


def _resumed(folder: TrainingFolder, parts: dict[str, Any]) -> list[dict[str, float]]:
    """Restore the parts from the last checkpoint, if there is one; returns the log, one row per epoch."""
    kept = folder.last.load(device=torch.device("cpu"))
    if kept is None:
        return []
    for name, part in parts.items():
        part.load_state_dict(kept[name])
    return list(kept["rows"])


def _loss(run: TrainingRun) -> WindowLoss | ClipLoss:
    model = run.model
    if run.devices.count > 1:
        model = copy.deepcopy(model)  # otherwise processes on a CPU would share the weights' memory
        if run.devices.device.type == "cuda":
            # batch norms see the whole batch, as on one device; PyTorch supports this only on GPUs
            model = torch.nn.SyncBatchNorm.convert_sync_batchnorm(model)
    share = run.recipe.distillation
    if isinstance(model, DwiseNeuro):
        networks = [each.network for each in run.teachers if isinstance(each, DwiseNeuro)]
        return ClipLoss(model, teachers=networks, share=share)
    return WindowLoss(model, teachers=run.teachers, share=share)


def _loader(fabric: Fabric, run: TrainingRun, *, epochs: range) -> DataLoader[Any]:
    """The process's share of all batches of these epochs; with a GPU, worker processes read ahead."""
    model, recipe = run.model, run.recipe
    batches: RandomClips | RandomWindows
    if isinstance(model, DwiseNeuro):
        batches = RandomClips(run.stores, model=model, recipe=recipe, seed=run.seed)
    else:
        batches = RandomWindows(
            run.stores[0], window_frames=recipe.window_frames, batch_size=recipe.batch_size, seed=run.seed
        )
    numbers = range(epochs.start * recipe.batches_per_epoch, epochs.stop * recipe.batches_per_epoch)
    return DataLoader(
        batches,
        sampler=shares_of(numbers, accumulate=recipe.accumulate, rank=fabric.global_rank, processes=fabric.world_size),
        batch_size=None,
        num_workers=workers_beside(run.devices),
        pin_memory=fabric.device.type == "cuda",
    )


def workers_beside(devices: Devices) -> int:
    """Number of processes that read ahead for a GPU; on a CPU they would only take cores."""
    if devices.device.type != "cuda":
        return 0
    return max(0, min(MOST_WORKERS, (os.cpu_count() or 1) // devices.count - 1))


def _bar(fabric: Fabric, run: TrainingRun, *, epochs_done: int) -> Any:
    """One bar for all epochs, to estimate the time of the whole run; only in the first process."""
    an_epoch = run.recipe.batches_per_epoch * run.recipe.accumulate
    return bar_class()(
        total=run.recipe.epochs * an_epoch,
        initial=epochs_done * an_epoch,
        desc="Training",
        dynamic_ncols=True,
        disable=not (run.show_bar and fabric.is_global_zero),
    )


def _seed(fabric: Fabric, run: TrainingRun, *, turn: int) -> None:
    """Reseed dropout and jitter for each pass, so that a resumed run draws the same numbers."""
    seed = run.seed * 1_000_003 + turn * fabric.world_size + fabric.global_rank
    torch.default_generator.manual_seed(seed)
    if fabric.device.type != "cpu":  # only this GPU: torch.manual_seed would also seed the caller's other GPUs
        getattr(torch, fabric.device.type).manual_seed(seed)


def _check_finite(loss: torch.Tensor, recipe: Recipe, *, step: int) -> None:
    if not loss.isfinite():
        raise InputError(
            f"the training loss became NaN or infinite by step {step}: the training has diverged; look for extreme "
            f"responses, or lower the learning rate from {recipe.learning_rate:g} with recipe={{'learning_rate': …}}"
        )


def _validate(fabric: Fabric, model: EncodingModel, validation: Sequence[Sequence[Trial]]) -> float:
    """Mean over recordings of the mean over neurons of the correlation over all validation frames."""
    readouts = [model.of_readout(k) if isinstance(model, DwiseNeuro) else model for k in range(len(validation))]
    seen = [RunningCorrelation.of_nothing(readout.neurons) for readout in readouts]
    places = [(k, index) for k, trials in enumerate(validation) for index in range(len(trials))]
    if fabric.world_size > 1:  # the batch norm statistics of the first process are kept
        for buffer in model.buffers():
            torch.distributed.broadcast(buffer, src=0)
    with fabric.autocast():
        for k, index in places[fabric.global_rank :: fabric.world_size]:
            trial = validation[k][index]
            seen[k].add(trial.needs_responses(), predict(readouts[k], trial))
    if fabric.world_size > 1:
        seen = [_merged(fabric, each) for each in seen]
    return float(torch.stack([each.rows(constant=0.0).mean() for each in seen]).mean())


def _merged(fabric: Fabric, running: RunningCorrelation) -> RunningCorrelation:
    """The merged statistics of all processes."""
    assert running.sums is not None  # of_nothing set them
    sums: Any = fabric.all_gather(running.sums)  # (processes, 6, neurons)
    everyone = RunningCorrelation()
    for each in sums.cpu():
        everyone.merge(each)
    return everyone


def _scores(rows: Iterable[dict[str, float]]) -> list[float]:
    return [row[WATCHED] for row in rows if WATCHED in row]


class SinglePrecisionBatches(MixedPrecision):
    """Mixed precision only inside the model: Fabric's own would also round responses and gray levels."""

    def convert_input(self, data: Any) -> Any:
        """Unchanged."""
        return data


def fabric_of(devices: Devices) -> Fabric:
    """Lightning's Fabric on these devices."""
    gpu, count = devices.device.type == "cuda", devices.count
    precision = devices.precision
    return Fabric(
        accelerator="gpu" if gpu else devices.device.type,
        devices=[devices.device.index or 0] if gpu and count == 1 else count,
        # a share of a batch may lack a recording, whose readout then has no gradient on that device
        strategy="auto" if count == 1 else DDPStrategy(start_method=devices.start_method, find_unused_parameters=True),
        plugins=None if precision == "32-true" else SinglePrecisionBatches(precision, devices.device.type),
    )


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence Lightning's messages, most of which are about settings chosen on purpose."""
    loggers = [logging.getLogger(f"lightning.{part}") for part in ("fabric", "pytorch")]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="lightning")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _our_error(error: ProcessRaisedException) -> InputError | None:
    """The error of one of several processes, if it is an InputError."""
    kind, _, message = str(error).strip().rpartition("\n")[2].partition(": ")
    return InputError(message) if kind.endswith("InputError") else None

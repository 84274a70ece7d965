"""Training one encoding model on the trials of one recording."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from neuroreel.allocator import keep_freed_memory
from neuroreel.devices import choose_device
from neuroreel.encoding.dwiseneuro import DwiseNeuro, DwiseNeuroConfig, DwiseNeuroNetwork
from neuroreel.encoding.interface import EncodingModel
from neuroreel.encoding.readout import ReadoutConfig, ReadoutModel
from neuroreel.encoding.training.clips import EpochSampler, RandomWindows, TrialStore
from neuroreel.encoding.training.start import start_readout
from neuroreel.encoding.training.recipe import RECIPES, Recipe
from neuroreel.errors import InputError
from neuroreel.progress import somebody_looks
from neuroreel.recordings.checks import TrialSpec, check_trials
from neuroreel.recordings.trial import Trial

if TYPE_CHECKING:
    from lightning.pytorch.callbacks import Callback


def fit_encoder(
    trials: Sequence[Trial],
    *,
    kind: str = "readout",
    seed: int = 0,
    validation: Sequence[Trial] | None = None,
    folder: str | Path | None = None,
    device: str = "auto",
    progress: bool = True,
    recipe: dict[str, Any] | None = None,
    architecture: dict[str, Any] | None = None,
) -> EncodingModel:
    """Train an encoding model; call it with several seeds for an ensemble.

    Minimises the Poisson loss on random windows with AdamW, warm-up and cosine; keeps the exponential moving average of
    the weights; stops early when the validation correlation no longer rises.

    Parameters
    ----------
    trials
        Trials of one recording, with video and responses.
    kind
        "readout" (small convolutional core, trains in a minute) or "dwiseneuro" (Baikulov 2023).
    seed
        Of the weights, the windows drawn and the dropout.
    validation
        Other trials, of movies that no training trial shows. Without them nothing stops the training early.
    folder
        Keeps checkpoints and the log (``log/metrics.csv``); a call with the same folder goes on after a kill.
    device
        "auto", "cpu", "cuda", "cuda:1", "mps".
    progress
        Show progress bars.
    recipe, architecture
        Settings of :class:`Recipe`, and of the model's configuration, that differ from the kind's own.

    Returns
    -------
    EncodingModel
        On the CPU, in evaluation mode; ``model.training_log`` holds one row an epoch.

    Raises
    ------
    InputError
        Unknown kind or setting; trials that differ in neurons, pixels, frame rate; trials shorter than a window.
    ResourceError
        The device is not there.
    """
    settings = _resolve_recipe(kind, recipe)
    spec = check_trials(trials, what="training trials")
    if validation:
        _check_same(spec, check_trials(validation, what="validation trials"))
    where = choose_device(device)
    keep_freed_memory()
    torch.manual_seed(seed)
    model = _build(kind, spec, architecture or {})
    _check_lengths(trials, settings.window_frames, model)
    store = TrialStore(trials, show_progress=progress)
    if isinstance(model, ReadoutModel):
        model.standardize(store.mean(store.responses), store.mean(store.covariates), store.deviation(store.covariates))
        start_readout(model, store)
    if folder is not None:
        return _train(model, settings, store, validation, Path(folder), where, seed, progress)
    with tempfile.TemporaryDirectory(prefix="neuroreel-training-") as temporary:
        return _train(model, settings, store, validation, Path(temporary), where, seed, progress)


def _train(
    model: EncodingModel,
    recipe: Recipe,
    store: TrialStore,
    validation: Sequence[Trial] | None,
    folder: Path,
    device: torch.device,
    seed: int,
    show_progress: bool,
) -> EncodingModel:
    import lightning
    from lightning.pytorch.loggers import CSVLogger
    from torch.utils.data import DataLoader

    from neuroreel.encoding.training.log import TrainingLog
    from neuroreel.encoding.training.module import EncoderTraining
    from neuroreel.encoding.training.quiet import quiet_lightning

    windows = RandomWindows(store, window_frames=recipe.window_frames, batch_size=recipe.batch_size, seed=seed)
    log = TrainingLog()
    last = folder / "checkpoints" / "last.ckpt"
    with quiet_lightning():
        trainer = lightning.Trainer(
            accelerator={"cuda": "gpu"}.get(device.type, device.type),
            devices=[device.index or 0] if device.type == "cuda" else 1,
            precision="bf16-mixed" if device.type == "cuda" and torch.cuda.is_bf16_supported() else "32-true",
            max_epochs=recipe.epochs,
            gradient_clip_val=recipe.gradient_clip,
            check_val_every_n_epoch=recipe.validate_every,
            callbacks=[*_callbacks(recipe, last.parent, validated=bool(validation)), log],
            logger=CSVLogger(folder, name=None, version="log"),
            default_root_dir=folder,
            enable_progress_bar=show_progress and somebody_looks(),
            enable_model_summary=False,
            num_sanity_val_steps=0,
            log_every_n_steps=1,
        )
        trainer.fit(
            EncoderTraining(model, recipe, seed=seed),
            DataLoader(windows, sampler=EpochSampler(recipe.batches_per_epoch), batch_size=None),
            DataLoader(list(validation), batch_size=None, collate_fn=_as_is) if validation else None,
            ckpt_path=last if last.exists() else None,
        )
    if trainer.interrupted:
        raise KeyboardInterrupt
    model.training_log = log.rows
    return model.cpu().eval()


def _callbacks(recipe: Recipe, folder: Path, *, validated: bool) -> list[Callback]:
    from lightning.pytorch.callbacks import EarlyStopping, EMAWeightAveraging, ModelCheckpoint

    callbacks: list[Callback] = [EMAWeightAveraging(decay=recipe.ema_decay)]
    if not validated:
        return [*callbacks, ModelCheckpoint(folder, save_last=True, save_top_k=0)]
    watched = "validation_correlation"
    best = ModelCheckpoint(folder, filename="best", monitor=watched, mode="max", save_last=True, enable_version_counter=False)
    return [*callbacks, EarlyStopping(watched, mode="max", patience=recipe.patience), best]


def _as_is(trial: Trial) -> Trial:
    return trial


def _resolve_recipe(kind: str, changes: dict[str, Any] | None) -> Recipe:
    if kind not in RECIPES:
        raise InputError(f"kind is {kind!r}; the encoding models that can be trained are {', '.join(RECIPES)}")
    unknown = set(changes or {}) - set(Recipe.__dataclass_fields__)
    if unknown:
        raise InputError(f"the recipe has no setting {sorted(unknown)}; it has {', '.join(Recipe.__dataclass_fields__)}")
    return replace(RECIPES[kind], **(changes or {}))


def _build(kind: str, spec: TrialSpec, architecture: dict[str, Any]) -> EncodingModel:
    if kind == "readout":
        config = ReadoutConfig(
            neurons=spec.neurons,
            video_height=spec.video_height,
            video_width=spec.video_width,
            frame_rate_hz=spec.frame_rate_hz,
            covariates=spec.covariates,
        )
        return ReadoutModel(_changed(config, architecture))
    network = DwiseNeuroNetwork(
        _changed(DwiseNeuroConfig(readout_neurons=(spec.neurons,), in_channels=1 + spec.covariates), architecture)
    )
    size = (spec.video_height, spec.video_width)
    return DwiseNeuro(network, readout=0, video_size=size, frame_rate_hz=spec.frame_rate_hz)


def _changed(config: Any, changes: dict[str, Any]) -> Any:
    unknown = set(changes) - set(config.__dataclass_fields__)
    if unknown:
        known = ", ".join(config.__dataclass_fields__)
        raise InputError(f"the architecture has no setting {sorted(unknown)}; it has {known}")
    return replace(config, **changes)


def _check_same(training: TrialSpec, validation: TrialSpec) -> None:
    for field in ("neurons", "video_height", "video_width", "frame_rate_hz", "covariates"):
        got, wanted = getattr(validation, field), getattr(training, field)
        if got != wanted:
            raise InputError(f"training trials have {field} {wanted}, validation trials {got}; they must agree")


def _check_lengths(trials: Sequence[Trial], window_frames: int, model: EncodingModel) -> None:
    if window_frames % model.clip_stride or window_frames <= model.warmup_frames:
        raise InputError(
            f"window_frames is {window_frames}; it must be a multiple of {model.clip_stride} and more than "
            f"{model.warmup_frames} for this model"
        )
    for trial in trials:
        if trial.frames < window_frames:
            raise InputError(
                f"{trial.name} has {trial.frames} frames, fewer than a training window ({window_frames}): leave it out "
                "or pass recipe={'window_frames': …}"
            )

"""Training one encoding model on the trials of one recording."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from neuroreel.allocator import keep_freed_memory
from neuroreel.devices import choose_device
from neuroreel.encoding.checks import check_clock_fits
from neuroreel.encoding.dwiseneuro import DwiseNeuro, DwiseNeuroConfig, DwiseNeuroNetwork
from neuroreel.encoding.interface import EncodingModel
from neuroreel.encoding.readout import ReadoutConfig, ReadoutModel
from neuroreel.encoding.training.clips import TrialStore
from neuroreel.encoding.training.folder import TrainingFolder
from neuroreel.encoding.training.recipe import RECIPES, Recipe
from neuroreel.encoding.training.start import start_readout
from neuroreel.errors import InputError
from neuroreel.progress import somebody_looks
from neuroreel.recordings.checks import TrialSpec, check_trials
from neuroreel.recordings.trial import Trial


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

    Minimises the Poisson loss on random windows with AdamW, warm-up and cosine. What is kept is the exponential moving
    average of the weights: that of the epoch with the best validation correlation, or of the last epoch where there
    are no validation trials. Training stops early when the validation correlation no longer rises.

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
        Keeps checkpoints, the log (``log/metrics.csv``) and the trained model (``model.safetensors``). The same call
        with the same folder goes on after a kill, and hands out the trained model once there is one.
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
        Unknown kind or setting; trials that differ in neurons, pixels, frame rate; trials shorter than a window; a
        folder of another training, or with damaged files; a training that diverges.
    ResourceError
        The device is not there.
    """
    settings = _resolve_recipe(kind, recipe)
    seed = _checked_seed(seed)
    where = choose_device(device)
    spec = check_trials(trials, what="training trials")
    with torch.random.fork_rng(devices=[]):  # the caller's random numbers stay as they were
        torch.manual_seed(seed)
        model = _build(kind, spec, architecture or {})
        shortest = min(trials, key=lambda trial: trial.frames)
        if model.any_length and "window_frames" not in (recipe or {}):
            settings = replace(settings, window_frames=min(settings.window_frames, shortest.frames))
        _check_lengths(shortest, settings.window_frames, model)
        _check_validation(validation or [], spec, model)
        keep_freed_memory()
        store = TrialStore(trials, show_progress=progress)
        with _folder_or_temporary(folder) as home:
            if folder is not None:
                home.claim(_describe(kind, model, settings, store, validation or [], seed))
            trained = home.trained()
            if trained is not None:
                return trained
            return _train(
                model, store, settings, validation or [], home, device=where, seed=seed, show_progress=progress
            )


def _train(
    model: EncodingModel,
    store: TrialStore,
    recipe: Recipe,
    validation: Sequence[Trial],
    home: TrainingFolder,
    *,
    device: torch.device,
    seed: int,
    show_progress: bool,
) -> EncodingModel:
    from neuroreel.encoding.training.run import train  # Lightning takes seconds to import

    if isinstance(model, ReadoutModel) and not home.last.exists():
        model.standardize(store.mean(store.responses), store.mean(store.covariates), store.deviation(store.covariates))
        start_readout(model, store)
    train(
        model,
        store,
        recipe=recipe,
        validation=validation,
        folder=home,
        device=device,
        seed=seed,
        show_bar=show_progress and somebody_looks(),
    )
    model.cpu().eval()
    home.keep(model)
    return model


@contextmanager
def _folder_or_temporary(folder: str | Path | None) -> Iterator[TrainingFolder]:
    if folder is not None:
        yield TrainingFolder(Path(folder).expanduser())
        return
    with tempfile.TemporaryDirectory(prefix="neuroreel-training-") as temporary:
        yield TrainingFolder(Path(temporary))


def _describe(
    kind: str, model: EncodingModel, recipe: Recipe, store: TrialStore, validation: Sequence[Trial], seed: int
) -> dict[str, Any]:
    """What makes a training the one it is: the same numbers come out if, and only if, these agree."""
    assert isinstance(model, ReadoutModel | DwiseNeuro)
    config = model.config if isinstance(model, ReadoutModel) else model.network.config
    return {
        "kind": kind,
        "seed": seed,
        "recipe": asdict(recipe),
        "architecture": config.as_dict(),
        "training trials": store.digest(),
        "validation trials": TrialStore(validation, show_progress=False).digest(),
    }


def _checked_seed(seed: object) -> int:
    if not isinstance(seed, int | np.integer) or not 0 <= seed < 2**32:
        raise InputError(f"seed is {seed!r}; it must be a whole number in 0..4294967295")
    return int(seed)


def _resolve_recipe(kind: str, changes: dict[str, Any] | None) -> Recipe:
    if kind not in RECIPES:
        raise InputError(f"kind is {kind!r}; the encoding models that can be trained are {', '.join(RECIPES)}")
    unknown = set(changes or {}) - set(Recipe.__dataclass_fields__)
    if unknown:
        known = ", ".join(Recipe.__dataclass_fields__)
        raise InputError(f"the recipe has no setting {sorted(unknown)}; it has {known}")
    return replace(RECIPES[kind], **(changes or {}))


def _build(kind: str, spec: TrialSpec, architecture: dict[str, Any]) -> EncodingModel:
    """The untrained model for such trials; InputError if it cannot be built, or no longer fits them."""
    config: ReadoutConfig | DwiseNeuroConfig
    if kind == "readout":
        config = ReadoutConfig(
            neurons=spec.neurons,
            video_height=spec.video_height,
            video_width=spec.video_width,
            frame_rate_hz=spec.frame_rate_hz,
            covariates=spec.covariates,
        )
    else:
        config = DwiseNeuroConfig(readout_neurons=(spec.neurons,), in_channels=1 + spec.covariates)
    unknown = set(architecture) - set(config.__dataclass_fields__)
    if unknown:
        known = ", ".join(config.__dataclass_fields__)
        raise InputError(f"the architecture has no setting {sorted(unknown)}; it has {known}")
    try:
        model = _model_of(replace(config, **architecture), spec)
    except (TypeError, ValueError, RuntimeError, ArithmeticError, IndexError) as error:
        raise InputError(f"no {kind} model can be built with architecture={architecture}: {error}") from error
    _check_built(model, spec)
    return model


def _model_of(config: ReadoutConfig | DwiseNeuroConfig, spec: TrialSpec) -> EncodingModel:
    if isinstance(config, ReadoutConfig):
        return ReadoutModel(config)
    size = (spec.video_height, spec.video_width)
    return DwiseNeuro(DwiseNeuroNetwork(config), readout=0, video_size=size, frame_rate_hz=spec.frame_rate_hz)


def _check_built(model: EncodingModel, spec: TrialSpec) -> None:
    wanted = (spec.neurons, (spec.video_height, spec.video_width), spec.frame_rate_hz)
    if (model.neurons, model.canvas.video_size, model.frame_rate_hz) != wanted:
        raise InputError("neurons, movie size and frame rate come from the trials; leave them out of architecture")
    if not 0 <= model.covariates <= spec.covariates:
        raise InputError(
            f"the architecture takes {model.covariates} behaviour channels, the trials have {spec.covariates}; "
            "it can leave some out, but not add any"
        )


def _check_validation(validation: Sequence[Trial], training: TrialSpec, model: EncodingModel) -> None:
    if not validation:
        return
    difference = training.difference(check_trials(validation, what="validation trials"))
    if difference:
        raise InputError(
            f"the validation trials have {difference} in the training trials; take them from one recording"
        )
    for trial in validation:
        check_clock_fits(model, trial)


def _check_lengths(shortest: Trial, window_frames: int, model: EncodingModel) -> None:
    if not model.any_length and window_frames != model.window_frames:
        raise InputError(f"window_frames is {window_frames}; this model sees windows of {model.window_frames} frames")
    if window_frames <= model.warmup_frames:
        raise InputError(
            f"window_frames is {window_frames}; it must be more than the {model.warmup_frames} frames whose responses "
            "depend on what came before"
        )
    if shortest.frames < window_frames:
        raise InputError(
            f"{shortest.name} has {shortest.frames} frames, fewer than a training window ({window_frames}): leave it "
            "out, or give a readout model shorter windows with recipe={'window_frames': …}"
        )

"""``nr.fit_encoder``: train an encoding model on the trials of one or several recordings."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch

from neuroreel.allocator import keep_freed_memory
from neuroreel.arguments import instance_of, refuse_unknown, whole_number
from neuroreel.encoding.dwiseneuro.network import DwiseNeuro, DwiseNeuroConfig, DwiseNeuroNetwork
from neuroreel.encoding.interface import EncodingModel
from neuroreel.encoding.readout import ReadoutConfig, ReadoutModel
from neuroreel.encoding.readout_start import start_readout
from neuroreel.encoding.training.data import TrainingData
from neuroreel.encoding.training.folder import TrainingFolder
from neuroreel.encoding.training.recipe import Devices, Recipe, resolve_recipe
from neuroreel.errors import InputError
from neuroreel.files import user_path
from neuroreel.locks import folder_lock
from neuroreel.progress import somebody_looks
from neuroreel.recordings.checks import TrialSpec
from neuroreel.recordings.trial import Trial
from neuroreel.results.provenance import hash_model


def fit_encoder(
    trials: Sequence[Trial] | Mapping[str, Sequence[Trial]],
    *,
    kind: str = "core_readout",
    seed: int = 0,
    validation: Sequence[Trial] | Mapping[str, Sequence[Trial]] | None = None,
    folder: str | Path | None = None,
    packed: str | Path | None = None,
    device: str = "auto",
    devices: int = 1,
    strategy: str = "auto",
    teachers: Sequence[EncodingModel] = (),
    progress: bool = True,
    recipe: dict[str, Any] | None = None,
    architecture: dict[str, Any] | None = None,
) -> EncodingModel:
    """Train an encoding model; call it with several seeds for an ensemble.

    Minimizes the Poisson loss on random windows or clips with AdamW, warm-up and cosine decay. Returns the exponential
    moving average of the weights at the epoch with the best validation correlation, or at the last epoch without
    validation trials. Training stops early when the validation correlation no longer rises.

    The kind "dwiseneuro" is trained as published (Baikulov 2023; Bauer et al. 2026): clips of 16 frames, every second
    frame, recordings drawn equally, CutMix, loss summed over neurons and frames, mixed precision if the device has it.

    Parameters
    ----------
    trials
        Trials of one recording, with video and responses; or, for a DwiseNeuro with a readout for each recording,
        {recording: trials}. The recordings may differ in neurons, but not in movie size, frame rate and behavior.
    kind
        "core_readout" (small convolutional core, trains in a minute) or "dwiseneuro" (Baikulov 2023).
    seed
        Random seed of the weights, the windows drawn and the dropout.
    validation
        Trials with movies that no training trial shows; {recording: trials} if ``trials`` is. Without them there is no
        early stopping.
    folder
        Folder for checkpoints, the log (``log/metrics.csv``) and the trained model (``model.safetensors``). The same
        call with the same folder resumes after a kill, or returns the finished model.
    packed
        Folder for training trials that take more than 2 GiB: they are packed into files once and memory-mapped. Several
        runs on the same trials can share it. By default it is inside ``folder``.
    device
        "auto", "cpu", "cuda", "cuda:1", "mps".
    devices
        Number of devices that share each batch. With several, protect a script with ``if __name__ == "__main__":``.
    strategy
        How Lightning runs several devices: "ddp_spawn" ("auto"), "ddp", "ddp_fork", "ddp_notebook". With "ddp" it runs
        your whole script once per device, and needs ``folder``.
    teachers
        An ensemble of the same kind, trained on the same recordings (distillation). Its mean prediction makes 0.36 of
        the loss, ``recipe["distillation"]``: in a DwiseNeuro for readouts of which a sample has no recorded responses.
    progress
        Show progress bars.
    recipe, architecture
        Settings of :class:`Recipe`, and of the model's configuration, that differ from the kind's defaults.

    Returns
    -------
    EncodingModel
        On the CPU, in evaluation mode; ``model.training_log`` holds one row per epoch. A DwiseNeuro is returned with
        its first readout; ``model.of_readout(name)`` gives the model of another recording.

    Raises
    ------
    InputError
        Unknown kind or setting; trials that differ in neurons, pixels, frame rate; trials shorter than a window; a
        folder of another training run, or with damaged files; a run that diverges.
    ResourceError
        The device does not exist, the disk is full, or another process is training in the folder.
    """
    settings = resolve_recipe(kind, recipe)
    seed = _checked_seed(seed)
    where = Devices.choose(device, count=devices, strategy=strategy)
    _check_shared(settings, where, folder)
    data = TrainingData.of(trials, validation)
    with where.random_numbers_kept():
        torch.default_generator.manual_seed(seed)
        model = _build(kind, data, architecture or {})
        if model.any_length and "window_frames" not in (recipe or {}):
            settings = replace(settings, window_frames=min(settings.window_frames, data.shortest()[1]))
        _check_lengths(data, settings.window_frames, model)
        learned_from = _checked_teachers(teachers, model)
        keep_freed_memory()
        with _folder_or_temporary(folder, where) as home:
            where_packed = home.path / "packed" if packed is None else user_path(packed)
            # a finished run needs data only to compare it with the request
            stores = [] if home.model.exists() else data.stores(where_packed, show_progress=progress)
            if folder is not None:
                taught_by = [hash_model(teacher) for teacher in learned_from]
                decided_by = {"kind": kind, "seed": seed, "recipe": asdict(settings), "architecture": _sizes(model)}
                home.claim(decided_by | data.describe(stores) | {"teachers": taught_by})
            if (done := home.trained()) is not None:
                return done
            if isinstance(model, ReadoutModel) and not home.has_begun:
                covariate_mean, covariate_deviation = stores[0].statistics("covariates")
                model.standardize(stores[0].statistics("responses")[0], covariate_mean, covariate_deviation)
                start_readout(model, stores[0])
            from neuroreel.encoding.training.loop import TrainingRun, train  # Lightning takes seconds to import

            run = TrainingRun(
                model=model,
                stores=stores,
                validation=list(data.validation.values()),
                teachers=learned_from,
                recipe=settings,
                seed=seed,
                devices=where,
                folder=home,
                show_bar=progress and somebody_looks(),
            )
            train(run)
            model.training_split = data.split()
            home.keep(model.cpu().eval())
            return model


@contextmanager
def _folder_or_temporary(folder: str | Path | None, devices: Devices) -> Iterator[TrainingFolder]:
    """The folder of a training run, locked until the block ends."""
    if folder is None:
        with tempfile.TemporaryDirectory(prefix="neuroreel-training-") as temporary:
            yield TrainingFolder(Path(temporary))
        return
    home = TrainingFolder(user_path(folder))
    trains_here = devices.first_process and not home.model.exists()
    with folder_lock(home.path, what="training") if trains_here else nullcontext():
        yield home


def _build(kind: str, data: TrainingData, architecture: dict[str, Any]) -> EncodingModel:
    """A model with random weights; InputError if it cannot be built or does not fit the trials."""
    spec = data.first
    config: ReadoutConfig | DwiseNeuroConfig
    if kind == "core_readout":
        if len(data.specs) > 1:
            raise InputError(
                f"a readout model has one recording, but {len(data.specs)} were given ({', '.join(data.specs)}); "
                "train a model for each, or one kind='dwiseneuro' for all of them"
            )
        config = ReadoutConfig(
            neurons=spec.neurons,
            video_height=spec.video_height,
            video_width=spec.video_width,
            frame_rate_hz=spec.frame_rate_hz,
            covariates=spec.covariates,
        )
    else:
        neurons = tuple(each.neurons for each in data.specs.values())
        config = DwiseNeuroConfig(readout_neurons=neurons, in_channels=1 + spec.covariates)
    instance_of(architecture, dict, name="architecture")
    refuse_unknown(architecture, config.__dataclass_fields__, what="setting of the architecture")
    try:
        model = _model_of(replace(config, **architecture), spec, list(data.specs))
    except (TypeError, ValueError, RuntimeError, ArithmeticError, IndexError) as error:
        raise InputError(f"no {kind} model can be built with architecture={architecture}: {error}") from error
    if (model.neurons, model.canvas.video_size, model.frame_rate_hz) != (
        spec.neurons,
        (spec.video_height, spec.video_width),
        spec.frame_rate_hz,
    ):
        raise InputError("neurons, movie size and frame rate come from the trials; leave them out of architecture")
    if not 0 <= model.covariates <= spec.covariates:
        raise InputError(
            f"the architecture takes {model.covariates} behavior channels, the trials have {spec.covariates}; "
            "it can leave some out, but not add any"
        )
    return model


def _model_of(config: ReadoutConfig | DwiseNeuroConfig, spec: TrialSpec, names: Sequence[str]) -> EncodingModel:
    if isinstance(config, ReadoutConfig):
        return ReadoutModel(config)
    return DwiseNeuro(
        DwiseNeuroNetwork(config),
        readout=0,
        video_size=(spec.video_height, spec.video_width),
        frame_rate_hz=spec.frame_rate_hz,
        readout_names=names,
    )


def _sizes(model: EncodingModel) -> dict[str, Any]:
    assert isinstance(model, ReadoutModel | DwiseNeuro)
    return (model.config if isinstance(model, ReadoutModel) else model.network.config).as_dict()


def _checked_seed(seed: object) -> int:
    number = whole_number(seed, name="seed", least=0)
    if number >= 2**32:
        raise InputError(f"seed is {seed!r}; it must be a whole number in 0..4294967295")
    return number


def _check_shared(recipe: Recipe, devices: Devices, folder: str | Path | None) -> None:
    """Check that a batch splits into equal parts; otherwise its samples would not have equal weight."""
    parts = recipe.accumulate * devices.count
    if recipe.batch_size % parts:
        raise InputError(
            f"batch_size is {recipe.batch_size}, which {devices.count} device(s) cannot share equally in "
            f"{recipe.accumulate} pass(es); make it a multiple of {parts}"
        )
    if devices.strategy == "ddp" and folder is None:
        raise InputError("strategy='ddp' runs the script in several processes, which need a common folder: give one")


def _checked_teachers(teachers: Sequence[EncodingModel], model: EncodingModel) -> list[EncodingModel]:
    """The teachers, if the model can learn from them."""
    if isinstance(teachers, EncodingModel):
        raise InputError("teachers is one model; pass a list of models, [model] if there is but one")
    if teachers and isinstance(model, DwiseNeuro) and model.readout_count < 2:
        raise InputError(
            "teachers teach the readouts of a DwiseNeuro that have no recorded responses for a sample; there are none "
            "here: train kind='dwiseneuro' on two recordings or more, or leave the teachers out"
        )
    for index, teacher in enumerate(teachers):
        if not _teaches(teacher, model):
            raise InputError(
                f"teacher {index} is not a {type(model).__name__} of the same recordings: it must have the same "
                "readouts in the same order, movie size, frame rate and behavior channels"
            )
    return list(teachers)


def _teaches(teacher: EncodingModel, model: EncodingModel) -> bool:
    """Whether the input is the same, and the readouts are those of the same recordings, as far as one can know."""
    if isinstance(teacher, DwiseNeuro) and isinstance(model, DwiseNeuro):
        sizes = teacher.network.config.readout_neurons == model.network.config.readout_neurons
        readouts = sizes and teacher.readout_names in ((), model.readout_names)
    else:
        readouts = type(teacher) is type(model) and teacher.neurons == model.neurons
    ours, theirs = ((each.covariates, each.canvas, each.frame_rate_hz) for each in (model, teacher))
    return readouts and ours == theirs


def _check_lengths(data: TrainingData, window_frames: int, model: EncodingModel) -> None:
    if not model.any_length and window_frames != model.window_frames:
        raise InputError(f"window_frames is {window_frames}; this model sees windows of {model.window_frames} frames")
    if window_frames <= model.warmup_frames:
        raise InputError(
            f"window_frames is {window_frames}; it must be more than the {model.warmup_frames} frames whose responses "
            "depend on what came before"
        )
    name, frames = data.shortest()
    if frames < window_frames:
        raise InputError(
            f"{name} has {frames} frames, fewer than a training window ({window_frames}): leave it "
            "out, or give a readout model shorter windows with recipe={'window_frames': …}"
        )
    data.check_lengths(model)

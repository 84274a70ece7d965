"""Shared by the adapters: sizes, choices by name, statistics of Sensorium recordings, weights."""

from __future__ import annotations

import importlib
from collections.abc import Collection
from pathlib import Path
from types import ModuleType

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from neuroreel.encoding.interface import EncodingModel, device_of
from neuroreel.encoding.published import load_weights
from neuroreel.encoding.standardization import Standardization
from neuroreel.encoding.training_split import TrainingSplit
from neuroreel.errors import InputError, RefusedError, ResourceError
from neuroreel.files import user_path
from neuroreel.recordings.recording import Recording
from neuroreel.recordings.sensorium import Statistics, read_statistics

SHOWN_FRAMES = (60, 120, 240)  # lengths of a gray movie to try until the model responds
LEAST_SHARE = 0.01  # of the mean std over neurons: nearly silent neurons are divided by at least this


@torch.no_grad()
def find_sizes(model: EncodingModel) -> None:
    """Show the model a gray movie, and set ``neurons`` and ``warmup_frames`` from its responses."""
    training = model.training
    model.eval()
    height, width = model.canvas.size
    lengths = SHOWN_FRAMES if model.any_length else (model.clip_frames,)
    for frames in lengths:
        grey = torch.full((1, 1 + model.covariates, frames, height, width), 127.5, device=device_of(model))
        grey[:, 1:] = 0
        try:
            answers = model.answers(grey)
            break
        except Exception as error:  # too short for its kernels, a wrong movie size, weights elsewhere
            if frames == lengths[-1]:
                said = f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
                raise InputError(
                    f"{type(model).__name__} fails on a grey movie of {frames} frames of {width}x{height} pixels "
                    f"with {model.covariates} behavior channels ({said}): was it trained with these sizes?"
                ) from error
    model.neurons = answers.shape[1]
    model.warmup_frames = max(model.warmup_frames, (frames - answers.shape[2]) * model.clip_stride)
    model.train(training)


def choose(name: int | str, names: Collection[str], *, what: str) -> str:
    """One of the names, given by name or number; InputError lists the choices."""
    if isinstance(name, int) and not isinstance(name, bool) and 0 <= name < len(names):
        return list(names)[name]
    if name not in names:
        raise InputError(f"there is no {what} {name!r} in this model; it has {', '.join(names) or 'none'}")
    return str(name)


def library(name: str, *, install: str) -> ModuleType:
    """Import another lab's library; ResourceError says how to install it."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        package = name.partition(".")[0]
        raise ResourceError(f"{package} cannot be imported ({error}); {install}") from error


def needs_trust(trust: bool, *, what: str) -> None:
    """RefusedError unless the user trusts the file."""
    if not trust:
        raise RefusedError(
            f"{what}, so opening it may run anything; nothing was run. If you trust them, pass trust=True"
        )


def read_weights(model: nn.Module, file: str | Path) -> None:
    """Load a state dict of tensors, and nothing else, into a model; InputError if it does not fit."""
    file = user_path(file)
    try:
        found = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged archive or pickle raises nearly anything
        raise InputError(f"{file} is not a plain file of weights ({type(error).__name__}); copy it again") from None
    while isinstance(found, dict) and (key := next((k for k in ("model", "state_dict") if k in found), None)):
        found = found[key]
    if not isinstance(found, dict) or not all(isinstance(value, torch.Tensor) for value in found.values()):
        raise InputError(f"{file} holds no state dict; give the file that torch.save(model.state_dict(), file) wrote")
    load_weights(model, found, source=file)


def sensorium_scales(model: EncodingModel, recording: Recording, *, video: tuple[float, float] | None) -> None:
    """Standardize like models of Sensorium 2023, with the recording's statistics, and keep the inverse.

    Gray levels and pupil centers get mean 0 and std 1. Behavior and responses are divided by their std and keep their
    mean (``NeuroNormalizer`` of neuralpredictors 0.3).
    """
    if video is None:
        stored = read_statistics(recording.folder, "videos")
        if stored is None or stored.mean.size != 1:
            raise InputError(
                f"{recording.name} stores no mean and std of its videos; pass video_statistics=(mean, std)"
            )
        video = float(stored.mean[0]), float(stored.std[0])
    model.standardize_video = Standardization(mean=video[0], std=video[1])
    statistics = recording.statistics
    wanted = ["responses", *(("behavior", "pupil_center") if model.covariates else ())]
    if missing := [kind for kind in wanted if kind not in statistics]:
        raise InputError(
            f"{recording.name} stores no statistics of its {' and '.join(missing)}: copy its meta folder again"
        )
    model.standardize_responses = Standardization(std=_divisors(statistics["responses"]))
    if model.covariates:
        behavior, pupil = statistics["behavior"], statistics["pupil_center"]
        model.standardize_behavior = Standardization(
            mean=np.concatenate([np.zeros(len(behavior.mean)), pupil.mean])[: model.covariates],
            std=np.concatenate([behavior.std, pupil.std])[: model.covariates],
        )


def _divisors(responses: Statistics) -> NDArray[np.float64]:
    """(neurons,): std, but at least 1% of its mean over neurons."""
    return np.maximum(responses.std, LEAST_SHARE * responses.std.mean())


def split_of(recording: Recording, *tiers: str, description: str) -> TrainingSplit:
    """The trials of some tiers, as a training split."""
    return TrainingSplit.of(recording.select(*tiers), description=description)

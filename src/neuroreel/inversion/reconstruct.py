"""``nr.reconstruct``: checks what it is given, turns a preset into parts, runs the loop, and packs the results."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, overload

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from neuroreel.decoding.ridge import RidgeDecoder, decode
from neuroreel.devices import choose_device
from neuroreel.encoding.checks import as_ensemble, check_movie_fits, check_responses_fit
from neuroreel.encoding.interface import EncodingModel
from neuroreel.encoding.predict import predict
from neuroreel.errors import InputError
from neuroreel.inversion.history import Recorder
from neuroreel.inversion.likelihood import Evidence, PoissonLikelihood
from neuroreel.inversion.loop import Callback, Progress, Stopping, invert
from neuroreel.inversion.mask import check_mask_values
from neuroreel.inversion.presets import Settings, resolve_settings
from neuroreel.inversion.priors import FlatPrior, GaussianPrior, Prior, correlation_matrix, leading_components
from neuroreel.inversion.snapshot import Snapshot, fingerprint
from neuroreel.inversion.update import MomentumDescent, PublishedMomentum, Update
from neuroreel.inversion.windows import SlidingWindows, WholeMovie
from neuroreel.progress import progress as progress_bar
from neuroreel.recordings.trial import Trial
from neuroreel.results.provenance import hash_array, hash_model
from neuroreel.results.reconstruction import Reconstruction

GREY = 127.5


@overload
def reconstruct(trials: Trial, models: EncodingModel | Sequence[EncodingModel], **options: Any) -> Reconstruction: ...
@overload
def reconstruct(
    trials: Sequence[Trial], models: EncodingModel | Sequence[EncodingModel], **options: Any
) -> list[Reconstruction]: ...
def reconstruct(
    trials: Trial | Sequence[Trial],
    models: EncodingModel | Sequence[EncodingModel],
    *,
    mask: NDArray[np.floating[Any]] | None = None,
    preset: str = "default",
    decoder: RidgeDecoder | None = None,
    neurons: NDArray[np.bool_] | None = None,
    seed: int = 0,
    device: str = "auto",
    windows_at_once: int = 8,
    snapshot: str | Path | None = None,
    stopping: Stopping | None = None,
    callbacks: Sequence[Callback] = (),
    progress: bool = True,
    **settings: Any,
) -> Reconstruction | list[Reconstruction]:
    """Reconstruct the movie of one trial, or of several at once, from its responses.

    Starting from grey or from a linear decoder's movie, pixels are moved until the responses that the encoding models
    predict match the recorded ones (Bauer, Margrie & Clopath 2026; PROTOCOL section 5).

    Parameters
    ----------
    trials
        With responses; behaviour too if the models use it. The video is not looked at, but for scores on the way.
    models
        An encoding model of these neurons, or an ensemble.
    mask
        Transparency mask (height, width), on the models' canvas or on the video. Pixels of at least ``mask_threshold``
        are updated; without a mask all are.
    preset
        "default", or "published" (the paper's rule to the letter). See :class:`~neuroreel.inversion.presets.Settings`.
    decoder
        A linear decoder fitted to the same training trials: start and prior of the default preset.
    neurons
        (neurons,) boolean: the neurons that may be used; the others are ablated.
    seed
        Of everything random.
    device
        "auto", "cpu", "cuda", "cuda:1", "mps".
    windows_at_once
        How many windows go through a model together: bounds memory, does not change the result.
    snapshot
        A file that keeps the progress: the same call resumes there after a kill. It is deleted at the end.
    stopping, callbacks
        Called after each pass with a :class:`~neuroreel.inversion.loop.Progress` (callbacks also with the fit).
    progress
        Show a progress bar.
    **settings
        Settings that differ from the preset's: ``iterations=25``, ``mask_threshold=0.5``, ...

    Returns
    -------
    Reconstruction or list of Reconstruction
        ``.video`` is (frames, height, width), float32, grey 0..255.

    Raises
    ------
    InputError
        Trials, mask, neurons or settings that do not fit; raised before any work.
    ResourceError
        The device is not there.
    """
    single = isinstance(trials, Trial)
    chosen: list[Trial] = [trials] if isinstance(trials, Trial) else list(trials)
    ensemble = as_ensemble(models)
    resolved = _resolve(preset, settings, decoder)
    where = choose_device(device)
    update_mask = _update_mask(mask, ensemble[0], resolved)
    keep = _check_neurons(neurons, ensemble[0])
    if not chosen:
        raise InputError("no trials were given; pass one, or a list of them")
    for trial in chosen:
        for model in ensemble:
            check_responses_fit(model, trial)
    job = _Job(ensemble, resolved, mask, update_mask, keep, decoder, where, windows_at_once, seed)
    results: dict[int, Reconstruction] = {}
    for group in _equal_lengths(chosen):
        file = None if snapshot is None else Path(snapshot)
        members = [chosen[index] for index in group]
        results |= zip(group, _reconstruct_group(members, job, file, stopping, callbacks, progress), strict=True)
    ordered = [results[index] for index in range(len(chosen))]
    return ordered[0] if single else ordered


@dataclass(frozen=True)
class _Job:
    """What all groups of trials share."""

    models: list[EncodingModel]
    settings: Settings
    mask: NDArray[np.floating[Any]] | None
    update_mask: Tensor
    keep: NDArray[np.bool_]
    decoder: RidgeDecoder | None
    device: torch.device
    windows_at_once: int
    seed: int


def _resolve(preset: str, changes: dict[str, Any], decoder: RidgeDecoder | None) -> Settings:
    """The settings used: without a decoder, the default preset starts from grey with the prior of natural movies."""
    settings = resolve_settings(preset, changes)
    if decoder is None:
        for part in ("start", "prior"):
            if changes.get(part) == "decoder":
                raise InputError(f"{part}='decoder' needs a decoder; fit one with nr.fit_decoder(training_trials)")
        settings = replace(
            settings,
            start="grey" if settings.start == "decoder" else settings.start,
            prior="movies" if settings.prior == "decoder" else settings.prior,
        )
    return settings


def _update_mask(
    mask: NDArray[np.floating[Any]] | None, model: EncodingModel, settings: Settings
) -> Tensor:
    """(height, width) of 0 and 1, on the canvas if its padding is optimised, else on the video."""
    canvas = model.canvas
    if mask is None:
        return torch.ones(canvas.size if settings.optimize_padding else canvas.video_size)
    values = torch.from_numpy(check_mask_values(mask, what="mask"))
    if values.shape != canvas.size and values.shape != canvas.video_size:
        raise InputError(
            f"the mask is {tuple(values.shape)} (height, width); it must be {canvas.size}, the model's canvas, "
            f"or {canvas.video_size}, the video"
        )
    on_canvas = values if values.shape == canvas.size else canvas.place(values, padding=-torch.inf)
    chosen = (on_canvas >= settings.mask_threshold).float()
    if not settings.optimize_padding:
        chosen = canvas.crop(chosen)
    if not chosen.any():
        raise InputError(
            f"no pixel of the mask reaches {settings.mask_threshold:g} (its largest value is {values.max():g}); "
            "lower mask_threshold or learn the mask for more steps"
        )
    return chosen


def _check_neurons(neurons: NDArray[np.bool_] | None, model: EncodingModel) -> NDArray[np.bool_]:
    if neurons is None:
        return np.ones(model.neurons, bool)
    keep = np.asarray(neurons)
    if keep.dtype != bool or keep.size != model.neurons:
        raise InputError(
            f"neurons has shape {keep.shape} and type {keep.dtype}; it must be ({model.neurons},) boolean: "
            "True for the neurons to use"
        )
    if not keep.any():
        raise InputError("neurons keeps no neuron; at least one is needed to reconstruct anything")
    return keep.reshape(-1)


def _equal_lengths(trials: Sequence[Trial]) -> list[list[int]]:
    """Indices of the trials, grouped by their number of frames: a group makes one batch."""
    groups: dict[int, list[int]] = {}
    for index, trial in enumerate(trials):
        groups.setdefault(trial.frames, []).append(index)
    return list(groups.values())

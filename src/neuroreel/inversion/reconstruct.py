"""``nr.reconstruct``: checks what it is given, turns a preset into parts, runs the loop, and packs the results."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Literal, overload

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from neuroreel.allocator import keep_freed_memory
from neuroreel.arguments import whole_number
from neuroreel.decoding.decoder import RidgeDecoder
from neuroreel.devices import choose_device, choose_precision
from neuroreel.encoding.checks import as_ensemble
from neuroreel.encoding.interface import EncodingModel, frozen
from neuroreel.encoding.predict import predict
from neuroreel.errors import InputError, NeuroreelError, ResourceError
from neuroreel.files import user_path
from neuroreel.inversion.checks import (
    check_models_fit,
    check_neurons,
    check_trials_fit,
    update_mask_of,
)
from neuroreel.inversion.history import history_of
from neuroreel.inversion.job import Job
from neuroreel.inversion.loop import Callback, Progress, Stopping
from neuroreel.inversion.plan import Forecast
from neuroreel.inversion.presets import Settings, resolve_settings
from neuroreel.inversion.run import Run, starting_movies
from neuroreel.masks import check_mask_values, mask_on_video
from neuroreel.memory import first_line, is_out_of_memory, parse_bytes
from neuroreel.progress import note
from neuroreel.recordings.trial import Trial
from neuroreel.results.provenance import hash_array
from neuroreel.results.reconstruction import Reconstruction


@overload
def reconstruct(
    trials: Trial | Iterable[Trial],
    models: EncodingModel | Sequence[EncodingModel],
    *,
    one_by_one: Literal[True],
    **options: Any,
) -> Iterator[Reconstruction]: ...
@overload
def reconstruct(trials: Trial, models: EncodingModel | Sequence[EncodingModel], **options: Any) -> Reconstruction: ...
@overload
def reconstruct(
    trials: Iterable[Trial], models: EncodingModel | Sequence[EncodingModel], **options: Any
) -> list[Reconstruction]: ...
def reconstruct(
    trials: Trial | Iterable[Trial],
    models: EncodingModel | Sequence[EncodingModel],
    *,
    mask: NDArray[np.floating[Any]] | None = None,
    preset: str = "default",
    decoder: RidgeDecoder | None = None,
    neurons: NDArray[np.bool_] | None = None,
    seed: int = 0,
    device: str = "auto",
    precision: str = "auto",
    windows_at_once: int | None = None,
    max_memory: str | float | None = None,
    one_by_one: bool = False,
    snapshot: str | Path | None = None,
    stopping: Stopping | None = None,
    callbacks: Sequence[Callback] = (),
    progress: bool = True,
    **settings: Any,
) -> Reconstruction | list[Reconstruction] | Iterator[Reconstruction]:
    """Reconstruct the movie of one trial, or of several at once, from its responses.

    Starting from grey or from a linear decoder's movie, pixels are moved until the responses that the encoding models
    predict match the recorded ones (Bauer, Margrie & Clopath, eLife 2026).

    Parameters
    ----------
    trials
        With responses; behaviour too if the models use it. The video is not looked at, but for scores on the way.
    models
        An encoding model of these neurons, or an ensemble.
    mask
        Transparency mask (height, width), on the models' canvas or on the video. The responses move pixels of at
        least ``mask_threshold``, without a mask all. A prior, as the default preset has one, moves the others too: it
        links them to those, and pulls all toward its mean. With ``prior="none"`` they stay as they were at the start.
    preset
        "default", or "published" (the paper's rule to the letter). See :class:`~neuroreel.inversion.presets.Settings`.
    decoder
        A linear decoder fitted to the same training trials: start and prior of the default preset.
    neurons
        (neurons,) boolean: the neurons that may be used; the others are ablated.
    seed
        Random seed.
    device
        "auto", "cpu", "cuda", "cuda:1", "mps".
    precision
        "float32", or "bfloat16": faster on GPUs, where "auto" takes it. Only a DwiseNeuro computes in bfloat16; others
        compute in float32, and the result's settings say so. Pixels, responses, loss and update are always float32.
    windows_at_once
        How many windows go through a model together at most: bounds memory, does not change the result. By default as
        many as are worth while (1 on a CPU with models of fixed clips, where more take no less time) and as fit into
        what is free. Where memory runs out all the same, the number is halved and the work goes on.
    max_memory
        How much memory this process may take on the device, for instance "8 GB" or a number of bytes.
    one_by_one
        Hand each reconstruction over as soon as it is made, and keep none: ``for result in nr.reconstruct(...,
        one_by_one=True)``. With a recording's trials, memory does not grow with their number.
    snapshot
        A file that keeps the progress: the same call resumes there after a kill. The trials' numbers are put into its
        name, for each group of trials has its own; all are deleted at the end.
    stopping, callbacks
        Called after each pass with a :class:`~neuroreel.inversion.loop.Progress` (callbacks also with the fit).
    progress
        Show a progress bar.
    **settings
        Settings that differ from the preset's: ``iterations=25``, ``mask_threshold=0.5``, ...

    Returns
    -------
    Reconstruction, list or iterator of Reconstruction
        One for one trial, else in the order of the trials; ``.video`` is (frames, height, width), float32, grey 0..255.

    Raises
    ------
    InputError
        Trials, mask, neurons or settings that do not fit; raised before any work.
    ResourceError
        The device is not there, or its memory is too little for a single window, which is found out before any work.
    """
    where = choose_device(device)
    single = isinstance(trials, Trial)
    chosen: Any = trials if isinstance(trials, Sequence) else [trials]  # what is no trial is refused below
    if isinstance(trials, Iterable) and not isinstance(trials, Sequence):
        chosen = list(trials)
    ensemble = as_ensemble(models)
    resolved = _resolve(preset, settings, decoder)
    whole_number(seed, name="seed", least=0)
    if windows_at_once is not None:
        whole_number(windows_at_once, name="windows_at_once")
    check_models_fit(ensemble, decoder=decoder, settings=resolved)
    seen = None if mask is None else check_mask_values(mask, what="the mask")
    update_mask = update_mask_of(seen, ensemble[0], resolved)
    keep = check_neurons(neurons, ensemble[0])
    frames = check_trials_fit(chosen, ensemble, decoder=decoder, settings=resolved)
    job = Job(
        models=ensemble,
        settings=resolved,
        mask=seen,
        update_mask=update_mask,
        keep=keep,
        decoder=decoder,
        device=where,
        asked_precision=choose_precision(precision, where),
        frames=frames,
        windows_at_once=windows_at_once,
        max_memory=None if max_memory is None else parse_bytes(max_memory, what="max_memory"),
        seed=seed,
        snapshot_file=None if snapshot is None else user_path(snapshot),
        stopping=stopping or (lambda _: False),
        callbacks=list(callbacks),
        show_progress=progress,
    )
    made = _one_by_one(chosen, job)
    if one_by_one:
        return made
    results = list(made)
    return results[0] if single else results


def _one_by_one(trials: Sequence[Trial], job: Job) -> Iterator[Reconstruction]:
    """The reconstructions in the order of the trials, of which no more than a group is held at a time."""
    keep_freed_memory()
    with _memory_errors_told(job.device), frozen(job.models, device=job.device):
        _tell(job)
        for group in job.plan.groups:
            yield from _reconstruct_group([trials[number] for number in group], group, job)
    for finished in job.snapshots:
        finished.unlink(missing_ok=True)


def _tell(job: Job) -> None:
    """What it takes: memory now, time after the first passes (of a single run its bar says it)."""
    say = partial(note, enabled=job.show_progress)
    say(f"Reconstructing {job.plan}")
    times = len(job.models) if job.settings.ensemble == "videos" else 1
    runs = job.plan.windows / job.plan.first_windows * times
    if runs > 1:
        job.callbacks.append(Forecast(runs * job.plan.passes, say=say))


@contextmanager
def _memory_errors_told(device: torch.device) -> Iterator[None]:
    """Where memory runs out outside the windows, with the models or the results, ResourceError says what to do."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if isinstance(error, NeuroreelError) or not is_out_of_memory(error):
            raise
        raise ResourceError(
            f"memory ran out ({first_line(error)}) beside the windows of a pass, with models, movies or responses: "
            f"close other programs, use fewer models at once or another device than {device}, or take the results "
            "with one_by_one=True"
        ) from error


def _resolve(preset: str, changes: dict[str, Any], decoder: RidgeDecoder | None) -> Settings:
    """The settings used: without a decoder, the default preset starts from grey with the prior of natural movies."""
    parameters = [name for name in inspect.signature(reconstruct).parameters if name != "settings"]
    settings = resolve_settings(preset, changes, parameters=parameters)
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


def _reconstruct_group(trials: list[Trial], numbers: range, job: Job) -> Iterator[Reconstruction]:
    """Trials of one length, together; with ``ensemble="videos"`` once for each model."""
    apart = job.settings.ensemble == "videos" and len(job.models) > 1
    everyone = list(range(len(job.models)))
    teams = [[number] for number in everyone] if apart else [everyone]
    start, prior_mean = starting_movies(trials, job)
    runs = []
    for number, team in enumerate(teams):
        file = job.snapshot_file and _numbered(job.snapshot_file, numbers, number if apart else None)
        runs.append(Run(trials, team, job, start=start, prior_mean=prior_mean, snapshot_file=file).go())
    videos = torch.stack([job.crop(run.videos) for run in runs])  # (teams, trials, frames, height, width)
    mean = videos.mean(dim=0).cpu().numpy()
    for i, trial in enumerate(trials):
        teams_videos = videos[:, i].cpu().numpy()
        yield _pack(trial, job, video=mean[i], teams=teams_videos, start=job.crop(start)[i], run=runs[0], index=i)


def _numbered(file: Path, trials: range, model: int | None) -> Path:
    """A file name of its own for each group of trials and each model."""
    group = f"{trials[0]}" if len(trials) == 1 else f"{trials[0]}to{trials[-1]}"
    return file.with_name(f"{file.stem}-trial{group}{'' if model is None else f'-model{model}'}{file.suffix or '.pt'}")


def _pack(
    trial: Trial,
    job: Job,
    *,
    video: NDArray[np.float32],
    teams: NDArray[np.float32],
    start: Tensor,
    run: Progress,
    index: int,
) -> Reconstruction:
    shown = trial.replace(video=video.clip(0, 255), responses=None)
    decoder = job.decoder if "decoder" in (job.settings.start, job.settings.prior) else None
    predicted_truth = None if trial.video is None else predict(job.engines, trial, clips_at_once=job.clips_at_once)
    return Reconstruction.build(
        video=shown.needs_video(),
        frame_rate_hz=trial.frame_rate_hz,
        trial=trial,
        recording=trial.recording,
        simulated=trial.simulated,
        mask=None if job.mask is None else mask_on_video(job.mask, video.shape[1:]),
        start=start.cpu().numpy(),
        model_video=teams if len(teams) > 1 else None,
        predicted=predict(job.engines, shown, clips_at_once=job.clips_at_once),
        predicted_truth=predicted_truth,
        history=history_of(run, index),
        kept_iteration=run.kept[index],
        neuron_mask=job.keep,
        settings={
            **job.settings.as_dict(),
            "neurons_kept": int(job.keep.sum()),
            "models": len(job.models),
            "precision": job.precision,
            "prior_covariance": job.prior_covariance,
        },
        hashes={
            "models": ", ".join(job.model_hashes),
            "responses": hash_array(trial.needs_responses()),
            **({} if job.mask is None else {"mask": hash_array(job.mask)}),
            **({} if decoder is None else {"decoder": hash_array(decoder.weights)}),
        },
        seed=job.seed,
        device=job.device,
    )

"""``nr.reconstruct``: checks what it is given, turns a preset into parts, runs the loop, and packs the results."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, overload

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from neuroreel.allocator import keep_freed_memory
from neuroreel.decoding.decoder import RidgeDecoder, decode
from neuroreel.devices import choose_device
from neuroreel.encoding.checks import as_ensemble
from neuroreel.encoding.interface import EncodingModel
from neuroreel.encoding.predict import predict
from neuroreel.errors import InputError
from neuroreel.inversion.checks import (
    check_models_fit,
    check_neurons,
    check_trials_fit,
    mask_on_video,
    update_mask_of,
)
from neuroreel.inversion.history import Recorder, history_of
from neuroreel.inversion.likelihood import Evidence, PoissonLikelihood
from neuroreel.inversion.loop import Callback, Progress, Stopping, fit_of, invert
from neuroreel.inversion.presets import Settings, resolve_settings
from neuroreel.inversion.priors import (
    FlatPrior,
    GaussianPrior,
    Prior,
    correlation_matrix,
    leading_components,
    natural_autocorrelation,
    natural_components,
)
from neuroreel.inversion.snapshot import Snapshot, fingerprint
from neuroreel.inversion.update import MomentumDescent, PublishedMomentum, Update
from neuroreel.inversion.windows import windows_for
from neuroreel.progress import bar_of
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
    predict match the recorded ones (Bauer, Margrie & Clopath, eLife 2026).

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
    where = choose_device(device)
    single = isinstance(trials, Trial)
    chosen: list[Trial] = [trials] if isinstance(trials, Trial) else list(trials)
    ensemble = as_ensemble(models)
    resolved = _resolve(preset, settings, decoder)
    if windows_at_once < 1:
        raise InputError(f"windows_at_once is {windows_at_once}; it must be at least 1")
    check_models_fit(ensemble, decoder=decoder, settings=resolved)
    update_mask = update_mask_of(mask, ensemble[0], resolved)
    keep = check_neurons(neurons, ensemble[0])
    check_trials_fit(chosen, ensemble, decoder=decoder, settings=resolved)
    job = _Job(
        models=ensemble,
        settings=resolved,
        mask=mask,
        update_mask=update_mask,
        keep=keep,
        decoder=decoder,
        device=where,
        windows_at_once=windows_at_once,
        seed=seed,
        snapshot_file=None if snapshot is None else Path(snapshot),
        stopping=stopping or (lambda _: False),
        callbacks=list(callbacks),
        show_progress=progress,
    )
    keep_freed_memory()
    results: dict[int, Reconstruction] = {}
    with _frozen(ensemble, where):
        for group in _equal_lengths(chosen):
            results |= zip(group, _reconstruct_group([chosen[index] for index in group], job), strict=True)
    for finished in job.snapshots:
        finished.remove()
    ordered = [results[index] for index in range(len(chosen))]
    return ordered[0] if single else ordered


@contextmanager
def _frozen(models: list[EncodingModel], device: torch.device) -> Iterator[None]:
    """Models on the device, in evaluation mode, their weights without gradients; as they were afterwards, but there."""
    modes = [model.training for model in models]
    weights = [weight for model in models for weight in model.parameters() if weight.requires_grad]
    try:
        for model in models:
            model.to(device).eval().requires_grad_(False)
        yield
    finally:
        for model, mode in zip(models, modes, strict=True):
            model.train(mode)
        for weight in weights:
            weight.requires_grad_(True)


@dataclass(frozen=True, kw_only=True)
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
    snapshot_file: Path | None
    stopping: Stopping
    callbacks: list[Callback]
    show_progress: bool
    snapshots: list[Snapshot] = field(default_factory=list)  # of the runs that are finished

    def crop(self, videos: Tensor) -> Tensor:
        """The videos out of the movies that the loop moves."""
        return self.models[0].canvas.crop(videos) if self.settings.optimize_padding else videos

    @cached_property
    def model_hashes(self) -> list[str]:
        """Fingerprints of the models' weights, taken once for all trials."""
        return [hash_model(model) for model in self.models]

    def video_place(self) -> tuple[slice, slice]:
        """Rows and columns of the video in the movies that the loop moves."""
        canvas = self.models[0].canvas
        if not self.settings.optimize_padding:
            return slice(None), slice(None)
        return slice(canvas.top, canvas.top + canvas.video_height), slice(canvas.left, canvas.left + canvas.video_width)

    def scored(self, size: tuple[int, int]) -> NDArray[np.bool_]:
        """(height, width): pixels scored on the way, mask >= 1; all of them without a mask or where none reaches 1."""
        if self.mask is None:
            return np.ones(size, bool)
        chosen = mask_on_video(self.mask, self.models[0]) >= 1
        return chosen if chosen.any() else np.ones(size, bool)


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


def _equal_lengths(trials: Sequence[Trial]) -> list[list[int]]:
    """Indices of the trials, grouped by their number of frames: a group makes one batch."""
    groups: dict[int, list[int]] = {}
    for index, trial in enumerate(trials):
        groups.setdefault(trial.frames, []).append(index)
    return list(groups.values())


def _reconstruct_group(trials: list[Trial], job: _Job) -> list[Reconstruction]:
    """Trials of one length, together; with ``ensemble="videos"`` once for each model."""
    settings = job.settings
    apart = settings.ensemble == "videos" and len(job.models) > 1
    teams = [[model] for model in job.models] if apart else [job.models]
    start, prior_mean = _start(trials, job)
    runs = []
    for number, team in enumerate(teams):
        file = job.snapshot_file and _numbered(job.snapshot_file, trials[0].frames, number if apart else None)
        runs.append(_Run(trials, team, job, start=start, prior_mean=prior_mean, snapshot_file=file).go())
    videos = torch.stack([job.crop(run.videos) for run in runs])  # (teams, trials, frames, height, width)
    mean = videos.mean(dim=0).cpu().numpy()
    return [
        _pack(
            trial, job, video=mean[i], teams=videos[:, i].cpu().numpy(), start=job.crop(start)[i], run=runs[0], index=i
        )
        for i, trial in enumerate(trials)
    ]


class _Run:
    """One run of the loop: parts built from the settings, progress taken up from a snapshot."""

    def __init__(
        self,
        trials: list[Trial],
        models: list[EncodingModel],
        job: _Job,
        *,
        start: Tensor,
        prior_mean: Tensor | None,
        snapshot_file: Path | None,
    ) -> None:
        self.trials, self.models, self.job = trials, models, job
        self.evidence = _evidence(trials, job)
        starts, length = windows_for(models[0], job.settings.windows).lay(trials[0].frames)
        self.likelihood = PoissonLikelihood(
            starts=starts, length=length, unit_norm=job.settings.window_norm, windows_at_once=job.windows_at_once
        )
        self.update = _update(job.settings)
        self.start, self.prior_mean = start, prior_mean
        self.snapshot = Snapshot(snapshot_file, fingerprint=self._fingerprint(), update=self.update)

    def go(self) -> Progress:
        """Run from the start, or from the snapshot, to the end."""
        settings, job = self.job.settings, self.job
        progress = self.snapshot.restore(Progress(videos=self.start.clone()))
        job.snapshots.append(self.snapshot)
        if self.snapshot.finished:
            return progress
        total, done = settings.iterations, progress.iteration
        with bar_of(total, description="Reconstructing", done=done, enabled=job.show_progress) as advance:
            invert(
                progress,
                models=self.models,
                evidence=self.evidence,
                likelihood=self.likelihood,
                prior=self._prior(),
                update=self.update,
                update_mask=job.update_mask.to(job.device),
                iterations=total,
                first_update=1 if settings.update == "published" else 0,
                stopping=job.stopping,
                callbacks=[self._recorder(), self.snapshot, lambda *_: advance(), *job.callbacks],
            )
        self.snapshot.finish(progress)
        return progress

    def _prior(self) -> Prior:
        settings, device = self.job.settings, self.job.device
        if settings.prior == "none":
            return FlatPrior()
        first, decoder = self.trials[0], self.job.decoder
        autocorrelation = natural_autocorrelation(first.frames, first.frame_rate_hz)
        if settings.prior == "decoder" and decoder is not None and decoder.residual_covariance is not None:
            components = leading_components(decoder.residual_covariance)
            if decoder.residual_autocorrelation is not None:
                autocorrelation = decoder.residual_autocorrelation
        else:
            components = natural_components(*self.models[0].canvas.video_size)
        mean = torch.full_like(self.start, GREY) if self.prior_mean is None else self.prior_mean
        return GaussianPrior(
            mean=mean,
            time=torch.from_numpy(correlation_matrix(autocorrelation, first.frames)).to(device),
            components=torch.from_numpy(components).to(device),
            evidence_weight=self._evidence_weight(),
        )

    def _evidence_weight(self) -> Tensor:
        """(trials,): evidence_weight times the counts, over the dispersion of the errors of the start's predictions.

        The dispersion, mean squared error over mean prediction, makes the weight blind to the unit of the responses.
        """
        fit = fit_of(self.models[0], self.start, self.evidence, self.likelihood)
        keep = self.evidence.keep
        error = (fit.predicted[:, keep] - self.evidence.responses[:, keep]).square().mean(dim=(1, 2))
        dispersion = error / fit.predicted[:, keep].mean(dim=(1, 2)).clamp_min(1e-6)
        counts = keep.sum() * self.start.shape[1]
        return self.job.settings.evidence_weight * counts / dispersion.clamp_min(1e-6)

    def _prior_arrays(self) -> list[NDArray[np.float32]]:
        """What the prior takes from the decoder."""
        if self.prior_mean is None or self.job.decoder is None:
            return []
        covariances = (self.job.decoder.residual_covariance, self.job.decoder.residual_autocorrelation)
        return [self.prior_mean.cpu().numpy(), *(array for array in covariances if array is not None)]

    def _recorder(self) -> Recorder:
        rows, columns = self.job.video_place()
        settings, canvas = self.job.settings, self.models[0].canvas
        return Recorder(
            evidence=self.evidence,
            truths=[None if trial.video is None else trial.needs_video() for trial in self.trials],
            rows=rows,
            columns=columns,
            scored=self.job.scored(canvas.video_size),
            every=settings.record_every,
            last=settings.iterations - 1,
            skip=min(30, self.trials[0].frames // 2),
        )

    def _fingerprint(self) -> str:
        return fingerprint(
            settings=self.job.settings.as_dict(),
            models=[self.job.model_hashes[self.job.models.index(model)] for model in self.models],
            responses=[hash_array(trial.needs_responses()) for trial in self.trials],
            covariates=[hash_array(trial.covariates) for trial in self.trials],
            mask=hash_array(self.job.update_mask.numpy()),
            keep=hash_array(self.job.keep),
            start=hash_array(self.start.cpu().numpy()),
            prior=[hash_array(array) for array in self._prior_arrays()],
            seed=self.job.seed,
        )


def _start(trials: list[Trial], job: _Job) -> tuple[Tensor, Tensor | None]:
    """The starting movies, and the decoder's movies where the prior needs them."""
    canvas = job.models[0].canvas
    shape = canvas.size if job.settings.optimize_padding else canvas.video_size
    grey = torch.full((len(trials), trials[0].frames, *shape), GREY, device=job.device)
    decoder, settings = job.decoder, job.settings
    if decoder is None or "decoder" not in (settings.start, settings.prior):
        return grey, None
    movies = [decode(decoder, _without_ablated(trial, job.keep, decoder)) for trial in trials]
    decoded = torch.from_numpy(np.stack(movies)).to(job.device)
    prior_mean = decoded if settings.prior == "decoder" else None
    if settings.start != "decoder":
        return grey, prior_mean
    return (canvas.place(decoded, padding=GREY) if settings.optimize_padding else decoded), prior_mean


def _without_ablated(trial: Trial, keep: NDArray[np.bool_], decoder: RidgeDecoder) -> Trial:
    """The trial with every ablated neuron at the decoder's mean, where it has no say in the movie."""
    if keep.all():
        return trial
    mean = np.square(decoder.features.mean)[:, None]  # features are square roots of responses
    return trial.replace(responses=np.where(keep[:, None], trial.needs_responses(), mean))


def _evidence(trials: list[Trial], job: _Job) -> Evidence:
    responses = torch.from_numpy(np.stack([trial.needs_responses() for trial in trials]))
    keep = torch.from_numpy(job.keep)
    if job.settings.ablated == "silenced":  # published fault 1: ablated neurons stay in the loss, with a target of zero
        responses = responses * keep[:, None]
        keep = torch.ones_like(keep)
    used = max(model.covariates for model in job.models)  # trials may have recorded more
    covariates = torch.from_numpy(np.stack([trial.covariates[:used] for trial in trials]))
    return Evidence(responses=responses.to(job.device), covariates=covariates.to(job.device), keep=keep.to(job.device))


def _update(settings: Settings) -> Update:
    if settings.update == "published":
        return PublishedMomentum(learning_rate=settings.learning_rate)
    return MomentumDescent(learning_rate=settings.learning_rate)


def _numbered(file: Path, frames: int, model: int | None) -> Path:
    """A file name of its own for each group of trials and each model."""
    return file.with_name(f"{file.stem}-{frames}{'' if model is None else f'-model{model}'}{file.suffix or '.pt'}")


def _pack(
    trial: Trial,
    job: _Job,
    *,
    video: NDArray[np.float32],
    teams: NDArray[np.float32],
    start: Tensor,
    run: Progress,
    index: int,
) -> Reconstruction:
    shown = trial.replace(video=video.clip(0, 255), responses=None)
    predicted_truth = None if trial.video is None else predict(job.models, trial)
    return Reconstruction.build(
        video=shown.needs_video(),
        frame_rate_hz=trial.frame_rate_hz,
        trial=trial,
        recording=trial.recording,
        simulated=trial.simulated,
        mask=None if job.mask is None else mask_on_video(job.mask, job.models[0]),
        start=start.cpu().numpy(),
        model_video=teams if len(teams) > 1 else None,
        predicted=predict(job.models, shown),
        predicted_truth=predicted_truth,
        history=history_of(run, index),
        settings={**job.settings.as_dict(), "neurons_kept": int(job.keep.sum()), "models": len(job.models)},
        hashes={
            "models": ", ".join(job.model_hashes),
            "responses": hash_array(trial.needs_responses()),
            **({} if job.mask is None else {"mask": hash_array(np.asarray(job.mask))}),
        },
        seed=job.seed,
        device=job.device,
    )

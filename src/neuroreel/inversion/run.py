"""One run of the loop for a group of trials of one length: parts built from the settings, progress from a snapshot."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from neuroreel.decoding.decoder import RidgeDecoder, decode
from neuroreel.grey import MID_GREY
from neuroreel.inversion.history import Recorder, pass_log
from neuroreel.inversion.job import Job
from neuroreel.inversion.likelihood import Evidence, PoissonLikelihood
from neuroreel.inversion.loop import Progress, fit_of, invert
from neuroreel.inversion.presets import Settings
from neuroreel.inversion.priors import (
    FlatPrior,
    GaussianPrior,
    Prior,
    correlation_matrix,
    natural_autocorrelation,
    natural_components,
)
from neuroreel.inversion.published_log import SKIP_FRAMES, published_log
from neuroreel.inversion.snapshot import Snapshot, fingerprint
from neuroreel.inversion.stopping import AllPasses, EarlyStopping, HeldOutNeurons, held_out_neurons
from neuroreel.inversion.update import MomentumDescent, PublishedMomentum, Update
from neuroreel.inversion.windows import windows_for
from neuroreel.progress import bar_of
from neuroreel.recordings.trial import Trial
from neuroreel.results.provenance import hash_array


class Run:
    """One run of the loop with some of the models: parts built from the settings, progress taken up from a snapshot."""

    def __init__(
        self,
        trials: list[Trial],
        team: list[int],
        job: Job,
        *,
        start: Tensor,
        prior_mean: Tensor | None,
        snapshot_file: Path | None,
    ) -> None:
        self.trials, self.team, self.job = trials, team, job
        self.models = [job.engines[number] for number in team]
        self.evidence, watched = _evidence(trials, job)
        self.windows = windows_for(self.models[0], job.settings.windows, seed=job.seed)
        starts, length = self.windows.lay(trials[0].frames)
        self.likelihood = PoissonLikelihood(
            starts=starts,
            length=length,
            unit_norm=job.settings.window_norm,
            windows_at_once=job.plan.windows_at_once,
            say=job.warn,
        )
        self.update = _update(job.settings)
        self.start, self.prior_mean = start, prior_mean
        self.early: EarlyStopping = AllPasses()
        if watched is not None:
            self.early = HeldOutNeurons(evidence=watched, start=start, patience=job.settings.patience)
        parts = {"update": self.update, "early stopping": self.early}
        self.snapshot = Snapshot(snapshot_file, fingerprint=self._fingerprint(), parts=parts)

    def go(self) -> Progress:
        """Run from the start, or from the snapshot, to the end."""
        job = self.job
        progress = self.snapshot.restore(Progress(videos=self.start.clone()))
        job.snapshots.extend([] if self.snapshot.file is None else [self.snapshot.file])
        if not self.snapshot.finished:
            self._search(progress)
        progress.kept = self.early.kept(progress.iteration - 1, trials=len(self.trials))
        return progress

    def _search(self, progress: Progress) -> None:
        settings, job = self.job.settings, self.job
        total, done = settings.iterations, progress.iteration
        with bar_of(total, description="Reconstructing", done=done, enabled=job.show_progress) as advance:
            invert(
                progress,
                models=self.models,
                evidence=self.evidence,
                windows=self.windows,
                likelihood=self.likelihood,
                prior=self._prior(),
                update=self.update,
                update_mask=job.update_mask.to(job.device),
                iterations=progress.iteration if self.early.stopped else total,
                first_update=1 if settings.update == "published" else 0,
                stopping=lambda progress: self.early.stopped or job.stopping(progress),
                callbacks=[self.early, self._recorder(), self.snapshot, lambda *_: advance(), *job.callbacks],
            )
        progress.videos = self.early.chosen(progress.videos)
        self.snapshot.finish(progress)
        job.plan.windows_at_once = self.likelihood.windows_at_once  # if memory ran out, the next run knows

    def _prior(self) -> Prior:
        settings, device = self.job.settings, self.job.device
        if settings.prior == "none":
            return FlatPrior()
        first = self.trials[0]
        decoder = self.job.decoder if self.job.prior_covariance == "decoder" else None
        components = None if decoder is None else decoder.residual_components
        if components is None:
            components = natural_components(*self.models[0].canvas.video_size)
        autocorrelation = None if decoder is None else decoder.residual_autocorrelation
        if autocorrelation is None:
            autocorrelation = natural_autocorrelation(first.frames, first.frame_rate_hz)
        mean = torch.full_like(self.start, MID_GREY) if self.prior_mean is None else self.prior_mean
        return GaussianPrior(
            mean=mean,
            time=torch.from_numpy(correlation_matrix(autocorrelation, first.frames)).to(device),
            components=torch.from_numpy(components).to(device),
            evidence_weight=self._evidence_weight(),
        )

    def _evidence_weight(self) -> Tensor:
        """(trials,): evidence_weight times the counts, over the dispersion of the errors of the start's predictions.

        The counts are those that a window's mean loss is over: times them, its gradient is that of the sum. The
        dispersion, mean squared error over mean prediction, makes the weight blind to the unit of the responses.
        """
        fit = fit_of(self.models[0], self.start, self.evidence, self.likelihood)
        keep = self.evidence.keep
        error = (fit.predicted[:, keep] - self.evidence.responses[:, keep]).square().mean(dim=(1, 2))
        dispersion = error / fit.predicted[:, keep].mean(dim=(1, 2)).clamp_min(1e-6)
        counts = keep.sum() * (self.likelihood.length - self.models[0].warmup_frames)
        return self.job.settings.evidence_weight * counts / dispersion.clamp_min(1e-6)

    def _prior_arrays(self) -> list[NDArray[np.float32]]:
        """What the prior takes from the decoder."""
        if self.prior_mean is None or self.job.decoder is None:
            return []
        covariances = (self.job.decoder.residual_covariance, self.job.decoder.residual_autocorrelation)
        return [self.prior_mean.cpu().numpy(), *(array for array in covariances if array is not None)]

    def _recorder(self) -> Recorder:
        settings, job = self.job.settings, self.job
        scored = job.scored(self.models[0].canvas.video_size)
        published = settings.record == "published"
        if published:
            responses = published_log(
                self.models,
                self.trials,
                crop=job.crop,
                scored=scored,
                keep=job.keep,
                ablated=settings.ablated,
                clips_at_once=job.clips_at_once,
            )
        else:
            responses = pass_log(self.evidence)
        return Recorder(
            responses=responses,
            crop=job.crop,
            truths=[None if trial.video is None else trial.needs_video() for trial in self.trials],
            scored=scored,
            every=settings.record_every,
            is_last=lambda progress: self.early.stopped or progress.iteration == settings.iterations - 1,
            skip=SKIP_FRAMES if published else min(30, self.trials[0].frames // 2),
        )

    def _fingerprint(self) -> str:
        return fingerprint(
            settings=self.job.settings.as_dict(),
            models=[self.job.model_hashes[number] for number in self.team],
            responses=[hash_array(trial.needs_responses()) for trial in self.trials],
            covariates=[hash_array(trial.covariates) for trial in self.trials],
            mask=hash_array(self.job.update_mask.numpy()),
            keep=hash_array(self.job.keep),
            start=hash_array(self.start.cpu().numpy()),
            prior=[hash_array(array) for array in self._prior_arrays()],
            seed=self.job.seed,
            precision=self.job.precision,
            arithmetic=self.job.arithmetic,
        )


def starting_movies(trials: list[Trial], job: Job) -> tuple[Tensor, Tensor | None]:
    """The starting movies, and the decoder's movies where the prior needs them."""
    canvas = job.models[0].canvas
    shape = canvas.size if job.settings.optimize_padding else canvas.video_size
    grey = torch.full((len(trials), trials[0].frames, *shape), MID_GREY, device=job.device)
    decoder, settings = job.decoder, job.settings
    if decoder is None or "decoder" not in (settings.start, settings.prior):
        return grey, None
    movies = [decode(decoder, _without_ablated(trial, job.keep, decoder)) for trial in trials]
    decoded = torch.from_numpy(np.stack(movies)).to(job.device)
    prior_mean = decoded if settings.prior == "decoder" else None
    if settings.start != "decoder":
        return grey, prior_mean
    return (canvas.place(decoded, padding=MID_GREY) if settings.optimize_padding else decoded), prior_mean


def _without_ablated(trial: Trial, keep: NDArray[np.bool_], decoder: RidgeDecoder) -> Trial:
    """The trial with every ablated neuron at the decoder's mean, where it has no say in the movie."""
    if keep.all():
        return trial
    mean = np.square(decoder.features.mean)[:, None]  # features are square roots of responses
    return trial.replace(responses=np.where(keep[:, None], trial.needs_responses(), mean))


def _evidence(trials: list[Trial], job: Job) -> tuple[Evidence, Evidence | None]:
    """The evidence that the likelihood sees; and that of the neurons held out for early stopping, if there are any."""
    responses = torch.from_numpy(np.stack([trial.needs_responses() for trial in trials]))
    keep = torch.from_numpy(job.keep)
    if job.settings.ablated == "silenced":  # published fault 1: ablated neurons stay in the loss, with a target of zero
        responses = responses * keep[:, None]
        keep = torch.ones_like(keep)
    used = max(model.covariates for model in job.models)  # trials may have recorded more
    covariates = torch.from_numpy(np.stack([trial.covariates[:used] for trial in trials]))
    every = Evidence(responses=responses.to(job.device), covariates=covariates.to(job.device), keep=keep.to(job.device))
    if not job.settings.held_out:
        return every, None
    held = torch.from_numpy(held_out_neurons(job.keep, fraction=job.settings.held_out, seed=job.seed)).to(job.device)
    return replace(every, keep=every.keep & ~held), replace(every, keep=held)


def _update(settings: Settings) -> Update:
    if settings.update == "published":
        return PublishedMomentum(learning_rate=settings.learning_rate)
    return MomentumDescent(learning_rate=settings.learning_rate)

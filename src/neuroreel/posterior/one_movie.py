"""The search for the most likely movie of one trial, with draws: run, resumed, turned into a result."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from neuroreel.budget import graphs_fit
from neuroreel.defaults import SKIP_FRAMES
from neuroreel.encoding.interface import EncodingModel
from neuroreel.encoding.request import Request
from neuroreel.evaluation.scores import video_correlation
from neuroreel.masks import scored_pixels
from neuroreel.posterior.linearized import scale_and_first_step
from neuroreel.posterior.objective import Objective, Whitened
from neuroreel.posterior.posterior import Posterior
from neuroreel.posterior.samples import deviation_of, draw
from neuroreel.posterior.search import Progress, search
from neuroreel.progress import bar_of, note
from neuroreel.recordings.trial import Trial
from neuroreel.results.provenance import hash_array
from neuroreel.results.reconstruction import Reconstruction
from neuroreel.snapshot import Snapshot

FARTHEST_START = 3.0  # standard deviations of the prior: a less likely start would only have to be undone


@dataclass(frozen=True, kw_only=True)
class PosteriorRequest(Request):
    """What is asked for every trial, checked."""

    posterior: Posterior
    samples: int
    passes: int

    @cached_property
    def scored(self) -> NDArray[np.bool_]:
        """(height, width): the pixels whose correlation is recorded during the search."""
        return scored_pixels(self.mask, self.posterior.movie_prior.size)


def reconstruct_one(
    trial: Trial,
    start: NDArray[np.float32] | None,
    request: PosteriorRequest,
    engines: Sequence[EncodingModel],
    snapshot: Snapshot,
) -> Reconstruction:
    """The most likely movie of one trial, draws if requested, and the rest of the result."""
    device = request.compute.torch_device
    whitened = Whitened.of_prior(request.posterior.movie_prior.to(device), trial.frames)
    objective = Objective(
        models=engines,
        whitened=whitened,
        noise=request.posterior.noise.to(device),
        kept=torch.from_numpy(request.kept).to(device),
        responses=torch.from_numpy(trial.needs_responses()).to(device),
        covariates=torch.from_numpy(trial.covariates).to(device),
        warmup=max(model.warmup_frames for model in engines),
        likelihood_weight=request.posterior.likelihood_weight,
        keep_graphs=graphs_fit(engines, frames=trial.frames, device=device, max_bytes=request.compute.max_bytes),
        say=partial(note, enabled=request.compute.progress),
    )
    begin = torch.zeros_like(whitened.deviation)
    if start is not None:
        begin = whitened.of(torch.from_numpy(start).to(device)).clamp(-FARTHEST_START, FARTHEST_START)
    progress, history = _search(trial, begin, objective, request, snapshot)
    video = whitened.movie(progress.coordinates).clamp(0, 255).cpu().numpy()
    drawn = _draws(objective, progress.coordinates, request)
    return request.result(
        trial,
        video,
        engines,
        samples=drawn,
        deviation=None if drawn is None else deviation_of(video, drawn),
        start=whitened.movie(begin).clamp(0, 255).cpu().numpy(),
        history=history,
        settings={
            "method": "posterior",
            "passes": progress.passes,
            "converged": progress.converged,
            "samples": request.samples,
            "likelihood_weight": request.posterior.likelihood_weight,
            "noise_factors": request.posterior.noise.loadings.shape[1],
            "movie_components": len(request.posterior.movie_prior.components),
        },
    )


def _search(
    trial: Trial, begin: Tensor, objective: Objective, request: PosteriorRequest, snapshot: Snapshot
) -> tuple[Progress, dict[str, list[float]]]:
    """Run the search from its start or snapshot to its end; returns it with its history."""
    kept = snapshot.load(device=begin.device)
    correlations: list[float] = kept.pop("correlations") if kept else []
    if kept:
        progress = Progress(**kept)
    else:
        found = objective.within_memory(lambda: scale_and_first_step(objective, begin), device=begin.device)
        progress = Progress(coordinates=begin, scale=found[0], first_step=found[1])
    whitened = objective.whitened

    with bar_of(
        request.passes,
        description=f"Reconstructing {trial.name}",
        done=progress.passes,
        enabled=request.compute.progress,
    ) as advance:
        shown = progress.passes

        def after_iteration(progress: Progress) -> None:
            nonlocal shown
            advance(progress.passes - shown)
            shown = progress.passes
            correlations.append(_correlation(trial, whitened.movie(progress.coordinates).clamp(0, 255), request.scored))
            if snapshot.due:
                snapshot.save({**vars(progress), "correlations": correlations})

        search(objective, progress, passes=request.passes, after_iteration=after_iteration)
    snapshot.save({**vars(progress), "correlations": correlations})  # draws and other trials also take long
    history = {
        "iteration": [float(passes) for passes, _ in progress.values],
        "loss": [value for _, value in progress.values],
        "video_correlation": correlations,
    }
    return progress, history


def _draws(objective: Objective, coordinates: Tensor, request: PosteriorRequest) -> NDArray[np.float32] | None:
    """Movies (samples, frames, height, width) drawn from the posterior."""
    if not request.samples:
        return None
    with bar_of(request.samples, description="Drawing samples", enabled=request.compute.progress) as advance:
        drawn = draw(objective, coordinates, count=request.samples, seed=request.seed, advance=advance)
    return np.stack([objective.whitened.movie(each).clamp(0, 255).cpu().numpy() for each in drawn])


def _correlation(trial: Trial, video: Tensor, scored: NDArray[np.bool_]) -> float:
    """Video correlation during the search; NaN if the true movie is unknown or too short."""
    if trial.video is None or trial.frames <= SKIP_FRAMES:
        return float("nan")
    return video_correlation(trial.needs_video(), video.cpu().numpy(), mask=scored)


def snapshot_of(
    trial: Trial,
    start: NDArray[np.float32] | None,
    number: int,
    request: PosteriorRequest,
    engines: Sequence[EncodingModel],
) -> Snapshot:
    """Where the progress of this movie is kept, if it is."""
    file = request.checkpoint(f"-trial{number}")
    if file is None:
        return Snapshot(None, fingerprint="")
    made_of = request.fingerprint(
        trial,
        engines,
        posterior={name: hash_array(tensor.numpy()) for name, tensor in request.posterior.tensors().items()},
        likelihood_weight=request.posterior.likelihood_weight,
        start=None if start is None else hash_array(start),
    )
    return Snapshot(file, fingerprint=made_of)

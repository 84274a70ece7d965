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
from neuroreel.encoding.wish import Wish
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
class PosteriorWish(Wish):
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
    wish: PosteriorWish,
    engines: Sequence[EncodingModel],
    snapshot: Snapshot,
) -> Reconstruction:
    """The most likely movie of one trial, draws if requested, and the rest of the result."""
    device = wish.compute.torch_device
    whitened = Whitened.of_prior(wish.posterior.movie_prior.to(device), trial.frames)
    objective = Objective(
        models=engines,
        whitened=whitened,
        noise=wish.posterior.noise.to(device),
        kept=torch.from_numpy(wish.kept).to(device),
        responses=torch.from_numpy(trial.needs_responses()).to(device),
        covariates=torch.from_numpy(trial.covariates).to(device),
        warmup=max(model.warmup_frames for model in engines),
        likelihood_weight=wish.posterior.likelihood_weight,
        keep_graphs=graphs_fit(engines, frames=trial.frames, device=device, max_bytes=wish.compute.max_bytes),
        say=partial(note, enabled=wish.compute.progress),
    )
    begin = torch.zeros_like(whitened.deviation)
    if start is not None:
        begin = whitened.of(torch.from_numpy(start).to(device)).clamp(-FARTHEST_START, FARTHEST_START)
    progress, history = _search(trial, begin, objective, wish, snapshot)
    video = whitened.movie(progress.coordinates).clamp(0, 255).cpu().numpy()
    drawn = _draws(objective, progress.coordinates, wish)
    return wish.result(
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
            "samples": wish.samples,
            "likelihood_weight": wish.posterior.likelihood_weight,
            "noise_factors": wish.posterior.noise.loadings.shape[1],
            "movie_components": len(wish.posterior.movie_prior.components),
        },
    )


def _search(
    trial: Trial, begin: Tensor, objective: Objective, wish: PosteriorWish, snapshot: Snapshot
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
        wish.passes, description=f"Reconstructing {trial.name}", done=progress.passes, enabled=wish.compute.progress
    ) as advance:
        shown = progress.passes

        def after_iteration(progress: Progress) -> None:
            nonlocal shown
            advance(progress.passes - shown)
            shown = progress.passes
            correlations.append(_correlation(trial, whitened.movie(progress.coordinates).clamp(0, 255), wish.scored))
            if snapshot.due:
                snapshot.save({**vars(progress), "correlations": correlations})

        search(objective, progress, passes=wish.passes, after_iteration=after_iteration)
    snapshot.save({**vars(progress), "correlations": correlations})  # draws and other trials also take long
    history = {
        "iteration": [float(passes) for passes, _ in progress.values],
        "loss": [value for _, value in progress.values],
        "video_correlation": correlations,
    }
    return progress, history


def _draws(objective: Objective, coordinates: Tensor, wish: PosteriorWish) -> NDArray[np.float32] | None:
    """Movies (samples, frames, height, width) drawn from the posterior."""
    if not wish.samples:
        return None
    with bar_of(wish.samples, description="Drawing samples", enabled=wish.compute.progress) as advance:
        drawn = draw(objective, coordinates, count=wish.samples, seed=wish.seed, advance=advance)
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
    wish: PosteriorWish,
    engines: Sequence[EncodingModel],
) -> Snapshot:
    """Where the progress of this movie is kept, if it is."""
    file = wish.checkpoint(f"-trial{number}")
    if file is None:
        return Snapshot(None, fingerprint="")
    made_of = wish.fingerprint(
        trial,
        engines,
        posterior={name: hash_array(tensor.numpy()) for name, tensor in wish.posterior.tensors().items()},
        likelihood_weight=wish.posterior.likelihood_weight,
        start=None if start is None else hash_array(start),
    )
    return Snapshot(file, fingerprint=made_of)

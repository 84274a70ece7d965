"""``nr.reconstruct``: the most likely movie given a trial's responses, and draws of what else it may have been."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, overload

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from neuroreel.allocator import keep_freed_memory
from neuroreel.arguments import instance_of, whole_number
from neuroreel.budget import graphs_fit
from neuroreel.compute import Compute
from neuroreel.encoding.checks import declared
from neuroreel.encoding.dwiseneuro.folded import arithmetic_of, engine_of, precision_of
from neuroreel.encoding.interface import EncodingModel, frozen
from neuroreel.encoding.predict import predict
from neuroreel.evaluation.comparison import SKIP_FRAMES
from neuroreel.evaluation.scores import video_correlation
from neuroreel.masks import check_mask_values, mask_on_video, scored_pixels
from neuroreel.memory import memory_errors_told
from neuroreel.posterior.checks import check_trials_fit, checked_starts, usable_neurons
from neuroreel.posterior.linearized import scale_and_first_step
from neuroreel.posterior.objective import Objective, Whitened
from neuroreel.posterior.posterior import Posterior
from neuroreel.posterior.samples import deviation_of, draw
from neuroreel.posterior.search import Progress, search
from neuroreel.progress import bar_of, note
from neuroreel.recordings.trial import Trial
from neuroreel.results.provenance import hash_array, hash_model
from neuroreel.results.reconstruction import Reconstruction
from neuroreel.snapshot import Snapshot, fingerprint

PASSES = 25
FARTHEST_START = 3.0  # standard deviations of the prior: what is less likely would only have to be undone
Movie = NDArray[np.floating[Any]]


@dataclass(frozen=True, kw_only=True)
class _Wish:
    """What is asked for every trial, checked."""

    posterior: Posterior
    mask: NDArray[np.float32] | None
    kept: NDArray[np.bool_]
    samples: int
    passes: int
    seed: int
    compute: Compute

    @cached_property
    def model_hashes(self) -> list[str]:
        """Fingerprints of the models' weights, taken once for all trials."""
        return [hash_model(model) for model in self.posterior.models]

    @cached_property
    def scored(self) -> NDArray[np.bool_]:
        """(height, width): the pixels whose correlation is recorded on the way."""
        return scored_pixels(self.mask, self.posterior.movie_prior.size)


@overload
def reconstruct(
    trials: Trial,
    posterior: Posterior,
    *,
    mask: ArrayLike | None = ...,
    neurons: ArrayLike | None = ...,
    samples: int = ...,
    passes: int = ...,
    start: Movie | None = ...,
    allow_trained_on: bool = ...,
    seed: int = ...,
    compute: Compute | None = ...,
) -> Reconstruction: ...
@overload
def reconstruct(
    trials: Iterable[Trial],
    posterior: Posterior,
    *,
    mask: ArrayLike | None = ...,
    neurons: ArrayLike | None = ...,
    samples: int = ...,
    passes: int = ...,
    start: Sequence[Movie] | None = ...,
    allow_trained_on: bool = ...,
    seed: int = ...,
    compute: Compute | None = ...,
) -> list[Reconstruction]: ...
def reconstruct(
    trials: Trial | Iterable[Trial],
    posterior: Posterior,
    *,
    mask: ArrayLike | None = None,
    neurons: ArrayLike | None = None,
    samples: int = 0,
    passes: int = PASSES,
    start: Movie | Sequence[Movie] | None = None,
    allow_trained_on: bool = False,
    seed: int = 0,
    compute: Compute | None = None,
) -> Reconstruction | list[Reconstruction]:
    """Reconstruct the movie of one trial, or of several, from its responses: the most likely one under the posterior.

    Parameters
    ----------
    trials
        With responses, and behavior if the encoding models use it. The video is not looked at, but for scores.
    posterior
        From ``nr.fit_posterior`` or ``nr.load_posterior``.
    mask
        Transparency mask (height, width): which pixels scores count. It does not change the movie.
    neurons
        (neurons,) boolean: the neurons that may be used. The others are ablated: they leave responses and noise.
    samples
        How many draws from the posterior to make beside the most likely movie; each costs about as many passes as it.
    passes
        At most so many passes, all windows once through all models, forward and backward, beside some three that find
        how far to go in which direction. More do no harm.
    start
        Movie (frames, height, width) where the search starts, a list of them for several trials; by default the
        prior's mean. It decides how many passes are needed, not where they lead.
    allow_trained_on
        Also reconstruct movies that an encoding model declares to be in its training set. The result says so.
    seed
        Random seed, of the draws alone.
    compute
        Device, precision, memory, checkpoint, progress.

    Returns
    -------
    Reconstruction, or list of Reconstruction in the order of the trials
        ``.video`` (frames, height, width), float32, grey levels 0..255; with samples also ``.samples`` and
        ``.deviation``.

    Raises
    ------
    InputError
        Trials, mask, neurons or numbers that do not fit; raised before any work.
    ResourceError
        The device is not there, or memory is too small.
    """
    single = isinstance(trials, Trial)
    starts: Any = [start] if single and start is not None else start
    results = list(
        reconstruct_each(
            trials if isinstance(trials, Iterable) else [trials],
            posterior,
            mask=mask,
            neurons=neurons,
            samples=samples,
            passes=passes,
            starts=starts,
            allow_trained_on=allow_trained_on,
            seed=seed,
            compute=compute,
        )
    )
    return results[0] if single else results


def reconstruct_each(
    trials: Iterable[Trial],
    posterior: Posterior,
    *,
    mask: ArrayLike | None = None,
    neurons: ArrayLike | None = None,
    samples: int = 0,
    passes: int = PASSES,
    starts: Sequence[Movie] | None = None,
    allow_trained_on: bool = False,
    seed: int = 0,
    compute: Compute | None = None,
) -> Iterator[Reconstruction]:
    """As ``nr.reconstruct``, but each result is handed over as soon as it is made, and none is kept.

    With a recording's trials, memory does not grow with their number.
    """
    instance_of(posterior, Posterior, name="posterior")
    chosen: Any = trials if isinstance(trials, Sequence) else list(trials)
    wish = _Wish(
        posterior=posterior,
        mask=None if mask is None else check_mask_values(mask, what="the mask"),
        kept=usable_neurons(neurons, posterior),
        samples=whole_number(samples, name="samples", least=0),
        passes=whole_number(passes, name="passes"),
        seed=whole_number(seed, name="seed", least=0),
        compute=Compute.of(compute),
    )
    _ = wish.scored  # refuses a mask of another size
    check_trials_fit(chosen, posterior, allow_trained_on=allow_trained_on)
    return _each(chosen, wish, checked_starts(starts, chosen, posterior))


def _each(
    trials: Sequence[Trial], wish: _Wish, starts: Sequence[NDArray[np.float32] | None]
) -> Iterator[Reconstruction]:
    keep_freed_memory()
    device, finished = wish.compute.torch_device, []
    with memory_errors_told(device), frozen(wish.posterior.models, device=device):
        engines = [engine_of(model, precision=wish.compute.torch_precision) for model in wish.posterior.models]
        for number, trial in enumerate(trials):  # zip would hold one trial more in memory
            start = starts[number]
            snapshot = _snapshot_of(trial, start, number, wish, engines)
            yield _reconstruct_one(trial, start, wish, engines, snapshot)
            finished.append(snapshot.file)
    for file in finished:
        if file is not None:
            file.unlink(missing_ok=True)


def _reconstruct_one(
    trial: Trial,
    start: NDArray[np.float32] | None,
    wish: _Wish,
    engines: Sequence[EncodingModel],
    snapshot: Snapshot,
) -> Reconstruction:
    """The most likely movie of one trial, perhaps draws, and all that belongs to the result."""
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
    shown = trial.replace(video=video, responses=None)
    scored_mask = None if wish.mask is None else mask_on_video(wish.mask, video.shape[1:])
    return Reconstruction.build(
        video=video,
        frame_rate_hz=trial.frame_rate_hz,
        trial=trial,
        recording=trial.recording,
        simulated=trial.simulated,
        mask=scored_mask,
        samples=drawn,
        deviation=None if drawn is None else deviation_of(video, drawn),
        start=whitened.movie(begin).clamp(0, 255).cpu().numpy(),
        predicted=predict(engines, shown),
        predicted_truth=None if trial.video is None else predict(engines, trial),
        history=history,
        neuron_mask=wish.kept,
        settings={
            "method": "posterior",
            "passes": progress.passes,
            "converged": progress.converged,
            "samples": wish.samples,
            "likelihood_weight": wish.posterior.likelihood_weight,
            "noise_factors": wish.posterior.noise.loadings.shape[1],
            "movie_components": len(wish.posterior.movie_prior.components),
            "neurons_kept": int(wish.kept.sum()),
            "models": len(engines),
            "precision": ", ".join(sorted({precision_of(engine) for engine in engines})),
            **declared(wish.posterior.models, trial),
        },
        hashes={
            "models": ", ".join(wish.model_hashes),
            "responses": hash_array(trial.needs_responses()),
        },
        seed=wish.seed,
        device=device,
    )


def _search(
    trial: Trial, begin: Tensor, objective: Objective, wish: _Wish, snapshot: Snapshot
) -> tuple[Progress, dict[str, list[float]]]:
    """The search from its start, or from its snapshot, to its end; and what it went through."""
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
    snapshot.save({**vars(progress), "correlations": correlations})  # draws, and other trials, take long too
    history = {
        "iteration": [float(passes) for passes, _ in progress.values],
        "loss": [value for _, value in progress.values],
        "video_correlation": correlations,
    }
    return progress, history


def _draws(objective: Objective, coordinates: Tensor, wish: _Wish) -> NDArray[np.float32] | None:
    """Movies (samples, frames, height, width) drawn from the posterior."""
    if not wish.samples:
        return None
    with bar_of(wish.samples, description="Drawing samples", enabled=wish.compute.progress) as advance:
        drawn = draw(objective, coordinates, count=wish.samples, seed=wish.seed, advance=advance)
    return np.stack([objective.whitened.movie(each).clamp(0, 255).cpu().numpy() for each in drawn])


def _correlation(trial: Trial, video: Tensor, scored: NDArray[np.bool_]) -> float:
    """Video correlation on the way; NaN where the true movie is unknown or too short."""
    if trial.video is None or trial.frames <= SKIP_FRAMES:
        return float("nan")
    return video_correlation(trial.needs_video(), video.cpu().numpy(), mask=scored)


def _snapshot_of(
    trial: Trial,
    start: NDArray[np.float32] | None,
    number: int,
    wish: _Wish,
    engines: Sequence[EncodingModel],
) -> Snapshot:
    file: Path | None = wish.compute.checkpoint_file
    if file is None:
        return Snapshot(None, fingerprint="")
    made_of = fingerprint(
        models=wish.model_hashes,
        posterior={name: hash_array(tensor.numpy()) for name, tensor in wish.posterior.tensors().items()},
        likelihood_weight=wish.posterior.likelihood_weight,
        responses=hash_array(trial.needs_responses()),
        covariates=hash_array(trial.covariates),
        kept=hash_array(wish.kept),
        start=None if start is None else hash_array(start),
        mask=None if wish.mask is None else hash_array(wish.mask),
        arithmetic=arithmetic_of(engines),
    )
    return Snapshot(
        file.with_name(f"{file.stem}-trial{number}{file.suffix or '.pt'}"),
        fingerprint=made_of,
    )

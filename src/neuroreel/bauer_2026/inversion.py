"""``nr.bauer_2026.reconstruct``: the published method, from gray to the movie whose predicted responses match.

Bauer, Margrie & Clopath, eLife 2026 (doi 10.7554/eLife.105081): the pixels are the parameters of a Poisson loss between
predicted and recorded responses, over overlapping windows, with gradients of unit norm and a momentum rule. There is
no prior and no noise model; the movie gets better and then worse, and 1000 passes are made. Its quirks are kept so
that results can be compared; ``docs/differences.md`` lists them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, overload

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from neuroreel.allocator import keep_freed_memory
from neuroreel.arguments import whole_number
from neuroreel.bauer_2026.checks import check_models_agree, update_mask_of
from neuroreel.bauer_2026.likelihood import Evidence, PoissonLikelihood, mean_fit, window_length, window_starts
from neuroreel.bauer_2026.log import history_row
from neuroreel.bauer_2026.optimizer import PublishedMomentum
from neuroreel.bauer_2026.settings import Settings
from neuroreel.budget import windows_that_fit
from neuroreel.compute import Compute
from neuroreel.encoding.checks import as_ensemble, checked_neurons
from neuroreel.encoding.engine import engines_of
from neuroreel.encoding.interface import EncodingModel
from neuroreel.encoding.request import Request, check_trials_fit
from neuroreel.errors import InputError
from neuroreel.grey import MID_GREY
from neuroreel.masks import check_mask_values, scored_pixels
from neuroreel.progress import bar_of, note
from neuroreel.recordings.trial import Trial
from neuroreel.results.provenance import hash_array
from neuroreel.results.reconstruction import Reconstruction
from neuroreel.snapshot import Snapshot


@overload
def reconstruct(
    trials: Trial,
    models: EncodingModel | Sequence[EncodingModel],
    *,
    mask: ArrayLike | None = ...,
    neurons: ArrayLike | None = ...,
    allow_trained_on: bool = ...,
    seed: int = ...,
    compute: Compute | None = ...,
    **settings: int | float | str | bool,
) -> Reconstruction: ...
@overload
def reconstruct(
    trials: Iterable[Trial],
    models: EncodingModel | Sequence[EncodingModel],
    *,
    mask: ArrayLike | None = ...,
    neurons: ArrayLike | None = ...,
    allow_trained_on: bool = ...,
    seed: int = ...,
    compute: Compute | None = ...,
    **settings: int | float | str | bool,
) -> list[Reconstruction]: ...
def reconstruct(
    trials: Trial | Iterable[Trial],
    models: EncodingModel | Sequence[EncodingModel],
    *,
    mask: ArrayLike | None = None,
    neurons: ArrayLike | None = None,
    allow_trained_on: bool = False,
    seed: int = 0,
    compute: Compute | None = None,
    **settings: int | float | str | bool,
) -> Reconstruction | list[Reconstruction]:
    """Reconstruct the movie of one trial, or of several, as published (Bauer, Margrie & Clopath, eLife 2026).

    Parameters
    ----------
    trials
        With responses, and behavior if the models use it. The video is used only for scores during the run.
    models
        An encoding model of these neurons, or an ensemble.
    mask
        Transparency mask (height, width), on the models' canvas or on the video. Pixels below ``mask_threshold`` stay
        gray.
    neurons
        (neurons,) boolean: the neurons that may be used; the others are ablated.
    allow_trained_on
        Also reconstruct movies from a model's declared training set. The result says so.
    seed
        Saved with the result; nothing is random.
    compute
        Device, precision, memory, checkpoint, progress.
    **settings
        The fields of :class:`~neuroreel.bauer_2026.settings.Settings`: ``iterations=1000``, ``mask_threshold=0.5``, …

    Returns
    -------
    Reconstruction, or list of Reconstruction in the order of the trials
        ``.video`` is (frames, height, width), float32, gray 0..255.

    Raises
    ------
    InputError
        Trials, mask, neurons or settings that do not fit; raised before any work starts.
    ResourceError
        The device is not available, or its memory is too small for a single window.
    """
    single = isinstance(trials, Trial)
    given: Any = trials if isinstance(trials, Iterable) else [trials]  # anything but a trial is refused below
    chosen = given if isinstance(given, Sequence) else list(given)
    ensemble = as_ensemble(models)
    resolved = Settings.of(dict(settings))
    whole_number(seed, name="seed", least=0)
    check_models_agree(ensemble, with_padding=resolved.optimize_padding, share_windows=resolved.ensemble == "gradients")
    for trial in check_trials_fit(chosen, ensemble, allow_trained_on=allow_trained_on):
        for model in ensemble:
            window_starts(trial.frames, window_length(model))
    seen = None if mask is None else check_mask_values(mask, what="the mask")
    request = _Request(
        settings=resolved,
        models=ensemble,
        mask=seen,
        update_mask=update_mask_of(
            seen, ensemble[0].canvas, threshold=resolved.mask_threshold, with_padding=resolved.optimize_padding
        ),
        kept=checked_neurons(neurons, ensemble[0].neurons),
        seed=seed,
        compute=Compute.of(compute),
    )
    results = list(_each(chosen, request))
    return results[0] if single else results


@dataclass(frozen=True, kw_only=True)
class _Request(Request):
    """What was requested, checked; the same for every trial."""

    settings: Settings
    update_mask: Tensor

    def crop(self, movie: Tensor) -> Tensor:
        """The video, cropped from the movie that is optimized."""
        return self.models[0].canvas.crop(movie) if self.settings.optimize_padding else movie


def _each(trials: Sequence[Trial], request: _Request) -> Iterator[Reconstruction]:
    keep_freed_memory()
    device, finished = request.compute.torch_device, list[Path]()
    with engines_of(request.models, request.compute) as engines:
        at_once = min(
            windows_that_fit(engine, frames=window_length(engine), device=device, max_bytes=request.compute.max_bytes)
            for engine in engines
        )
        # in log files too, to explain why the work slows down
        say = partial(note, enabled=request.compute.progress)
        likelihood = PoissonLikelihood(unit_norm=request.settings.window_norm, windows_at_once=at_once, say=say)
        for number, trial in enumerate(trials):
            teams = [[engine] for engine in engines] if request.settings.ensemble == "videos" else [engines]
            runs = []
            for member, team in enumerate(teams):
                snapshot = _snapshot_of(trial, f"-trial{number}" + f"-model{member}" * (len(teams) > 1), team, request)
                runs.append(_optimize(trial, team, likelihood, request, snapshot))
                finished += [] if snapshot.file is None else [snapshot.file]
            yield _pack(trial, engines, runs, request)
    for file in finished:
        file.unlink(missing_ok=True)


@dataclass(kw_only=True)
class _Run:
    """The state of a run."""

    movie: Tensor
    iteration: int
    history: list[dict[str, float]]


def _optimize(
    trial: Trial, team: Sequence[EncodingModel], likelihood: PoissonLikelihood, request: _Request, snapshot: Snapshot
) -> _Run:
    """The loop. Each pass averages the gradients of all windows and models, zeroes them outside the mask, and steps.

    Pass 0 only records.
    """
    settings, device = request.settings, request.compute.torch_device
    canvas = team[0].canvas
    shape = canvas.size if settings.optimize_padding else canvas.video_size
    movie = torch.full((trial.frames, *shape), MID_GREY, device=device)
    optimizer = PublishedMomentum([movie], lr=settings.learning_rate)
    run = _Run(movie=movie, iteration=0, history=[])
    if kept := snapshot.load(device=device):
        movie.copy_(kept["movie"])
        optimizer.load_state_dict(kept["optimizer"])
        run.iteration, run.history = kept["iteration"], kept["history"]
    evidence = Evidence.of(trial, team, keep=request.kept, ablated=settings.ablated, device=device)
    update_mask = request.update_mask.to(device)
    with bar_of(
        settings.iterations,
        description=f"Reconstructing {trial.name}",
        done=run.iteration,
        enabled=request.compute.progress,
    ) as advance:
        while run.iteration < settings.iterations:
            fit = mean_fit(likelihood, team, movie, evidence)
            if not torch.isfinite(fit.loss):
                raise InputError(
                    f"the loss became NaN or infinite in pass {run.iteration}; check that the models' predictions are "
                    "finite (nr.predict), or lower learning_rate"
                )
            if run.iteration > 0:
                movie.grad = fit.gradient * update_mask
                optimizer.step()
            if run.iteration % settings.record_every == 0 or run.iteration == settings.iterations - 1:
                row = history_row(
                    trial,
                    team,
                    request.crop(movie).cpu().numpy(),
                    fit,
                    evidence,
                    settings=settings,
                    scored=scored_pixels(request.mask, canvas.video_size),
                    keep=request.kept,
                    clips_at_once=likelihood.windows_at_once * team[0].clip_stride,
                )
                run.history.append({"iteration": run.iteration} | row)
            run.iteration += 1
            if snapshot.due or run.iteration == settings.iterations:
                state = {"movie": movie, "optimizer": optimizer.state_dict()}
                snapshot.save(state | {"iteration": run.iteration, "history": run.history})
            advance()
    return run


def _pack(trial: Trial, engines: Sequence[EncodingModel], runs: Sequence[_Run], request: _Request) -> Reconstruction:
    videos = torch.stack([request.crop(run.movie) for run in runs])  # (teams, frames, height, width)
    video = videos.mean(dim=0).cpu().numpy().clip(0, 255)
    rows = runs[0].history
    return request.result(
        trial,
        video,
        engines,
        start=np.full_like(video, MID_GREY),
        model_video=videos.cpu().numpy() if len(runs) > 1 else None,
        history={name: [row[name] for row in rows] for name in rows[0]} if rows else None,
        settings={"method": "bauer_2026", **asdict(request.settings)},
        hashes={} if request.mask is None else {"mask": hash_array(request.mask)},
    )


def _snapshot_of(trial: Trial, ending: str, team: Sequence[EncodingModel], request: _Request) -> Snapshot:
    file = request.checkpoint(ending)
    if file is None:
        return Snapshot(None, fingerprint="")
    return Snapshot(file, fingerprint=request.fingerprint(trial, team, settings=asdict(request.settings), run=ending))

"""``nr.reconstruct``: the most likely movie given a trial's responses, and draws from the posterior."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neuroreel.allocator import keep_freed_memory
from neuroreel.arguments import instance_of, whole_number
from neuroreel.compute import Compute
from neuroreel.encoding.engine import engines_of
from neuroreel.encoding.request import check_trials_fit
from neuroreel.masks import check_mask_values
from neuroreel.posterior.checks import checked_starts, usable_neurons
from neuroreel.posterior.one_movie import PosteriorRequest, reconstruct_one, snapshot_of
from neuroreel.posterior.posterior import Posterior
from neuroreel.recordings.trial import Trial
from neuroreel.results.reconstruction import Reconstruction

PASSES = 25
Movie = NDArray[np.floating[Any]]


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
        With responses, and behavior if the encoding models use it. The video is used only for scores.
    posterior
        From ``nr.fit_posterior`` or ``nr.load_posterior``.
    mask
        Transparency mask (height, width): which pixels are scored. It does not change the movie.
    neurons
        (neurons,) boolean: the neurons that may be used. The others are ablated: dropped from responses and noise.
    samples
        Number of draws from the posterior in addition to the most likely movie; each costs about as many passes.
    passes
        Most passes (all windows once through all models, forward and backward), plus about three that set the scale of
        the search. More do no harm.
    start
        Movie (frames, height, width) where the search starts, or a list of movies for several trials; by default the
        prior's mean. It affects how many passes are needed, not where they lead.
    allow_trained_on
        Also reconstruct movies from an encoding model's declared training set. The result says so.
    seed
        Random seed of the draws.
    compute
        Device, precision, memory, checkpoint, progress.

    Returns
    -------
    Reconstruction, or list of Reconstruction in the order of the trials
        ``.video`` (frames, height, width), float32, gray levels 0..255; with samples also ``.samples`` and
        ``.deviation``.

    Raises
    ------
    InputError
        Trials, mask, neurons or numbers that do not fit; raised before any work starts.
    ResourceError
        The device does not exist, or memory is too small.
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
    """Like ``nr.reconstruct``, but yields each result as soon as it is made and keeps none.

    With a recording's trials, memory does not grow with their number.
    """
    instance_of(posterior, Posterior, name="posterior")
    chosen: Any = trials if isinstance(trials, Sequence) else list(trials)
    request = PosteriorRequest(
        models=posterior.models,
        posterior=posterior,
        mask=None if mask is None else check_mask_values(mask, what="the mask"),
        kept=usable_neurons(neurons, posterior),
        samples=whole_number(samples, name="samples", least=0),
        passes=whole_number(passes, name="passes"),
        seed=whole_number(seed, name="seed", least=0),
        compute=Compute.of(compute),
    )
    _ = request.scored  # refuses a mask of another size
    check_trials_fit(chosen, posterior.models, allow_trained_on=allow_trained_on)
    return _each(chosen, request, checked_starts(starts, chosen, posterior))


def _each(
    trials: Sequence[Trial], request: PosteriorRequest, starts: Sequence[NDArray[np.float32] | None]
) -> Iterator[Reconstruction]:
    keep_freed_memory()
    finished = []
    with engines_of(request.models, request.compute) as engines:
        for number, trial in enumerate(trials):  # zip would hold one trial more in memory
            start = starts[number]
            snapshot = snapshot_of(trial, start, number, request, engines)
            yield reconstruct_one(trial, start, request, engines, snapshot)
            finished.append(snapshot.file)
    for file in finished:
        if file is not None:
            file.unlink(missing_ok=True)

"""Early stopping on held-out neurons: when to stop, and which pass's movie to keep."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from neuroreel.encoding.correlation import row_correlations
from neuroreel.errors import InputError
from neuroreel.inversion.likelihood import Evidence, Fit
from neuroreel.inversion.loop import Progress


class EarlyStopping(Protocol):
    """A callback of the loop that watches each pass, says when to stop, and which movies to keep."""

    @property
    def stopped(self) -> bool:
        """No trial needs another pass."""
        ...

    def __call__(self, progress: Progress, fit: Fit) -> None:
        """Watch a pass."""
        ...

    def chosen(self, videos: Tensor) -> Tensor:
        """The movies to keep, given those after the last pass."""
        ...

    def kept(self, last: int, *, trials: int) -> list[int]:
        """For each trial the pass whose movie that is, given the last pass; -1 for the movie before the first."""
        ...

    def state(self) -> dict[str, Any]:
        """What a snapshot must keep."""
        ...

    def restore(self, state: dict[str, Any]) -> None:
        """Take up a snapshot's state."""
        ...


class AllPasses:
    """Never stops, and keeps the movies of the last pass: the published method."""

    stopped = False

    def __call__(self, progress: Progress, fit: Fit) -> None:
        """Nothing to watch."""

    def chosen(self, videos: Tensor) -> Tensor:
        """The movies as they are."""
        return videos

    def kept(self, last: int, *, trials: int) -> list[int]:
        """The last pass."""
        return [last] * trials

    def state(self) -> dict[str, Any]:
        """Nothing to keep."""
        return {}

    def restore(self, state: dict[str, Any]) -> None:
        """Nothing to take up."""


class HeldOutNeurons:
    """Keeps, for each trial, the movie that best explains neurons that the likelihood does not see.

    Their responses share the movie with those of the other neurons, but not the noise: while the predictions correlate
    with them better and better, the movie does get better; later the search explains noise. The true movie is not
    needed. It is the mean correlation that counts, not the loss, which the few most active of the neurons decide.

    A trial whose correlation has not risen for ``patience`` passes is done: what later passes, made for other trials,
    do to its movie does not count, so that a trial's result is the same alone and in a group.

    Parameters
    ----------
    evidence
        Its ``keep`` are the neurons that are watched.
    start
        The movies (trials, frames, height, width) before the first pass.
    patience
        Passes without a rise after which a trial is done.
    """

    _REMEMBERED = ("before", "best", "highest", "waited", "best_pass")

    def __init__(self, *, evidence: Evidence, start: Tensor, patience: int) -> None:
        self.evidence = evidence
        self.patience = patience
        trials = len(start)
        self.before = self.best = start
        self.highest = start.new_full((trials,), -torch.inf)
        self.waited = torch.zeros(trials, dtype=torch.int64, device=start.device)
        self.best_pass = torch.full_like(self.waited, -1)

    @property
    def stopped(self) -> bool:
        """See ``EarlyStopping.stopped``."""
        return bool((self.waited >= self.patience).all())

    def __call__(self, progress: Progress, fit: Fit) -> None:
        """Watch a pass: its fit is that of the movies before it."""
        watched = self.evidence.keep
        pairs = fit.predicted[:, watched], self.evidence.responses[:, watched]
        correlation = row_correlations(*pairs, constant=0.0).mean(dim=1)
        running = self.waited < self.patience
        better = running & (correlation > self.highest)
        self.highest = torch.where(better, correlation, self.highest)
        self.best = torch.where(better[:, None, None, None], self.before, self.best)
        self.best_pass = torch.where(better, progress.iteration - 1, self.best_pass)
        self.waited = torch.where(better, 0, self.waited + running)
        self.before = progress.videos

    def chosen(self, videos: Tensor) -> Tensor:
        """The best movies; those after the last pass, which nobody has watched, where it got better to the end."""
        return torch.where((self.waited == 0)[:, None, None, None], videos, self.best)

    def kept(self, last: int, *, trials: int) -> list[int]:
        """See ``EarlyStopping.kept``."""
        return torch.where(self.waited == 0, last, self.best_pass).tolist()

    def state(self) -> dict[str, Any]:
        """See ``EarlyStopping.state``."""
        return {name: getattr(self, name).cpu() for name in self._REMEMBERED}

    def restore(self, state: dict[str, Any]) -> None:
        """See ``EarlyStopping.restore``."""
        for name in self._REMEMBERED:
            setattr(self, name, state[name].to(self.best.device))


def held_out_neurons(keep: NDArray[np.bool_], *, fraction: float, seed: int) -> NDArray[np.bool_]:
    """(neurons,) boolean: a random fraction of the neurons that are kept, at least one.

    Raises
    ------
    InputError
        Fewer than two neurons are kept: one must be seen, one watched.
    """
    kept = np.flatnonzero(keep)
    if len(kept) < 2:
        raise InputError(
            f"held_out={fraction:g} leaves out neurons to know when to stop, but {len(kept)} is used: "
            "use at least two neurons, or pass held_out=0"
        )
    count = min(max(1, round(fraction * len(kept))), len(kept) - 1)
    held = np.zeros(len(keep), bool)
    held[np.random.default_rng(seed).choice(kept, count, replace=False)] = True
    return held

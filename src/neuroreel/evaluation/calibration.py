"""Calibration of the posterior: coverage of its intervals, and ranks of the truth among its samples."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import norm

from neuroreel.defaults import SKIP_FRAMES
from neuroreel.errors import InputError
from neuroreel.evaluation.comparison import check_skip, evaluation_mask
from neuroreel.results.reconstruction import Reconstruction
from neuroreel.showing import shown

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LEVELS = (0.5, 0.68, 0.8, 0.9, 0.95)


def coverage(
    results: Reconstruction | Sequence[Reconstruction],
    *,
    levels: Sequence[float] = LEVELS,
    mask: ArrayLike | None = None,
    skip: int = SKIP_FRAMES,
) -> dict[float, float]:
    """How often central intervals of the posterior contain the true pixel: at their nominal rate, if calibrated.

    An interval is the MAP movie plus and minus a normal quantile times ``result.deviation``.

    Parameters
    ----------
    results
        Reconstructions with samples and known true movies.
    levels
        Nominal probabilities of the intervals, between 0 and 1.
    mask
        (height, width): pixels of at least 1 count; by default each result's own mask, or all pixels without one.
    skip
        Frames left out at the start of each movie.

    Returns
    -------
    dict
        Fraction of pixels and frames inside the interval, for each level.

    Raises
    ------
    InputError
        A result without samples or true movie, or that is no longer than ``skip``; levels outside 0..1.
    """
    if not len(levels) or not all(0 < level < 1 for level in levels):
        raise InputError(f"levels is {levels!r}; they must be probabilities between 0 and 1")
    errors = np.concatenate(
        [
            (np.abs(truth - video) / deviation.clip(1e-6)).ravel()  # in standard deviations
            for truth, video, _, deviation in _scored(results, mask, skip)
        ]
    )
    return {level: float(np.mean(errors <= norm.ppf(0.5 + level / 2))) for level in levels}


def rank_histogram(
    results: Reconstruction | Sequence[Reconstruction], *, mask: ArrayLike | None = None, skip: int = SKIP_FRAMES
) -> NDArray[np.int64]:
    """How many samples lie below the true pixel, counted over pixels and frames: (samples + 1,), flat if calibrated.

    Simulation-based calibration (Talts et al. 2018, arXiv:1804.06788). A peak in the middle means that the samples
    vary too much, high ends that they vary too little. Ties, at black and white, count half. Arguments as in
    :func:`coverage`; all results need the same number of samples.
    """
    histograms = []
    for truth, _, samples, _ in _scored(results, mask, skip):
        below = (samples < truth).sum(axis=0) + (samples == truth).sum(axis=0) // 2
        histograms.append(np.bincount(below.ravel(), minlength=len(samples) + 1))
    counts = list(dict.fromkeys(len(each) - 1 for each in histograms))
    if len(counts) > 1:
        raise InputError(f"the results have {counts[0]} and {counts[1]} samples; ranks need the same number in all")
    return np.sum(histograms, axis=0)


def calibration_figure(
    results: Mapping[str, Sequence[Reconstruction]], *, mask: ArrayLike | None = None, skip: int = SKIP_FRAMES
) -> Figure:
    """Plot coverage against level, and ranks of the truth among the samples, for one or more groups of results.

    Parameters
    ----------
    results
        Groups by name.
    mask, skip
        See :func:`coverage`.

    Returns
    -------
    matplotlib.figure.Figure
        Made without pyplot.
    """
    from matplotlib.figure import Figure

    from neuroreel.style import COLORS, FAINT, inches, style

    levels = tuple(np.linspace(0.05, 0.95, 19).round(2).tolist())
    with style():
        figure = Figure(figsize=(inches(120), inches(55)), layout="constrained")
        held_axis, rank_axis = figure.subplots(1, 2)
        held_axis.plot([0, 1], [0, 1], color=FAINT, linewidth=0.8)
        rank_axis.axhline(1, color=FAINT, linewidth=0.8)
        for (name, group), color in zip(results.items(), COLORS, strict=False):
            held = coverage(group, levels=levels, mask=mask, skip=skip)
            held_axis.plot(list(held), list(held.values()), color=color, label=name)
            counts = rank_histogram(group, mask=mask, skip=skip)
            rank_axis.plot(counts / counts.mean(), color=color, marker="o")
        held_axis.set(xlabel="level of the interval", ylabel="share of pixels held", xlim=(0, 1), ylim=(0, 1))
        held_axis.legend()
        rank_axis.set(xlabel="draws below the true pixel", ylabel="frequency (flat: 1)")
        rank_axis.set_ylim(bottom=0)
        figure.draw_without_rendering()
    return shown(figure)


def _scored(
    results: Reconstruction | Sequence[Reconstruction], mask: ArrayLike | None, skip: int
) -> Iterator[tuple[NDArray[np.float32], ...]]:
    """The true movie, MAP movie, samples and deviation of each result: (..., frames, pixels) that count."""
    group = [results] if isinstance(results, Reconstruction) else list(results)
    if not group:
        raise InputError("no results were given; pass one, or a list of them")
    for result in group:
        if result.samples is None or result.truth is None:
            raise InputError(
                f"{result.name} has no {'samples' if result.truth is not None else 'true movie'}; reconstruct trials "
                "with known movies and samples=8"
            )
        check_skip(skip, frames=len(result.video), what=f"movie of {result.name}")
    for result in group:
        inside = evaluation_mask(result.mask if mask is None else mask, result.video.shape[1:])
        arrays: Any = (result.truth, result.video, result.samples, result.deviation)
        yield tuple(array[..., skip:, inside] for array in arrays)

"""Tables of scores by trial and method."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pandas import DataFrame

from neuroreel.decimals import in_decimals
from neuroreel.decoding.ridge_decoder import RidgeDecoder
from neuroreel.defaults import frames_to_skip
from neuroreel.errors import InputError
from neuroreel.evaluation.table import score_table
from neuroreel.grey import MID_GREY
from neuroreel.results import Reconstruction

Scores: TypeAlias = Mapping[str, Mapping[str, Mapping[str, float | None]]] | DataFrame

_LABELS = {
    "rmse": "RMSE (grey levels)",
    "psnr": "PSNR (dB)",
    "ssim": "SSIM",
    "share_of_screen_scored": "share of the screen that is scored",
    "motion_energy_truth": "motion energy, true movie (grey levels per frame)",
    "motion_energy_video": "motion energy (grey levels per frame)",
    "spatial_entropy_truth": "spatial entropy, true movie (bits)",
    "spatial_entropy_video": "spatial entropy (bits)",
}


@dataclass(frozen=True, kw_only=True)
class Cell:
    """A number as shown on the page. ``of`` is set if it is a mean over only some of the trials."""

    value: float
    of: int | None = None

    @property
    def text(self) -> str:
        """Three decimals for correlations and the like, fewer for larger numbers; an en dash if undefined."""
        if math.isnan(self.value):
            return "\N{EN DASH}"
        decimals = 3 if abs(self.value) < 10 else 1
        return in_decimals(self.value, decimals)

    @property
    def defined(self) -> bool:
        """False if there is no number to show."""
        return not math.isnan(self.value)


@dataclass(frozen=True, kw_only=True)
class ScoreTable:
    """Scores of methods on trials; missing and non-finite values are undefined (NaN)."""

    trials: tuple[str, ...]
    methods: tuple[str, ...]
    scores: tuple[str, ...]
    values: Mapping[tuple[str, str, str], float]

    def cell(self, trial: str, method: str, score: str) -> Cell:
        """One number."""
        return Cell(value=self.values.get((trial, method, score), math.nan))

    def column(self, method: str, score: str) -> list[float]:
        """One score of one method, trial by trial."""
        return [self.cell(trial, method, score).value for trial in self.trials]

    def mean(self, method: str, score: str) -> Cell:
        """The mean over the trials for which the score is defined."""
        defined = [value for value in self.column(method, score) if not math.isnan(value)]
        if not defined:
            return Cell(value=math.nan)
        return Cell(
            value=math.fsum(defined) / len(defined), of=len(defined) if len(defined) < len(self.trials) else None
        )

    @staticmethod
    def label(score: str) -> str:
        """A score's label on the page, with its unit."""
        return _LABELS.get(score, score.replace("_", " "))


def default_scores(
    results: Sequence[Reconstruction],
    *,
    decoder: RidgeDecoder | None,
    movies: Mapping[str, Sequence[ArrayLike]],
) -> Scores | None:
    """Scores of results, of movies shown with them, and of baselines, inside each result's mask.

    None if a true movie is unknown or a mask never reaches 1. For short movies, fewer frames than usual are left out at
    the start.
    """
    seen = all(result.mask is None or (result.mask >= 1).any() for result in results)
    if not seen or any(result.truth is None for result in results):
        return None
    skip = frames_to_skip(min(len(result.video) for result in results))
    extra = {name: [np.asarray(movie, np.float32) for movie in given] for name, given in movies.items()}
    if decoder is None:
        extra |= _baselines_of_results(results)
    return score_table(results, decoder=decoder, extra=extra, skip=skip)


def _baselines_of_results(results: Sequence[Reconstruction]) -> dict[str, list[NDArray[np.float32]]]:
    """Baselines made from the results alone, one movie per result."""
    found = {"grey": [np.full_like(result.video, MID_GREY) for result in results]}
    if len(results) > 1 and len({result.video.shape for result in results}) == 1:
        total = np.sum([result.needs_truth().mean(axis=0) for result in results], axis=0)
        found["mean of the other movies"] = [
            np.broadcast_to((total - result.needs_truth().mean(axis=0)) / (len(results) - 1), result.video.shape)
            for result in results
        ]
        found["another trial's"] = [results[number - 1].video for number in range(len(results))]
    return found


def read_scores(scores: Scores) -> ScoreTable:
    """Convert scores from either form into one table, in the given order.

    Parameters
    ----------
    scores
        ``{trial: {method: {score: value}}}``, or a pandas DataFrame with the columns ``trial``, ``method`` and one
        column per score. None, NaN and infinite values are undefined.

    Raises
    ------
    InputError
        A wrong shape, a value that is not a number, or a trial and method given twice.
    """
    rows = _rows_of_frame(scores) if isinstance(scores, DataFrame) else _rows_of_mapping(scores)
    if not rows:
        raise InputError("scores is empty; leave it out, or give {trial: {method: {score: value}}}")
    values: dict[tuple[str, str, str], float] = {}
    for trial, method, found in rows:
        for score, value in found.items():
            if (trial, method, str(score)) in values:
                raise InputError(f"scores has {trial!r}, {method!r} twice; give each trial and method once")
            values[trial, method, str(score)] = _number(value, f"{trial}, {method}, {score}")
    trials, methods, names = (tuple(dict.fromkeys(key[axis] for key in values)) for axis in range(3))
    return ScoreTable(trials=trials, methods=methods, scores=names, values=values)


_Rows: TypeAlias = list[tuple[str, str, Mapping[Any, Any]]]


def _rows_of_frame(frame: Any) -> _Rows:
    if not {"trial", "method"} < set(frame.columns):
        raise InputError(
            f"scores has the columns {list(frame.columns)}; it needs 'trial', 'method' and at least one score"
        )
    records = frame.to_dict("records")
    return [(str(row.pop("trial")), str(row.pop("method")), row) for row in records]


def _rows_of_mapping(scores: Any) -> _Rows:
    shape = "scores must be {trial: {method: {score: value}}} or a DataFrame"
    if not isinstance(scores, Mapping):
        raise InputError(f"{shape}; it is a {type(scores).__name__}")
    rows: _Rows = []
    for trial, methods in scores.items():
        if not isinstance(methods, Mapping) or not all(isinstance(found, Mapping) for found in methods.values()):
            raise InputError(f"{shape}; its value for {trial!r} is not")
        rows += [(str(trial), str(method), found) for method, found in methods.items()]
    return rows


def _number(value: Any, where: str) -> float:
    try:
        number = math.nan if value is None else float(value)
    except (TypeError, ValueError) as error:
        raise InputError(f"the score of {where} is {value!r}; it must be a number, or None where undefined") from error
    return number if math.isfinite(number) else math.nan

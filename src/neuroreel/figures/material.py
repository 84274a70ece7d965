"""The material of a figure, whatever its source: a table of scores, histories, and movies to show."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from pandas import DataFrame

from neuroreel.errors import InputError

Floats = NDArray[np.float32]
_MOST_LINES = 12  # most missing items to list one by one


@dataclass(frozen=True, kw_only=True)
class Movies:
    """The true movie and its reconstruction in one job.

    Parameters
    ----------
    truth, video
        (frames, height, width), gray 0..255; the reconstruction as it was scored (smoothed, if it was).
    frame_rate_hz
        Frames per second.
    mask
        (height, width) on the video, the transparency mask; None if there was none.
    model_videos
        (models, frames, height, width): the reconstruction of each model, if known.
    pixels_per_degree
        Pixels per degree at the middle of the screen, if known.
    """

    truth: Floats
    video: Floats
    frame_rate_hz: float
    mask: Floats | None = None
    model_videos: Floats | None = None
    pixels_per_degree: float | None = None


@dataclass(frozen=True, kw_only=True)
class Material:
    """Everything one figure needs.

    Parameters
    ----------
    experiment
        Its name, such as ``ablation``.
    table
        Tidy, one row per finished job: ``recording``, ``trial``, the conditions, the scores
        (see :func:`neuroreel.studies.table.experiment_table`).
    history
        Called with rows of the table; returns ``recording, trial, iteration, loss, video_correlation,
        response_correlation``, one row per logged iteration.
    movies
        Called with one row of the table; returns the movies of that job.
    fields
        Called with one row of the table; returns the receptive fields of that job: ``on``, ``off``, and ``mask`` if
        known.
    said
        What was run, for the caption, in order: ``method``, ``version`` and the like.
    finished, expected, unit
        Number of results, expected number (fewer make a partial figure), and what they are called.
    missing
        What is missing, one entry per file or job.
    notes
        Sentences for the caption.
    simulated
        True if no animal was recorded.
    """

    experiment: str
    table: DataFrame
    history: Callable[[DataFrame], DataFrame]
    movies: Callable[[Mapping[str, Any]], Movies]
    fields: Callable[[Mapping[str, Any]], xr.Dataset] | None = None
    said: Mapping[str, str] = field(default_factory=dict)
    finished: int
    expected: int
    unit: str = "results"
    missing: Sequence[str] = ()
    notes: Sequence[str] = ()
    simulated: bool = False

    @property
    def partial(self) -> str:
        """``partial: 12 of 50 results``, or nothing."""
        if self.finished >= self.expected:
            return ""
        return f"partial: {self.finished} of {self.expected} {self.unit}"


def needs_columns(table: DataFrame, *columns: str, figure: str) -> DataFrame:
    """The rows in which all of these columns are known; InputError if a column is missing or no row is left."""
    missing = [name for name in columns if name not in table.columns]
    if missing:
        raise InputError(
            f"the {figure} figure needs {', '.join(missing)}, which the results do not have; "
            f"they have {', '.join(map(str, table.columns))}"
        )
    known = table.dropna(subset=list(columns))
    if known.empty:
        raise InputError(f"no result has all of {', '.join(columns)}, which the {figure} figure needs")
    return known


def summary_of_missing(missing: Sequence[str]) -> list[str]:
    """What is missing: one by one if there is little, else counted by folder; ``missing.txt`` lists everything."""
    if len(missing) <= _MOST_LINES:
        return list(missing)
    others = [each for each in missing if "/" not in each]
    folders = Counter(each.rpartition("/")[0] for each in missing if "/" in each)
    few = others if len(others) <= _MOST_LINES else [f"{len(others)} results"]
    return [*few, *(f"{count} files in {folder}" for folder, count in folders.items())]

"""The last page of the workflow: its numbers, next to the published ones for the authors' own recordings.

Published: Bauer, Margrie & Clopath, eLife 2026.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from neuroreel.errors import InputError
from neuroreel.files import atomic_path
from neuroreel.studies.animals import published_number
from neuroreel.studies.table import experiment_status, experiment_table

Number = tuple[float, ...]
"""One number, or the smallest and largest of a range."""


@dataclass(frozen=True)
class Published:
    """A published number, and how to compute ours from an experiment's table: which rows, and which statistic."""

    experiment: str
    what: str
    published: str
    take: Callable[[pd.DataFrame], Number]
    rows: Callable[[pd.DataFrame], pd.DataFrame] = lambda table: table


def _mean(column: str) -> Callable[[pd.DataFrame], Number]:
    return lambda rows: (float(rows[column].mean()),)


def _where(column: str, value: object) -> Callable[[pd.DataFrame], pd.DataFrame]:
    return lambda table: table[table[column] == value]


def _range_over(column: str) -> Callable[[pd.DataFrame], Number]:
    """Smallest and largest mean video correlation over the values of a column."""

    def of(rows: pd.DataFrame) -> Number:
        means = rows.groupby(column)["video_correlation"].mean()
        return float(means.min()), float(means.max())

    return of


def _best_noise(rows: pd.DataFrame) -> Number:
    """Mean of the best pair of length constants."""
    return (float(rows.groupby(["spatial_px", "temporal_frames"])["video_correlation"].mean().max()),)


def _noise_8px_4_frames(table: pd.DataFrame) -> pd.DataFrame:
    return table[(table["spatial_px"] == 8) & (table["temporal_frames"] == 4)]


_VIDEO = _mean("video_correlation")
PUBLISHED = (
    Published("natural", "natural movies, ensemble", "0.569", _VIDEO),
    Published("natural", "the same without smoothing", "0.533", _mean("video_correlation_unsmoothed")),
    Published("natural", "single model", "about 0.44", _mean("single_video_correlation")),
    Published("gradient_ensembling", "one video, gradients averaged", "0.552", _VIDEO, _where("ensemble", "gradients")),
    Published("predicted_activity", "from predicted responses", "0.766", _VIDEO, _where("target", "predicted")),
    Published("masks", "no mask", "0.510", _VIDEO, _where("mask", "none")),
    Published("masks", "strict mask", "0.551", _VIDEO, _where("mask", "strict")),
    Published("ablation", "50.0% of the neurons", "0.512", _VIDEO, _where("fraction", 0.5)),
    Published("ablation", "25.0% of the neurons", "0.427", _VIDEO, _where("fraction", 0.25)),
    Published("ablation", "12.5% of the neurons", "0.344", _VIDEO, _where("fraction", 0.125)),
    Published("noise", "Gaussian noise, best length constants", "0.91", _best_noise),
    Published("noise", "Gaussian noise, 8 pixels and 4 frames", "0.91", _VIDEO, _noise_8px_4_frames),
    Published(
        "noise",
        "white in space, over temporal constants",
        "0.08 to 0.21",
        _range_over("temporal_frames"),
        _where("spatial_px", 0),
    ),
    Published("gratings", "drifting gratings, over directions", "0.41 to 0.43", _range_over("direction_deg")),
    Published("responses", "responses predicted for the true movie", "0.379", _mean("response_correlation_truth")),
    Published("responses", "responses predicted for the reconstruction", "0.442", _mean("response_correlation")),
)


def write_comparison(folder: Path) -> str:
    """Write ``table.md`` and ``table.csv`` into a workflow's folder, and return the text of the first.

    It contains published numbers only for recordings of the authors' mice: next to others, such as a simulated mouse,
    they would be read as a comparison.

    Raises
    ------
    InputError
        The folder has no finished experiment.
    """
    rows = list(_rows(folder / "experiments"))
    if not rows:
        raise InputError(f"{folder / 'experiments'} holds no finished experiment")
    table = pd.DataFrame(rows)
    if not (table["published"] != "").any():
        table = table.drop(columns="published")
    text = _markdown(table)
    for name, content in (("table.csv", table.to_csv(index=False, lineterminator="\n")), ("table.md", text + "\n")):
        with atomic_path(folder / name, overwrite=True) as partial:
            partial.write_text(content)
    return text


def _rows(folder: Path) -> Iterator[dict[str, str]]:
    """A row a published number, with ours where the experiment was done."""
    for experiment in dict.fromkeys(each.experiment for each in PUBLISHED):
        if not (folder / experiment).is_dir():
            continue
        table, status = experiment_table(folder / experiment), experiment_status(folder / experiment)
        note = "" if status["done"] == status["asked"] else f"{status['done']} of {status['asked']} results"
        for each in PUBLISHED:
            if each.experiment == experiment:
                yield _row(each, table, note)


def _row(each: Published, table: pd.DataFrame, note: str) -> dict[str, str]:
    rows = each.rows(table)
    numbers = each.take(rows) if len(rows) else ()
    return {
        "experiment": each.experiment,
        "what": each.what,
        "published": each.published if all(published_number(name) is not None for name in rows["recording"]) else "",
        "ours": " to ".join(f"{number:.3f}" for number in numbers if number == number),  # not NaN
        "results": str(len(rows)),
        "recordings": str(rows["recording"].nunique()),
        "models": " to ".join(str(number) for number in sorted({*rows["models"].agg(["min", "max"])}))
        if len(rows)
        else "",
        "note": "; ".join([*_notes(rows), *filter(None, [note])]),
    }


def _notes(rows: pd.DataFrame) -> Iterator[str]:
    """Notes for readers who compare the numbers with the paper's."""
    if rows["simulated"].fillna(False).any():
        yield "simulated"
    if len(rows) and (rows["smoothing"] == 0).all():  # the paper scores a slightly blurred movie
        yield "not smoothed"


def _markdown(table: pd.DataFrame) -> str:
    cells = table.replace("", "-").to_numpy().tolist()
    lines = [list(table.columns), ["---"] * len(table.columns), *cells]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)

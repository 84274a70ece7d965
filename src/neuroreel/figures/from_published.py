"""Read the material for figures from a folder of the authors' published results (Bauer et al. 2026).

Every movie is scored inside the mask in its own file, so that mice and models cannot be mismatched, as they are in the
published analysis of noise and gratings.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from neuroreel.bauer_2026.files.find import all_results
from neuroreel.bauer_2026.files.results import FRAME_RATE_HZ, read_published
from neuroreel.errors import InputError
from neuroreel.evaluation.scores import video_correlation
from neuroreel.figures.material import Material, Movies
from neuroreel.figures.published_runs import Condition, Movie, absent_runs, conditions_of, of_the_paper
from neuroreel.files import user_path
from neuroreel.masks import mask_on_video
from neuroreel.progress import progress
from neuroreel.recordings.disk import absolute

SMOOTHING = 0.5  # sigma in all axes, as published
_LOGS = {"loss": "response_loss_full", "video_correlation": "video_corr", "response_correlation": "response_corr_full"}
_SAID_INSIDE = {"mouse": "mouse_index", "trial": "trial", "repeat": "rep"}  # part of a file's name: field in the file
_SCORED = (
    "Video correlations are computed from the authors' movies: the mean over the available models, smoothed with "
    "sigma 0.5, inside the file's own mask (at least 1), without the first 30 frames. Losses and response correlations "
    "are what the authors logged, the latter over all neurons and frames together; means over models."
)
_LABELS = (
    "Directions and frequencies are the authors' labels; the gratings labeled 15 Hz are stationary, so the real "
    "temporal frequencies are probably twice the labels."
)


class PublishedFolder:
    """A folder of published results: of one run, or the parent folder with all runs and models.

    Parameters
    ----------
    folder
        Where the files are.
    bar
        Show a progress bar while they are read.

    Raises
    ------
    InputError
        No published results in the folder.
    """

    def __init__(self, folder: str | Path, *, bar: bool = True) -> None:
        self.folder, self.bar = user_path(folder), bar
        self._found = all_results(self.folder)

    def there(self, names: Sequence[str]) -> list[str]:
        """The experiments that can be drawn from the folder; InputError if there are none."""
        chosen = [name for name in names if conditions_of(name, self._found)]
        if not chosen:
            runs = ", ".join(sorted({repr(each.run) for each in self._found}))
            why = " (receptive fields are not among the published files)" if "receptive_fields" in names else ""
            raise InputError(
                f"{self.folder} has no published results of {', '.join(names)}{why}; it has the runs {runs}"
            )
        return chosen

    def read(self, name: str) -> Material:
        """Score the movies of one experiment.

        Raises
        ------
        InputError
            The folder has none of its results, or a file that :func:`neuroreel.read_published` refuses.
        """
        self.there([name])
        conditions = conditions_of(name, self._found)
        movies, others = of_the_paper([movie for condition in conditions for movie in condition.movies()])
        rows, logs, problems = [], {}, []
        for movie in progress(movies, description=f"Reading the results of {name}", enabled=self.bar):
            results, wrong = _trusted(movie)
            problems += wrong
            if results:
                rows.append(_row(movie, results))
                logs[movie.name] = _logged(results)
        if not rows:
            raise InputError(f"no published result of {name} can be used: {'; '.join(problems)}")
        table = _with_single_models(pd.DataFrame(rows)) if name == "gradient_ensembling" else pd.DataFrame(rows)
        expected = [file for condition in conditions for file in condition.expected_files()]
        read = {"/".join(absolute(file).parts[-2:]) for files in table["files"] for file in files}
        missing = [file for file in expected if file not in read]
        absent = absent_runs(name, conditions)
        return Material(
            experiment=name,
            table=table,
            history=partial(_histories, logs=logs),
            movies=_movies,
            said=_said(self.folder, conditions, table),
            finished=len(expected) - len(missing),
            expected=len(expected) + len(absent) * len(expected) // len(conditions),
            unit="files of the paper",
            missing=[*problems, *absent, *missing],
            notes=[_SCORED, *others, *([_LABELS] if name == "gratings" else [])],
        )


def _trusted(movie: Movie) -> tuple[list[xr.Dataset], list[str]]:
    """The results of a movie whose content matches their names, and a line for each that does not."""
    results, wrong = [], []
    for found in movie.files:
        result = read_published(found.file).assign_attrs(file=str(found.file))
        differing = [
            f"{axis} {result.attrs[name]}"
            for axis, name in _SAID_INSIDE.items()
            if axis in found.place and result.attrs.get(name, found.place[axis]) != found.place[axis]
        ]
        if differing:
            file = f"{found.file.name} in {found.file.parent.name}"
            wrong.append(f"{file}: left out, because its content says {', '.join(differing)}")
        else:
            results.append(result)
    return results, wrong


def _row(movie: Movie, results: Sequence[xr.Dataset]) -> dict[str, Any]:
    """A movie's row of the table."""
    first, mean = results[0], _mean_video(results)
    truth, mask = first["video_gt"].values, first["mask"].values
    each = [video_correlation(truth, result["video_pred"].values, mask=mask) for result in results]
    logs = _logged(results)["response_correlation"].dropna()
    reduction = float(first.attrs.get("population_reduction", 0) or 0)
    return {
        "key": movie.name,
        "files": [result.attrs["file"] for result in results],
        "models": len(results) if movie.condition.models > 1 else np.size(first.attrs.get("model_list", 1)),
        "single_video_correlation": float(np.mean(each)) if len(each) > 1 else np.nan,
        "video_correlation_unsmoothed": video_correlation(truth, mean, mask=mask),
        "video_correlation": video_correlation(truth, gaussian_filter(mean, SMOOTHING), mask=mask),
        "response_correlation": float(logs.iloc[-1]) if len(logs) else np.nan,
        "response_correlation_truth": float(np.mean([r.attrs.get("response_corr_gt", np.nan) for r in results])),
        "fraction": 1.0 - reduction,
        "neurons": int(first["population_mask"].sum()) if "population_mask" in first else first.sizes.get("neuron"),
        **movie.columns,
    }


def _with_single_models(table: pd.DataFrame) -> pd.DataFrame:
    """To the ensembles one row per movie for its single models, mean over models."""
    single = table[(table["ensemble"] == "videos") & table["single_video_correlation"].notna()]
    single = single.assign(ensemble="single", models=1, video_correlation=single["single_video_correlation"])
    return pd.concat([single.assign(files=[files[:1] for files in single["files"]]), table], ignore_index=True)


def _mean_video(results: Sequence[xr.Dataset]) -> NDArray[np.float32]:
    shapes = {result["video_pred"].shape for result in results}
    if len(shapes) > 1:
        files = ", ".join(result.attrs["file"] for result in results)
        raise InputError(f"the movies in {files} have the shapes {sorted(shapes)}; they are not from one movie")
    mean: NDArray[np.float32] = np.mean([result["video_pred"].values for result in results], axis=0, dtype=np.float32)
    return mean


def _logged(results: Sequence[xr.Dataset]) -> pd.DataFrame:
    """What was logged, mean over models."""
    parts = []
    for result in results:
        logs = {name: result[field].values for name, field in _LOGS.items() if field in result}
        numbers = result["video_itter"].values if "video_itter" in result else np.zeros(0)
        parts.append(pd.DataFrame({"iteration": np.asarray(numbers, int), **logs}, columns=["iteration", *_LOGS]))
    return pd.concat(parts).groupby("iteration", as_index=False).mean()


def _histories(table: pd.DataFrame, *, logs: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    rows = table.drop_duplicates("key").to_dict("records")
    parts = [logs[row["key"]].assign(recording=row["recording"], trial=row.get("trial", np.nan)) for row in rows]
    return pd.concat(parts, ignore_index=True)


def _movies(row: Mapping[str, Any]) -> Movies:
    results = [read_published(file).assign_attrs(file=file) for file in row["files"]]
    truth = np.asarray(results[0]["video_gt"].values, np.float32)
    return Movies(
        truth=truth,
        video=gaussian_filter(_mean_video(results), SMOOTHING),
        frame_rate_hz=FRAME_RATE_HZ,
        mask=mask_on_video(np.asarray(results[0]["mask"].values, np.float32), truth.shape[1:]),
        model_videos=np.array([result["video_pred"].values for result in results]) if len(results) > 1 else None,
    )


def _said(folder: Path, conditions: Sequence[Condition], table: pd.DataFrame) -> dict[str, str]:
    models = sorted({int(count) for count in table["models"].dropna()})
    animals = table["recording"].nunique()
    return {
        "published results of Bauer et al. 2026 in": folder.name,
        "runs": ", ".join(dict.fromkeys(condition.run for condition in conditions)),
        "results": f"{len(table)}, of {animals} animal{'s' if animals > 1 else ''}",
        "models per movie": " or ".join(map(str, models)),
    }

"""Read the material for figures from a folder that ``neuroreel experiment`` wrote."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from neuroreel.errors import InputError
from neuroreel.figures.material import Material, Movies
from neuroreel.files import user_path
from neuroreel.results.datasets import read_dataset
from neuroreel.results.reconstruction import Reconstruction

_LOGGED = ("loss", "video_correlation", "response_correlation")


def read_experiment(folder: str | Path) -> Material:
    """Read an experiment's table and its request.

    Parameters
    ----------
    folder
        Folder of one experiment: ``RESULTS/NAME``.

    Raises
    ------
    InputError
        There is no such experiment, it has no finished job, or its results have several settings or versions.
    """
    from neuroreel.studies.table import experiment_status, experiment_table

    folder = user_path(folder)
    file = folder / "experiment.json"
    if not file.is_file():
        raise InputError(
            f"{folder} holds no results of an experiment (no {file.name}); run `neuroreel experiment {folder.name} "
            f"--out {folder.parent} ...` first, or give another --results"
        )
    status = experiment_status(folder)
    table = experiment_table(folder)
    asked = json.loads(file.read_text(encoding="utf-8"))
    _check_versions(folder, table)
    current = table[~table["key"].isin(status["stale"])]
    if current.empty:
        raise InputError(f"all {len(table)} results in {folder} have earlier settings; run the experiment again")
    return Material(
        experiment=folder.name,
        table=current.reset_index(drop=True),
        history=histories,
        movies=movies,
        fields=receptive_fields if folder.name == "receptive_fields" else None,
        said=_said(asked, current),
        finished=status["done"],
        expected=status["asked"],
        missing=[*status["missing"], *(f"{key} (done with other settings)" for key in status["stale"])],
        simulated=bool(asked.get("simulated", False)),
    )


def histories(table: pd.DataFrame) -> pd.DataFrame:
    """What was logged on the way to the results in these rows; nothing else of their files is read."""
    parts = []
    for row in table.to_dict("records"):
        with xr.open_dataset(row["file"], engine="h5netcdf", decode_times=False) as dataset:
            logged = {name: dataset[name].values for name in _LOGGED if name in dataset}
            numbers: Any = dataset["iteration"].values if logged else []
        parts.append(
            pd.DataFrame({"recording": row["recording"], "trial": row["trial"], "iteration": numbers, **logged})
        )
    return pd.concat(parts, ignore_index=True)


def movies(row: Mapping[str, Any]) -> Movies:
    """The movies of one result, smoothed as they were scored."""
    result = Reconstruction.load(row["file"])
    if result.truth is None:
        raise InputError(f"{row['file']} has no true movie, so there is nothing to show next to the reconstruction")
    sigma = float(row.get("smoothing", 0) or 0)
    dataset = result.dataset
    return Movies(
        truth=result.truth,
        video=result.smooth(sigma).video if np.isfinite(sigma) and sigma > 0 else result.video,
        frame_rate_hz=result.frame_rate_hz,
        mask=result.mask,
        model_videos=np.asarray(dataset["model_video"].values, np.float32) if "model_video" in dataset else None,
        pixels_per_degree=dataset.attrs.get("pixels_per_degree"),
    )


def receptive_fields(row: Mapping[str, Any]) -> xr.Dataset:
    """The maps of one animal, and the mask that other experiments in the same folder used for it, if any."""
    file = Path(row["file"])
    fields = read_dataset(file, kind="receptive_fields").assign_attrs(recording=row["recording"])
    mask = _mask_of(str(row["recording"]), file.parents[2])
    return fields if mask is None or "mask" in fields else fields.assign(mask=(("height", "width"), mask))


def _mask_of(recording: str, results: Path) -> NDArray[np.float32] | None:
    for record in sorted(results.glob("*/jobs/[!.]*.json")):
        if json.loads(record.read_text(encoding="utf-8")).get("columns", {}).get("recording") != recording:
            continue
        with xr.open_dataset(record.with_suffix(".nc"), engine="h5netcdf", decode_times=False) as dataset:
            if "mask" in dataset:
                return np.asarray(dataset["mask"].values, np.float32)
    return None


def _check_versions(folder: Path, table: pd.DataFrame) -> None:
    """Raise InputError where results are of several versions of neuroreel."""
    found: dict[str, int] = {}
    for file in table["file"]:
        record = json.loads(Path(file).with_suffix(".json").read_text(encoding="utf-8"))
        version = str(record.get("versions", {}).get("neuroreel", "unknown"))
        found[version] = found.get(version, 0) + 1
    if len(found) > 1:
        counted = ", ".join(f"{version} ({count} results)" for version, count in sorted(found.items()))
        raise InputError(
            f"{folder} mixes results of several versions of neuroreel: {counted}; one figure must have one version: "
            "run the experiment into a new folder"
        )


def _said(asked: Mapping[str, Any], table: pd.DataFrame) -> dict[str, str]:
    """What was run, in words, for the caption."""
    said = {"experiment": str(asked.get("experiment", ""))}
    animals, results = table["recording"].nunique(), len(table)
    said["results"] = f"{results}, of {animals} animal{'s' if animals > 1 else ''}"
    if table["models"].notna().any():
        said["encoding models"] = " or ".join(f"{count}" for count in sorted(table["models"].dropna().unique()))
    said["method"] = str(asked.get("method", ""))
    if asked.get("settings"):
        said["settings"] = ", ".join(f"{name}={value}" for name, value in asked["settings"].items())
    scoring = {name: value for name, value in asked.get("scoring", {}).items() if value is not None}
    if scoring:
        said["scoring"] = ", ".join(f"{name}={value}" for name, value in scoring.items())
    said["seed"] = str(asked.get("seed", ""))
    said["made by neuroreel"] = str(asked.get("versions", {}).get("neuroreel", "unknown"))
    return {name: value for name, value in said.items() if value}

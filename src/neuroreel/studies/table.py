"""The table of an experiment: one row per finished job."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pandas as pd

from neuroreel.errors import InputError
from neuroreel.files import user_path
from neuroreel.studies.store import Store

CONDITIONS = {  # column: type
    "experiment": "object",
    "key": "object",
    "file": "object",
    "recording": "object",
    "trial": "Int64",
    "simulated": "boolean",
    "ensemble": "object",
    "models": "Int64",
    "target": "object",
    "mask": "object",
    "mask_threshold": "float64",
    "fraction": "float64",
    "neurons": "Int64",
    "repeat": "Int64",
    "method": "object",
    "spatial_px": "float64",
    "temporal_frames": "float64",
    "inverted": "boolean",
    "direction_deg": "float64",
    "spatial_frequency": "float64",
    "temporal_frequency_hz": "float64",
}
SCORES = (
    "video_correlation",
    "video_correlation_unsmoothed",
    "single_video_correlation",
    "frame_correlation",
    "pixel_correlation",
    "rmse",
    "psnr",
    "ssim",
    "motion_energy",
    "motion_energy_truth",
    "spatial_entropy",
    "spatial_entropy_truth",
    "response_correlation",
    "response_correlation_truth",
)


def experiment_table(folder: str | Path, *, mixed: bool = False) -> pd.DataFrame:
    """One row per finished job, tidy: recording, movie, conditions and scores.

    Parameters
    ----------
    folder
        Folder of one experiment: ``OUT/NAME``.
    mixed
        Results with several settings, versions or models in one folder are refused; True returns them all, marked by
        the column ``settings_hash``.

    Returns
    -------
    pandas.DataFrame
        The columns of ``CONDITIONS``, ``SCORES``, ``smoothing`` and ``seconds`` always exist, empty if they do not
        apply; an experiment may add others. ``video_correlation`` is computed after the method's blur (sigma
        ``smoothing``; 0.5 with the published method).

    Raises
    ------
    InputError
        No finished job, a damaged record, or mixed results.
    """
    folder = user_path(folder)
    store = Store(folder.parent)
    records = store.records(f"{folder.name}/jobs")
    if not records:
        raise InputError(
            f"{folder} has no finished jobs; run `neuroreel experiment {folder.name} --out {folder.parent} ...`"
        )
    if not mixed:
        _check_alike(folder, records)
    rows = [
        {
            "experiment": record["experiment"],
            "key": record["key"],
            "file": str(store.file(f"{folder.name}/jobs/{record['key']}.nc")),
            **record["columns"],
            **{name: _number(value) for name, value in record["scores"].items()},
            "seconds": record.get("seconds"),
            "settings_hash": _settings_hash(record),
        }
        for record in records
    ]
    table = pd.DataFrame(rows)
    usual = [*CONDITIONS, *SCORES, "smoothing", "seconds"]
    table = table.reindex(columns=[*usual, *(name for name in table.columns if name not in usual)])
    table = table.astype({**CONDITIONS, **dict.fromkeys([*SCORES, "smoothing", "seconds"], "float64")})
    return table if mixed else table.drop(columns="settings_hash")


def experiment_status(folder: str | Path) -> dict[str, Any]:
    """How much of an experiment is done.

    Returns
    -------
    dict
        ``asked`` and ``done``, the numbers of jobs; ``missing`` and ``stale``, the keys of jobs that are missing or
        were done with other settings.

    Raises
    ------
    InputError
        The folder is not that of an experiment.
    """
    folder = user_path(folder)
    file = folder / "experiment.json"
    try:
        jobs: dict[str, str] = json.loads(file.read_text(encoding="utf-8"))["jobs"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{folder} is not the folder of an experiment, or experiment.json is damaged ({error})"
        ) from error
    store = Store(folder.parent)
    states = {key: store.state(f"{folder.name}/jobs/{key}.nc", fingerprint) for key, fingerprint in jobs.items()}
    return {
        "asked": len(jobs),
        "done": sum(state == "done" for state in states.values()),
        "missing": [key for key, state in states.items() if state == "missing"],
        "stale": [key for key, state in states.items() if state == "stale"],
    }


def _check_alike(folder: Path, records: list[dict[str, Any]]) -> None:
    """Raise InputError unless all jobs share their settings, and jobs of one animal its models."""
    different = _differing([record["common"] for record in records])
    for recording in sorted({str(record["columns"]["recording"]) for record in records}):
        own = [r["fitted"] for r in records if r["columns"]["recording"] == recording]
        different += [f"{line} of {recording}" for line in _differing(own)]
    if different:
        raise InputError(
            f"{folder} has results that cannot be compared: {'; '.join(different[:4])}. Run the whole experiment with "
            "one choice (what is stale is done again), give each choice its own folder with out=, or take them "
            "all with experiment_table(folder, mixed=True)"
        )


def _differing(contents: list[dict[str, Any]]) -> list[str]:
    """What differs, and how often each value occurs: "iterations: 8 (4 jobs), 25 (2 jobs)"."""
    flat = [_flat(content) for content in contents]
    lines = []
    for name in sorted({name for each in flat for name in each}):
        counts = Counter(json.dumps(each[name]) for each in flat if name in each)
        if len(counts) > 1:
            lines.append(f"{name}: " + ", ".join(f"{_short(value)} ({n} jobs)" for value, n in counts.most_common()))
    return lines


def _flat(content: dict[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in content.items():
        flat |= _flat(value) if isinstance(value, dict) else {name: value}
    return flat


def _short(value: str) -> str:
    return value if len(value) <= 24 else f"{value[:12]}…"


def _settings_hash(record: dict[str, Any]) -> str:
    parts = json.dumps([record["common"], record["fitted"]], sort_keys=True)
    return hashlib.sha256(parts.encode()).hexdigest()[:8]


def _number(value: Any) -> float:
    return float("nan") if value is None else float(value)  # "nan" and "inf" are kept as words in JSON

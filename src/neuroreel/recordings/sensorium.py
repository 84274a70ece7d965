"""The layout of the Sensorium 2023 recordings: where files are, and how a trial is read.

::

    data/videos/N.npy          (height, width, frames), gray levels 0..255
    data/responses/N.npy       (neurons, frames); missing or all zero if withheld
    data/behavior/N.npy        (channels, frames): pupil dilation, running speed; may be absent
    data/pupil_center/N.npy    (2, frames); may be absent
    meta/trials/tiers.npy      one word per trial, see WITHHELD_TIERS
    meta/trials/folds.json     one word per trial, see splits.py; ours
    meta/neurons/              unit_ids.npy (neurons,), cell_motor_coordinates.npy (neurons, 3)
    meta/statistics/           {responses,behavior,pupil_center}/all/{mean,std}.npy
    meta/neuroreel.json        the frame rate, and how folds follow from movies; ours

Trials shorter than the longest end in NaN. Source: Turishcheva et al. 2023, "The Dynamic Sensorium
competition for predicting large-scale mouse visual cortex activity from videos", arXiv:2305.19654.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuroreel.errors import InputError
from neuroreel.recordings.disk import frames_before_nan, read_array, read_json
from neuroreel.recordings.trial import Trial, turned

KINDS = ("videos", "responses", "behavior", "pupil_center")
TIERS = Path("meta", "trials", "tiers.npy")
FOLDS = Path("meta", "trials", "folds.json")
UNIT_IDS = Path("meta", "neurons", "unit_ids.npy")
COORDINATES = Path("meta", "neurons", "cell_motor_coordinates.npy")
SETTINGS = Path("meta", "neuroreel.json")
SIMULATION = Path("meta", "simulation.json")  # settings of a simulated recording; others do not have it
OWN_FILES = (TIERS, FOLDS, UNIT_IDS, COORDINATES, SETTINGS)

FRAME_RATE_HZ = 30.0
WITHHELD_TIERS = ("live_test_main", "live_test_bonus", "final_test_main", "final_test_bonus", "none")
"""Tiers whose responses may be missing or all zero. In any other tier (train, oracle, a lab's own) that is an error."""


@dataclass(frozen=True)
class Statistics:
    """Mean and standard deviation over time of each neuron or channel, both (channels,)."""

    mean: NDArray[np.float64]
    std: NDArray[np.float64]


def is_published_name(name: str) -> bool:
    """Whether a recording of this name is one of the published mice."""
    return re.fullmatch(r"dynamic\d+-\d+-\d+-Video-[0-9a-f]{32}", name) is not None


def data_file(folder: Path, kind: str, index: int) -> Path:
    """The file of one array of one trial."""
    return folder / "data" / kind / f"{index}.npy"


def statistics_file(folder: Path, kind: str, which: str) -> Path:
    """The file of the mean or std of one kind."""
    return folder / "meta" / "statistics" / kind / "all" / f"{which}.npy"


def is_listed(path: Path) -> bool:
    """Whether a folder lists this file, even as a link to missing content, which reading will report."""
    return os.path.lexists(path)


def check_layout(folder: Path) -> None:
    """Raise InputError unless the folder holds a recording; it says what was missing and where one may be."""
    if not folder.is_dir():
        unpack = "; unpack it first" if folder.suffix == ".zip" and folder.is_file() else ""
        raise InputError(f"{folder} is not a folder{unpack}")
    wanted = ("data/videos", TIERS.as_posix())
    missing = [name for name in wanted if not is_listed(folder / name)]
    if missing:
        inside = sorted(child.parents[2].name for child in folder.glob(f"*/{TIERS.as_posix()}"))
        hint = f"; there are recordings inside it, open one of them: {', '.join(inside[:5])}" if inside else ""
        if not any(folder.iterdir()):
            hint = f"; it is empty: if it is a DataLad subdataset, run 'datalad get {folder}'"
        raise InputError(
            f"{folder} is not a recording in the Sensorium layout: looked for {' and '.join(wanted)}, "
            f"did not find {' and '.join(missing)}{hint}"
        )


def read_tiers(folder: Path) -> tuple[str, ...]:
    """The tier of each trial, as words of any length (the file truncates words at a fixed length)."""
    stored = read_array(folder / TIERS, rank=1, kinds="US")
    tiers = tuple(word.decode() if isinstance(word, bytes) else str(word) for word in stored.tolist())
    check_tiers(tiers, what=str(folder / TIERS))
    return tiers


def check_tiers(tiers: Sequence[object], *, what: str) -> None:
    """Raise InputError unless each trial has a word that is not the name of a fold."""
    for index, word in enumerate(tiers):
        if not isinstance(word, str) or not word or word.startswith("fold"):
            raise InputError(f"{what}: trial {index} has {word!r}; it must be a tier such as 'train', not a fold")
    if not tiers:
        raise InputError(f"{what}: there are no trials")


def check_files(folder: Path, tiers: tuple[str, ...]) -> frozenset[str]:
    """The kinds of data that the recording has; InputError if a trial's file is missing or there are too many."""
    numbers = {kind: _trial_numbers(folder / "data" / kind) for kind in KINDS}
    for kind, found in numbers.items():
        optional = kind not in ("videos", "responses") and not found
        needed = {i for i, tier in enumerate(tiers) if kind != "responses" or tier not in WITHHELD_TIERS}
        missing, surplus = sorted(needed - found), sorted(found - set(range(len(tiers))))
        if surplus or (missing and not optional):
            raise InputError(
                f"{folder / 'data' / kind} does not fit {folder / TIERS}, which has {len(tiers)} words: "
                f"missing {_some(missing)}, too many {_some(surplus)}; copy the recording again"
            )
    return frozenset(kind for kind, found in numbers.items() if found)


def read_neurons(folder: Path, tiers: tuple[str, ...]) -> tuple[NDArray[Any] | None, NDArray[Any] | None, int]:
    """Unit IDs (neurons,) and coordinates (neurons, axes), None if missing, and the number of neurons.

    Raises
    ------
    InputError
        They disagree with the responses of the first trial.
    """
    counts = {}
    unit_ids = coordinates = None
    if is_listed(folder / UNIT_IDS):
        unit_ids = np.array(read_array(folder / UNIT_IDS, rank=1, kinds="iufUS"))
        counts[UNIT_IDS.as_posix()] = len(unit_ids)
    if is_listed(folder / COORDINATES):
        coordinates = np.array(read_array(folder / COORDINATES, rank=2))
        counts[COORDINATES.as_posix()] = len(coordinates)
    recorded = (data_file(folder, "responses", i) for i, tier in enumerate(tiers) if tier not in WITHHELD_TIERS)
    if first := next(recorded, None):
        counts[first.relative_to(folder).as_posix()] = len(read_array(first, rank=2))
    if len(set(counts.values())) > 1:
        raise InputError(f"{folder}: the number of neurons differs: {counts}; copy the recording again")
    return unit_ids, coordinates, next(iter(counts.values()), 0)


def read_frame_rate(folder: Path) -> float:
    """Frames per second: 30 unless the recording says otherwise."""
    if not is_listed(folder / SETTINGS):
        return FRAME_RATE_HZ
    rate = read_json(folder / SETTINGS).get("frame_rate_hz")
    if not isinstance(rate, int | float) or isinstance(rate, bool) or not 0 < rate < float("inf"):
        raise InputError(f"{folder / SETTINGS} says frame_rate_hz: {rate}; it must be a positive number")
    return float(rate)


def read_statistics(folder: Path, kind: str) -> Statistics | None:
    """Mean and std of "responses", "behavior" or "pupil_center" as stored with the recording; None if absent."""
    files = [statistics_file(folder, kind, which) for which in ("mean", "std")]
    if not all(map(is_listed, files)):
        return None
    mean, std = (_one_axis(read_array(file, rank=(1, 2))) for file in files)
    if mean.shape != std.shape or not (np.isfinite(mean).all() and np.isfinite(std).all()):
        raise InputError(f"{files[0].parent} must hold one mean and one std per channel; delete it or write it again")
    return Statistics(mean, std)


def read_video(folder: Path, index: int) -> NDArray[Any]:
    """The movie (frames, height, width) as stored, memory-mapped, without its padding."""
    stored = read_array(data_file(folder, "videos", index), rank=3)
    video: NDArray[Any] = np.moveaxis(stored[..., : frames_before_nan(stored[0, 0])], -1, 0)
    return video


def read_trial(
    folder: Path,
    index: int,
    *,
    tier: str,
    kinds: frozenset[str],
    frame_rate_hz: float,
    recording: str,
    simulated: bool = False,
) -> Trial:
    """One trial, memory-mapped and cut at the first NaN.

    That is the first NaN of the responses if there are any, else of the behavior, else of the video. All neurons are
    padded alike, so only the first one is checked.

    Raises
    ------
    InputError
        A file is damaged, lengths differ, NaN before the padding, or all-zero responses that are not withheld.
    """
    name = f"{recording.partition('-Video-')[0]}/trial {index}"
    withheld = tier in WITHHELD_TIERS and not is_listed(data_file(folder, "responses", index))
    stored = {
        kind: read_array(data_file(folder, kind, index), rank=3 if kind == "videos" else 2)
        for kind in kinds
        if not (kind == "responses" and withheld)
    }
    if "responses" in stored and not _recorded(stored["responses"], tier=tier, name=name):
        del stored["responses"]
    frames = _length(stored, name=name)
    arrays = {kind: array[..., :frames] for kind, array in stored.items()}
    return Trial(
        video=np.moveaxis(arrays["videos"], -1, 0),
        responses=arrays.get("responses"),
        # Read, not mapped: they are small, and each mapped array is an open file, usually limited to 1024.
        behavior=np.array(arrays["behavior"]) if "behavior" in arrays else None,
        pupil_center=np.array(arrays["pupil_center"]) if "pupil_center" in arrays else None,
        frame_rate_hz=frame_rate_hz,
        name=name,
        recording=recording,
        simulated=simulated,
    )


def _recorded(responses: NDArray[Any], *, tier: str, name: str) -> bool:
    """False for zeros that mean withheld responses; InputError if none should be withheld."""
    frames = frames_before_nan(responses[0])
    if responses[:, :frames].any():
        return True
    if tier in WITHHELD_TIERS:
        return False
    if frames == 0:
        return True  # NaN from the start: _length reports it
    raise InputError(
        f"{name}: the responses are all zero, which marks them as withheld, but the trial's tier is {tier!r}; "
        f"give it one of {', '.join(WITHHELD_TIERS)}, or restore the responses"
    )


def _length(stored: Mapping[str, NDArray[Any]], *, name: str) -> int:
    """Frames in the trial, from the array that sets its length; InputError if the others differ."""
    clock = next(kind for kind in ("responses", "behavior", "pupil_center", "videos") if kind in stored)
    row = _row(stored[clock])
    frames = frames_before_nan(row)
    if frames == 0 or not np.isnan(row[frames:]).all():
        raise InputError(
            f"{name}: {clock} has NaN at frame {frames} of {len(row)} and numbers after it, or nothing but NaN; "
            "NaN may only pad the end of a trial"
        )
    for kind, array in stored.items():
        # Either padded to the same length on disk, or the same length without padding.
        if array.shape[-1] != len(row) and frames_before_nan(_row(array)) != frames:
            lengths = {kind: array.shape[-1] for kind, array in stored.items()}
            odd = turned(lengths, {kind: array.shape for kind, array in stored.items()})
            advice = f"{odd} seems to have its axes in another order" if odd else "they must be recorded on one clock"
            raise InputError(f"{name}: lengths differ, in frames: {lengths}; {advice} (time is the last axis on disk)")
    return frames


def _row(array: NDArray[Any]) -> NDArray[Any]:
    """One value per frame: the first neuron, channel or pixel."""
    row: NDArray[Any] = array[(0,) * (array.ndim - 1)]
    return row


def _one_axis(array: NDArray[Any]) -> NDArray[np.float64]:
    """(channels,) from (channels, 1), or from (channels, frames) with the maximum over frames, as published."""
    return np.asarray(array if array.ndim == 1 else np.fmax.reduce(array, axis=1), np.float64)


def _trial_numbers(folder: Path) -> set[int]:
    names = (file.stem for file in folder.glob("*.npy"))
    return {int(name) for name in names if name.isascii() and name.isdecimal() and name == str(int(name))}


def _some(numbers: list[int]) -> str:
    shown = ", ".join(f"{number}.npy" for number in numbers[:3])
    return (shown + (f" and {len(numbers) - 3} more" if len(numbers) > 3 else "")) or "none"

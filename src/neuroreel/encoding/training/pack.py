"""Recordings that do not fit into memory, packed once into files that training maps: no file is opened for a clip.

::

    responses.f32    (frames of all trials, neurons)
    covariates.f32   (frames of all trials, channels)
    videos.u8        (frames, height, width) of the trials whose grey levels are whole numbers
    videos.f32       the same of the other trials
    index.json       sizes, and for each trial its frames, its video's file and the hash of its values

Little-endian, without headers. Ten mice of the Sensorium competition take about 70 GB.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from neuroreel.encoding.training.store import TimeFirst, TrialStore, digest_of, joint_digest
from neuroreel.errors import InputError, ResourceError
from neuroreel.files import atomic_path, explain_disk_errors
from neuroreel.locks import file_lock, lock_of
from neuroreel.progress import progress
from neuroreel.recordings.checks import TrialSpec
from neuroreel.recordings.disk import read_json
from neuroreel.recordings.trial import Trial

INDEX = "index.json"
SAVE_EVERY = 16  # trials after which a killed packing goes on
_TYPES = {"responses.f32": "<f4", "covariates.f32": "<f4", "videos.u8": "u1", "videos.f32": "<f4"}


class PackedStore(TrialStore):
    """One recording's trials, memory-mapped from the folder that :func:`pack` wrote."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        index = read_json(folder / INDEX)
        try:
            self._hold(_mapped(folder, index))
            self._digest = joint_digest(entry["digest"] for entry in index["trials"])
        except (KeyError, TypeError, ValueError, OSError) as error:
            raise InputError(f"{folder} is damaged ({error}); delete it, and it is packed again") from error

    def __reduce__(self) -> tuple[Any, ...]:
        """Another process maps the files itself, instead of getting a copy of all the data."""
        return PackedStore, (self.folder,)


def pack(trials: Sequence[Trial], folder: Path, *, spec: TrialSpec, name: str, show_progress: bool) -> PackedStore:
    """Write the trials of one recording into ``folder``, unless they are there already, and map them.

    What was packed is known by the trials' files (path, size, time), or by their values where they are only in memory.
    A packing that was killed goes on where it was; two at once wait for each other.

    Raises
    ------
    ResourceError
        The disk is full.
    """
    key = joint_digest(trials.stamps()) if hasattr(trials, "stamps") else digest_of(trials)
    home = folder / f"{re.sub(r'[^A-Za-z0-9._-]+', '_', name) or 'recording'}-{key[:16]}"
    with explain_disk_errors(home):
        folder.mkdir(parents=True, exist_ok=True)
        with file_lock(lock_of(home), what="packing"):
            if not home.is_dir():
                partial = home.with_name(f".{home.name}.partial")
                _check_space(partial, spec)
                _write(trials, partial, spec, show_progress=show_progress, name=name)
                partial.replace(home)
    return PackedStore(home)


def bytes_of(spec: TrialSpec) -> int:
    """What trials with these sizes take, with whole grey levels."""
    return spec.frames * (4 * spec.neurons + 4 * spec.covariates + spec.video_height * spec.video_width)


def _write(trials: Sequence[Trial], folder: Path, spec: TrialSpec, *, show_progress: bool, name: str) -> None:
    """All trials one after the other; every few of them the index is written, for a later call to go on from."""
    folder.mkdir(exist_ok=True)
    index: dict[str, Any] = {
        "neurons": spec.neurons,
        "channels": spec.covariates,
        "video": [spec.video_height, spec.video_width],
        "trials": _packed_before(folder),
    }
    done: list[dict[str, Any]] = index["trials"]
    with _opened(folder, index) as files:
        left = progress(
            range(len(done), len(trials)), description=f"Packing {name}", total=len(trials), enabled=show_progress
        )
        for number in left:
            done.append(_append(files, TimeFirst.of(trials[number])))
            if len(done) % SAVE_EVERY == 0 or len(done) == len(trials):
                for file in files.values():
                    file.flush()
                    os.fsync(file.fileno())  # the index must not survive a power cut that its data do not
                with atomic_path(folder / INDEX, overwrite=True) as partial:
                    partial.write_text(json.dumps(index))


def _append(files: dict[str, BinaryIO], trial: TimeFirst) -> dict[str, Any]:
    """Write one trial; its entry in the index."""
    videos = "videos.u8" if trial.video.dtype == np.uint8 else "videos.f32"
    written = {videos: trial.video, "covariates.f32": trial.covariates, "responses.f32": trial.responses}
    for name, array in written.items():
        if array.size:
            files[name].write(array.astype(_TYPES[name], copy=False).data)
    return {"frames": len(trial.video), "videos": videos, "digest": trial.digest()}


@contextmanager
def _opened(folder: Path, index: dict[str, Any]) -> Iterator[dict[str, BinaryIO]]:
    """The data files, cut to what the index knows of and open for appending."""
    files: dict[str, BinaryIO] = {}
    try:
        for name, (shape, dtype) in _shapes(index).items():
            files[name] = (folder / name).open("ab")
            files[name].truncate(int(np.prod(shape)) * dtype.itemsize)
        yield files
    finally:
        for file in files.values():
            file.close()


def _packed_before(folder: Path) -> list[dict[str, Any]]:
    """The trials that an earlier call, killed since, has packed."""
    return list(read_json(folder / INDEX)["trials"]) if (folder / INDEX).exists() else []


def _shapes(index: dict[str, Any]) -> dict[str, tuple[tuple[int, ...], np.dtype[Any]]]:
    """Shape and type of each file."""
    frames = {name: sum(t["frames"] for t in index["trials"] if t["videos"] == name) for name in _TYPES}
    total = sum(trial["frames"] for trial in index["trials"])
    shapes = {
        "responses.f32": (total, index["neurons"]),
        "covariates.f32": (total, index["channels"]),
        "videos.u8": (frames["videos.u8"], *index["video"]),
        "videos.f32": (frames["videos.f32"], *index["video"]),
    }
    return {name: (shape, np.dtype(_TYPES[name])) for name, shape in shapes.items()}


def _mapped(folder: Path, index: dict[str, Any]) -> list[TimeFirst]:
    """Views of each trial's frames; ValueError where a file is too short or too long."""
    arrays: dict[str, NDArray[Any]] = {}
    for name, (shape, dtype) in _shapes(index).items():
        wanted, found = int(np.prod(shape)) * dtype.itemsize, (folder / name).stat().st_size
        if wanted != found:
            raise ValueError(f"{name} has {found} bytes instead of {wanted}")
        # as a plain array, whose slices are cheaper than those of a memmap; nothing can be mapped of an empty file
        arrays[name] = np.asarray(np.memmap(folder / name, dtype, "r", shape=shape)) if wanted else np.empty(shape)
    trials, at = [], dict.fromkeys(_TYPES, 0)
    for entry in index["trials"]:
        taken = []
        for name in (entry["videos"], "covariates.f32", "responses.f32"):
            taken.append(arrays[name][at[name] : at[name] + entry["frames"]])
            at[name] += entry["frames"]
        trials.append(TimeFirst(*taken))
    return trials


def _check_space(folder: Path, spec: TrialSpec) -> None:
    """ResourceError before hours of copying that cannot end well."""
    there = sum(file.stat().st_size for file in folder.iterdir()) if folder.is_dir() else 0
    needed, free = bytes_of(spec) - there, shutil.disk_usage(folder.parent).free
    if needed > free:
        raise ResourceError(
            f"the trials do not fit into memory, and packing them in {folder.parent} takes {needed / 1e9:.1f} GB of "
            f"disk, of which {free / 1e9:.1f} GB are free: free some, or choose another folder with packed=…"
        )

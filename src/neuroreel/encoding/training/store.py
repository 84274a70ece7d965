"""Training trials with time first, so that a clip is a contiguous slice: in memory, or packed into mapped files.

Recordings that do not fit into memory are packed; ten mice of the Sensorium competition take about 70 GB. Files are few
and large, because a process cannot map thousands::

    frames.u8, frames.f32   one record per frame: movie frame, covariates, responses; little-endian, without headers.
                            The movies of frames.u8 have whole gray levels, in bytes.
    index.json              sizes, and for each trial its frames, its file and the hash of its values
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from neuroreel.errors import InputError, ResourceError
from neuroreel.files import atomic_path, explain_disk_errors
from neuroreel.locks import file_lock, lock_of
from neuroreel.progress import progress
from neuroreel.recordings.checks import TrialSpec
from neuroreel.recordings.disk import read_json
from neuroreel.recordings.trial import Trial

COLUMNS_AT_ONCE = 1024  # neurons averaged at once; limits memory
INDEX = "index.json"
FILES = {"frames.u8": "u1", "frames.f32": "<f4"}  # file names, and how each stores gray levels


class TimeFirst(NamedTuple):
    """The arrays of one trial, frames along the first axis of each."""

    video: NDArray[Any]  # (frames, height, width): bytes if the gray levels are whole, else float32
    covariates: NDArray[np.float32]  # (frames, channels)
    responses: NDArray[np.float32]  # (frames, neurons), not negative

    @classmethod
    def of(cls, trial: Trial) -> TimeFirst:
        """Copies of a trial's arrays."""
        video = trial.needs_video()
        whole = bool((video == np.rint(video)).all())
        return cls(
            video.astype(np.uint8) if whole else video.copy(),
            np.ascontiguousarray(trial.covariates.T),
            np.ascontiguousarray(trial.needs_responses().T),
        )

    @property
    def frames(self) -> int:
        """Number of movie frames."""
        return len(self.video)

    def cut(self, frames: slice) -> TimeFirst:
        """Some of the frames, as views."""
        return TimeFirst(*(array[frames] for array in self))

    def digest(self) -> str:
        """A hash of all values, to tell whether two trials are the same."""
        hashed = hashlib.sha256()
        for array in self:
            hashed.update(f"{array.dtype}{array.shape}".encode())
            hashed.update(np.ascontiguousarray(array).data if array.size else b"")
        return hashed.hexdigest()


def joint_digest(digests: Iterable[str]) -> str:
    """One hash from many."""
    return hashlib.sha256("\n".join(digests).encode()).hexdigest()


def digest_of(trials: Iterable[Trial]) -> str:
    """The digest that a store of these trials would have; trials are read one at a time."""
    return joint_digest(TimeFirst.of(trial).digest() for trial in trials)


class TrialStore(Sequence[TimeFirst]):
    """One recording's trials in memory."""

    def __init__(self, trials: Sequence[Trial], *, show_progress: bool) -> None:
        shown = progress(trials, description="Reading trials", enabled=show_progress)
        self.trials = [TimeFirst.of(trial) for trial in shown]
        self._digest: str | None = None

    def __len__(self) -> int:
        return len(self.trials)

    def __getitem__(self, index: Any) -> Any:
        return self.trials[index]

    def digest(self) -> str:
        """A hash of movies, behavior and responses, to tell whether two training runs saw the same data."""
        if self._digest is None:
            self._digest = joint_digest(trial.digest() for trial in self.trials)
        return self._digest

    def statistics(self, field: Literal["covariates", "responses"]) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of each channel (channels,) over all frames, in chunks of channels."""
        arrays = [getattr(trial, field) for trial in self.trials]
        channels = arrays[0].shape[1]
        means, deviations = [torch.zeros(0)], [torch.zeros(0)]
        for first in range(0, channels, COLUMNS_AT_ONCE):
            part = np.concatenate([array[:, first : first + COLUMNS_AT_ONCE] for array in arrays]).T
            values = torch.from_numpy(np.ascontiguousarray(part))
            means.append(values.mean(dim=1))
            deviations.append(values.std(dim=1))
        return torch.cat(means), torch.cat(deviations)


class PackedStore(TrialStore):
    """One recording's trials, memory-mapped from the folder that :func:`pack` wrote."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        index = read_json(folder / INDEX)
        try:
            self.trials = _mapped(folder, index)
            self._digest = joint_digest(entry["digest"] for entry in index["trials"])
        except (KeyError, TypeError, ValueError, OSError) as error:
            raise InputError(f"{folder} is damaged ({error}); delete it, and it is packed again") from error

    def __reduce__(self) -> tuple[Any, ...]:
        """Another process maps the files itself instead of receiving a copy of the data."""
        return PackedStore, (self.folder,)


def pack(trials: Sequence[Trial], folder: Path, *, spec: TrialSpec, name: str, show_progress: bool) -> PackedStore:
    """Write the trials of one recording into ``folder``, unless they exist there, and map them.

    Packed trials are identified by their files (path, size, time), or by their values if they are only in memory.
    Packing resumes after a kill; two processes wait for each other.

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
    """Bytes of trials of these sizes, with whole gray levels."""
    return spec.frames * (4 * spec.neurons + 4 * spec.covariates + spec.video_height * spec.video_width)


def _write(trials: Sequence[Trial], folder: Path, spec: TrialSpec, *, show_progress: bool, name: str) -> None:
    """Write all trials in turn; the index lists those that a later call need not write again."""
    folder.mkdir(exist_ok=True)
    index: dict[str, Any] = {
        "neurons": spec.neurons,
        "channels": spec.covariates,
        "video": [spec.video_height, spec.video_width],
        "trials": read_json(folder / INDEX)["trials"] if (folder / INDEX).exists() else [],
    }
    written: Counter[str] = Counter()
    for entry in index["trials"]:
        written[entry["file"]] += entry["frames"]
    left = range(len(index["trials"]), len(trials))
    for number in progress(left, description=f"Packing {name}", total=len(trials), enabled=show_progress):
        trial = TimeFirst.of(trials[number])
        file = "frames.u8" if trial.video.dtype == np.uint8 else "frames.f32"
        _append(trial, folder / file, _record(index, file), after=written[file])
        written[file] += trial.frames
        index["trials"].append({"frames": trial.frames, "file": file, "digest": trial.digest()})
        with atomic_path(folder / INDEX, overwrite=True) as partial:
            partial.write_text(json.dumps(index))


def _append(trial: TimeFirst, file: Path, record: np.dtype[Any], *, after: int) -> None:
    records = np.empty(trial.frames, record)
    for field in trial._fields:
        records[field] = getattr(trial, field)
    with file.open("ab") as stream:
        stream.truncate(after * record.itemsize)  # drop what a kill may have left half written
        records.tofile(stream)
        stream.flush()
        os.fsync(stream.fileno())  # the index must not survive a power cut without its data


def _record(index: dict[str, Any], file: str) -> np.dtype[Any]:
    """The stored record of a frame."""
    sizes = {"video": index["video"], "covariates": [index["channels"]], "responses": [index["neurons"]]}
    return np.dtype([(name, FILES[file] if name == "video" else "<f4", tuple(size)) for name, size in sizes.items()])


def _mapped(folder: Path, index: dict[str, Any]) -> list[TimeFirst]:
    """Views of each trial's frames; ValueError if a file is too short or too long."""
    there = [file for file in FILES if (folder / file).exists()]
    # plain arrays, because slicing a memmap is slower
    maps = {file: np.asarray(np.memmap(folder / file, _record(index, file), "r")) for file in there}
    trials, at = [], Counter(dict.fromkeys(there, 0))
    for entry in index["trials"]:
        file, first = entry["file"], at[entry["file"]]
        at[file] += entry["frames"]
        frames = maps[file][first : at[file]]
        trials.append(TimeFirst(frames["video"], frames["covariates"], frames["responses"]))
    for file, frames in maps.items():
        if len(frames) != at[file]:
            raise ValueError(f"{file} has {len(frames)} frames instead of {at[file]}")
    return trials


def _check_space(folder: Path, spec: TrialSpec) -> None:
    """ResourceError before hours of copying that would fail."""
    there = sum(file.stat().st_size for file in folder.iterdir()) if folder.is_dir() else 0
    needed, free = bytes_of(spec) - there, shutil.disk_usage(folder.parent).free
    if needed > free:
        raise ResourceError(
            f"the trials do not fit into memory, and packing them in {folder.parent} takes {needed / 1e9:.1f} GB of "
            f"disk, of which {free / 1e9:.1f} GB are free: free some, or choose another folder with packed=…"
        )

"""A part of a recording, some folds or tiers of its trials, as a recording of its own.

Trials keep their order and are numbered anew from 0, so that "the third trial of fold 0" is the same in the part and in
the whole. ``meta/part.json`` keeps their numbers in the whole.
"""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from neuroreel.errors import InputError
from neuroreel.files import atomic_path
from neuroreel.recordings.disk import read_json
from neuroreel.recordings.download.unpack import write_member
from neuroreel.recordings.sensorium import FOLDS, KINDS, SETTINGS, TIERS, read_tiers, read_video
from neuroreel.recordings.splits import FOLD_COUNT, fold_rule, is_fold, is_folded, movie_hash, read_folds, write_folds

PART = PurePosixPath("meta", "part.json")
_HASHES = "hashes.json"
_MEMBERS = "members.json"


@dataclass(frozen=True)
class Packed:
    """A recording in a zip, which may lie on disk or in the archive.

    Attributes
    ----------
    archive, members
        The zip, and its files by their path in the recording.
    name
        The recording's name.
    staging
        A folder for what is unpacked, which an earlier run may have begun to fill.
    check_stopped
        Called now and then; raises if the work is to end.
    """

    archive: zipfile.ZipFile
    members: Mapping[PurePosixPath, zipfile.ZipInfo]
    name: str
    staging: Path
    check_stopped: Callable[[], None] = lambda: None

    def prepare(self) -> None:
        """Empty the staging folder if it was begun for a zip with other files."""
        note = self.staging / _MEMBERS
        now = {path.as_posix(): [info.file_size, info.CRC] for path, info in self.members.items()}
        if note.exists() and read_json(note) == now:
            return
        shutil.rmtree(self.staging, ignore_errors=True)
        with atomic_path(note) as partial:
            partial.write_text(json.dumps(now), encoding="utf-8")

    @property
    def raw(self) -> Path:
        """Files as they are in the zip, before they are cut."""
        return self.staging / "as_published"

    def write(self, path: PurePosixPath | Path, target: Path) -> None:
        """Unpack one file."""
        info = self.members[PurePosixPath(path)]
        write_member(self.archive, info, target, check_stopped=self.check_stopped)

    def tiers(self) -> tuple[str, ...]:
        """The tier of each trial."""
        self.write(TIERS, self.raw / TIERS)
        return read_tiers(self.raw)

    def fold_rule(self) -> str:
        """By which rule its folds follow from its movies."""
        if PurePosixPath(SETTINGS) in self.members:
            self.write(SETTINGS, self.raw / SETTINGS)
        return fold_rule(self.raw)

    def sizes(self, paths: Sequence[PurePosixPath]) -> tuple[int, int]:
        """Bytes of files in the zip, packed and unpacked."""
        infos = [self.members[path] for path in paths if path in self.members]
        return sum(info.compress_size for info in infos), sum(info.file_size for info in infos)


def unpack_whole(packed: Packed) -> Path:
    """Unpack a whole recording; the folder in ``staging`` that holds it."""
    packed.prepare()
    folder = packed.staging / packed.name
    for path in packed.members:
        packed.write(path, folder / path)
    return folder


def unpack_part(packed: Packed, parts: Sequence[str], *, source: str) -> Path:
    """Unpack the trials of some folds and tiers; the folder in ``staging`` that holds them.

    Parameters
    ----------
    packed
        The recording. Where folds are asked for and none are stored with it, the movies of all trials that have a
        fold are read, as the fold of a trial follows from its movie.
    parts
        "fold_0", "oracle", …
    source
        Where the recording is from, for ``meta/part.json``.

    Raises
    ------
    InputError
        No trial is in these parts.
    """
    packed.prepare()
    tiers = packed.tiers()
    words, hashes = _words(packed, tiers, parts)
    chosen = [i for i, word in enumerate(words) if word in parts or tiers[i] in parts]
    if not chosen:
        there = ", ".join(sorted({*words, *tiers}))
        raise InputError(f"{packed.name} has no trials of {', '.join(parts)}; it has {there}")
    folder = packed.staging / packed.name
    for new, old in enumerate(chosen):
        for kind in KINDS:
            if (path := trial_file(kind, old)) in packed.members:
                _place(packed, path, folder / trial_file(kind, new))
    for path in packed.members:
        if path.parts[0] == "meta" and path.parent != PurePosixPath(TIERS.parent):
            packed.write(path, folder / path)
    _cut_trials(packed, folder, chosen=chosen, trials=len(tiers))
    if tuple(words) != tiers:
        kept = [hashes[i] for i in chosen] if any(value is not None for value in hashes) else None
        write_folds(folder / FOLDS, [words[i] for i in chosen], hashes=kept, rule=packed.fold_rule())
    with atomic_path(folder / PART, overwrite=True) as partial:
        partial.write_text(json.dumps({"source": source, "parts": list(parts), "trials": chosen}) + "\n")
    return folder


def part_cost(packed: Packed, parts: Sequence[str]) -> tuple[int, int]:
    """About how many bytes a part takes, to download and on disk: exact for tiers; a fold is taken for a seventh."""
    packed.prepare()
    tiers = packed.tiers()
    wanted = [1.0 if tier in parts else 0.0 for tier in tiers]
    to_hash: list[int] = []
    if any(map(is_fold, parts)):
        folded = [i for i, tier in enumerate(tiers) if is_folded(tier, recording_name=packed.name)]
        for i in folded:
            wanted[i] = max(wanted[i], min(1.0, sum(map(is_fold, parts)) / FOLD_COUNT))
        to_hash = [] if PurePosixPath(FOLDS) in packed.members else [i for i in folded if wanted[i] < 1]
    download, disk = packed.sizes([path for path in packed.members if path.parts[0] == "meta"])
    for i, share in enumerate(wanted):
        of_trial = packed.sizes([trial_file(kind, i) for kind in KINDS])
        download, disk = download + round(share * of_trial[0]), disk + round(share * of_trial[1])
    for i in to_hash:
        download += round((1 - wanted[i]) * packed.sizes([trial_file("videos", i)])[0])
    return download, disk


def trial_file(kind: str, index: int) -> PurePosixPath:
    """Where the array of one kind of one trial lies in a recording."""
    return PurePosixPath("data", kind, f"{index}.npy")


def _words(packed: Packed, tiers: tuple[str, ...], parts: Sequence[str]) -> tuple[Sequence[str], list[int | None]]:
    """Fold or tier of each trial, and the hashes of the movies where they were computed."""
    unknown: list[int | None] = [None] * len(tiers)
    if PurePosixPath(FOLDS) in packed.members:
        packed.write(FOLDS, packed.raw / FOLDS)
        return read_folds(packed.raw / FOLDS, tiers), unknown
    if not any(map(is_fold, parts)):
        return tiers, unknown
    hashes = _hashes(packed, tiers, parts)
    words = [tier if value is None else f"fold_{value % FOLD_COUNT}" for tier, value in zip(tiers, hashes, strict=True)]
    return words, hashes


def _hashes(packed: Packed, tiers: tuple[str, ...], parts: Sequence[str]) -> list[int | None]:
    """The hash of each movie that has a fold; movies are kept where they are wanted, hashes for the next run."""
    note = packed.staging / _HASHES
    known = read_json(note) if note.exists() else {}
    for index, tier in enumerate(tiers):
        if not is_folded(tier, recording_name=packed.name) or str(index) in known:
            continue
        video = packed.raw / trial_file("videos", index)
        packed.write(trial_file("videos", index), video)
        known[str(index)] = value = movie_hash(read_video(packed.raw, index), rule=packed.fold_rule())
        if f"fold_{value % FOLD_COUNT}" not in parts and tier not in parts:
            video.unlink()
        with atomic_path(note, overwrite=True) as partial:
            partial.write_text(json.dumps(known))
    return [known.get(str(index)) for index in range(len(tiers))]


def _place(packed: Packed, path: PurePosixPath, target: Path) -> None:
    """A file of a chosen trial: moved if it was unpacked for its hash, else unpacked."""
    if (packed.raw / path).exists() and not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        (packed.raw / path).replace(target)
    packed.write(path, target)


def _cut_trials(packed: Packed, folder: Path, *, chosen: list[int], trials: int) -> None:
    """What ``meta/trials`` says of each trial, for the chosen ones; other things there would no longer be true."""
    for path in packed.members:
        if path.parent != PurePosixPath(TIERS.parent) or path.suffix != ".npy":
            continue
        packed.write(path, packed.raw / path)
        try:
            array = np.load(packed.raw / path, allow_pickle=False)
        except ValueError:  # Python objects: not read
            continue
        if array.shape[:1] == (trials,):
            with atomic_path(folder / path, overwrite=True) as partial:
                np.save(partial, array[chosen])

"""A part of a recording, some folds or tiers, as a separate recording.

Trials keep their order and are renumbered from 0, so that "the third trial of fold 0" is the same in the part and in
the whole. ``meta/part.json`` has their numbers in the whole.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import numpy as np

from neuroreel.download.unpack import Packed
from neuroreel.errors import InputError
from neuroreel.recordings.sensorium import FOLDS, KINDS, TIERS, data_file, read_tiers, read_video
from neuroreel.recordings.splits import (
    fold_rule,
    fold_words,
    is_fold,
    is_folded,
    movie_hash,
    read_folds,
    write_folds,
)

PART = PurePosixPath("meta", "part.json")


class PartError(InputError):
    """The recording has no such part, but its zip is fine."""


def unpack_part(packed: Packed, folder: Path, parts: Sequence[str], *, scratch: Path) -> None:
    """Unpack the trials of some folds and tiers.

    Parameters
    ----------
    packed
        The recording. If folds are requested but not stored with it, the movies of all trials that have a fold are
        read, because a trial's movie determines its fold.
    folder
        Where to unpack; its name must be the recording's.
    parts
        "fold_0", "oracle", …
    scratch
        A folder for files of the whole recording.

    Raises
    ------
    PartError
        No trial is in these parts.
    """
    for path in packed.members:
        if path.parts[0] == "meta":
            packed.write(path, scratch / path)
    tiers = read_tiers(scratch)
    words, hashes = _folds(packed, tiers, parts, scratch=scratch, name=folder.name)
    chosen = [i for i, word in enumerate(words) if word in parts or tiers[i] in parts]
    if not chosen:
        there = ", ".join(sorted({*words, *tiers}))
        raise PartError(f"{folder.name} has no trials of {', '.join(parts)}; it has {there}")
    for new, old in enumerate(chosen):
        for kind in KINDS:
            path = PurePosixPath(data_file(Path(), kind, old))
            if path in packed.members:
                packed.write(path, data_file(folder, kind, new))
    for path in packed.members:
        if path.parts[0] == "meta" and path.parent != PurePosixPath(TIERS.parent):
            packed.write(path, folder / path)
    _cut_trials(scratch, folder, chosen=chosen, trials=len(tiers))
    if tuple(words) != tiers:
        kept = [hashes[i] for i in chosen] if hashes else None
        write_folds(folder / FOLDS, [words[i] for i in chosen], hashes=kept, rule=fold_rule(scratch))
    about = {"source": packed.source, "parts": list(parts), "trials": chosen}
    (folder / PART).write_text(json.dumps(about) + "\n", encoding="utf-8")


def _folds(
    packed: Packed, tiers: tuple[str, ...], parts: Sequence[str], *, scratch: Path, name: str
) -> tuple[Sequence[str], list[int | None]]:
    """Fold or tier of each trial, and the hashes of the movies if they had to be computed."""
    if (scratch / FOLDS).exists():
        return read_folds(scratch / FOLDS, tiers), []
    if not any(map(is_fold, parts)):
        return tiers, []
    rule = fold_rule(scratch)
    hashes: list[int | None] = [None] * len(tiers)
    for index, tier in enumerate(tiers):
        if is_folded(tier, recording_name=name):
            video = data_file(scratch, "videos", index)
            packed.write(video.relative_to(scratch), video)
            hashes[index] = movie_hash(read_video(scratch, index), rule=rule)
            video.unlink()
    return fold_words(tiers, hashes), hashes


def _cut_trials(scratch: Path, folder: Path, *, chosen: Sequence[int], trials: int) -> None:
    """Write the chosen trials' entries of ``meta/trials``; other files there would no longer be valid."""
    for file in (scratch / TIERS.parent).glob("*.npy"):
        try:
            array = np.load(file, allow_pickle=False)
        except ValueError:  # Python objects: not read
            continue
        if array.shape[:1] == (trials,):
            target = folder / TIERS.parent / file.name
            target.parent.mkdir(parents=True, exist_ok=True)
            np.save(target, array[chosen])

"""Find the authors' results in a folder by their file names."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from neuroreel.errors import InputError
from neuroreel.recordings.disk import absolute

MODEL = "model"

_PREFIX = "reconstruction_summary_"
_FOLDER = re.compile(r"modelfold\[?(?P<models>\d+(?:[ ,]+\d+)*)\]?_(?P<run>.+)")
_FILES = (
    re.compile(rf"{_PREFIX}m(?P<mouse>\d+)_t(?P<trial>\d+)"),
    re.compile(rf"{_PREFIX}m(?P<mouse>\d+)_r(?P<repeat>\d+)s(?P<spatial>\d+)t(?P<temporal>\d+)"),
    re.compile(rf"{_PREFIX}m(?P<mouse>\d+)_d(?P<direction>\d+)s(?P<spatial>\d+)t(?P<temporal>\d+)"),
)


@dataclass(frozen=True)
class Found:
    """A result's file, its run, and its place: the indices in its name, and the model."""

    file: Path
    run: str
    place: dict[str, int | str]


def all_results(folder: Path) -> list[Found]:
    """The results of all runs in a folder or its subfolders; InputError if there are none."""
    if not folder.is_dir():
        raise InputError(f"there is no folder {folder}; give a folder of published results")
    found = _results_in(folder) or [each for inner in sorted(folder.iterdir()) for each in _results_in(inner)]
    if not found:
        raise InputError(f"{folder} and the folders in it hold no {_PREFIX}….npy; give a folder of published results")
    return found


def find_results(folder: Path, run: str) -> list[Found]:
    """The results of one run, sorted by place.

    Raises
    ------
    InputError
        No results, several runs, several kinds, two files for one place, or a name that cannot be parsed.
    """
    found = all_results(folder)
    runs = {each.run for each in found}
    chosen = [each for each in found if each.run == run or fnmatchcase(each.run, run)]
    if len({each.run for each in chosen}) != 1:
        counted = ", ".join(f"{name!r} ({sum(each.run == name for each in found)} results)" for name in sorted(runs))
        what = "several runs" if chosen else f"no run {run!r}"
        raise InputError(f"{folder} has {what}; choose one with run=: {counted}")
    return _in_order(chosen)


def _results_in(folder: Path) -> list[Found]:
    files = sorted(folder.glob(f"{_PREFIX}*.npy")) if folder.is_dir() else []
    name = absolute(folder).name
    model, run = name, ""  # renamed folders are models of one run
    if match := _FOLDER.fullmatch(name):
        numbers = re.findall(r"\d+", match["models"])
        model, run = " ".join(numbers), match["run"]
    return [Found(file, run, {**_place(file), MODEL: int(model) if model.isdecimal() else model}) for file in files]


def _place(file: Path) -> dict[str, int]:
    for pattern in _FILES:
        if match := pattern.fullmatch(file.stem):
            return {axis: int(number) for axis, number in match.groupdict().items()}
    raise InputError(
        f"the name of {file} is not understood; results are named {_PREFIX}m0_t0.npy (natural movies), "
        f"{_PREFIX}m0_r0s0t0.npy (noise) or {_PREFIX}m0_d0s0t0.npy (gratings)"
    )


def _in_order(found: list[Found]) -> list[Found]:
    axes = tuple(found[0].place)
    if other := next((each for each in found if tuple(each.place) != axes), None):
        raise InputError(f"{found[0].file} and {other.file} are results of different experiments; keep them apart")
    if any(isinstance(each.place[MODEL], str) for each in found):  # labels of one kind
        found = [Found(each.file, each.run, {**each.place, MODEL: str(each.place[MODEL])}) for each in found]
    taken: dict[tuple[int | str, ...], Path] = {}
    for each in found:
        place = tuple(each.place.values())
        if place in taken:
            where = " ".join(f"{axis} {number}" for axis, number in each.place.items())
            raise InputError(f"{taken[place]} and {each.file} are both {where}; keep one of them")
        taken[place] = each.file
    return sorted(found, key=lambda each: tuple(each.place.values()))

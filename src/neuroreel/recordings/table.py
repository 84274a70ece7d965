"""``nr.import_table``: a table that names the files of each trial becomes a recording."""

from __future__ import annotations

import csv
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from neuroreel.arguments import positive_number
from neuroreel.errors import InputError
from neuroreel.files import refuse_existing, user_path
from neuroreel.recordings.disk import check_fetched, read_array
from neuroreel.recordings.movie_file import ENDINGS, read_movie
from neuroreel.recordings.recording import Recording
from neuroreel.recordings.sensorium import WITHHELD_TIERS
from neuroreel.recordings.splits import is_fold
from neuroreel.recordings.trial import Trial
from neuroreel.recordings.writing import write_recording

FILES = ("video", "responses", "behavior", "pupil_center")
COLUMNS = (*FILES, "tier", "fold", "frame_rate_hz")
ENDINGS_OF_TABLES = (".csv", ".tsv")


def import_table(
    table: str | os.PathLike[str],
    folder: str | os.PathLike[str],
    *,
    frame_rate_hz: float | None = None,
    unit_ids: ArrayLike | None = None,
    coordinates: ArrayLike | None = None,
    overwrite: bool = False,
    say: Callable[[str], object] = lambda line: None,
) -> Recording:
    """Make a recording from a table that names the files of one trial per row.

    Parameters
    ----------
    table
        ``.csv``, with commas or semicolons, or ``.tsv``, with tabs. Its first row names the columns: ``video`` (.npy or
        .tif of (frames, height, width), or any video), and optionally ``responses`` (neurons, frames),
        ``behavior`` (channels, frames), ``pupil_center`` (2, frames), all .npy; ``tier``, a word ("train" by default);
        ``fold``, such as "fold_3" or 3, if folds should not come from the movies (empty for no fold);
        ``frame_rate_hz``. File names are relative to the table's folder. A cell may be empty; empty rows are skipped.
    folder
        Folder for the recording; see :func:`write_recording`.
    frame_rate_hz
        Frames per second if the table has no such column; by default that of the video file.
    unit_ids, coordinates
        IDs and positions of the neurons; see :func:`write_recording`.
    overwrite
        Replace an existing recording.
    say
        Called with lines for the user, such as ``print``.

    Returns
    -------
    Recording
        The recording, written one trial at a time and opened.

    Raises
    ------
    InputError
        A table that is missing, has other columns or names missing files; trials that do not fit together.
    ResourceError
        A library that reads a movie is not installed, or the disk is full.
    """
    table, folder = user_path(table), user_path(folder)
    refuse_existing(folder, overwrite=overwrite)
    if frame_rate_hz is not None:
        positive_number(frame_rate_hz, name="frame_rate_hz")
    rows = read_rows(table, frame_rate_hz=frame_rate_hz)
    say(f"{len(rows)} trials in {table}")
    folds = [row.fold or row.tier for row in rows]
    return write_recording(
        folder,
        (row.trial() for row in rows),
        tiers=[row.tier for row in rows],
        folds=folds if any(row.fold for row in rows) else None,
        unit_ids=unit_ids,
        coordinates=coordinates,
        overwrite=overwrite,
    )


@dataclass(frozen=True)
class Row:
    """One trial of a table: its files."""

    name: str
    files: dict[str, Path]
    tier: str
    fold: str
    frame_rate_hz: float | None

    def trial(self) -> Trial:
        """Read the files."""
        video, told = read_movie(self.files["video"])
        rate = self.frame_rate_hz or told
        if rate is None:
            raise InputError(
                f"{self.name}: {self.files['video']} has no frame rate; give frame_rate_hz=, or a column frame_rate_hz"
            )
        arrays: dict[str, Any] = {
            kind: read_array(file, rank=2) for kind, file in self.files.items() if kind != "video"
        }
        return Trial(video=video, frame_rate_hz=rate, name=self.name, **arrays)


def read_rows(table: Path, *, frame_rate_hz: float | None = None) -> list[Row]:
    """The rows of a table, after checking that all files exist."""
    if table.suffix.lower() not in ENDINGS_OF_TABLES:
        raise InputError(f"{table} ends in {table.suffix!r}; a table ends in {' or '.join(ENDINGS_OF_TABLES)}")
    check_fetched(table)
    if not table.is_file():
        raise InputError(f"there is no file {table}; give the path of a table of trials")
    try:
        lines = table.read_text(encoding="utf-8-sig").splitlines()  # spreadsheets write a byte order mark
    except UnicodeDecodeError as error:
        raise InputError(f"{table} is not text in UTF-8 ({error}); save it as such") from error
    reader = csv.DictReader(lines, delimiter=_delimiter(table, lines), restkey="", strict=True)
    try:
        rows = [cells for cells in reader if any(map(_has_content, cells.values()))]
    except csv.Error as error:
        raise InputError(f"{table} cannot be read as a table ({error}); correct it, for instance its quotes") from error
    _check_columns(table, reader.fieldnames or ())
    if not rows:
        raise InputError(f"{table} has no rows; give one per trial")
    return [_row(table, number, cells, frame_rate_hz=frame_rate_hz) for number, cells in enumerate(rows)]


def _delimiter(table: Path, lines: Sequence[str]) -> str:
    """A tab in .tsv files; in .csv files a comma, or a semicolon as in locales with a decimal comma."""
    if table.suffix.lower() == ".tsv":
        return "\t"
    header = lines[0] if lines else ""
    return ";" if ";" in header and "," not in header else ","


def _has_content(cell: str | list[str] | None) -> bool:
    """Whether a cell, or a row's extra cells, have content."""
    return bool("".join(cell or ()).strip())


def _check_columns(table: Path, names: Sequence[str]) -> None:
    unknown = [name for name in names if name not in COLUMNS]
    twice = [name for name in COLUMNS if list(names).count(name) > 1]
    if unknown or twice or "video" not in names:
        fault = f"unknown columns {unknown}" if unknown else f"{twice} twice" if twice else "no column 'video'"
        raise InputError(f"{table} has {fault}; its columns may be {', '.join(COLUMNS)}: rename or drop others")


def _row(table: Path, number: int, cells: dict[str, Any], *, frame_rate_hz: float | None) -> Row:
    name = f"trial {number}"
    if _has_content(cells.pop("", None)):
        raise InputError(f"{table}: {name} has more cells than there are columns; correct its row")
    given = {column: (cell or "").strip() for column, cell in cells.items()}
    files = {kind: table.parent / given[kind] for kind in FILES if given.get(kind)}
    tier = given.get("tier") or "train"
    wanted = ["video"] if tier in WITHHELD_TIERS else ["video", "responses"]
    if missing := [kind for kind in wanted if kind not in files]:
        raise InputError(f"{table}: {name}, of tier {tier!r}, names no {' and no '.join(missing)}")
    fold = given.get("fold", "")
    fold = f"fold_{fold}" if fold.isdecimal() else fold
    if fold and not is_fold(fold):
        raise InputError(f"{table}: {name} has the fold {fold!r}; it must be a number, or a word such as 'fold_3'")
    for kind, file in files.items():
        check_fetched(file)
        if not file.is_file():
            raise InputError(f"{table}: {name} names {file} as its {kind}, which does not exist")
        endings = ENDINGS if kind == "video" else (".npy",)
        if file.suffix.lower() not in endings:
            raise InputError(f"{table}: {name} names {file} as its {kind}; it must end in {', '.join(endings)}")
    rate = given.get("frame_rate_hz")
    return Row(name, files, tier, fold, _rate(rate, what=f"{table}: {name}") if rate else frame_rate_hz)


def _rate(text: str, *, what: str) -> float:
    try:
        rate = float(text)
    except ValueError:
        rate = 0.0
    if not 0 < rate < np.inf:
        raise InputError(f"{what} has frame_rate_hz {text!r}; it must be a positive number")
    return rate

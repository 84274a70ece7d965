"""Shared by several commands: open and check files named on the command line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from neuroreel.errors import InputError
from neuroreel.locks import file_lock, lock_of

NO_FOLD = "none"


def training_trials(opened: Any, test_fold: str, validation_fold: str = NO_FOLD) -> tuple[Any, Any]:
    """Trials of all folds except test and validation, and trials of the validation fold, which may be "none"."""
    folds = sorted({word for word in opened.folds() if word.startswith("fold_")})
    validates = validation_fold.lower() != NO_FOLD
    for asked in (test_fold, validation_fold) if validates else (test_fold,):
        if asked not in folds:
            raise InputError(
                f"the recording has no trials of {asked!r}; it has {', '.join(folds) or 'no folds'}, as trials of one "
                "movie share a fold: name other folds, or give the folds yourself (folds= of nr.write_recording, or a "
                "table's column 'fold')"
            )
    if test_fold == validation_fold:
        raise InputError(f"{test_fold} cannot be test and validation fold at once; it has {', '.join(folds)}")
    used = [fold for fold in folds if fold not in (test_fold, validation_fold)]
    if not used:
        raise InputError(f"no fold is left to train on beside {test_fold} and {validation_fold}")
    return opened.select(*used), opened.select(validation_fold) if validates else ()


def trial_numbers(opened: Any, trials: tuple[int, ...], fold: str) -> tuple[int, ...]:
    """The requested trials, after checking that they exist."""
    last = len(opened.trials) - 1
    for number in trials:
        if not 0 <= number <= last:
            raise InputError(f"there is no trial {number} in {opened.name}; its trials are numbered 0 to {last}")
    return trials or tuple(opened.select(fold).indices)


@contextmanager
def to_make(file: Path, *, what: str, overwrite: bool) -> Iterator[bool]:
    """Whether a file has yet to be made; if so, no other process makes it until the block ends."""
    if file.exists() and not overwrite:
        yield False
        return
    with file_lock(lock_of(file), what=what, tidy=True, say=say):
        yield overwrite or not file.exists()


def load_encoders(files: tuple[Path, ...], *, session: int | str, trust: bool) -> list[Any]:
    """The encoding models in these files, seen from one mouse."""
    import neuroreel as nr

    return [nr.load_encoder(file, session=session, trust=trust) for file in files]


def load_posterior(folder: Path, models: list[Any]) -> Any:
    """The posterior in a folder; models are only given where the folder has none."""
    import neuroreel as nr

    return nr.load_posterior(folder, models=models or None)


def result_files(paths: tuple[Path, ...]) -> list[Path]:
    """The .nc files among the paths and in their folders; InputError if there are none."""
    if not paths:
        raise InputError("no results were given; give .nc files that `neuroreel reconstruct` wrote, or folders of them")
    return [file for path in paths for file in _results_at(path)]


def _results_at(path: Path) -> list[Path]:
    """The file itself, or the .nc files of the folder."""
    if path.is_dir():
        if not (files := sorted(path.glob("[!.]*.nc"))):
            raise InputError(f"{path} holds no results; give .nc files, or folders of them")
        return files
    if not path.exists():
        beside = sorted(file.name for file in path.parent.glob("[!.]*.nc"))
        shown = f"{', '.join(beside[:8])}{', ...' if beside[8:] else ''}"
        hint = f"; {path.parent} holds {shown}" if beside else "; give .nc files that `neuroreel reconstruct` wrote"
        raise InputError(f"there is no file or folder {path}{hint}")
    return [path]


def load_results(paths: tuple[Path, ...]) -> list[Any]:
    """The reconstructions in these files and folders."""
    import neuroreel as nr

    return [nr.Reconstruction.load(file) for file in result_files(paths)]


def say(line: str) -> None:
    """Print at once, even to a file or a pipe."""
    print(line, flush=True)


def say_if_simulated(*recordings: Any) -> None:
    """Say that the scores are from a simulated mouse."""
    if any(each.simulated for each in recordings):
        say("(a simulated mouse, not a real one)")

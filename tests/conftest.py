"""Fixtures shared by all tests."""

from __future__ import annotations

import importlib
import json
import os
import signal
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path
from types import ModuleType

import pytest
from filelock import FileLock

HERE = Path(__file__).parents[1]
SHARED = HERE.parent / "shared"


def pytest_configure() -> None:
    """A shell has what it starts in the background ignore Ctrl-C, which some tests are about."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def golden() -> Path:
    """The folder of numbers that the published code computed; the test skips where it is absent."""
    folder = SHARED / "golden"
    if not folder.is_dir():
        pytest.skip(f"needs the golden numbers of the published code in {folder}")
    return folder


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real recordings; the test skips where it is absent."""
    folder = SHARED / "data"
    if not folder.is_dir():
        pytest.skip(f"needs the real recordings in {folder}")
    return folder


@pytest.fixture(scope="session")
def benchmark_module() -> Callable[[str], ModuleType]:
    """Imports a script of benchmarks/, which finds its neighbours as it does when it is run."""

    def module(name: str) -> ModuleType:
        with pytest.MonkeyPatch.context() as patch:
            patch.syspath_prepend(HERE / "benchmarks")
            return importlib.import_module(name)

    return module


@pytest.fixture(scope="session")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, Callable[[Path], None]], Path]:
    """Makes a folder that all tests may read and none may change; of several test processes, the first makes it."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base

    def folder(name: str, make: Callable[[Path], None]) -> Path:
        place, made = shared / name, shared / f"{name}.made"
        with FileLock(shared / f"{name}.lock"):
            if not made.exists():
                place.mkdir()
                make(place)
                made.touch()
        return place

    return folder


@pytest.fixture(scope="session")
def mice(made_once: Callable[[str, Callable[[Path], None]], Path]) -> Path:
    """Two tiny made-up mice with models, masks and a file of settings: see experiment_mice."""
    from experiment_mice import SETTINGS, make_mice

    def make(folder: Path) -> None:
        make_mice(folder)
        (folder / "settings.json").write_text(json.dumps(SETTINGS))

    return made_once("mice", make)


@pytest.fixture(scope="session")
def experiments_done(made_once: Callable[[str, Callable[[Path], None]], Path], mice: Path) -> Path:
    """A folder with the ``results`` of every experiment on the two mice, one movie each, and what was ``printed``."""
    from experiment_mice import options
    from neuroreel.cli import main

    def make(folder: Path) -> None:
        with (folder / "printed").open("w") as printed, redirect_stdout(printed):
            main(["experiment", "all", *options(mice), "--out", str(folder / "results")])

    return made_once("experiments", make)

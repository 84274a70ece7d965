"""Fixtures shared by all tests."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

HERE = Path(__file__).parents[1]
SHARED = HERE.parent / "shared"


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

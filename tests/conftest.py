"""Fixtures shared by all tests."""

from __future__ import annotations

from pathlib import Path

import pytest

SHARED = Path(__file__).parents[1].parent / "shared"


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

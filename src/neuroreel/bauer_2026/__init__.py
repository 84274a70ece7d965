"""The published method, to the letter: Bauer, Margrie & Clopath, eLife 2026."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from neuroreel.bauer_2026.inversion import reconstruct as reconstruct
    from neuroreel.bauer_2026.settings import Settings as Settings

_HOMES = {"reconstruct": "inversion", "Settings": "settings"}
__all__ = ["Settings", "reconstruct"]


def __getattr__(name: str) -> Any:
    """Imported at first use: PyTorch takes seconds to load."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)

"""The published method, to the letter: Bauer, Margrie & Clopath, eLife 2026."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from neuroreel.bauer_2026.inversion import Settings as Settings
    from neuroreel.bauer_2026.inversion import reconstruct as reconstruct

__all__ = ["Settings", "reconstruct"]


def __getattr__(name: str) -> Any:
    """Imported at first use: PyTorch takes seconds to load."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from neuroreel.bauer_2026 import inversion

    return getattr(inversion, name)

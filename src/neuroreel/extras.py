"""Optional libraries."""

from __future__ import annotations

import importlib
from types import ModuleType

from neuroreel.errors import ResourceError


def needs(name: str, *, extra: str = "export") -> ModuleType:
    """Import a library of an extra, ``export`` by default; ResourceError if it is not installed."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ResourceError(f"{name} is not installed; run pip install 'neuroreel[{extra}]'") from error

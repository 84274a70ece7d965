"""Libraries that not everybody installs."""

from __future__ import annotations

import importlib
from types import ModuleType

from neuroreel.errors import ResourceError


def needs(name: str) -> ModuleType:
    """Import a library of the ``export`` extra; ResourceError if it is not installed."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ResourceError(f"{name} is not installed; run pip install 'neuroreel[export]'") from error

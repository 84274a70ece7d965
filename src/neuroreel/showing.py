"""Figures in notebooks."""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def shown(figure: Figure) -> Figure:
    """The same figure, which a notebook now draws.

    IPython learns to draw figures when pyplot is imported, and ours are made without it.
    """
    ipython: Any = sys.modules.get("IPython")  # where it is not loaded, nothing is shown
    shell = None if ipython is None else ipython.get_ipython()
    if shell is None or shell.display_formatter is None:
        return figure
    try:
        shell.display_formatter.formatters["image/png"].lookup_by_type(type(figure))
    except KeyError:  # never over a format that the user has chosen
        importlib.import_module("IPython.core.pylabtools").select_figure_formats(shell, {"png"})
    return figure

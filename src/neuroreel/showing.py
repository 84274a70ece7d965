"""Figures in notebooks."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def shown(figure: Figure) -> Figure:
    """The same figure, which a notebook now draws.

    IPython learns to draw figures when pyplot is imported, and ours are made without it.
    """
    if "IPython" not in sys.modules:
        return figure
    from IPython.core.getipython import get_ipython
    from IPython.core.pylabtools import select_figure_formats

    shell = get_ipython()
    if shell is None or shell.display_formatter is None:
        return figure
    try:
        shell.display_formatter.formatters["image/png"].lookup_by_type(type(figure))
    except KeyError:  # never over a format that the user has chosen
        select_figure_formats(shell, {"png"})  # type: ignore[no-untyped-call]
    return figure

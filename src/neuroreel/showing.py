"""Figures in notebooks."""

from __future__ import annotations

import base64
import html
import importlib
import io
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def shown(figure: Figure) -> Figure:
    """The same figure, which the notebook can now draw.

    IPython learns to draw figures when pyplot is imported; ours are made without pyplot.
    """
    ipython: Any = sys.modules.get("IPython")  # without it there is no notebook
    shell = None if ipython is None else ipython.get_ipython()
    if shell is None or shell.display_formatter is None:
        return figure
    try:
        shell.display_formatter.formatters["image/png"].lookup_by_type(type(figure))
    except KeyError:  # keep a format that the user has chosen
        importlib.import_module("IPython.core.pylabtools").select_figure_formats(shell, {"png"})
    return figure


def figure_html(figure: Figure | None, *, title: str, facts: Sequence[str], alt: str = "") -> str:
    """HTML of an object for notebooks: its name, one line per fact, and a figure if there is one."""
    rows = "".join(f"<li>{html.escape(fact)}</li>" for fact in facts)
    head = f"<b>{html.escape(title)}</b><ul>{rows}</ul>"
    if figure is None:
        return f"<div>{head}</div>"
    image = io.BytesIO()
    figure.savefig(image, format="png", dpi=120)
    source = f"data:image/png;base64,{base64.b64encode(image.getvalue()).decode()}"
    return f"<div>{head}<img alt='{html.escape(alt or title)}' style='max-width:100%' src='{source}'></div>"

"""Numbers as figures and pages show them."""

from __future__ import annotations


def in_decimals(value: float, places: int) -> str:
    """So many decimals, with the minus sign that axes have, and none before a zero."""
    return f"{round(value, places) + 0.0:.{places}f}".replace("-", "\N{MINUS SIGN}")

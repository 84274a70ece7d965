"""Numbers as figures and pages show them."""

from __future__ import annotations


def in_decimals(value: float, places: int) -> str:
    """The value with ``places`` decimals, a typographic minus sign, and no minus before zero."""
    return f"{round(value, places) + 0.0:.{places}f}".replace("-", "\N{MINUS SIGN}")

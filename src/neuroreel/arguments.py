"""Shared checks of numbers, arrays, types, and names that may be misspelled."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable
from difflib import get_close_matches
from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neuroreel.errors import InputError


def whole_number(value: object, *, name: str, least: float = 1) -> int:
    """The value as an int; InputError unless it is a whole number, at least ``least``. True is not 1 here."""
    if isinstance(value, bool) or not isinstance(value, Integral) or value < least:
        raise InputError(f"{name} is {value!r}; it must be a whole number{_bound(least)}")
    return int(value)


def finite_number(value: object, *, name: str, least: float = -math.inf) -> float:
    """The value as a float; InputError unless it is a finite number, at least ``least``."""
    if isinstance(value, bool) or not isinstance(value, Real) or not math.isfinite(value) or value < least:
        raise InputError(f"{name} is {value!r}; it must be a number{_bound(least)}")
    return float(value)


def positive_number(value: object, *, name: str) -> float:
    """The value as a float; InputError unless it is a finite number above 0."""
    if isinstance(value, bool) or not isinstance(value, Real) or not 0.0 < float(value) < math.inf:
        raise InputError(f"{name} is {value!r}; it must be a positive number")
    return float(value)


def _bound(least: float) -> str:
    return "" if least == -math.inf else f", at least {least:g}"


def instance_of(value: Any, kind: type, *, name: str) -> Any:
    """The value; InputError unless it is of this type (not a file that holds one, or a list)."""
    if not isinstance(value, kind):
        raise InputError(f"{name} is a {type(value).__name__}; it must be one {kind.__name__}")
    return value


def as_array(values: ArrayLike, *, name: str) -> NDArray[Any]:
    """The values as an array; InputError for rows of different lengths, or a tensor on a GPU."""
    try:
        return np.asarray(values)
    except (ValueError, TypeError, RuntimeError) as error:
        raise InputError(f"{name} cannot be read as an array: {error}") from error


def refuse_unknown(given: Iterable[str], known: Collection[str], *, what: str) -> None:
    """Raise InputError for an unknown name, with the one that was probably meant."""
    for name in given:
        if name not in known:
            close = get_close_matches(str(name), known, n=1)
            meant = f"did you mean {close[0]!r}? It" if close else "it"
            raise InputError(f"there is no {what} {name!r}; {meant} must be one of {', '.join(known)}")

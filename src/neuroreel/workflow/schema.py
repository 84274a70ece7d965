"""Values of a configuration file, checked: each key known, each value of its type, each error with the way to it."""

from __future__ import annotations

import dataclasses
import difflib
import re
import types
import typing
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, TypeVar

from neuroreel.errors import InputError

Built = TypeVar("Built")

_WORDS: dict[Any, str] = {
    str: "a word",
    Path: "a path",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    dict: "a block of names and values",
}


def build(kind: type[Built], values: object, *, where: str) -> Built:
    """An instance of a dataclass from what the file has at ``where``.

    Raises
    ------
    InputError
        A key that the dataclass does not have (close matches are named), one that is missing, a value of another type.
    """
    given = block(values, where=where)
    fields = {field.name: field for field in dataclasses.fields(typing.cast(Any, kind))}
    check_values(given, {name: typing.get_type_hints(kind)[name] for name in fields}, where=where)
    missing = [name for name, field in fields.items() if _required(field) and name not in given]
    if missing:
        raise InputError(f"{where} has no {', no '.join(missing)}")
    return kind(**given)


def with_numbers(values: Any) -> Any:
    """The values with 1e-3 as a number: YAML 1.1 reads it as a word, for want of a point and a sign (1.0e-3)."""
    if isinstance(values, Mapping):
        return {key: with_numbers(value) for key, value in values.items()}
    if isinstance(values, list):
        return [with_numbers(value) for value in values]
    if isinstance(values, str) and re.fullmatch(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+", values):
        return float(values)
    return values


def block(values: object, *, where: str) -> dict[str, Any]:
    """The value as a dict with words for keys; nothing at all is an empty one."""
    if values is None:
        return {}
    if not isinstance(values, Mapping) or not all(isinstance(key, str) for key in values):
        raise InputError(f"{where} is {values!r}; it must be a block of names and values")
    return dict(values)


def check_values(given: Mapping[str, Any], known: Mapping[str, Any], *, where: str) -> None:
    """Raise InputError for a key that is not ``known``, or a value that is not of its type hint."""
    check_keys(given, known, where=where)
    for key, value in given.items():
        if not matches(value, known[key]):
            raise InputError(f"{where}: {key} is {value!r}; it must be {_words(known[key])}")


def check_keys(given: Collection[str], known: Collection[str], *, where: str) -> None:
    """Raise InputError for a key that is not known, naming the known ones that are spelled nearly alike."""
    for key in given:
        if key not in known:
            close = difflib.get_close_matches(key, known, n=3)
            hint = f"did you mean {' or '.join(close)}?" if close else f"it may have {', '.join(sorted(known))}"
            raise InputError(f"{where} has the unknown key {key!r}; {hint}")


def matches(value: object, hint: Any) -> bool:
    """Whether a value of a YAML file is what a type hint says: lists serve as tuples, words as paths."""
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Annotated:
        return matches(value, parts[0])
    if origin in (typing.Union, types.UnionType):
        return any(matches(value, part) for part in parts)
    if origin is typing.Literal:
        return value in parts
    if origin in (tuple, list):
        return isinstance(value, list | tuple) and all(matches(item, parts[0]) for item in value)
    if isinstance(value, bool):
        return hint is bool
    kinds = {float: (int, float), Path: (str, Path)}
    return isinstance(value, kinds.get(hint, origin or hint))


def _words(hint: Any) -> str:
    """The type hint in words."""
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Annotated:
        return _words(parts[0])
    if origin in (typing.Union, types.UnionType):
        return " or ".join(_words(part) for part in parts if part is not type(None))
    if origin is typing.Literal:
        return " or ".join(map(repr, parts))
    if origin in (tuple, list):
        return f"a list: each item {_words(parts[0])}"
    return _WORDS.get(origin or hint, str(hint))


def _required(field: dataclasses.Field[Any]) -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING

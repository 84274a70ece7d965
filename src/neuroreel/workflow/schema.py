"""Blocks of a configuration file, checked by pydantic: a command's options are the fields of its dataclass."""

from __future__ import annotations

import functools
import operator
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields
from difflib import get_close_matches
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin, get_type_hints

from pydantic import BaseModel, ConfigDict, Discriminator, Tag, ValidationError, create_model, model_validator
from pydantic_core import ErrorDetails
from pydantic_core.core_schema import CoreSchema, no_info_wrap_validator_function, plain_serializer_function_ser_schema

from neuroreel.errors import InputError

Checked = TypeVar("Checked", bound=BaseModel)
BLOCK = "a block of names and values"
WORDS = {  # pydantic's types of errors, in words for YAML
    "int_type": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "string_type": "a word",
    "list_type": "a list",
    "dict_type": BLOCK,
    "model_type": BLOCK,
}


class Block(BaseModel):
    """Names with typed values; nothing at all is an empty block."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _names(cls, values: Any) -> Any:
        if isinstance(values, Mapping):
            refuse_unknown_keys(values, cls.model_fields)
        return {} if values is None else values


@dataclass(frozen=True, eq=False)
class Options:
    """The type of a block with a command's options, which is kept as given.

    Attributes
    ----------
    command
        A dataclass of ``neuroreel.commands``.
    own
        Options that the workflow itself sets.
    more
        Further names that the block may have, with their types.
    settings
        Names in the block that may replace the file of ``settings``.
    """

    command: type
    own: Collection[str]
    more: Mapping[str, Any] | None = None
    settings: tuple[str, ...] = ()

    @property
    def names(self) -> list[str]:
        """Options of the command that the block may have."""
        return [each.name for each in fields(self.command) if each.name not in {*self.own, "out", "overwrite"}]

    def __get_pydantic_core_schema__(self, _source: Any, handler: Any) -> CoreSchema:
        """The schema that pydantic asks for."""
        hints = get_type_hints(self.command, include_extras=True)
        known: dict[str, Any] = {name: (_in_yaml(hints[name]), None) for name in self.names}
        known |= {name: (kind, None) for name, kind in (self.more or {}).items()}
        if self.settings:
            anything: dict[str, Any] = dict.fromkeys(self.settings, (Any, None))
            block = create_model("Settings", __base__=Block, **anything)
            either = Annotated[str, Tag("file")] | Annotated[block, Tag("block")]  # type: ignore[valid-type]
            known["settings"] = (Annotated[either, Discriminator(_file_or_block)], None)
        model = create_model(self.command.__name__, __base__=Block, **known)
        return no_info_wrap_validator_function(
            _as_given, handler(model), serialization=plain_serializer_function_ser_schema(dict)
        )


def _in_yaml(hint: Any) -> Any:
    """The type that a value has in a YAML file: paths are words there, and tuples are lists."""
    origin, parts = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return _in_yaml(parts[0])
    if origin is tuple:
        return list[_in_yaml(parts[0])]  # type: ignore[misc]
    if origin in (Union, UnionType):
        return functools.reduce(operator.or_, map(_in_yaml, parts))
    return str if hint is Path else hint


def _file_or_block(value: Any) -> str:
    return "block" if isinstance(value, Mapping) else "file"


def _as_given(values: Any, check: Any) -> dict[str, Any]:
    check(values)
    return dict(values or {})


def check(kind: type[Checked], values: Mapping[str, Any], *, where: str) -> Checked:
    """The block that the values describe.

    Raises
    ------
    InputError
        The first error, with its place: an unknown name, a missing one, or a wrong type.
    """
    try:
        return kind.model_validate(with_numbers(values))
    except ValidationError as error:
        raise InputError(_in_words(error.errors()[0], values, where=where)) from error


def _in_words(error: ErrorDetails, values: Any, *, where: str) -> str:
    way = []
    for step in error["loc"]:  # without pydantic's own steps, such as the type that a value was tried as
        if (isinstance(values, Mapping) and step in values) or (isinstance(values, list) and isinstance(step, int)):
            values = values[step]  # type: ignore[index]
            way.append(str(step))
    place = ": ".join(way) or where
    if error["type"] == "value_error":
        text = str(error["ctx"]["error"])
        return f"{place}{text}" if text.startswith(":") else f"{place} {text}"
    if error["type"] == "missing":
        return f"{place} has no {error['loc'][-1]}"
    wanted = WORDS.get(error["type"], error["msg"].removeprefix("Input should be "))
    return f"{place} is {values!r}; it must be {wanted}"


def refuse_unknown_keys(given: Collection[str], known: Collection[str]) -> None:
    """Raise ValueError for an unknown name, with known names of similar spelling."""
    for key in given:
        if key not in known:
            close = get_close_matches(str(key), known, n=3)
            hint = f"did you mean {' or '.join(close)}?" if close else f"it may have {', '.join(sorted(known))}"
            raise ValueError(f"has the unknown key {key!r}; {hint}")


def with_numbers(values: Any) -> Any:
    """The values with 1e-3 as a number: YAML 1.1 reads it as a word, because it needs a point and a sign (1.0e-3)."""
    if isinstance(values, Mapping):
        return {key: with_numbers(value) for key, value in values.items()}
    if isinstance(values, list):
        return [with_numbers(value) for value in values]
    if isinstance(values, str) and re.fullmatch(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+", values):
        return float(values)
    return values

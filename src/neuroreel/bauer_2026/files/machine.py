"""A pickle reader that cannot run code: no instruction calls what a file names.

A pickle is a list of instructions for a small stack machine. Python's own reader imports what the list names and calls
it, which is how a file runs code. The machine below instead looks up each name in a table of builders, which make
numbers, strings and paths; names that are not in the table are refused.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

from neuroreel.errors import RefusedError

Builder = Callable[..., Any]

_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
_LITERALS = {
    *("BININT", "BININT1", "BININT2", "LONG1", "LONG4", "BINFLOAT"),
    *("SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8", "SHORT_BINBYTES", "BINBYTES", "BINBYTES8"),
}


class _Mark:
    """Where on the stack a list, tuple or dictionary begins."""


@dataclass(frozen=True)
class Named:
    """A type or function that a file names: its name, never the thing itself."""

    name: str


class Machine:
    """Runs one pickle.

    Parameters
    ----------
    stream
        Read to the end of the pickle, no further.
    where
        What to call the file in messages.
    builders
        Names that the file may use, and the function called for each; None for names that are never called.
    persistent
        Builds the objects that the file refers to by persistent ID; None refuses them.

    Raises
    ------
    RefusedError
        The file names something that is not in ``builders``, or has an instruction that no published file has.
    Exception
        Nearly any, if the file is damaged.
    """

    def __init__(
        self,
        stream: BinaryIO,
        *,
        where: str,
        builders: Mapping[str, Builder | None],
        persistent: Callable[[Any], Any] | None = None,
    ) -> None:
        self._stream = stream
        self._where = where
        self._builders = builders
        self._persistent = persistent
        self._stack: list[Any] = []
        self._memo: dict[int, Any] = {}

    def run(self) -> Any:
        """What the pickle holds."""
        for instruction, argument, _ in pickletools.genops(self._stream):
            self._step(instruction.name, argument)
        (result,) = self._stack
        return result

    def _step(self, name: str, argument: Any) -> None:
        """Run one instruction; a file can do nothing else."""
        stack = self._stack
        match name:
            case _ if name in _LITERALS:
                stack.append(argument)
            case _ if name in _CONSTANTS:
                stack.append(_CONSTANTS[name])
            case "TUPLE1" | "TUPLE2" | "TUPLE3":
                count = int(name[-1])
                stack[-count:] = [tuple(stack[-count:])]
            case "MARK":
                stack.append(_Mark())
            case "TUPLE":
                stack.append(tuple(self._since_mark()))
            case "EMPTY_LIST":
                stack.append([])
            case "APPEND":
                item = stack.pop()
                self._top(list).append(item)
            case "APPENDS":
                items = self._since_mark()
                self._top(list).extend(items)
            case "EMPTY_DICT":
                stack.append({})
            case "SETITEM":
                value, key = stack.pop(), stack.pop()
                self._set_items([key, value])
            case "SETITEMS":
                self._set_items(self._since_mark())
            case "MEMOIZE" | "BINPUT" | "LONG_BINPUT":
                self._memo[len(self._memo) if name == "MEMOIZE" else argument] = stack[-1]
            case "BINGET" | "LONG_BINGET":
                stack.append(self._memo[argument])
            case "GLOBAL":
                self._name(*argument.split(" ", 1))  # pickletools joins them with a space
            case "STACK_GLOBAL":
                named, module = stack.pop(), stack.pop()
                self._name(module, named)
            case "REDUCE":
                self._reduce()
            case "BUILD":
                self._build()
            case "BINPERSID":
                self._persistent_id()
            case "PROTO" | "FRAME" | "STOP":
                pass
            case _:
                raise self._refused(f"has the instruction {name}")

    def _refused(self, what: str) -> RefusedError:
        return RefusedError(
            f"{self._where} {what}, which no published file needs; it may be made to run code. Nothing was run. "
            "Do not open it with pickle, numpy.load(allow_pickle=True) or torch.load(weights_only=False)"
        )

    def _since_mark(self) -> list[Any]:
        start = len(self._stack) - 1
        while not isinstance(self._stack[start], _Mark):
            start -= 1
            if start < 0:
                raise ValueError("a list that never began")
        items = self._stack[start + 1 :]
        del self._stack[start:]
        return items

    def _top(self, kind: type) -> Any:
        if type(self._stack[-1]) is not kind:
            raise TypeError(f"a {kind.__name__} was expected")
        return self._stack[-1]

    def _set_items(self, keys_and_values: list[Any]) -> None:
        target = self._top(dict)
        for key, value in zip(keys_and_values[::2], keys_and_values[1::2], strict=True):
            if type(key) is not str:  # hashing tuples of tuples of tuples ... overflows the stack of the interpreter
                raise TypeError("a key that is not a string")
            target[key] = value

    def _name(self, module: Any, name: Any) -> None:
        if type(module) is not str or type(name) is not str:  # not printed: a small file can hold a gigantic list
            raise TypeError("a name that is not a string")
        full = f"{module}.{name}"
        if full not in self._builders:
            raise self._refused(f"asks for {ascii(full[:100])[1:-1]}")
        self._stack.append(Named(full))

    def _reduce(self) -> None:
        arguments, named = self._stack.pop(), self._stack.pop()
        called = named.name if isinstance(named, Named) else "something that is not a function"
        builder = self._builders[called] if isinstance(named, Named) else None
        if builder is None or type(arguments) is not tuple:
            raise self._refused(f"calls {called}")
        self._stack.append(builder(*arguments))

    def _build(self) -> None:
        state = self._stack.pop()
        if not isinstance(self._stack[-1], Pending):
            raise self._refused("sets the state of an object")
        self._stack[-1].fill(state)

    def _persistent_id(self) -> None:
        if self._persistent is None:
            raise self._refused("refers to data outside itself")
        self._stack.append(self._persistent(self._stack.pop()))


class Pending:
    """An object that a pickle builds in two steps: first empty, then its state."""

    def fill(self, state: Any) -> None:
        """The second step."""
        raise NotImplementedError

"""A reader of pickles that cannot run code: it has no instruction that calls what a file names.

A pickle is a list of instructions for a small stack machine. Python's own reader imports what the list names and calls
it, which is how a file runs code. Here the few lines below run the instructions. A name in a file is only looked
up in a table of builders, which make numbers, strings and paths; a name that is not in the table is refused.
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
_SHORT_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_IGNORED = {"PROTO", "FRAME"}


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
        Read up to the end of the pickle, no further.
    where
        What to call the file in messages.
    builders
        What the file may name, and what is called in its place; None for what may be named but not called.
    persistent
        Makes what the file refers to by an identifier; None refuses identifiers.

    Raises
    ------
    RefusedError
        The file names something that is not in ``builders``, or has an instruction that no published file has.
    Exception
        Nearly any, where the file is damaged.
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
        if name in _LITERALS:
            self._stack.append(argument)
        elif name in _CONSTANTS:
            self._stack.append(_CONSTANTS[name])
        elif name in _SHORT_TUPLES:
            count = _SHORT_TUPLES[name]
            self._stack[-count:] = [tuple(self._stack[-count:])]
        elif name in _OTHERS:
            _OTHERS[name](self, argument)
        elif name not in _IGNORED and name != "STOP":
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
        if type(module) is not str or type(name) is not str:  # not shown: a small file can hold a gigantic list
            raise TypeError("a name that is not a string")
        full = f"{module}.{name}"
        if full not in self._builders:
            raise self._refused(f"asks for {ascii(full[:100])[1:-1]}")
        self._stack.append(Named(full))

    def _global(self, name: str) -> None:
        module, _, name = name.partition(" ")  # as pickletools joins them
        self._name(module, name)

    def _append(self, _: Any) -> None:
        item = self._stack.pop()
        self._top(list).append(item)

    def _extend(self, _: Any) -> None:
        items = self._since_mark()
        self._top(list).extend(items)

    def _set_item(self, _: Any) -> None:
        value, key = self._stack.pop(), self._stack.pop()
        self._set_items([key, value])

    def _reduce(self, _: Any) -> None:
        arguments, named = self._stack.pop(), self._stack.pop()
        builder = self._builders[named.name] if isinstance(named, Named) else None
        if builder is None or type(arguments) is not tuple:
            raise self._refused(
                f"calls {named.name if isinstance(named, Named) else 'something that is not a function'}"
            )
        self._stack.append(builder(*arguments))

    def _build(self, _: Any) -> None:
        state = self._stack.pop()
        if not isinstance(self._stack[-1], Pending):
            raise self._refused("sets the state of an object")
        self._stack[-1].fill(state)

    def _persistent_id(self, _: Any) -> None:
        if self._persistent is None:
            raise self._refused("refers to data outside itself")
        self._stack.append(self._persistent(self._stack.pop()))

    def _remember(self, index: int | None) -> None:
        self._memo[len(self._memo) if index is None else index] = self._stack[-1]

    def _stack_global(self, _: Any) -> None:
        name, module = self._stack.pop(), self._stack.pop()
        self._name(module, name)


class Pending:
    """Something that a pickle makes in two steps: first bare, then with its state."""

    def fill(self, state: Any) -> None:
        """The second step."""
        raise NotImplementedError


_OTHERS: dict[str, Callable[[Machine, Any], Any]] = {
    "MARK": lambda m, _: m._stack.append(_Mark()),
    "EMPTY_LIST": lambda m, _: m._stack.append([]),
    "EMPTY_DICT": lambda m, _: m._stack.append({}),
    "TUPLE": lambda m, _: m._stack.append(tuple(m._since_mark())),
    "APPEND": Machine._append,
    "APPENDS": Machine._extend,
    "SETITEM": Machine._set_item,
    "SETITEMS": lambda m, _: m._set_items(m._since_mark()),
    "MEMOIZE": lambda m, _: m._remember(None),
    **dict.fromkeys(("BINPUT", "LONG_BINPUT"), Machine._remember),
    **dict.fromkeys(("BINGET", "LONG_BINGET"), lambda m, index: m._stack.append(m._memo[index])),
    "GLOBAL": Machine._global,
    "STACK_GLOBAL": Machine._stack_global,
    "REDUCE": Machine._reduce,
    "BUILD": Machine._build,
    "BINPERSID": Machine._persistent_id,
}

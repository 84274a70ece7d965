"""One progress bar for the terminal and for Jupyter."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

Item = TypeVar("Item")


def progress(
    iterable: Iterable[Item],
    *,
    description: str,
    total: int | None = None,
    enabled: bool = True,
    always: bool = False,
) -> Iterator[Item]:
    """Pass items on and show how far the work is, on stderr or in the notebook.

    Parameters
    ----------
    iterable
        What is worked through.
    description
        A few words before the bar.
    total
        How many items there are, where ``iterable`` cannot tell.
    enabled
        False hides the bar. True shows it where somebody looks: in a terminal or a notebook, not in a log file.
    always
        Show it in log files too.
    """
    if not (always or (enabled and somebody_looks())):
        yield from iterable
        return
    from tqdm.auto import tqdm

    yield from tqdm(iterable, desc=description, total=total, dynamic_ncols=True)


@contextmanager
def bar_of(
    total: int, *, description: str, done: int = 0, enabled: bool = True, unit: str = "it"
) -> Iterator[Callable[..., object]]:
    """A bar for work that is no iterable: hands out the function that moves it on by one, or by its argument.

    The unit "B" counts bytes, and shows them as MB and GB.
    """
    if not (enabled and somebody_looks()):
        yield lambda count=1: None
        return
    from tqdm.auto import tqdm

    large = unit == "B"
    with tqdm(total=total, initial=done, desc=description, dynamic_ncols=True, unit=unit, unit_scale=large) as bar:
        yield bar.update


def note(line: str, *, enabled: bool = True, always: bool = False) -> None:
    """A line on stderr or in the notebook, above any bar.

    ``enabled`` shows it where somebody looks, ``always`` in log files too.
    """
    if not enabled or not (always or somebody_looks()):
        return
    from tqdm.auto import tqdm

    tqdm.write(line, file=sys.stderr)


@contextmanager
def above_bars() -> Iterator[None]:
    """Lines that are printed in the block stand above the bars, which are drawn anew below them."""
    if not somebody_looks():
        yield
        return
    from tqdm.auto import tqdm

    with tqdm.external_write_mode():
        yield


def somebody_looks() -> bool:
    """True in a terminal or a notebook, False in a log file."""
    return sys.stderr.isatty() or "ipykernel" in sys.modules

"""One progress bar for the terminal and for Jupyter."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from tqdm import tqdm

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
    from tqdm.auto import tqdm

    shown = always or (enabled and _somebody_looks())
    yield from tqdm(iterable, desc=description, total=total, disable=not shown, dynamic_ncols=True)


def _somebody_looks() -> bool:
    return sys.stderr.isatty() or "ipykernel" in sys.modules


@contextmanager
def bar_of(total: int, *, description: str = "Reconstructing", done: int = 0, enabled: bool = True) -> Iterator[tqdm]:
    """A bar that the work itself moves on with ``bar.update()``."""
    from tqdm.auto import tqdm

    with tqdm(total=total, initial=done, desc=description, disable=not (enabled and _somebody_looks())) as bar:
        yield bar

"""One progress bar for the terminal and for Jupyter; none in a log file."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any, TypeVar

Item = TypeVar("Item")


def progress(
    iterable: Iterable[Item], *, description: str, total: int | None = None, enabled: bool = True
) -> Iterator[Item]:
    """Iterate over items and show the progress, on stderr or in the notebook.

    Parameters
    ----------
    iterable
        The items.
    description
        A few words before the bar.
    total
        How many items there are, if ``iterable`` has no length.
    enabled
        False hides the bar. True shows it in a terminal or a notebook, not in a log file.
    """
    if not (enabled and somebody_looks()):
        yield from iterable
        return
    yield from bar_class()(iterable, desc=description, total=total, dynamic_ncols=True)


@contextmanager
def bar_of(
    total: int, *, description: str, done: int = 0, enabled: bool = True, unit: str = "it"
) -> Iterator[Callable[..., object]]:
    """A bar for work that is not an iterable: yields a function that advances it by one, or by its argument.

    The unit "B" counts bytes, and shows them as MB and GB.
    """
    if not (enabled and somebody_looks()):
        yield lambda count=1: None
        return
    shown = {"desc": description, "dynamic_ncols": True, "unit": unit, "unit_scale": unit == "B"}
    with bar_class()(total=total, initial=done, **shown) as bar:
        yield bar.update


def note(line: str, *, enabled: bool = True) -> None:
    """A line on stderr or in the notebook, above any bar; in log files too."""
    if enabled:
        bar_class().write(line, file=sys.stderr)


@contextmanager
def above_bars() -> Iterator[None]:
    """Lines printed in the block appear above the bars, which are redrawn below them."""
    if not somebody_looks():
        yield
        return
    with bar_class().external_write_mode():
        yield


def somebody_looks() -> bool:
    """True in a terminal or a notebook, False in a log file."""
    return sys.stderr.isatty() or "ipykernel" in sys.modules


def bar_class() -> Any:
    """The bar class of tqdm: in a notebook the widget if ipywidgets is installed, otherwise the text bar."""
    if find_spec("ipywidgets") is None:  # tqdm.auto would warn about it
        from tqdm import tqdm
    else:
        from tqdm.auto import tqdm
    return tqdm

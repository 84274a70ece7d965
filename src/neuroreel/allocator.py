"""Keep freed memory in the process: a third of a pass on a CPU was spent returning memory and requesting it again."""

from __future__ import annotations

import ctypes
import sys
from contextlib import suppress

_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
_MOST_OF_OLD_GLIBC = 32 << 20  # half of a heap; newer versions accept any value


def keep_freed_memory() -> None:
    """Tell glibc not to hand large blocks back to the system after each use; does nothing elsewhere.

    Every pass allocates the same tens of megabytes. By default glibc maps and unmaps them each time, and the kernel
    clears every page again. ``mallopt`` sets at run time what ``MALLOC_MMAP_THRESHOLD_`` and
    ``MALLOC_TRIM_THRESHOLD_`` set when a process starts.
    """
    if not sys.platform.startswith("linux"):
        return
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # another C library
        return
    if not mallopt(_M_MMAP_THRESHOLD, 1 << 30):
        mallopt(_M_MMAP_THRESHOLD, _MOST_OF_OLD_GLIBC)  # or the next call would freeze the threshold at 128 KiB
    mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)


def give_back_freed_memory() -> None:
    """Return freed memory to the system once, before asking how much memory is free."""
    if not sys.platform.startswith("linux"):
        return
    with suppress(OSError, AttributeError):  # another C library
        ctypes.CDLL(None).malloc_trim(0)

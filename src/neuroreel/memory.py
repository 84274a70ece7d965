"""How much memory there is and how much is in use: the one place that asks the system."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from numbers import Real
from pathlib import Path
from typing import TYPE_CHECKING

from neuroreel.allocator import give_back_freed_memory
from neuroreel.errors import InputError, NeuroreelError, ResourceError

if TYPE_CHECKING:
    import torch  # neuroreel doctor uses the rest even if PyTorch is broken

_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12, "ki": 2**10, "mi": 2**20, "gi": 2**30, "ti": 2**40}
_PROC = Path("/proc")
_NO_LIMIT = 2**60
_CGROUPS = Path("/sys/fs/cgroup")
_CGROUP_FILES = (  # the limit, what is in use, and how much of that the kernel can reclaim
    ("memory.max", "memory.current", "inactive_file"),
    ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
)


def free_bytes(device: torch.device | None = None) -> int | None:
    """Memory still available on a device (by default the CPU); None if the system does not say.

    On Linux it is the smallest of what the machine has free, what the control groups of a container or a cluster job
    allow, and what ``ulimit -v`` leaves.
    """
    if device is not None and device.type == "cuda":
        import torch

        free, _ = torch.cuda.mem_get_info(device)
        return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)  # kept, but not in use
    known = [
        found for found in (machine_bytes("MemAvailable"), *_free_in_cgroups(), _free_addresses()) if found is not None
    ]
    return max(0, min(known)) if known else None


def used_bytes(device: torch.device) -> int:
    """Memory that this process uses on a device; 0 if the system does not say."""
    if device.type == "cuda":
        import torch

        return torch.cuda.memory_allocated(device)
    try:
        pages = int((_PROC / "self" / "statm").read_text().split()[1])
    except (OSError, ValueError, IndexError):
        return 0
    import resource  # Windows has neither this module nor /proc

    return pages * resource.getpagesize()


@dataclass
class Taken:
    """Memory that a block took; None while it runs, or if the system does not say."""

    bytes: int | None = None


@contextmanager
def extra_memory(device: torch.device) -> Iterator[Taken]:
    """Measure the peak memory of the block on a device, beyond what was in use before.

    On a CPU this is Linux's own record of the process, which is reset first.
    """
    taken = Taken()
    if device.type == "cuda":
        import torch

        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        yield taken
        taken.bytes = torch.cuda.max_memory_allocated(device) - before
        return
    give_back_freed_memory()
    with suppress(OSError):  # not Linux, or not allowed
        (_PROC / "self" / "clear_refs").write_text("5")
    began = _largest_bytes()
    yield taken
    ended = _largest_bytes()
    taken.bytes = None if began is None or ended is None else ended - began


def _largest_bytes() -> int | None:
    """Peak resident memory of this process since its record was reset; None if the system does not say."""
    try:
        lines = (_PROC / "self" / "status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))
    except (OSError, ValueError, IndexError, StopIteration):
        return None


def parse_bytes(amount: object, *, what: str) -> int:
    """Bytes of "8 GB", "500 MiB", "8G" (powers of 1000) or a plain number of bytes; ``what`` names it in errors."""
    count = math.nan
    if isinstance(amount, str):
        found = re.fullmatch(r"\s*(\d+\.?\d*|\.\d+)\s*([kmgt]i?|)b?\s*", amount, re.IGNORECASE)
        count = float(found[1]) * _UNITS[found[2].lower()] if found else math.nan
    elif not isinstance(amount, bool) and isinstance(amount, Real):
        count = float(amount)
    if not (math.isfinite(count) and count >= 1):
        raise InputError(f"{what} is {amount!r}; it must be an amount of memory like '8 GB', '500 MiB', or bytes")
    return int(count)


def in_words(amount: float) -> str:
    """An amount of bytes as "1.2 GB", "350 MB" or "12 kB"."""
    for unit, size in (("GB", 1e9), ("MB", 1e6)):
        if amount >= 0.9995 * size:
            return f"{amount / size:.{1 if amount < 9.95 * size else 0}f} {unit}"
    return f"{math.ceil(amount / 1e3)} kB"


def is_out_of_memory(error: BaseException) -> bool:
    """True if an error says that memory ran out, on a GPU, on the CPU or in Python."""
    import torch

    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    # the CPU's allocator, a container's, and libraries that PyTorch calls raise plain RuntimeErrors
    return isinstance(error, RuntimeError) and bool(re.search(_OUT_OF_MEMORY, str(error), re.IGNORECASE))


def first_line(error: BaseException) -> str:
    """What an error says, without the many lines that PyTorch adds."""
    return str(error).partition("\n")[0].rstrip(". ") or type(error).__name__


# the last is the message of oneDNN, which convolves on CPUs
_OUT_OF_MEMORY = (
    r"can't allocate memory|cannot allocate memory|out of memory|ALLOC_FAILED|bad_alloc|could not create a primitive$"
)


@contextmanager
def memory_errors_told(device: torch.device) -> Iterator[None]:
    """If memory runs out within the block, raise ResourceError that says what to do."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if isinstance(error, NeuroreelError) or not is_out_of_memory(error):
            raise
        raise ResourceError(
            f"memory ran out ({first_line(error)}) on the device {device}: close other programs, use fewer or smaller "
            "models, shorter trials or another device, or take results one by one with nr.reconstruct_each"
        ) from error


def free_after_failure(device: torch.device) -> None:
    """Return freed memory to the system and the GPU, once the out-of-memory error is no longer referenced."""
    give_back_freed_memory()
    if device.type == "cuda":
        import torch

        torch.cuda.empty_cache()


def machine_bytes(what: str) -> int | None:
    """The machine's "MemTotal", "MemAvailable" ... on Linux; None if the system does not say."""
    try:
        lines = (_PROC / "meminfo").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{what}:"))
    except (OSError, ValueError, IndexError, StopIteration):
        return None


def memory_limit() -> int | None:
    """Bytes that the control groups of this process (of Slurm, of a container) allow it; None without a limit."""
    limits = [_limit_in(folder / name) for folder in _cgroups() for name, _, _ in _CGROUP_FILES]
    return min((limit for limit in limits if limit is not None), default=None)


def _free_in_cgroups() -> Iterator[int]:
    """What each control group of this process, and each above it, has left."""
    for folder in _cgroups():
        yield from _left_in(folder)


def _cgroups() -> Iterator[Path]:
    """Folders of this process's control groups and those above: version 2, and the memory controller of version 1."""
    try:
        lines = (_PROC / "self" / "cgroup").read_text().splitlines()
    except OSError:
        lines = []
    yield from (_CGROUPS, _CGROUPS / "memory")
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        top = _CGROUPS / "memory" if controllers else _CGROUPS
        inside = top / path.lstrip("/")  # in a container this may be a path of the host, which does not exist here
        yield from (folder for folder in [inside, *inside.parents] if folder.is_relative_to(top) and folder != top)


def _limit_in(file: Path) -> int | None:
    """Bytes; None without a limit ("max", or a number near 2^63 in version 1) or without the file."""
    try:
        limit = int(file.read_text())
    except (OSError, ValueError):
        return None
    return limit if limit < _NO_LIMIT else None


def _left_in(folder: Path) -> Iterator[int]:
    for limit, usage, reclaimable in _CGROUP_FILES:
        most = _limit_in(folder / limit)
        if most is None:
            continue
        try:
            statistics = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
            yield most - int((folder / usage).read_text()) + int(statistics.get(reclaimable, 0))
        except (OSError, ValueError):
            continue


def _free_addresses() -> int | None:
    """What ``ulimit -v`` leaves of the address space."""
    try:
        import resource

        most, _ = resource.getrlimit(resource.RLIMIT_AS)
        if most == resource.RLIM_INFINITY:
            return None
        return most - int((_PROC / "self" / "statm").read_text().split()[0]) * resource.getpagesize()
    except (ImportError, OSError, ValueError, IndexError):
        return None

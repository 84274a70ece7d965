"""Where and with what a benchmark was run, for the head of its JSON."""

from __future__ import annotations

import ctypes
import os
import platform
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

import neuroreel as nr


def described() -> dict[str, Any]:
    """The date, the machine and the versions."""
    return {
        "date": time.strftime("%Y-%m-%d"),
        "machine": {"processor": processor(), "cores": os.cpu_count(), "threads": torch.get_num_threads()},
        "versions": {
            "neuroreel": nr.__version__,
            "torch": torch.__version__,
            "numpy": np.__version__,
            "python": platform.python_version(),
        },
    }


def reset_peak() -> None:
    """Forget the peak of building the model. The rusage of a process will not do: it starts from its parent's peak."""
    forget = Path("/proc/self/clear_refs")
    if forget.exists():
        ctypes.CDLL(None).malloc_trim(0)  # what building the model has freed is no longer resident
        forget.write_text("5")


def resident_mib(field: str) -> float | None:
    """Resident memory now (VmRSS) or at most (VmHWM), as Linux tells it."""
    status = Path("/proc/self/status")
    if not status.exists():
        return None
    return next(int(line.split()[1]) / 1024 for line in status.read_text().splitlines() if line.startswith(field))


def processor() -> str:
    """The processor's name where Linux tells it."""
    told = Path("/proc/cpuinfo")
    lines = told.read_text().splitlines() if told.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()

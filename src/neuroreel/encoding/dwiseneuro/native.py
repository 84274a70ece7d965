"""The compiled part of the inversion engine: built once with the system's C++ compiler, kept in the user's cache.

It is optional: without a compiler, or with ``NEUROREEL_NATIVE=0`` in the environment, PyTorch does the same work more
slowly.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

SOURCE = Path(__file__).with_name("wide_branch.cpp")
COMPILERS = ("c++", "g++", "clang++")
COMPILE = ("-c", "-std=c++20", "-O3", "-march=native", "-ffast-math", "-fno-finite-math-only", "-fopenmp", "-fPIC")
LINK = ("-shared", "-fopenmp")  # -ffast-math here would change all arithmetic of the process that loads the library
_LONGEST_BUILD_S = 120


@cache
def native_library() -> ctypes.CDLL | None:
    """The library of ``wide_branch.cpp``, built if needed; None if switched off or not working."""
    if os.environ.get("NEUROREEL_NATIVE") == "0" or not sys.platform.startswith("linux"):
        return None
    compiler = next((found for name in COMPILERS if (found := shutil.which(name))), None)
    if compiler is None:
        return None
    try:
        file = _cache_folder() / f"wide_branch-{_fingerprint(compiler)}.so"
        if not file.exists():
            _build(compiler, file)
        return ctypes.CDLL(str(file))
    except (OSError, subprocess.SubprocessError):
        return None


def _cache_folder() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "neuroreel"


def _fingerprint(compiler: str) -> str:
    """Hash of everything that affects the build: source, compiler, flags, and processor for ``-march=native``."""
    version = subprocess.run([compiler, "--version"], capture_output=True, check=True, timeout=_LONGEST_BUILD_S).stdout
    parts = [SOURCE.read_bytes(), compiler.encode(), version, " ".join((*COMPILE, *LINK)).encode(), _processor()]
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:16]


def _processor() -> bytes:
    """Architecture and instruction sets; different machines may share a home folder."""
    told = Path("/proc/cpuinfo")
    lines = told.read_bytes().splitlines() if told.exists() else []
    features = next((line for line in lines if line.startswith((b"flags", b"Features"))), b"")
    return platform.machine().encode() + features


def _build(compiler: str, file: Path) -> None:
    """Compile under a temporary name, then rename: two processes may build at the same time."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=file.parent) as folder:
        made, built = Path(folder) / "wide_branch.o", Path(folder) / file.name
        for arguments in ((*COMPILE, str(SOURCE), "-o", str(made)), (*LINK, str(made), "-o", str(built))):
            subprocess.run([compiler, *arguments], capture_output=True, check=True, timeout=_LONGEST_BUILD_S)
        built.replace(file)

"""What the system says about memory, and how amounts are read and said."""

from __future__ import annotations

import math
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from neuroreel import memory
from neuroreel.errors import InputError

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("amount", "expected"),
    [
        ("8 GB", 8_000_000_000),
        ("8G", 8_000_000_000),
        ("1.5gb", 1_500_000_000),
        ("500 MiB", 500 * 2**20),
        (" .5 TiB ", 2**39),
        ("2048", 2048),
        ("7 b", 7),
        (3_000, 3_000),
        (2.5e9, 2_500_000_000),
        (np.int64(10), 10),
    ],
)
def test_amounts_are_read(amount: Any, expected: int) -> None:
    assert memory.parse_bytes(amount, what="max_memory") == expected


@pytest.mark.parametrize(
    "amount", ["", "GB", "8 PB", "-1 GB", "8 GB!", "1e9", "many", 0, -5, math.nan, math.inf, True, []]
)
def test_no_amount_is_refused(amount: Any) -> None:
    with pytest.raises(InputError, match=r"max_memory is .*; it must be an amount of memory like '8 GB'"):
        memory.parse_bytes(amount, what="max_memory")


def test_amounts_in_words() -> None:
    said = {
        0: "0 kB",
        12_300: "13 kB",
        999_400: "1000 kB",
        999_600: "1.0 MB",
        350e6: "350 MB",
        1.24e9: "1.2 GB",
        12.4e9: "12 GB",
    }
    assert {amount: memory.in_words(amount) for amount in said} == said


@given(st.integers(1000, 10**13))
def test_words_say_the_amount(amount: int) -> None:
    assert memory.parse_bytes(memory.in_words(amount), what="it") == pytest.approx(amount, rel=0.05, abs=1000)


def test_free_and_used_are_plausible() -> None:
    free, used = memory.free_bytes(), memory.used_bytes(CPU)
    assert free is None or 1e6 < free < 1e14
    assert used == 0 or 1e7 < used < 1e12
    assert memory.free_bytes(CPU) is None or memory.free_bytes(CPU) == pytest.approx(free, rel=0.5)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (MemoryError(), True),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), True),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate"), True),
        (RuntimeError("could not create a primitive"), True),
        (RuntimeError("could not create a primitive descriptor for a pooling"), False),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_errors_of_memory_are_told_from_others(error: Exception, expected: bool) -> None:
    assert memory.is_out_of_memory(error) is expected


# --- control groups, made up ---------------------------------------------------------------------------------------


def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, groups: str, files: dict[str, str]) -> None:
    """A machine with 9 GB free, and these files below /sys/fs/cgroup."""
    for name, text in {
        "proc/meminfo": "MemTotal: 10 kB\nMemAvailable: 9000000 kB\n",
        "proc/self/cgroup": groups,
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    for name, text in files.items():
        (tmp_path / "cgroup" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "cgroup" / name).write_text(text)
    monkeypatch.setattr(memory, "_PROC", tmp_path / "proc")
    monkeypatch.setattr(memory, "_CGROUPS", tmp_path / "cgroup")
    monkeypatch.setattr(resource, "getrlimit", lambda _: (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


def version_2(folder: str, most: str, taken: int, reclaimable: int) -> dict[str, str]:
    files = {"max": most, "current": f"{taken}", "stat": f"anon 5\ninactive_file {reclaimable}"}
    return {str(Path(folder, f"memory.{name}")): f"{text}\n" for name, text in files.items()}


def version_1(folder: str, most: int, taken: int) -> dict[str, str]:
    where = f"memory/{folder}"
    return {
        f"{where}/memory.limit_in_bytes": f"{most}\n",
        f"{where}/memory.usage_in_bytes": f"{taken}\n",
        f"{where}/memory.stat": "total_inactive_file 100\n",
    }


JOB = version_2("slurm/job_7", "4000000000", 1_000_000_000, 200_000_000)
CASES = {
    "none": ("0::/\n", {}, 9_216_000_000),
    "a job's": ("0::/slurm/job_7\n", JOB, 3_200_000_000),
    "one above": ("0::/slurm/job_7/step\n", JOB | version_2("slurm/job_7/step", "max", 5, 0), 3_200_000_000),
    "more than there is": ("0::/\n", version_2("", "99000000000000", 0, 0), 9_216_000_000),
    "of a host": ("0::/docker/abc\n", version_2("", "2000000000", 500_000_000, 0), 1_500_000_000),
    "overdrawn": ("0::/\n", version_2("", "1000", 5_000, 0), 0),
    "version 1": ("9:cpu:/x\n4:memory:/job\n0::/\n", version_1("job", 3_000_000_000, 1_000_000_000), 2_000_000_100),
    "damaged": ("0::/\n", version_2("", "much", 0, 0), 9_216_000_000),
}


@pytest.mark.parametrize("case", CASES)
def test_control_groups_are_respected(case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    groups, files, expected = CASES[case]
    machine(tmp_path, monkeypatch, groups=groups, files=files)
    assert memory.free_bytes() == expected


def test_a_system_that_says_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "_PROC", tmp_path)
    assert memory.free_bytes() is None
    assert memory.used_bytes(CPU) == 0


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="ulimit -v is read from Linux's /proc")
def test_a_limit_of_the_address_space_is_respected() -> None:
    code = (
        "import resource, torch; from neuroreel import memory;"
        "now = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize();"
        "resource.setrlimit(resource.RLIMIT_AS, (now + 2**28, now + 2**28));"
        "print(memory.free_bytes())"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert 0 < int(said) <= 2**28


BLOCKS = """
import numpy as np
import torch
from neuroreel.memory import extra_memory
for megabytes in (300, 30, 150):
    with extra_memory(torch.device("cpu")) as taken:
        np.ones(megabytes * 10**6 // 8).sum()
    print(taken.bytes / 1e6)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the most that was taken is read from Linux's /proc")
def test_what_a_block_takes_at_most() -> None:
    """Of blocks one after another, each its own: also a small one after a large one."""
    # in a process of its own: one that has freed much takes little blocks from that
    done = subprocess.run([sys.executable, "-c", BLOCKS], capture_output=True, text=True, check=True)
    assert [float(line) for line in done.stdout.split()] == pytest.approx([300, 30, 150], abs=20)

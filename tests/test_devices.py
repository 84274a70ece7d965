"""Choosing a device, and keeping memory."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import pytest
import torch

import neuroreel as nr
from neuroreel.allocator import keep_freed_memory
from neuroreel.devices import choose_device


def test_auto_takes_a_gpu_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_device("auto") == torch.device("cpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert choose_device("auto").type == "cuda"


def test_cpu() -> None:
    assert choose_device("cpu") == torch.device("cpu")


@pytest.mark.parametrize("name", ["cuda", "cuda:0", "cuda:7"])
def test_no_cuda(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(nr.ResourceError, match=r"no CUDA device is visible.*use device='auto'"):
        choose_device(name)


def test_too_high_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert choose_device("cuda:1") == torch.device("cuda:1")
    with pytest.raises(nr.ResourceError, match=r"2 CUDA device\(s\)"):
        choose_device("cuda:2")


def test_no_mps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(nr.ResourceError, match="'mps' is not available"):
        choose_device("mps")


@pytest.mark.parametrize("name", ["gpu", "", "cuda:x", "CPU please", None, 1.5])
def test_no_device_name(name: Any) -> None:
    with pytest.raises(nr.InputError, match="it must be 'auto', 'cpu'"):
        choose_device(name)


@pytest.mark.parametrize("platform", ["linux", "darwin", "win32"])
def test_keep_freed_memory_never_fails(monkeypatch: pytest.MonkeyPatch, platform: str) -> None:
    monkeypatch.setattr(sys, "platform", platform)
    keep_freed_memory()
    assert torch.ones(1000).sum() == 1000


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="elsewhere there is no mallopt")
@pytest.mark.parametrize(("most", "kept"), [(2**31, 1 << 30), (32 << 20, 32 << 20)])
def test_old_glibc_refuses_large_thresholds(monkeypatch: pytest.MonkeyPatch, most: int, kept: int) -> None:
    """Where it does, and the threshold is not set in another way, any other call freezes it at 128 KiB."""
    threshold, calls = 128 << 10, []

    def mallopt(parameter: int, value: int) -> int:
        nonlocal threshold
        calls.append(parameter)
        if parameter != -3:
            return 1
        if value > most:
            return 0
        threshold = value
        return 1

    monkeypatch.setattr("neuroreel.allocator.ctypes.CDLL", lambda _: SimpleNamespace(mallopt=mallopt))
    keep_freed_memory()
    assert threshold == kept and calls[-1] == -1

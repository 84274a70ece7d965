"""``neuroreel doctor``, on machines that lack one thing or another."""

from __future__ import annotations

import importlib
import json
import os
import re
import subprocess
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from neuroreel import doctor, memory
from neuroreel.cli import main
from neuroreel.doctor import BROKEN, CORE, EXTRAS, MISSING, NOTE, OK, Finding, examine

PROJECT = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def found(name: str) -> Finding:
    """The finding of this name."""
    return next(each for findings in examine().sections.values() for each in findings if each.name == name)


def names_of(requirements: list[str]) -> set[str]:
    return {re.split(r"[<>=\[; ]", line)[0].lower().replace("_", "-") for line in requirements}


def test_it_knows_the_dependencies_that_are_declared() -> None:
    """Import names here, names of distributions in pyproject.toml."""
    by_import = {
        name: {each.lower().replace("_", "-") for each in dists} for name, dists in packages_distributions().items()
    }

    def distributions(imported: tuple[str, ...]) -> set[str]:
        return {min(by_import.get(name, {name.replace("_", "-")})) for name in imported}

    assert distributions(CORE) == names_of(PROJECT["dependencies"])
    declared = {name: names_of(lines) for name, lines in PROJECT["optional-dependencies"].items()}
    assert {name: distributions(libraries) for name, (libraries, _) in EXTRAS.items()} == {
        name: libraries for name, libraries in declared.items() if name not in ("dev", "docs")
    }


def test_a_whole_machine(capsys: pytest.CaptureFixture[str]) -> None:
    main(["doctor"])
    shown = capsys.readouterr().out
    assert "Core\n  ok       neuroreel: " in shown
    assert f"torch: {torch.__version__}" in shown
    assert str(Path.cwd()) in shown
    main(["doctor", "--json"])
    told = json.loads(capsys.readouterr().out)
    assert told["broken"] is False
    assert {"Core", "Devices", "Memory and disk", "Threads", "Commands that need more", "Programs"} < set(told)
    assert set(told["Core"][0]) == {"name", "status", "detail", "fix"}


def test_a_missing_extra_is_told_with_the_command_that_brings_it(monkeypatch: pytest.MonkeyPatch) -> None:
    there = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "pynwb" else there(name))
    assert found("[nwb]") == Finding(
        "[nwb]", MISSING, "pynwb, for import and export of NWB files", "pip install 'neuroreel[nwb]'"
    )
    assert not examine().broken


def test_a_broken_library_is_an_error(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    real = importlib.import_module

    def fail(name: str, *rest: Any) -> Any:
        if name == "h5py":
            raise ImportError("libhdf5.so: cannot open shared object file")
        return real(name, *rest)

    monkeypatch.setattr(doctor.importlib, "import_module", fail)
    with pytest.raises(SystemExit) as stopped:
        main(["doctor"])
    assert stopped.value.code == 1
    assert "broken   h5py: cannot be imported (ImportError: libhdf5.so" in capsys.readouterr().out


@pytest.fixture
def unseen_gpu(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """A driver that lists a GPU, and a PyTorch that sees none."""
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.setattr(shutil_of(), "which", lambda name: f"/usr/bin/{name}")
    answer = SimpleNamespace(returncode=0, stdout="NVIDIA A100, 550.54\n")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: answer)
    for variable in ("CUDA_VISIBLE_DEVICES", "NVIDIA_VISIBLE_DEVICES"):
        monkeypatch.delenv(variable, raising=False)
    return monkeypatch


def shutil_of() -> Any:
    return doctor.shutil


def test_a_gpu_and_a_torch_for_cpus(unseen_gpu: pytest.MonkeyPatch) -> None:
    unseen_gpu.setattr(torch.version, "cuda", None)
    unseen_gpu.setattr(torch.version, "hip", None)
    gpu = found("GPU")
    assert gpu.status == MISSING
    assert gpu.detail.startswith("NVIDIA A100 with driver 550.54 is there")
    assert "built for CPUs only" in gpu.detail
    assert "pytorch.org" in gpu.fix


def test_a_gpu_that_is_hidden_or_whose_driver_is_old(unseen_gpu: pytest.MonkeyPatch) -> None:
    unseen_gpu.setattr(torch.version, "cuda", "12.8")
    assert "built for CUDA 12.8, the driver may be older" in found("GPU").detail
    unseen_gpu.setenv("CUDA_VISIBLE_DEVICES", "-1")
    assert "CUDA_VISIBLE_DEVICES is '-1'" in found("GPU").detail
    assert "--gres=gpu:1" in found("GPU").fix


def test_a_gpu_that_cannot_compute(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: int) -> Any:
        raise RuntimeError("no kernel image is available for execution on the device\nmore")

    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "get_device_properties", fail)
    gpu = found("cuda:0")
    assert gpu.status == MISSING and gpu.detail.endswith("(no kernel image is available for execution on the device)")


def test_no_gpu_at_all_is_no_fault(unseen_gpu: pytest.MonkeyPatch) -> None:
    unseen_gpu.setattr(doctor, "_gpus_of_driver", lambda: [])
    unseen_gpu.setattr(torch.backends.mps, "is_available", lambda: False)
    assert found("GPU").status == NOTE


@pytest.mark.parametrize("version", [1, 2])
def test_the_limit_of_control_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: int) -> None:
    groups, proc = tmp_path / "cgroup", tmp_path / "proc"
    (proc / "self").mkdir(parents=True)
    controller = "" if version == 2 else "4:memory"
    (proc / "self" / "cgroup").write_text(f"{controller or '0:'}:/slurm/job_1/step_0\n")
    (proc / "meminfo").write_text("MemTotal: 67108864 kB\nMemAvailable: 33554432 kB\n")
    base = groups if version == 2 else groups / "memory"
    step = base / "slurm" / "job_1" / "step_0"
    step.mkdir(parents=True)
    name = "memory.max" if version == 2 else "memory.limit_in_bytes"
    (step / name).write_text("max" if version == 2 else str(2**63 - 4096))
    (step.parent / name).write_text(str(8 * 2**30))
    monkeypatch.setattr(memory, "_CGROUPS", groups)
    monkeypatch.setattr(memory, "_PROC", proc)
    assert memory.memory_limit() == 8 * 2**30
    assert found("memory").detail == (
        "64.0 GiB, 32.0 GiB available; this process may use 8.0 GiB (its control group's limit)"
    )
    (step.parent / name).unlink()
    assert memory.memory_limit() is None


def test_programs_and_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor.shutil, "which", lambda name: "/opt/bin/singularity" if name == "singularity" else None)
    assert found("Apptainer") == Finding("Apptainer", OK, "/opt/bin/singularity")
    assert found("Slurm").status == NOTE and found("C++ compiler").status == NOTE
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0})
    monkeypatch.setattr(torch, "get_num_threads", lambda: 64)
    threads = next(each for each in examine().sections["Threads"] if each.name == "torch")
    assert threads.status == NOTE and threads.fix == "export OMP_NUM_THREADS=1"


def test_a_folder_that_may_not_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)
    disk = examine(tmp_path).sections["Memory and disk"][1]
    assert disk.status == MISSING and "is not writable" in disk.detail
    assert BROKEN not in disk.status

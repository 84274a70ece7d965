"""Snapshots: a killed run goes on and gives the same movie, bit for bit."""

from __future__ import annotations

import errno
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import neuroreel as nr
from neuroreel.errors import InputError, ResourceError
from neuroreel.bauer_2026.snapshot import Snapshot
from toy_encoder import ToyEncoder, toy_trials

PASSES = 40
SLOW_RUN = """
import sys, time
sys.path.insert(0, {tests!r})
from pathlib import Path
from test_snapshot import request
import neuroreel as nr
from neuroreel.bauer_2026.snapshot import Snapshot
Snapshot.__init__.__kwdefaults__["every_s"] = 0.0
def breathe(progress, fit):
    time.sleep(0.05)
    if progress.iteration == 8:
        Path({flag!r}).touch()
nr.reconstruct(**request({preset!r}), snapshot={snapshot!r}, callbacks=[breathe])
"""


def request(preset: str, **changes: Any) -> dict[str, Any]:
    model = ToyEncoder(neurons=10)
    trials = toy_trials(model, 5, frames=24)
    decoder = nr.fit_decoder(trials[2:], progress=False) if preset == "default" else None
    asked = {"trials": trials[:2], "models": model, "preset": preset, "decoder": decoder, "iterations": PASSES}
    return asked | {"progress": False} | changes


@pytest.mark.parametrize("preset", ["published", "default"])
def test_a_killed_run_goes_on_to_the_same_movie(preset: str, tmp_path: Path) -> None:
    snapshot, flag = tmp_path / "run.pt", tmp_path / "flag"
    code = SLOW_RUN.format(tests=str(Path(__file__).parent), preset=preset, snapshot=str(snapshot), flag=str(flag))
    process = subprocess.Popen([sys.executable, "-c", code])
    try:
        deadline = time.monotonic() + 120
        while not flag.exists() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.02)
        assert flag.exists(), "the run never got to pass 8"
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    (left,) = tmp_path.glob("*.pt")
    passes: list[int] = []
    resumed = nr.reconstruct(
        **request(preset), snapshot=snapshot, callbacks=[lambda progress, _: passes.append(progress.iteration)]
    )
    assert passes[0] >= 8 and passes[-1] == PASSES - 1  # it did go on, not start anew
    for one, other in zip(resumed, nr.reconstruct(**request(preset)), strict=True):
        np.testing.assert_array_equal(one.video, other.video)
        np.testing.assert_array_equal(one.dataset["loss"].values, other.dataset["loss"].values)
    assert not left.exists()


def stop_at(number: int):
    def callback(progress, _fit):
        if progress.iteration == number:
            raise KeyboardInterrupt

    return callback


def interrupted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, **changes: Any) -> Path:
    """A run stopped in the middle; the file it leaves behind."""
    monkeypatch.setitem(Snapshot.__init__.__kwdefaults__, "every_s", 0.0)
    with pytest.raises(KeyboardInterrupt):
        nr.reconstruct(
            **request("published", **changes), snapshot=tmp_path / "run.pt", callbacks=[stop_at(PASSES // 2)]
        )
    assert not list(tmp_path.glob("*.partial"))
    return next(tmp_path.glob("*.pt"))


def test_ctrl_c_leaves_a_snapshot_that_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    interrupted(tmp_path, monkeypatch)
    resumed = nr.reconstruct(**request("published"), snapshot=tmp_path / "run.pt")
    np.testing.assert_array_equal(resumed[1].video, nr.reconstruct(**request("published"))[1].video)
    assert list(tmp_path.iterdir()) == []


def test_a_snapshot_of_another_run_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = interrupted(tmp_path, monkeypatch)
    for change in (
        {"learning_rate": 10.0},
        {"models": ToyEncoder(neurons=10, seed=9)},
        {"neurons": np.arange(10) > 3},
        {"mask": np.eye(8, dtype=np.float32)},
        {"trials": toy_trials(ToyEncoder(neurons=10), 2, frames=24, seed=8)},
    ):
        with pytest.raises(InputError, match="other settings, data or models"):
            nr.reconstruct(**request("published", **change), snapshot=tmp_path / "run.pt")
        assert file.exists()


@pytest.mark.parametrize("what", ["__version__", "is_compiled"])
def test_a_snapshot_of_other_arithmetic_is_refused(what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    interrupted(tmp_path, monkeypatch)
    monkeypatch.setattr(f"neuroreel.bauer_2026.job.{what}", "9.9" if what == "__version__" else lambda _: True)
    with pytest.raises(InputError, match="or of another device or version"):
        nr.reconstruct(**request("published"), snapshot=tmp_path / "run.pt")


def test_shifted_windows_and_early_stopping_go_on_to_the_same_movie(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = request("published", windows="shifted", held_out=0.3, patience=12, seed=3, learning_rate=200.0)
    straight = nr.reconstruct(**asked)
    for number in (5, 13, 26):  # while the loss falls, and while it rises
        monkeypatch.setitem(Snapshot.__init__.__kwdefaults__, "every_s", 0.0)
        with pytest.raises(KeyboardInterrupt):
            nr.reconstruct(**asked, snapshot=tmp_path / "run.pt", callbacks=[stop_at(number)])
        resumed = nr.reconstruct(**asked, snapshot=tmp_path / "run.pt")
        for one, other in zip(resumed, straight, strict=True):
            np.testing.assert_array_equal(one.video, other.video)
            np.testing.assert_array_equal(one.dataset["iteration"].values, other.dataset["iteration"].values)
            assert one.kept_iteration == other.kept_iteration


@pytest.mark.parametrize("damage", ["truncated", "empty", "text", "another dictionary", "no parts"])
def test_a_damaged_snapshot_is_refused(damage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = interrupted(tmp_path, monkeypatch)
    if damage == "another dictionary":
        torch.save({"videos": 1}, file)
    elif damage == "no parts":
        torch.save(torch.load(file, weights_only=True) | {"parts": {}}, file)
    else:
        content = {"truncated": file.read_bytes()[:-200], "empty": b"", "text": b"no snapshot at all"}[damage]
        file.write_bytes(content)
    with pytest.raises(InputError, match="no readable snapshot"):
        nr.reconstruct(**request("published"), snapshot=tmp_path / "run.pt")


def test_finished_models_of_an_ensemble_are_not_made_again(tmp_path: Path) -> None:
    models = [ToyEncoder(neurons=10, seed=seed) for seed in (0, 1)]
    asked = request("published", models=models, ensemble="videos", iterations=10, windows_at_once=8)  # one group
    counted: list[int] = []

    def count(progress: Any, _fit: Any) -> None:
        counted.append(progress.iteration)
        if len(counted) == 15:  # in the middle of the second model
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        nr.reconstruct(**asked, snapshot=tmp_path / "run.pt", callbacks=[count])
    second = nr.reconstruct(**asked, snapshot=tmp_path / "run.pt", callbacks=[count])
    assert len(counted) == 15 + 10  # the second model alone
    for one, other in zip(second, nr.reconstruct(**asked), strict=True):
        np.testing.assert_array_equal(one.video, other.video)
    assert list(tmp_path.iterdir()) == []


def test_finished_movies_are_not_made_again(tmp_path: Path) -> None:
    asked = request("published", iterations=10, windows_at_once=1)  # each movie by itself
    counted: list[int] = []

    def count(progress: Any, _fit: Any) -> None:
        counted.append(progress.iteration)
        if len(counted) == 15:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        nr.reconstruct(**asked, snapshot=tmp_path / "run.pt", callbacks=[count])
    assert [file.name for file in tmp_path.iterdir()] == ["run-trial0.pt"]
    second = nr.reconstruct(**asked, snapshot=tmp_path / "run.pt", callbacks=[count])
    assert len(counted) == 15 + 10
    for one, other in zip(second, nr.reconstruct(**asked), strict=True):
        np.testing.assert_array_equal(one.video, other.video)
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_stops_with_a_clear_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(Snapshot.__init__.__kwdefaults__, "every_s", 0.0)

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(ResourceError, match="no space left"):
        nr.reconstruct(**request("published"), snapshot=tmp_path / "run.pt")
    assert list(tmp_path.iterdir()) == []

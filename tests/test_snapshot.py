"""Snapshots: a killed run goes on and gives the same movie, bit for bit."""

from __future__ import annotations

import errno
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import neuroreel as nr
from neuroreel import snapshot
from neuroreel.encoding import engine
from neuroreel.errors import InputError, ResourceError
from neuroreel.snapshot import Snapshot
from toy_encoder import ToyEncoder, toy_trials

METHODS = ("posterior", "bauer_2026")
KILLED_AT = 8  # saved states: one an iteration
SLOW_RUN = """
import sys, time
sys.path.insert(0, {tests!r})
from pathlib import Path
from neuroreel import snapshot
from test_snapshot import reconstruct
snapshot.EVERY_S = 0.0
save, saved = snapshot.Snapshot.save, []
def breathe(self, state):
    save(self, state)
    saved.append(1)
    time.sleep(0.05)
    if len(saved) == {killed_at}:
        Path({flag!r}).touch()
snapshot.Snapshot.save = breathe
reconstruct({method!r}, checkpoint={file!r})
"""


@pytest.fixture(autouse=True)
def after_each_iteration(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshot, "EVERY_S", 0.0)


@cache
def models() -> list[nr.EncodingModel]:
    return [ToyEncoder(neurons=10, seed=seed) for seed in (0, 1)]


@cache
def trials() -> list[nr.Trial]:
    return toy_trials(models()[0], 7, frames=24)


@cache
def posterior(**options: Any) -> nr.Posterior:
    return nr.fit_posterior(models(), trials()[2:], factors=2, compute=computing(), **options)


def computing(checkpoint: str | Path | None = None) -> nr.Compute:
    return nr.Compute(device="cpu", progress=False, checkpoint=checkpoint)


def reconstruct(method: str, *, checkpoint: str | Path | None = None, **changes: Any) -> list[nr.Reconstruction]:
    asked = {"trials": trials()[:2], "compute": computing(checkpoint)}
    if method == "bauer_2026":
        return nr.bauer_2026.reconstruct(**asked | {"models": models(), "iterations": 30, "record_every": 4} | changes)
    return nr.reconstruct(**asked | {"posterior": posterior(), "passes": 20, "samples": 2} | changes)


def assert_equal(one: list[nr.Reconstruction], other: list[nr.Reconstruction]) -> None:
    """To the last bit: movies, draws and what was recorded on the way."""
    for mine, expected in zip(one, other, strict=True):
        for name in {"video", "samples", "iteration", "loss", "video_correlation"} & set(expected.dataset.variables):
            np.testing.assert_array_equal(mine.dataset[name].values, expected.dataset[name].values, err_msg=name)


@contextmanager
def counting_saves(*, stop_at: int | None = None) -> Iterator[list[int]]:
    """The iterations that were saved; Ctrl-C comes after so many."""
    save, saved = Snapshot.save, list[int]()

    def counted(self: Snapshot, state: dict[str, Any]) -> None:
        save(self, state)
        saved.append(1)
        if len(saved) == stop_at:
            raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Snapshot, "save", counted)
        yield saved


def interrupted(method: str, folder: Path, *, after: int = KILLED_AT, **changes: Any) -> Path:
    """A run stopped in the middle; the file it leaves behind."""
    with counting_saves(stop_at=after), pytest.raises(KeyboardInterrupt):
        reconstruct(method, checkpoint=folder / "run.pt", **changes)
    assert not list(folder.glob("*.partial"))
    return max(folder.glob("*.pt"))


@pytest.mark.parametrize("method", METHODS)
def test_a_killed_run_goes_on_to_the_same_movie(method: str, tmp_path: Path) -> None:
    file, flag = tmp_path / "run.pt", tmp_path / "flag"
    told = {"tests": str(Path(__file__).parent), "flag": str(flag), "file": str(file), "killed_at": KILLED_AT}
    process = subprocess.Popen([sys.executable, "-c", SLOW_RUN.format(method=method, **told)])
    try:
        deadline = time.monotonic() + 120
        while not flag.exists() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.02)
        assert flag.exists(), "the run never got so far"
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert list(tmp_path.glob("*.pt"))
    with counting_saves() as saved:
        resumed = reconstruct(method, checkpoint=file)
    with counting_saves() as all_saved:
        assert_equal(resumed, reconstruct(method, checkpoint=tmp_path / "other.pt"))
    assert 0 < len(saved) <= len(all_saved) - KILLED_AT  # it did go on, not start anew
    assert not list(tmp_path.glob("*.pt"))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("after", [1, 5])
def test_ctrl_c_leaves_a_snapshot_that_goes_on(method: str, after: int, tmp_path: Path) -> None:
    interrupted(method, tmp_path, after=after)
    assert_equal(reconstruct(method, checkpoint=tmp_path / "run.pt"), reconstruct(method))
    assert list(tmp_path.iterdir()) == []


def others(method: str) -> dict[str, dict[str, Any]]:
    """Changes that make it another run."""
    changes: dict[str, dict[str, Any]] = {
        "neurons": {"neurons": np.arange(10) > 3},
        "mask": {"mask": np.eye(6, 8, dtype=np.float32)},
        "trials": {"trials": trials()[2:4]},
    }
    if method == "bauer_2026":
        strangers = [ToyEncoder(neurons=10, seed=9), models()[1]]
        return changes | {"learning rate": {"learning_rate": 10.0}, "models": {"models": strangers}}
    natural = nr.MoviePrior.natural(height=6, width=8, frame_rate_hz=30)
    return changes | {
        "start": {"start": [trial.needs_video() for trial in trials()[2:4]]},
        "weight": {"posterior": posterior(likelihood_weight=0.7)},
        "prior": {"posterior": posterior(movie_prior=natural)},
        "noise": {"posterior": nr.fit_posterior(models(), trials()[3:], factors=2, compute=computing())},
    }


@pytest.mark.parametrize("method", METHODS)
def test_a_snapshot_of_another_run_is_refused(method: str, tmp_path: Path) -> None:
    file = interrupted(method, tmp_path)
    for change in others(method).values():
        with pytest.raises(InputError, match="other settings, data or models"):
            reconstruct(method, checkpoint=tmp_path / "run.pt", **change)
        assert file.exists()


def test_a_snapshot_of_another_mask_is_refused_where_the_same_pixels_move(tmp_path: Path) -> None:
    """What is recorded on the way would be of other pixels."""
    interrupted("bauer_2026", tmp_path, mask=np.full((6, 8), 1.2))
    scored_less = np.full((6, 8), 1.2)
    scored_less[:3] = 0.8
    with pytest.raises(InputError, match="other settings, data or models"):
        reconstruct("bauer_2026", checkpoint=tmp_path / "run.pt", mask=scored_less)


@pytest.mark.parametrize("method", ["posterior", "bauer_2026"])
@pytest.mark.parametrize("what", ["__version__", "is_compiled"])
def test_a_snapshot_of_other_arithmetic_is_refused(
    method: str, what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupted(method, tmp_path)
    monkeypatch.setattr(engine, what, "9.9" if what == "__version__" else lambda _: True)
    with pytest.raises(InputError, match="or of another device or version"):
        reconstruct(method, checkpoint=tmp_path / "run.pt")


@pytest.mark.parametrize("damage", ["truncated", "empty", "text", "another dictionary"])
def test_a_damaged_snapshot_is_refused(damage: str, tmp_path: Path) -> None:
    file = interrupted("posterior", tmp_path)
    if damage == "another dictionary":
        torch.save({"videos": 1}, file)
    else:
        content = {"truncated": file.read_bytes()[:-200], "empty": b"", "text": b"no snapshot at all"}[damage]
        file.write_bytes(content)
    with pytest.raises(InputError, match="is not a readable snapshot") as caught:
        reconstruct("posterior", checkpoint=tmp_path / "run.pt")
    assert "weights_only" not in str(caught.value)  # no advice to open it unsafely


def test_finished_models_of_an_ensemble_are_not_made_again(tmp_path: Path) -> None:
    asked = {"ensemble": "videos", "iterations": 10, "trials": trials()[:1]}
    interrupted("bauer_2026", tmp_path, after=15, **asked)  # in the middle of the second model
    assert sorted(file.name for file in tmp_path.iterdir()) == ["run-trial0-model0.pt", "run-trial0-model1.pt"]
    with counting_saves() as saved:
        resumed = reconstruct("bauer_2026", checkpoint=tmp_path / "run.pt", **asked)
    assert len(saved) == 5
    assert_equal(resumed, reconstruct("bauer_2026", **asked))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("method", METHODS)
def test_finished_movies_are_not_made_again(method: str, tmp_path: Path) -> None:
    with counting_saves() as first:
        expected = reconstruct(method, trials=trials()[:1], checkpoint=tmp_path / "run.pt")
    interrupted(method, tmp_path, after=len(first) + 3)  # in the middle of the second movie
    assert sorted(file.name for file in tmp_path.iterdir()) == ["run-trial0.pt", "run-trial1.pt"]
    done: list[int] = []
    load = Snapshot.load

    def loaded(self: Snapshot, **options: Any) -> Any:
        state = load(self, **options)
        done.append(state["iteration"] if method == "bauer_2026" else len(state["values"]))
        return state

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Snapshot, "load", loaded)
        resumed = reconstruct(method, checkpoint=tmp_path / "run.pt")
    assert_equal(resumed[:1], expected)
    assert_equal(resumed, reconstruct(method))
    assert done == [30 if method == "bauer_2026" else expected[0].dataset.sizes["iteration"], 3]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("method", METHODS)
def test_a_full_disk_stops_with_a_clear_message(method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(ResourceError, match="no space left"):
        reconstruct(method, checkpoint=tmp_path / "run.pt")
    assert list(tmp_path.iterdir()) == []

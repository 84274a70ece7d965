"""Trials packed into files: the same batches as from memory, killed and full disks, damage."""

from __future__ import annotations

import errno
import os
import pickle
import shutil
from collections import namedtuple
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import neuroreel as nr
from mice import made_up_mice
from neuroreel.encoding.training import store as packing
from neuroreel.encoding.training.batches import RandomWindows, Share
from neuroreel.encoding.training.store import PackedStore, TimeFirst, TrialStore, bytes_of, digest_of, pack
from neuroreel.recordings.checks import check_trials


def packed(trials: Any, folder: Path) -> PackedStore:
    return pack(trials, folder, spec=check_trials(trials), name="mouse 0", show_progress=False)


@pytest.fixture
def trials() -> list[nr.Trial]:
    """Five trials of different lengths; the third has broken grey levels."""
    (trials,) = made_up_mice((6,), trials=5).values()
    assert trials[2].video is not None
    trials[2] = trials[2].replace(video=trials[2].video * 0.99)
    return trials


@pytest.fixture
def recording(tmp_path: Path, trials: list[nr.Trial]) -> nr.Recording:
    return nr.write_recording(tmp_path / "mouse", [t.replace(name="", recording="") for t in trials])


def same(a: TrialStore, b: TrialStore) -> bool:
    return len(a) == len(b) and all(
        np.array_equal(x, y) and x.dtype == y.dtype
        for index in range(len(a))
        for x, y in zip(a[index], b[index], strict=True)
    )


def test_packed_is_what_memory_holds(trials: list[nr.Trial], tmp_path: Path) -> None:
    store, memory = packed(trials, tmp_path), TrialStore(trials, show_progress=False)
    assert same(store, memory) and store.digest() == memory.digest() == digest_of(trials)
    assert [trial.video.dtype for trial in store] == [np.uint8, np.uint8, np.float32, np.uint8, np.uint8]
    assert not store[0].responses.flags.writeable and not store[0].responses.flags.owndata
    for field in ("responses", "covariates"):
        assert all(map(torch.equal, store.statistics(field), memory.statistics(field)))
    for number in range(3):
        batches = [
            RandomWindows(each, window_frames=20, batch_size=8, seed=1)[Share(number)] for each in (store, memory)
        ]
        assert all(torch.equal(ours, theirs) for ours, theirs in zip(*batches, strict=True))


def test_statistics_against_numpy(trials: list[nr.Trial], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("neuroreel.encoding.training.store.COLUMNS_AT_ONCE", 4)
    store = TrialStore(trials, show_progress=False)
    whole = np.concatenate([trial.needs_responses() for trial in trials], axis=1)
    mean, deviation = store.statistics("responses")
    np.testing.assert_allclose(mean, whole.mean(axis=1), rtol=1e-5)
    np.testing.assert_allclose(deviation, whole.std(axis=1, ddof=1), rtol=1e-5)


def test_nothing_is_opened_for_a_batch(recording: nr.Recording, tmp_path: Path) -> None:
    """Not even the names of the files are needed any more: they can be gone."""
    store = packed(recording.trials, tmp_path / "packed")
    windows = RandomWindows(store, window_frames=20, batch_size=8, seed=1)
    before = windows[Share(0)]
    shutil.rmtree(recording.folder)
    shutil.rmtree(tmp_path / "packed")
    assert torch.equal(windows[Share(0)].responses, before.responses)
    assert torch.equal(windows[Share(1)].video, windows[Share(1)].video)


def test_another_process_maps_the_files(trials: list[nr.Trial], tmp_path: Path) -> None:
    store = packed(trials, tmp_path)
    sent = pickle.dumps(store)
    assert len(sent) < 1000 and same(pickle.loads(sent), store)


def test_packed_once(recording: nr.Recording, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = packed(recording.trials, tmp_path / "packed")
    with monkeypatch.context() as patch:
        patch.setattr(TimeFirst, "of", None)  # no trial is read
        again = packed(recording.trials, tmp_path / "packed")
    assert again.folder == first.folder and same(again, first)
    file = recording.folder / "data" / "responses" / "1.npy"
    os.utime(file, ns=(1, 1))  # the file may have changed
    assert packed(recording.trials, tmp_path / "packed").folder != first.folder
    assert packed(recording.trials[:3], tmp_path / "packed").folder != first.folder


class KilledError(RuntimeError):
    pass


@pytest.mark.parametrize("at", [0, 1, 2, 4])
def test_a_killed_packing_goes_on(
    recording: nr.Recording, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    read, begin = [], TimeFirst.of

    def stop_at(trial: nr.Trial) -> TimeFirst:
        if len(read) == at:
            raise KilledError
        read.append(trial)
        return begin(trial)

    with monkeypatch.context() as patch:
        patch.setattr(TimeFirst, "of", stop_at)
        with pytest.raises(KilledError):
            packed(recording.trials, tmp_path / "packed")
    assert not list((tmp_path / "packed").glob("mouse*"))
    again: list[nr.Trial] = []
    with monkeypatch.context() as patch:
        patch.setattr(TimeFirst, "of", lambda trial: (again.append(trial), begin(trial))[1])
        store = packed(recording.trials, tmp_path / "packed")
    assert len(again) == 5 - at
    assert same(store, TrialStore(recording.trials, show_progress=False))


def test_a_full_disk_is_seen_before(trials: list[nr.Trial], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10, 0, 1000))
    with pytest.raises(nr.ResourceError, match=r"do not fit into memory.*GB are free.*packed="):
        packed(trials, tmp_path)
    assert bytes_of(check_trials(trials)) > 1000


def test_a_disk_that_fills_up(trials: list[nr.Trial], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(packing, "_append", full)
        with pytest.raises(nr.ResourceError, match="no space left"):
            packed(trials, tmp_path)
    assert same(packed(trials, tmp_path), TrialStore(trials, show_progress=False))


@pytest.mark.parametrize("file", ["frames.u8", "frames.f32", "index.json"])
def test_damaged_files(trials: list[nr.Trial], tmp_path: Path, file: str) -> None:
    damaged = packed(trials, tmp_path).folder / file
    damaged.write_bytes(damaged.read_bytes()[:-5])
    with pytest.raises(nr.InputError, match=r"damaged.*delete it|correct or delete"):
        packed(trials, tmp_path)

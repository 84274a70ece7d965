"""Encoding models on disk: the round trip, and everything that can be wrong with the two files."""

from __future__ import annotations

import errno
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import neuroreel as nr
from neuroreel.encoding.dwiseneuro.network import DwiseNeuro, DwiseNeuroConfig, DwiseNeuroNetwork
from neuroreel.encoding.readout import ReadoutConfig, ReadoutModel


def readout_model() -> ReadoutModel:
    torch.manual_seed(0)
    config = ReadoutConfig(
        neurons=4, video_height=10, video_width=12, frame_rate_hz=20.0, covariates=2, channels=4, hidden_channels=4
    )
    model = ReadoutModel(config)
    model.standardize(torch.rand(4), torch.rand(2), torch.rand(2))
    model.training_log = [{"epoch": 0.0, "train_loss": 1.5}]
    model.training_split = nr.TrainingSplit(description="two trials", movies=frozenset({"a", "b"}), refused=False)
    return model.eval()


def dwiseneuro_model() -> DwiseNeuro:
    torch.manual_seed(0)
    config = DwiseNeuroConfig(
        readout_neurons=(3, 4), in_channels=3, core_features=(8,), spatial_strides=(2,), cortex_features=(16,)
    )
    return DwiseNeuro(DwiseNeuroNetwork(config), readout=1, video_size=(10, 12), frame_rate_hz=20.0).eval()


def trial() -> nr.Trial:
    rng = np.random.default_rng(0)
    return nr.Trial(video=rng.uniform(0, 255, (40, 10, 12)), behavior=rng.random((2, 40)), frame_rate_hz=20.0)


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    return nr.save_encoder(readout_model(), tmp_path / "model.safetensors")


@pytest.mark.parametrize("build", [readout_model, dwiseneuro_model])
def test_round_trip(tmp_path: Path, build: Any) -> None:
    model = build()
    file = nr.save_encoder(model, tmp_path / "deep" / "model.safetensors")
    again = nr.load_encoder(file, session=getattr(model, "readout", 0))
    assert type(again) is type(model)
    assert not again.training
    assert again.training_log == list(model.training_log)
    assert again.training_split == model.training_split
    assert (again.frame_rate_hz, again.canvas) == (model.frame_rate_hz, model.canvas)
    np.testing.assert_array_equal(nr.predict(again, trial()), nr.predict(model, trial()))
    assert sorted(path.name for path in file.parent.iterdir()) == ["model.json", "model.safetensors"]


@pytest.mark.parametrize("readout", [1, -1])
def test_unknown_readout(saved: Path, readout: int) -> None:
    with pytest.raises(nr.InputError, match=f"there is no readout {readout}"):
        nr.load_encoder(saved, session=readout)


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(nr.InputError, match="there is no file"):
        nr.load_encoder(tmp_path / "nothing.safetensors")


@pytest.mark.parametrize("ending", [".pt", "", ".h5"])
def test_wrong_ending(tmp_path: Path, ending: str) -> None:
    file = tmp_path / f"model{ending}"
    with pytest.raises(nr.InputError, match=r"must end in \.safetensors"):
        nr.save_encoder(readout_model(), file)
    file.touch()
    with pytest.raises(nr.InputError, match=r"ends in \.safetensors \(ours\) or \.pth"):
        nr.load_encoder(file)


def test_missing_side_car(saved: Path) -> None:
    saved.with_suffix(".json").unlink()
    with pytest.raises(nr.InputError, match=r"model\.json is missing"):
        nr.load_encoder(saved)


def _without(key: str) -> Any:
    return lambda described: {k: v for k, v in described.items() if k != key}


@pytest.mark.parametrize(
    "damage",
    [
        *map(_without, ("format", "format_version", "kind", "config")),
        lambda described: described | {"format": "something else"},
        lambda described: described | {"kind": "transformer"},
        lambda described: described | {"format_version": "new"},
        lambda described: described | {"config": 3},
        lambda described: described | {"config": described["config"] | {"heads": 8}},
        lambda described: described | {"config": described["config"] | {"neurons": "many"}},
        lambda described: described | {"config": {}},
        lambda described: described | {"kind": "dwiseneuro"},
        lambda described: [described],
    ],
)
def test_damaged_description(saved: Path, damage: Any) -> None:
    side_car = saved.with_suffix(".json")
    side_car.write_text(json.dumps(damage(json.loads(side_car.read_text()))))
    with pytest.raises(nr.InputError, match=r"model\.json"):
        nr.load_encoder(saved)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe\x00", b"null"])
def test_side_car_that_is_no_json(saved: Path, content: bytes) -> None:
    saved.with_suffix(".json").write_bytes(content)
    with pytest.raises(nr.InputError, match="damaged or does not describe an encoding model"):
        nr.load_encoder(saved)


def test_newer_format(saved: Path) -> None:
    side_car = saved.with_suffix(".json")
    described = json.loads(side_car.read_text()) | {"format_version": 2, "kind": "of the future"}
    side_car.write_text(json.dumps(described))
    with pytest.raises(nr.InputError, match=r"newer neuroreel \(format 2, this one reads up to 1\): update"):
        nr.load_encoder(saved)


@pytest.mark.parametrize("kept", [0.0, 0.1, 0.9, 0.999])
def test_truncated_weights(saved: Path, kept: float) -> None:
    whole = saved.read_bytes()
    saved.write_bytes(whole[: int(kept * len(whole))])
    with pytest.raises(nr.InputError, match="damaged or not a safetensors file"):
        nr.load_encoder(saved)


def test_weights_of_another_size(saved: Path) -> None:
    side_car = saved.with_suffix(".json")
    described = json.loads(side_car.read_text())
    described["config"]["neurons"] = 5
    side_car.write_text(json.dumps(described))
    with pytest.raises(nr.InputError, match=r"another architecture \(of another shape: bias \(4,\) instead of \(5,\)"):
        nr.load_encoder(saved)


@pytest.mark.parametrize("there", ["model.safetensors", "model.json"])
def test_nothing_is_overwritten(tmp_path: Path, there: str) -> None:
    (tmp_path / there).write_text("mine")
    with pytest.raises(nr.InputError, match=f"{there} already exists"):
        nr.save_encoder(readout_model(), tmp_path / "model.safetensors")
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [(there, "mine")]


def test_overwriting_on_request(saved: Path) -> None:
    nr.save_encoder(dwiseneuro_model(), saved, overwrite=True)
    assert isinstance(nr.load_encoder(saved), DwiseNeuro)


def _full_disk(*_: object, **__: object) -> Any:
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("method", ["write_bytes", "write_text"])
def test_full_disk_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str) -> None:
    monkeypatch.setattr(Path, method, _full_disk)
    with pytest.raises(nr.ResourceError, match="no space left"):
        nr.save_encoder(readout_model(), tmp_path / "model.safetensors")
    assert not list(tmp_path.iterdir())


def test_full_disk_keeps_the_old_pair(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = {path.name: path.read_bytes() for path in saved.parent.iterdir()}
    with monkeypatch.context() as full:
        full.setattr(Path, "write_bytes", _full_disk)
        with pytest.raises(nr.ResourceError, match="no space left"):
            nr.save_encoder(dwiseneuro_model(), saved, overwrite=True)
    assert {path.name: path.read_bytes() for path in saved.parent.iterdir()} == before


class Own(nr.EncodingModel):
    canvas = nr.Canvas.plain(4, 4)
    clip_frames = 3
    neurons = 1
    frame_rate_hz = 10.0

    def forward(self, clips: Tensor) -> Tensor:
        return clips.mean(dim=(1, 3, 4))[:, None]


def test_a_model_of_ones_own_is_refused(tmp_path: Path) -> None:
    with pytest.raises(nr.InputError, match="Own is a model of your own"):
        nr.save_encoder(Own(), tmp_path / "own.safetensors")
    assert not list(tmp_path.iterdir())

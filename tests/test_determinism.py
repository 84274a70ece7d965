"""Same seed, same device: the same movie bit for bit; and the same but for rounding however the work is cut."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import neuroreel as nr
from neuroreel.encoding.dwiseneuro.network import DwiseNeuro, DwiseNeuroConfig, DwiseNeuroNetwork
from neuroreel.encoding.interface import EncodingModel
from neuroreel.encoding.readout import ReadoutConfig, ReadoutModel
from neuroreel.bauer_2026 import plan
from neuroreel.bauer_2026.snapshot import Snapshot
from toy_encoder import ToyEncoder

BOUND = 1e-3  # grey levels; at most 3e-5 was seen
PRESETS = ("default", "published")
NEURONS = 20


def dwiseneuro() -> EncodingModel:
    sizes = {"core_features": (4, 8), "spatial_strides": (2, 2), "cortex_features": (16,), "expansion_ratio": 2}
    network = DwiseNeuroNetwork(DwiseNeuroConfig(readout_neurons=(NEURONS,), **sizes))
    return DwiseNeuro(network, readout=0, video_size=(12, 16)).eval()


def readout() -> EncodingModel:
    size = {"neurons": NEURONS, "video_height": 12, "video_width": 16, "frame_rate_hz": 30.0, "covariates": 4}
    return ReadoutModel(ReadoutConfig(**size)).eval()  # type: ignore[arg-type]


def toy() -> EncodingModel:
    return ToyEncoder(neurons=NEURONS, covariates=2)


MODELS = {"clips": toy, "any length": readout, "DwiseNeuro": dwiseneuro}


@pytest.fixture(params=MODELS)
def model(request: pytest.FixtureRequest) -> EncodingModel:
    torch.manual_seed(0)
    return MODELS[request.param]()


def trials_of(model: EncodingModel, count: int = 2) -> list[nr.Trial]:
    """Random movies and behaviour, and Poisson responses of the model to them."""
    random = np.random.default_rng(0)
    made = []
    for number in range(count):
        shown = nr.Trial(
            video=random.uniform(0, 255, (48, *model.canvas.video_size)).astype(np.float32),
            behavior=random.random((2, 48)),
            pupil_center=random.random((2, 48)),
            frame_rate_hz=30.0,
            name=f"trial {number}",
        )
        made.append(shown.replace(responses=random.poisson(nr.predict(model, shown)).astype(np.float32)))
    return made


def run(trials: Any, model: EncodingModel, preset: str, **options: Any) -> Any:
    iterations = 3 if isinstance(model, DwiseNeuro) else 12
    fixed: dict[str, Any] = {"preset": preset, "iterations": iterations, "device": "cpu", "progress": False}
    return nr.reconstruct(trials, model, **fixed | options)


def difference(one: list[nr.Reconstruction], other: list[nr.Reconstruction]) -> float:
    return max(float(np.abs(a.video - b.video).max()) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("preset", PRESETS)
def test_the_cut_does_not_change_the_movies(preset: str, model: EncodingModel, monkeypatch: pytest.MonkeyPatch) -> None:
    trials = trials_of(model)
    one = run(trials, model, preset, windows_at_once=1)
    assert np.abs(one[0].video - 127.5).max() > 0.05  # something moved
    assert difference(one, run(trials, model, preset, windows_at_once=1)) == 0
    assert difference(one, run(trials, model, preset, windows_at_once=3)) < BOUND
    assert difference(one, run(trials, model, preset, windows_at_once=64)) < BOUND
    assert difference(one[1:], [run(trials[1], model, preset, windows_at_once=64)]) < BOUND
    assert difference(one, list(run(trials, model, preset, one_by_one=True))) < BOUND
    monkeypatch.setattr(plan, "used_bytes", lambda _: 0)
    assert difference(one, run(trials, model, preset, windows_at_once=64, max_memory="120 MB")) < BOUND


@pytest.mark.parametrize("preset", PRESETS)
def test_a_snapshot_goes_on_with_another_cut(preset: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = toy()
    (trial,) = trials_of(model, 1)
    monkeypatch.setitem(Snapshot.__init__.__kwdefaults__, "every_s", 0.0)

    def stop(progress: Any, _fit: Any) -> None:
        if progress.iteration == 7:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(trial, model, preset, windows_at_once=2, snapshot=tmp_path / "run.pt", callbacks=[stop])
    passes: list[int] = []

    def count(progress: Any, _fit: Any) -> None:
        passes.append(progress.iteration)

    resumed = run(trial, model, preset, windows_at_once=5, snapshot=tmp_path / "run.pt", callbacks=[count])
    assert passes[0] in (7, 8) and passes[-1] == 11
    assert difference([resumed], [run(trial, model, preset, windows_at_once=2)]) < BOUND


@pytest.mark.filterwarnings("default")  # PyTorch warns of what it cannot make deterministic
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("preset", PRESETS)
def test_on_a_gpu(preset: str, model: EncodingModel) -> None:
    trials = trials_of(model)
    one = run(trials, model, preset, device="cuda", windows_at_once=1)
    assert difference(one, run(trials, model, preset, device="cuda", windows_at_once=64)) < 0.1
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        first, second = (run(trials, model, preset, device="cuda") for _ in range(2))
    finally:
        torch.use_deterministic_algorithms(False)
    assert difference(first, second) == 0

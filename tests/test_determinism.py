"""Same seed, same device: the same movie bit for bit; and the same but for rounding however the work is cut."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import neuroreel as nr
from neuroreel.bauer_2026 import inversion
from neuroreel.encoding.dwiseneuro.network import DwiseNeuro, DwiseNeuroConfig, DwiseNeuroNetwork
from neuroreel.encoding.interface import EncodingModel
from neuroreel.encoding.readout import ReadoutConfig, ReadoutModel
from neuroreel.snapshot import Snapshot
from toy_encoder import ToyEncoder

METHODS = ("posterior", "bauer_2026")
BOUND = 1e-3  # grey levels; at most 3e-5 was seen
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


def run(trials: Any, model: EncodingModel, method: str, *, device: str = "cpu", max_memory: Any = None) -> Any:
    """Movies of one method; of the posterior, draws too."""
    compute = nr.Compute(device=device, max_memory=max_memory, progress=False)
    if method == "bauer_2026":
        iterations = 3 if isinstance(model, DwiseNeuro) else 12
        return nr.bauer_2026.reconstruct(trials, model, iterations=iterations, record="pass", compute=compute)
    height, width = model.canvas.video_size
    natural = nr.MoviePrior.natural(height=height, width=width, frame_rate_hz=30)
    posterior = nr.fit_posterior(model, trials_of(model), movie_prior=natural, factors=2, compute=compute)
    return nr.reconstruct(trials, posterior, passes=5, samples=1, compute=compute)


def difference(one: list[nr.Reconstruction], other: list[nr.Reconstruction]) -> float:
    names = ("video", "samples") if "samples" in one[0].dataset else ("video",)
    return max(
        float(np.abs(a.dataset[name].values - b.dataset[name].values).max())
        for a, b in zip(one, other, strict=True)
        for name in names
    )


@pytest.mark.parametrize("method", METHODS)
def test_the_cut_does_not_change_the_movies(method: str, model: EncodingModel, monkeypatch: pytest.MonkeyPatch) -> None:
    trials = trials_of(model)
    one = run(trials, model, method)
    assert np.abs(one[0].video - 127.5).max() > 0.05  # something moved
    assert difference(one, run(trials, model, method)) == 0
    assert difference(one[1:], [run(trials[1], model, method)]) == 0
    if method == "posterior":
        monkeypatch.setattr("neuroreel.posterior.one_movie.graphs_fit", lambda *_, **__: False)
        assert difference(one, run(trials, model, method)) < BOUND
        return
    for at_once in (3, 64):
        monkeypatch.setattr(inversion, "windows_that_fit", lambda *_, at_once=at_once, **__: at_once)
        assert difference(one, run(trials, model, method)) < BOUND


def test_the_same_fit(model: EncodingModel) -> None:
    """What a reconstruction rests on is the same to the last bit too."""
    trials, compute = trials_of(model, 3), nr.Compute(device="cpu", progress=False)
    one, other = (
        nr.fit_posterior(model, trials[:2], validation=trials[2:], factors=2, compute=compute) for _ in range(2)
    )
    for part in ("movie_prior", "noise"):
        for name, value in vars(getattr(one, part)).items():
            if isinstance(value, torch.Tensor):
                assert torch.equal(value, getattr(getattr(other, part), name)), name


def test_a_snapshot_goes_on_with_another_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = toy()
    (trial,) = trials_of(model, 1)
    monkeypatch.setattr("neuroreel.snapshot.EVERY_S", 0.0)
    save, saved = Snapshot.save, list[int]()

    def run_at(at_once: int, *, stop_at: int | None = None) -> nr.Reconstruction:
        def counted(self: Snapshot, state: dict[str, Any]) -> None:
            save(self, state)
            saved.append(state["iteration"])
            if state["iteration"] == stop_at:
                raise KeyboardInterrupt

        compute = nr.Compute(device="cpu", progress=False, checkpoint=tmp_path / "run.pt")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Snapshot, "save", counted)
            patch.setattr(inversion, "windows_that_fit", lambda *_, **__: at_once)
            return nr.bauer_2026.reconstruct(trial, model, iterations=12, record="pass", compute=compute)

    with pytest.raises(KeyboardInterrupt):
        run_at(2, stop_at=7)
    saved.clear()
    resumed = run_at(5)
    assert saved == [8, 9, 10, 11, 12]
    assert difference([resumed], [run_at(2)]) < BOUND


@pytest.mark.filterwarnings("default")  # PyTorch warns of what it cannot make deterministic
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("method", METHODS)
def test_on_a_gpu(method: str, model: EncodingModel, monkeypatch: pytest.MonkeyPatch) -> None:
    trials = trials_of(model)
    one = run(trials, model, method, device="cuda")
    with monkeypatch.context() as patch:
        patch.setattr(inversion, "windows_that_fit", lambda *_, **__: 1)
        patch.setattr("neuroreel.posterior.one_movie.graphs_fit", lambda *_, **__: False)
        assert difference(one, run(trials, model, method, device="cuda")) < 0.1
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        first, second = (run(trials, model, method, device="cuda") for _ in range(2))
    finally:
        torch.use_deterministic_algorithms(False)
    assert difference(first, second) == 0

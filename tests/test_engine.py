"""The folded DwiseNeuro computes what the trained one does: responses, gradients, whole reconstructions."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.checkpoint import checkpoint

import neuroreel as nr
from neuroreel.budget import LiveTensors
from neuroreel.encoding import engine
from neuroreel.encoding.dwiseneuro.folded import FoldedDwiseNeuro
from neuroreel.encoding.dwiseneuro.native import native_library
from neuroreel.encoding.dwiseneuro.network import DwiseNeuro, DwiseNeuroConfig, DwiseNeuroNetwork
from neuroreel.encoding.engine import engine_of
from neuroreel.encoding.readout import ReadoutConfig, ReadoutModel
from toy_encoder import ToyEncoder

QUIET = nr.Compute(device="cpu", progress=False)


def random_model(**changes: Any) -> DwiseNeuro:
    """A DwiseNeuro whose batch norms do something."""
    torch.manual_seed(0)
    sizes: dict[str, Any] = {"core_features": (7, 7, 12), "spatial_strides": (2, 1, 2), "expansion_ratio": 3}
    sizes |= {"cortex_features": (16, 24), "readout_neurons": (5, 9)}
    network = DwiseNeuroNetwork(DwiseNeuroConfig(**sizes | changes))
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm1d | torch.nn.BatchNorm3d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
            torch.nn.init.uniform_(module.weight, 0.5, 2)
            torch.nn.init.normal_(module.bias)
    return DwiseNeuro(network.eval(), readout=1, video_size=(12, 20))


def response_and_gradient(model: nr.EncodingModel, clips: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    leaf = clips.clone().requires_grad_()
    responses = model(leaf)
    (gradient,) = torch.autograd.grad(responses.square().sum(), leaf)
    return responses.detach(), gradient


def relative(one: torch.Tensor, other: torch.Tensor) -> float:
    return float((one - other).norm() / other.norm())


@pytest.fixture(params=["compiled", "plain"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Run a test with the compiled code, where there is a compiler, and with PyTorch alone."""
    if request.param == "plain":
        monkeypatch.setattr("neuroreel.encoding.dwiseneuro.folded.can_run_native", lambda _: False)
    elif native_library() is None:
        pytest.skip("no C++ compiler here")
    return str(request.param)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"groups": 1},
        {"spatial_strides": (1, 1, 1)},
        {"spatial_kernel": 5, "temporal_kernel": 3},
        {"in_channels": 1},
        {"core_features": (6, 18, 4)},  # shortcuts with more and with fewer channels
        {"core_features": (16, 48, 32), "expansion_ratio": 2},  # 32, 96, 64 channels: whole and part blocks of vectors
    ],
)
def test_responses_and_gradients_are_those_of_the_model(changes: dict[str, object], way: str) -> None:
    model = random_model(**changes)
    clips = torch.rand(2, model.covariates + 1, 16, 20, 20) * 255
    ours, wanted = (response_and_gradient(each, clips) for each in (FoldedDwiseNeuro(model), model))
    assert ours[0].shape == (2, 9, 16)
    assert relative(ours[0], wanted[0]) < 1e-5
    assert relative(ours[1], wanted[1]) < 1e-4


def test_golden_responses_and_gradients(golden: Path, way: str) -> None:
    published = np.load(golden / "clips.npz")
    for number, fold in enumerate(("fold_0", "fold_1")):
        model = nr.load_encoder(next((golden / "checkpoints" / fold).glob("*.pth")), session=1)
        responses, gradient = response_and_gradient(engine_of(model), torch.from_numpy(published["inputs"]))
        assert relative(responses, torch.from_numpy(published[f"responses_{number}"])) < 1e-6
        assert relative(gradient, torch.from_numpy(published[f"gradient_{number}"])) < 1e-5


def test_an_odd_canvas(way: str) -> None:
    """Rows and columns that a stride does not divide."""
    model = random_model()
    clips = torch.rand(2, 5, 16, 13, 13) * 255
    ours, wanted = (response_and_gradient(each, clips) for each in (FoldedDwiseNeuro(model), model))
    assert relative(ours[0], wanted[0]) < 1e-5
    assert relative(ours[1], wanted[1]) < 1e-4


def test_a_gradient_can_be_taken_again(way: str) -> None:
    """Draws from a posterior take many of one graph."""
    engine = FoldedDwiseNeuro(random_model())
    clips = (torch.rand(2, 5, 16, 20, 20) * 255).requires_grad_()
    responses = engine(clips)
    weights = torch.rand(2, *responses.shape)
    gradients = [torch.autograd.grad(responses, clips, each, retain_graph=True)[0] for each in (*weights, weights[0])]
    for gradient, each in zip(gradients, (*weights, weights[0]), strict=True):
        (wanted,) = torch.autograd.grad(engine(clips), clips, each)
        torch.testing.assert_close(gradient, wanted, rtol=1e-6, atol=1e-9)


def test_what_the_gradient_needs_can_be_computed_again_instead_of_being_kept(way: str) -> None:
    engine = FoldedDwiseNeuro(random_model())
    leaf = (torch.rand(2, 5, 16, 20, 20) * 255).requires_grad_()
    found, held = [], []
    for compute in (engine, lambda clips: checkpoint(engine, clips, use_reentrant=False)):
        with LiveTensors() as live:
            responses = compute(leaf)
            held.append(live.now)
        (gradient,) = torch.autograd.grad(responses.sum(), leaf)
        found.append(gradient)
    assert torch.equal(*found)
    assert held[1] < 0.2 * held[0]


def test_bfloat16_keeps_pixels_and_sums_in_single_precision(golden: Path) -> None:
    model = nr.load_encoder(next((golden / "checkpoints" / "fold_0").glob("*.pth")), session=1)
    clips = torch.from_numpy(np.load(golden / "clips.npz")["inputs"])
    short, single = (
        response_and_gradient(FoldedDwiseNeuro(model, precision=p), clips) for p in ("bfloat16", "float32")
    )
    assert short[0].dtype == short[1].dtype == torch.float32
    assert relative(short[0], single[0]) < 0.01
    assert 1e-6 < relative(short[1], single[1]) < 0.05


def test_the_model_is_left_as_it_was() -> None:
    model = random_model()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    modes = [parameter.requires_grad for parameter in model.parameters()]
    engine = engine_of(model)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert [parameter.requires_grad for parameter in model.parameters()] == modes
    assert not any(parameter.requires_grad for parameter in engine.parameters())
    assert (engine.neurons, engine.canvas, engine.window_frames) == (9, model.canvas, 32)


@pytest.mark.parametrize("sizes", [{}, {"spatial_kernel": 5, "stride": 3}, {"spatial_kernel": 4, "hidden_kernel": 2}])
@pytest.mark.parametrize("sparse", [True, False])
def test_a_readout_model_answers_as_before(
    sizes: dict[str, int], sparse: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Responses and gradients, also of neurons at the border and beyond; with and without the sparse library."""
    if not sparse:
        monkeypatch.setattr(torch.backends.mkl, "is_available", lambda: False)
    elif not torch.backends.mkl.is_available():
        pytest.skip("this PyTorch has no sparse products")
    torch.manual_seed(0)
    config = ReadoutConfig(neurons=40, video_height=11, video_width=14, frame_rate_hz=30, covariates=2, **sizes)
    model = ReadoutModel(config).eval()
    with torch.no_grad():
        model.position.uniform_(-1.2, 1.2)
        model.gain.normal_()
    model.standardize(torch.rand(40), torch.rand(2), torch.rand(2))
    clips = torch.rand(2, 3, 20, 11, 14) * 255
    (responses, gradient), (ours, our_gradient) = (
        response_and_gradient(each, clips) for each in (model, engine_of(model))
    )
    assert relative(ours, responses) < 1e-6 and relative(our_gradient, gradient) < 1e-5


def test_a_readout_position_that_is_nan_shows() -> None:
    config = ReadoutConfig(neurons=2, video_height=8, video_width=8, frame_rate_hz=30)
    model = ReadoutModel(config)
    with torch.no_grad():
        model.position[0] = torch.nan
    responses = engine_of(model)(torch.rand(1, 1, 4, 8, 8) * 255)
    assert responses[0, 0].isnan().all() and not responses[0, 1].isnan().any()


def test_other_models_are_taken_as_they_are() -> None:
    model = ToyEncoder(neurons=3)
    assert engine_of(model) is model


def test_reconstructions_are_the_same() -> None:
    """Of two readouts in turn: an engine is that of its readout, and nothing of it is kept between calls."""
    model = random_model()
    rng = np.random.default_rng(0)
    for number in (1, 0):
        chosen = model.of_readout(number)
        trial = nr.Trial(
            responses=rng.gamma(1, 1, (chosen.neurons, 34)),
            behavior=rng.random((2, 34)),
            pupil_center=rng.random((2, 34)),
            frame_rate_hz=30,
        )
        reconstruct = partial(nr.bauer_2026.reconstruct, trial, chosen, iterations=4, compute=QUIET)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(engine, "engine_of", lambda each, **_: each)
            plain = reconstruct()
        folded = reconstruct()
        error = np.linalg.norm(folded.video - plain.video) / np.linalg.norm(plain.video - 127.5)
        assert 0 <= error < 1e-4


@pytest.mark.nightly
def test_bfloat16_gives_the_same_reconstruction() -> None:
    """The video correlation of a reconstruction is within 0.005 of that in single precision."""
    sizes = {"core_features": (16, 16), "spatial_strides": (1, 1), "cortex_features": (64,)}
    model = random_model(**sizes, readout_neurons=(5, 300))
    rng = np.random.default_rng(0)
    pictures = np.kron(rng.integers(0, 256, (5, 3, 5)), np.ones((1, 4, 4)))
    video = np.repeat(pictures, 10, axis=0).astype(np.float32)
    behavior = {"behavior": rng.random((2, 50)), "pupil_center": rng.random((2, 50))}
    trial = nr.Trial(video=video, frame_rate_hz=30, **behavior)
    trial = trial.replace(responses=nr.predict(model, trial))
    videos = {
        precision: nr.bauer_2026.reconstruct(
            trial, model, iterations=20, compute=nr.Compute(precision=precision, device="cpu", progress=False)
        )
        for precision in ("float32", "bfloat16", "auto")
    }
    scores = {each: nr.video_correlation(video, made.video, skip=20) for each, made in videos.items()}
    assert scores["float32"] > 0.1
    assert 0 < abs(scores["bfloat16"] - scores["float32"]) < 0.005
    np.testing.assert_allclose(videos["auto"].video, videos["float32"].video, atol=1e-3)  # on a CPU


def test_without_a_compiler_there_is_no_library(tmp_path: Path) -> None:
    """Nor where it is switched off, or does not work; PyTorch then does all of it."""
    works = ("neuroreel.encoding.dwiseneuro.native", "print(native_library() is None)")
    program = f"from {works[0]} import native_library; {works[1]}"
    broken = tmp_path / "bin" / "c++"
    broken.parent.mkdir()
    broken.write_text("#!/bin/sh\nexit 1\n")
    broken.chmod(0o755)
    cache = {"XDG_CACHE_HOME": str(tmp_path / "cache")}
    for changes in ({"NEUROREEL_NATIVE": "0"}, {"PATH": str(tmp_path)}, {"PATH": str(broken.parent)}):
        done = subprocess.run(
            [sys.executable, "-c", program],
            env=os.environ | cache | changes,
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout.strip() == "True", changes


def test_loading_the_library_leaves_small_numbers_alone() -> None:
    """Denormal numbers are not taken for zero by the rest of the process."""
    if native_library() is None:
        pytest.skip("no C++ compiler here")
    assert np.float32(1e-40) * np.float32(0.5) > 0
    assert torch.tensor([1e-40]).mul(0.5).item() > 0


def test_a_library_is_built_once(tmp_path: Path) -> None:
    if native_library() is None:
        pytest.skip("no C++ compiler here")
    program = "from neuroreel.encoding.dwiseneuro.native import native_library; assert native_library() is not None"
    environment = os.environ | {"XDG_CACHE_HOME": str(tmp_path)}
    times = []
    for _ in range(2):
        subprocess.run([sys.executable, "-c", program], env=environment, check=True)
        (built,) = (tmp_path / "neuroreel").iterdir()
        times.append(built.stat().st_mtime_ns)
    assert times[0] == times[1]

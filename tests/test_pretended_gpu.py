"""What may run on a GPU runs on a pretended one, with the CPU's numbers and every tensor where it belongs."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

import neuroreel as nr
from mice import HEIGHT, WIDTH, made_up_mice, made_up_trial
from neuroreel.bauer_2026.likelihood import PoissonLikelihood
from neuroreel.encoding.dwiseneuro.network import DwiseNeuro, DwiseNeuroConfig, DwiseNeuroNetwork
from neuroreel.encoding.interface import device_of
from neuroreel.encoding.readout import ReadoutConfig, ReadoutModel
from neuroreel.encoding.training.losses import WindowLoss
from neuroreel.snapshot import Snapshot
from pretend_gpu import GPU, OnGpu, pretended_gpu

CPU = nr.Compute(device="cpu", precision="float32", progress=False)
with pretended_gpu():  # or there would be no such device
    CUDA = replace(CPU, device="cuda")
TRIALS = [made_up_trial("mouse", neurons=7, seed=seed, frames=60) for seed in range(3)]
MASK = np.ones((HEIGHT, WIDTH), np.float32)
MASK[:, :3] = 0.2
ONE_STEP = {"epochs": 1, "batches_per_epoch": 1, "batch_size": 2, "warmup_epochs": 0}
no_pinning = pytest.mark.filterwarnings("ignore:'pin_memory' argument is set as true but no accelerator:UserWarning")


@pytest.fixture
def gpu() -> Iterator[None]:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU: nothing to pretend")
    with pretended_gpu():
        yield


def model(kind: str, seed: int = 0) -> nr.EncodingModel:
    torch.manual_seed(seed)
    if kind == "core_readout":
        sizes: dict[str, Any] = {"video_height": HEIGHT, "video_width": WIDTH, "frame_rate_hz": 30, "covariates": 4}
        return ReadoutModel(ReadoutConfig(neurons=7, **sizes)).eval()
    sizes = {"core_features": (8, 16), "spatial_strides": (2, 2), "cortex_features": (16,), "expansion_ratio": 2}
    network = DwiseNeuroNetwork(DwiseNeuroConfig(readout_neurons=(5, 7), **sizes))
    return DwiseNeuro(network.eval(), readout=1, video_size=(HEIGHT, WIDTH))


def test_the_pretence_gives_the_numbers_and_refuses_mixtures(gpu: None) -> None:
    here = torch.arange(6.0).reshape(2, 3)
    there = here.to("cuda")
    assert isinstance(there, OnGpu) and there.device == GPU and there[0].is_cuda and not here.is_cuda
    assert torch.equal((there * 2 + 1).cpu(), here * 2 + 1) and float(there.sum()) == 15
    assert torch.zeros_like(there).device == there.new_zeros(3).device == torch.ones(1, device="cuda").device == GPU
    there += 1
    assert float(here.sum()) == 15 and float(there[1].sum()) == 15
    with pytest.raises(RuntimeError, match="Expected all tensors to be on the same device"):
        there + here
    with pytest.raises(TypeError, match="can't convert cuda"):
        there.numpy()
    layer = torch.nn.Linear(3, 2)
    expected = layer(here + 1).detach()
    with pytest.raises(RuntimeError, match="Expected all tensors to be on the same device"):
        layer(there)
    moved = layer.to("cuda")(there.requires_grad_())
    assert torch.equal(moved.detach().cpu(), expected)
    (gradient,) = torch.autograd.grad(moved.sum(), there)
    assert gradient.device == layer.weight.device == GPU


@functools.cache
def posterior_of(kind: str) -> nr.Posterior:
    """Fitted on the CPU, with a prior that does not hang on its few movies."""
    natural = nr.MoviePrior.natural(height=HEIGHT, width=WIDTH, frame_rate_hz=30)
    return nr.fit_posterior([model(kind), model(kind, seed=1)], TRIALS, movie_prior=natural, factors=2, compute=CPU)


@pytest.mark.parametrize("kind", ["core_readout", "dwiseneuro"])
@pytest.mark.parametrize(
    "options",
    [{}, {"neurons": [True, False] * 3 + [True]}, {"start": [trial.needs_video() for trial in TRIALS[:2]]}],
    ids=lambda options: "-".join(options) or "default",
)
def test_reconstruct(gpu: None, kind: str, options: dict[str, Any]) -> None:
    asked = {"passes": 3, "samples": 2, "mask": MASK} | options
    made = {
        compute: nr.reconstruct(TRIALS[:2], posterior_of(kind), compute=compute, **asked) for compute in (CPU, CUDA)
    }
    for expected, result in zip(made[CPU], made[CUDA], strict=True):
        for name in ("video", "samples", "deviation"):
            assert_equal(result.dataset[name].values, expected.dataset[name].values)
        np.testing.assert_allclose(result.dataset["loss"], expected.dataset["loss"], rtol=1e-4)
        assert result.provenance["device"].startswith("cuda")


def test_fit_posterior(gpu: None) -> None:
    made = [
        nr.fit_posterior(model("dwiseneuro"), TRIALS[:2], validation=TRIALS[2:], factors=2, compute=compute)
        for compute in (CPU, CUDA)
    ]
    for part in ("movie_prior", "noise"):
        for name, expected in vars(getattr(made[0], part)).items():
            if isinstance(expected, torch.Tensor):
                found = getattr(getattr(made[1], part), name)
                assert not isinstance(found, OnGpu)  # a posterior is kept on the CPU
                np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3, err_msg=name)


@pytest.mark.parametrize("kind", ["core_readout", "dwiseneuro"])
@pytest.mark.parametrize(
    "settings",
    [{}, {"ensemble": "videos"}, {"optimize_padding": False}, {"record": "pass", "ablated": "left_out"}],
    ids=lambda settings: "-".join(settings) or "published",
)
def test_reconstruct_as_published(gpu: None, kind: str, settings: dict[str, Any]) -> None:
    asked = {"iterations": 3, "mask": MASK, "neurons": [True, False] * 3 + [True]} | settings
    models = [model(kind), model(kind, seed=1)]
    made = {compute: nr.bauer_2026.reconstruct(TRIALS[:2], models, compute=compute, **asked) for compute in (CPU, CUDA)}
    for expected, result in zip(made[CPU], made[CUDA], strict=True):
        assert_equal(result.video, expected.video)
        np.testing.assert_allclose(result.dataset["loss"], expected.dataset["loss"], rtol=1e-4)
        assert result.provenance["device"].startswith("cuda")


def assert_equal(made: np.ndarray, expected: np.ndarray) -> None:
    """But for rounding, which differs with the batch: a GPU takes all windows at once."""
    spread = float(np.ptp(expected) if expected.size > 1 else abs(expected))
    assert spread > 0
    np.testing.assert_allclose(made, expected, atol=1e-3 * spread, rtol=0)


@pytest.mark.parametrize(("kind", "precision"), [("core_readout", "float32"), ("dwiseneuro", "bfloat16")])
def test_bfloat16_is_the_default_of_models_that_have_it(gpu: None, kind: str, precision: str) -> None:
    compute = nr.Compute(device="cuda", progress=False)
    result = nr.reconstruct(TRIALS[0], posterior_of(kind), passes=2, compute=compute)
    assert result.provenance["settings"]["precision"] == precision and np.isfinite(result.video).all()


@pytest.mark.parametrize("kind", ["core_readout", "dwiseneuro"])
def test_models_come_back(gpu: None, kind: str, tmp_path: Path) -> None:
    recording = nr.write_recording(tmp_path / "mouse", TRIALS, tiers=["train"] * 3)
    lent, on_gpu = model(kind).train(), []
    lent.register_forward_hook(lambda module, *_: on_gpu.append(device_of(module) == GPU))
    for verb in (
        lambda: nr.reconstruct(TRIALS[0], replace(posterior_of(kind), models=(lent,)), passes=1, compute=CUDA),
        lambda: nr.bauer_2026.reconstruct(TRIALS[0], lent, compute=CUDA, iterations=1),
        lambda: nr.fit_posterior(lent, TRIALS, factors=1, compute=CUDA),
        lambda: nr.learn_mask(lent, TRIALS, steps=1, first_frame=0, device="cuda", progress=False),
        lambda: nr.predict(lent, TRIALS[0], device="cuda"),
        lambda: nr.encoder_correlation(lent, TRIALS, device="cuda"),
        lambda: nr.receptive_fields(lent, recording, size_px=4, device="cuda", progress=False),
    ):
        verb()
        assert device_of(lent) == torch.device("cpu") and lent.training
        assert all(weight.requires_grad for weight in lent.parameters())
    assert on_gpu and all(on_gpu)


def test_where_memory_runs_out(gpu: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    loud = nr.Compute(device="cuda", precision="float32")
    expected = nr.bauer_2026.reconstruct(TRIALS, model("core_readout"), compute=CUDA, iterations=3)
    calculate, most = PoissonLikelihood.windows, 2

    def limited(self: Any, model: Any, movie: Any, evidence: Any, starts: Any, length: Any) -> Any:
        if len(starts) > most:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return calculate(self, model, movie, evidence, starts, length)

    monkeypatch.setattr(PoissonLikelihood, "windows", limited)
    made = nr.bauer_2026.reconstruct(TRIALS, model("core_readout"), compute=loud, iterations=3)
    assert "Memory ran out with" in capsys.readouterr().err
    assert_equal(made[2].video, expected[2].video)


@pytest.mark.parametrize("method", ["posterior", "bauer_2026"])
def test_a_stopped_run_goes_on(gpu: None, method: str, tmp_path: Path) -> None:
    def run(compute: nr.Compute) -> np.ndarray:
        if method == "bauer_2026":
            return nr.bauer_2026.reconstruct(TRIALS[0], model("dwiseneuro"), compute=compute, iterations=4).video
        return nr.reconstruct(TRIALS[0], posterior_of("dwiseneuro"), passes=5, compute=compute).video

    expected = run(CUDA)
    kept = replace(CUDA, checkpoint=tmp_path / "run.pt")
    save, saved = Snapshot.save, list[int]()

    class KilledError(Exception):
        pass

    def killed(self: Snapshot, state: dict[str, Any]) -> None:
        save(self, state)
        saved.append(1)
        if len(saved) == 2:
            raise KilledError

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("neuroreel.snapshot.EVERY_S", 0.0)
        patch.setattr(Snapshot, "save", killed)
        with pytest.raises(KilledError):
            run(kept)
    assert len(list(tmp_path.glob("run*.pt"))) == 1
    np.testing.assert_array_equal(run(kept), expected)


@pytest.mark.parametrize("kind", ["core_readout", "dwiseneuro"])
def test_predictions_masks_and_receptive_fields(gpu: None, kind: str, tmp_path: Path) -> None:
    recording = nr.write_recording(tmp_path / "mouse", TRIALS, tiers=["train"] * 3)
    made = {
        device: [
            nr.predict(model(kind), TRIALS[0], device=device),
            nr.encoder_correlation([model(kind)], TRIALS, device=device),
            nr.learn_mask(model(kind), TRIALS, steps=4, first_frame=0, device=device, progress=False),
            nr.receptive_fields(model(kind), recording, size_px=4, device=device, progress=False)["on"].values,
        ]
        for device in ("cpu", "cuda")
    }
    for expected, found in zip(made["cpu"], made["cuda"], strict=True):
        assert_equal(np.asarray(found), np.asarray(expected))


@pytest.mark.slow
@no_pinning
@pytest.mark.parametrize("kind", ["core_readout", "dwiseneuro"])
def test_training(gpu: None, kind: str, tmp_path: Path) -> None:
    mice = made_up_mice()
    trained = nr.fit_encoder(
        mice if kind == "dwiseneuro" else mice["mouse 0"],
        kind=kind,
        recipe={"epochs": 2, "batches_per_epoch": 2, "batch_size": 2, "warmup_epochs": 1},
        device="cuda",
        folder=tmp_path,
        progress=False,
    )
    assert np.isfinite(trained.training_log[-1]["train_loss"])


@no_pinning
def test_training_leaves_the_callers_random_numbers_alone(gpu: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """On the GPU that it uses too."""
    state = torch.tensor([7], dtype=torch.uint8)
    seeds: list[int] = []

    def seed(number: int) -> None:
        seeds.append(number)
        state.fill_(number % 256)

    monkeypatch.setattr("neuroreel.encoding.training.loop.workers_beside", lambda _: 0)
    monkeypatch.setattr(torch.cuda, "get_rng_state", lambda _: state.clone())
    monkeypatch.setattr(torch.cuda, "set_rng_state", lambda saved, _: state.copy_(saved))
    for name in ("manual_seed", "manual_seed_all"):
        monkeypatch.setattr(torch.cuda, name, seed)
    here = torch.random.get_rng_state()
    nr.fit_encoder(TRIALS, recipe=ONE_STEP, device="cuda", progress=False)
    assert len(seeds) == 1 and state.item() == 7
    assert torch.equal(torch.random.get_rng_state(), here)


@no_pinning
def test_a_training_that_diverges_leaves_no_checkpoint(
    gpu: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A GPU is not asked at each step, but before a checkpoint is written."""
    monkeypatch.setattr("neuroreel.encoding.training.loop.workers_beside", lambda _: 0)
    monkeypatch.setattr(WindowLoss, "forward", lambda self, _: self.model.bias.sum() * torch.nan)
    with pytest.raises(nr.InputError, match="by step 1: the training has diverged"):
        nr.fit_encoder(TRIALS, recipe=ONE_STEP, device="cuda", folder=tmp_path, progress=False)
    assert not list(tmp_path.rglob("*.ckpt"))


@pytest.mark.nightly
def test_benchmark_of_a_window(gpu: None, benchmark_module: Callable[[str], ModuleType]) -> None:
    """Its three processes for a GPU, one after the other in this one."""
    inversion = benchmark_module("inversion")
    assert min(rate(GPU) for rate in (inversion.matrix_rate, inversion.copy_rate)) > 0
    answers: dict[str, dict[str, Any]] = {}
    for way in ("published", "ours", "ours, bfloat16"):
        asked = ["gradient", "seconds", "peak", "work"]
        told: list[Any] = []
        connection = SimpleNamespace(recv=iter([*asked, "stop"]).__next__, send=told.append)
        inversion.serve(connection, "small", way, "cuda")
        answers[way] = dict(zip(asked, told, strict=True))
    expected = answers["published"]["gradient"]
    for way, allowed in (("ours", 1e-5), ("ours, bfloat16", 0.2)):
        assert (answers[way]["gradient"] - expected).norm() < allowed * expected.norm(), way
    assert answers["ours"]["work"]["operations"] > 1e8 and answers["ours"]["seconds"] > 0


@pytest.mark.nightly
def test_benchmark_of_a_movie(
    gpu: None, benchmark_module: Callable[[str], ModuleType], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = ["--model", "small", "--models", "2", "--iterations", "2", "--frames", "40"]
    monkeypatch.setattr("sys.argv", ["movie.py", *few, "--out", str(tmp_path / "movie.json")])
    benchmark_module("movie").main()
    report = json.loads((tmp_path / "movie.json").read_text())
    assert report["device"] == "cuda" and [row["precision"] for row in report["rows"]] == ["float32", "bfloat16"]
    assert all(np.isfinite(row["video_correlation"]) and row["ratio"] > 0 for row in report["rows"])

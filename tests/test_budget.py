"""Memory of a reconstruction: what a window takes, what follows from it, and what happens where memory runs out."""

from __future__ import annotations

import dataclasses
import json
import math
import subprocess
import sys
import weakref
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import neuroreel as nr
from neuroreel import budget
from neuroreel.bauer_2026 import inversion
from neuroreel.budget import LiveTensors, TooMuchError, graphs_fit, window_bytes, windows_that_fit
from neuroreel.encoding import request
from neuroreel.encoding.dwiseneuro.network import DwiseNeuro, DwiseNeuroConfig, DwiseNeuroNetwork
from neuroreel.encoding.engine import engine_of
from neuroreel.encoding.interface import EncodingModel
from neuroreel.encoding.readout import ReadoutConfig, ReadoutModel
from neuroreel.errors import InputError, ResourceError
from toy_encoder import ToyEncoder, toy_trials

CPU = torch.device("cpu")
MIB = 2**20


def small_dwiseneuro() -> EncodingModel:
    torch.manual_seed(0)
    sizes = {"core_features": (8, 16), "spatial_strides": (2, 2), "cortex_features": (16,), "expansion_ratio": 2}
    return engine_of(DwiseNeuro(DwiseNeuroNetwork(DwiseNeuroConfig(readout_neurons=(20,), **sizes)), readout=0).eval())


def small_readout() -> EncodingModel:
    torch.manual_seed(0)
    config = ReadoutConfig(neurons=20, video_height=18, video_width=32, frame_rate_hz=30, covariates=1)
    return ReadoutModel(config).requires_grad_(False).eval()


class ValueReader(ToyEncoder):
    """A model that looks at values, so that it cannot be computed without any; it cannot be copied either."""

    def forward(self, clips: torch.Tensor) -> torch.Tensor:
        if clips.max().item() > 1000:
            raise ValueError("too bright")
        return super().forward(clips)


def gpu_without_memory() -> None:
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.\nGPU 0 has ...")


def cpu_without_memory() -> None:
    """What the CPU's allocator itself says: no address space is so large."""
    torch.empty(2**60, dtype=torch.uint8)


class Narrow(ToyEncoder):
    """A model on a device that has no memory for more than ``most`` clips with their gradients."""

    def __init__(self, *, most: int, run_out: Callable[[], None] = gpu_without_memory, **options: Any) -> None:
        super().__init__(**options)
        self.most, self.run_out = most, run_out
        self.tried: list[int] = []

    def forward(self, clips: torch.Tensor) -> torch.Tensor:
        if torch.is_grad_enabled():
            self.tried.append(len(clips))
            if len(clips) > self.most:
                self.run_out()
        return super().forward(clips)


@pytest.fixture(autouse=True)
def nothing_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budget, "_KNOWN", {})


# --- what a window costs -------------------------------------------------------------------------------------------


def test_live_tensors_are_counted() -> None:
    with LiveTensors() as live:
        first = torch.zeros(1000)
        second = first + 1
        view = second[10:]
        view.mul_(2)
        assert live.now == 8000
        del first
        assert live.now == 4000
        third = torch.cat([second, second])
        assert (live.now, live.peak) == (12_000, 12_000)
        del second, view, third
    assert (live.now, live.peak) == (0, 12_000)
    with pytest.raises(TooMuchError), LiveTensors(most=100):
        torch.zeros(100)


def measured(model: EncodingModel, *, frames: int, most: float = math.inf) -> int:
    return window_bytes(model, frames=frames, device=CPU, most=most)


@pytest.mark.parametrize(("make", "frames"), [(small_dwiseneuro, 32), (small_readout, 60)])
def test_a_window_that_does_not_fit_is_measured_without_memory(make: Any, frames: int) -> None:
    fitting = measured(make(), frames=frames)
    assert fitting > 0.5 * MIB
    budget._KNOWN.clear()
    model = make()
    assert measured(model, frames=frames, most=1000) == pytest.approx(fitting, rel=0.25)
    assert not budget._KNOWN
    assert all(weight.device == CPU for weight in model.parameters())
    assert measured(model, frames=frames) == fitting  # and the model still computes


def test_a_model_that_looks_at_values_is_measured_as_far_as_it_went() -> None:
    model = ValueReader(neurons=12)
    whole = measured(model, frames=8)
    budget._KNOWN.clear()
    assert 1000 < measured(model, frames=8, most=1000) < whole


def test_a_window_of_the_papers_model(benchmark_module: Any) -> None:
    """Without its 170 million weights: 2.8 GiB were counted; the process grew by 3.2 GiB."""
    networks = benchmark_module("_networks")
    meta = torch.device("meta")
    with meta:
        model = DwiseNeuro(DwiseNeuroNetwork(networks.paper_config()), readout=networks.LARGEST)
    taken = window_bytes(engine_of(model), frames=32, device=meta, most=math.inf)
    assert 0.5 * 2**30 < taken < 3 * 2**30


def test_a_gpu_counts_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(*_: Any) -> None: ...

    for name in ("synchronize", "reset_peak_memory_stats"):
        monkeypatch.setattr(torch.cuda, name, nothing)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda _: 1000)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda _: 3500)
    gpu = torch.device("cuda")
    assert budget._peak(small_readout(), nothing, device=gpu, most=math.inf) == 2500

    def too_much(model: EncodingModel, device: torch.device) -> None:
        if device == gpu:
            raise torch.OutOfMemoryError("CUDA out of memory")
        torch.zeros(1000, device=device)

    assert budget._peak(small_readout(), too_much, device=gpu, most=10_000) == 4000


def test_cost_is_proportional_to_frames_and_measured_once() -> None:
    model = small_readout()
    costs = [measured(model, frames=frames) for frames in (100, 200, 400)]
    assert costs[1] / costs[0] == pytest.approx(2, rel=0.1) and costs[2] / costs[1] == pytest.approx(2, rel=0.1)
    model.forward = None  # type: ignore[assignment]
    assert measured(model, frames=200) == costs[1]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "slack"), [("readout", budget.SLACK), ("small", budget.CLIP_SLACK)])
def test_a_window_takes_what_was_estimated(name: str, slack: float, tmp_path: Path) -> None:
    """The process grows by what is reckoned with, not much less."""
    if not Path("/proc/self/clear_refs").exists():
        pytest.skip("only Linux says what was resident at most")
    script, out = Path(__file__).parents[1] / "benchmarks" / "window_memory.py", tmp_path / "memory.json"
    command = [sys.executable, script, "--models", name, "--passes", "20", "--out", out]
    subprocess.run([*map(str, command)], capture_output=True, check=True)
    (row,) = json.loads(out.read_text())["rows"]
    assert 0.8 * row["tensors_mib"] < row["last_mib"] < 1.2 * slack * row["tensors_mib"]


# --- what follows ---------------------------------------------------------------------------------------------------


@pytest.fixture
def free(monkeypatch: pytest.MonkeyPatch) -> Callable[[int | None], None]:
    """Says how much memory is free; the process holds 1 MB."""

    def say(amount: int | None) -> None:
        monkeypatch.setattr(budget, "free_bytes", lambda _: amount)

    monkeypatch.setattr(budget, "used_bytes", lambda _: 1_000_000)
    say(None)
    return say


Free = Callable[[int | None], None]


def at_once(model: EncodingModel, *, max_bytes: int | None = None) -> int:
    return windows_that_fit(model, frames=60, device=CPU, max_bytes=max_bytes)


def test_as_many_windows_as_fit(free: Free) -> None:
    model = small_readout()
    window = int(budget.SLACK * measured(model, frames=60))
    assert at_once(model) == 8
    for amount, expected in ((20, 8), (5.5, 5), (1.5, 1)):
        free(int(amount * window))
        assert at_once(model) == expected
    free(None)
    assert at_once(model, max_bytes=int(3.5 * window) + 1_000_000) == 3  # the process holds 1 MB of them
    assert windows_that_fit(ToyEncoder(), frames=8, device=CPU, max_bytes=None) == 1  # on a CPU


def test_graphs_are_kept_where_those_of_all_windows_of_all_models_fit(free: Free) -> None:
    clips, whole = ToyEncoder(), small_readout()
    of_clips, of_whole = budget.CLIP_SLACK * measured(clips, frames=8), budget.SLACK * measured(whole, frames=40)
    needed = {
        (clips,): 5 * of_clips,
        (clips, clips): 10 * of_clips,
        (whole,): of_whole,
        (whole, clips): of_whole + 5 * of_clips,
    }
    for models, most in needed.items():
        for amount, fits in ((1.01 * most, True), (0.99 * most, False)):
            if amount > max(of_clips, of_whole if whole in models else 0):
                free(int(amount))
                assert graphs_fit(models, frames=40, device=CPU, max_bytes=None) == fits
    free(None)
    assert graphs_fit([clips], frames=40, device=CPU, max_bytes=int(5.1 * of_clips) + 1_000_000)
    assert not graphs_fit([clips], frames=41, device=CPU, max_bytes=int(5.1 * of_clips) + 1_000_000)  # one window more


@pytest.mark.parametrize(
    "asked", [lambda model, **limits: graphs_fit([model], **limits), windows_that_fit], ids=["graphs", "windows"]
)
def test_too_little_memory_is_refused_with_numbers(asked: Callable[..., object], free: Free) -> None:
    model = small_readout()
    needed = int(budget.SLACK * measured(model, frames=60))
    said = r"a window of 60 frames takes about \d[\d.]* MB of memory on the device cpu, but "
    free(needed // 2)
    budget._KNOWN.clear()
    with pytest.raises(ResourceError, match=said + r"\d[\d.]* MB are free: close other programs"):
        asked(model, frames=60, device=CPU, max_bytes=None)
    with pytest.raises(ResourceError, match=said + r"max_memory is 1.0 MB, of which the process already uses 1.0 MB"):
        asked(model, frames=60, device=CPU, max_bytes=1_000_500)
    free(None)
    assert asked(model, frames=60, device=CPU, max_bytes=needed + 1_100_000)


# --- where memory runs out -----------------------------------------------------------------------------------------


def quiet(**options: Any) -> nr.Compute:
    return nr.Compute(**{"device": "cpu", "progress": False} | options)


def published(trials: Any, models: Any, compute: nr.Compute | None = None, **settings: Any) -> Any:
    asked: dict[str, Any] = {"iterations": 4, "record": "pass", "record_every": 1}
    return nr.bauer_2026.reconstruct(trials, models, compute=compute or quiet(), **asked | settings)


def posterior_of(models: Any, trials: Sequence[nr.Trial]) -> nr.Posterior:
    return nr.fit_posterior(models, trials, factors=2, compute=quiet())


@pytest.mark.parametrize("run_out", [gpu_without_memory, cpu_without_memory])
def test_the_batch_is_halved_and_the_movies_are_the_same(
    run_out: Callable[[], None], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inversion, "windows_that_fit", lambda *_, **__: 16)
    model, roomy = Narrow(neurons=20, most=2, run_out=run_out), ToyEncoder(neurons=20)
    trials = toy_trials(roomy, 3)
    one, other = published(trials, model, quiet(progress=True)), published(trials, roomy)
    for result, expected in zip(one, other, strict=True):
        np.testing.assert_allclose(result.video, expected.video, atol=1e-3)
        np.testing.assert_allclose(result.dataset["loss"].values, expected.dataset["loss"].values, rtol=1e-5)
    notes = [line for line in capsys.readouterr().err.splitlines() if "ran out" in line]
    assert notes == [
        "neuroreel: Memory ran out with 6 windows at once; continuing with 3.",
        "neuroreel: Memory ran out with 3 windows at once; continuing with 1.",
    ]
    assert sum(tried > 2 for tried in model.tried) == 2  # later trials know
    published(trials, Narrow(neurons=20, most=2))
    assert capsys.readouterr().err == ""


def test_not_even_one_window() -> None:
    model = ToyEncoder(neurons=20)
    (trial,) = toy_trials(model, 1)
    posterior = posterior_of(model, toy_trials(model, 3))
    narrow, said = Narrow(neurons=20, most=10), r"memory ran out \(CUDA out of memory. Tried to allocate 2 GiB\)"
    assert published(trial, narrow).video.shape == (40, 6, 8)
    narrow.most = 1
    with pytest.raises(ResourceError, match=said + ": not even one window of 8 frames fits"):
        published(trial, narrow)
    with pytest.raises(ResourceError, match=said + ".*shorter trials or another device"):
        nr.reconstruct(trial, dataclasses.replace(posterior, models=(narrow,)), compute=quiet())


@pytest.mark.parametrize("method", ["posterior", "bauer_2026"])
def test_memory_that_runs_out_elsewhere_is_told_clearly(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = ToyEncoder(neurons=20)
    trials = toy_trials(model, 4)
    if method == "posterior":
        reconstruct: Callable[[], Any] = partial(nr.reconstruct, trials[0], posterior_of(model, trials[1:]), passes=2)
    else:
        reconstruct = partial(nr.bauer_2026.reconstruct, trials[0], model, iterations=1, record="pass")

    def greedy(*_: Any, **__: Any) -> None:
        raise MemoryError("Unable to allocate 9 GiB")

    monkeypatch.setattr(request, "predict", greedy)
    with pytest.raises(ResourceError, match=r"memory ran out \(Unable to allocate 9 GiB\) on the device cpu: close"):
        reconstruct(compute=quiet())

    def broken(*_: Any, **__: Any) -> None:
        raise RuntimeError("of another kind")

    monkeypatch.setattr(request, "predict", broken)
    with pytest.raises(RuntimeError, match=r"^of another kind$"):
        reconstruct(compute=quiet())


LIMITED = """
import resource
from dataclasses import replace
import numpy as np
import torch
torch.set_num_threads(1)
import neuroreel as nr
from neuroreel.encoding.readout import ReadoutConfig, ReadoutModel
torch.manual_seed(0)
model = ReadoutModel(ReadoutConfig(neurons=50, video_height=36, video_width=64, frame_rate_hz=30))
random = np.random.default_rng(0)
videos = random.uniform(0, 255, (3, 150, 36, 64)).astype(np.float32)
trials = [nr.Trial(video=v, responses=random.poisson(1.0, (50, 150)), frame_rate_hz=30.0) for v in videos]
quiet = nr.Compute(device="cpu", progress=False)
natural = nr.MoviePrior.natural(height=36, width=64, frame_rate_hz=30)
one = nr.fit_posterior(model, trials, movie_prior=natural, factors=1, compute=quiet)
expected = nr.reconstruct(trials[0], one, passes=2, compute=quiet).video
pages = int(open("/proc/self/statm").read().split()[0])
most = pages * resource.getpagesize() + 400 * 2**20
resource.setrlimit(resource.RLIMIT_AS, (most, most))
made = nr.reconstruct(trials[0], replace(one, models=(model,) * 8), passes=2, compute=quiet)
print(np.abs(made.video - expected).max())
"""


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the address space is limited on Linux alone")
def test_a_real_limit() -> None:
    """The graphs of eight models take more than the 400 MB that there are, which is seen beforehand.

    No test runs into such a limit: refused memory, libraries below PyTorch may crash instead of saying so. The mean of
    eight equal models is that model but for rounding, which further passes of an untrained one would make larger.
    """
    done = subprocess.run([sys.executable, "-c", LIMITED], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 1e-2


# --- from outside --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["posterior", "bauer_2026"])
def test_max_memory_is_respected(method: str, free: Free, monkeypatch: pytest.MonkeyPatch) -> None:
    model = ToyEncoder(neurons=20, any_length=method == "bauer_2026")
    trials = toy_trials(model, 4)
    posterior = posterior_of(model, trials[1:]) if method == "posterior" else None

    def made(**options: Any) -> np.ndarray[Any, Any]:
        if posterior is None:
            return np.asarray(published(trials[0], model, quiet(**options)).video)
        return np.asarray(nr.reconstruct(trials[0], posterior, passes=5, compute=quiet(**options)).video)

    seen: list[int] = []
    calculate = model.window_responses
    monkeypatch.setattr(model, "window_responses", lambda inputs: (seen.append(len(inputs)), calculate(inputs))[1])
    expected, plenty = made(), list(seen)
    seen.clear()
    window = window_bytes(model, frames=33 if model.any_length else 8, device=CPU, most=math.inf)
    found = made(max_memory=1_000_000 + int(1.2 * budget.SLACK * window))
    np.testing.assert_allclose(found, expected, atol=1e-3)
    if method == "posterior":  # windows are computed again for their gradients
        assert 1.5 * sum(plenty) < sum(seen) < 2.5 * sum(plenty)
    else:
        assert max(plenty) == 2 and max(seen) == 1
    seen.clear()
    budget._KNOWN.clear()
    with pytest.raises(ResourceError, match="but max_memory is 1 kB, of which"):
        made(max_memory="1 kB")
    assert len(seen) <= 1  # but for the window that is measured
    with pytest.raises(InputError, match="max_memory is 'lots'; it must be an amount of memory like '8 GB'"):
        made(max_memory="lots")


def test_movies_one_by_one_are_the_same_and_not_kept() -> None:
    model = ToyEncoder(neurons=20)
    trials = toy_trials(model, 6)
    posterior = posterior_of(model, trials)
    together = nr.reconstruct(trials, posterior, passes=3, compute=quiet())
    handed_over = nr.reconstruct_each(trials, posterior, passes=3, compute=quiet())
    alive: weakref.WeakSet[nr.Reconstruction] = weakref.WeakSet()
    for count, expected in enumerate(together):
        result = next(handed_over)
        alive.add(result)
        np.testing.assert_array_equal(result.video, expected.video)
        assert result.name == trials[count].name and len(alive) <= 2
    with pytest.raises(StopIteration):
        next(handed_over)
    with pytest.raises(InputError, match="no trials were given"):
        nr.reconstruct_each([], posterior)  # before the first is asked for


def test_trials_are_read_when_they_are_needed() -> None:
    model = ToyEncoder(neurons=20)
    stored = toy_trials(model, 5)
    posterior = posterior_of(model, stored)
    open_now: weakref.WeakValueDictionary[int, nr.Trial] = weakref.WeakValueDictionary()
    most = 0

    class Lazy(Sequence[nr.Trial]):
        def __len__(self) -> int:
            return len(stored)

        def __getitem__(self, index: Any) -> nr.Trial:
            nonlocal most
            trial = stored[index].replace(name=f"read {index}")
            open_now[id(trial)] = trial
            most = max(most, len(open_now))
            return trial

    made = nr.reconstruct_each(Lazy(), posterior, passes=2, compute=quiet())
    assert [result.name for result in made] == [f"read {index}" for index in range(5)]
    assert most <= 2

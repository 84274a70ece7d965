"""Memory of a reconstruction: what a window costs, how work is cut to fit, and what happens where memory runs out."""

from __future__ import annotations

import json
import math
import subprocess
import sys
import weakref
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import neuroreel as nr
from neuroreel.encoding.dwiseneuro.network import DwiseNeuro, DwiseNeuroConfig, DwiseNeuroNetwork
from neuroreel.encoding.interface import EncodingModel
from neuroreel.encoding.readout import ReadoutConfig, ReadoutModel
from neuroreel.errors import InputError, ResourceError
from neuroreel.bauer_2026 import cost, plan
from neuroreel.bauer_2026.cost import LiveTensors, TooMuchError, prediction_bytes, window_bytes
from neuroreel.encoding.dwiseneuro.folded import engine_of
from neuroreel.bauer_2026.plan import Forecast, plan_work
from neuroreel.bauer_2026.presets import PRESETS
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
    monkeypatch.setattr(cost, "_KNOWN", {})


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
    return window_bytes(model, frames=frames, unit_norm=True, device=CPU, most=most)


@pytest.mark.parametrize(("make", "frames"), [(small_dwiseneuro, 32), (small_readout, 60)])
def test_a_window_that_does_not_fit_is_measured_without_memory(make: Any, frames: int) -> None:
    fitting = measured(make(), frames=frames)
    assert fitting > 0.5 * MIB
    cost._KNOWN.clear()
    model = make()
    assert measured(model, frames=frames, most=1000) == pytest.approx(fitting, rel=0.25)
    assert not cost._KNOWN
    assert all(weight.device == CPU for weight in model.parameters())
    assert measured(model, frames=frames) == fitting  # and the model still computes


def test_a_model_that_looks_at_values_is_measured_as_far_as_it_went() -> None:
    model = ValueReader(neurons=12)
    whole = measured(model, frames=8)
    cost._KNOWN.clear()
    assert 1000 < measured(model, frames=8, most=1000) < whole


def test_a_window_of_the_papers_model(benchmark_module: Any) -> None:
    """Without its 170 million weights: 2.8 GiB were counted; the process grew by 3.2 GiB."""
    networks = benchmark_module("_networks")
    meta = torch.device("meta")
    with meta:
        model = DwiseNeuro(DwiseNeuroNetwork(networks.paper_config()), readout=networks.LARGEST)
    taken = window_bytes(engine_of(model), frames=32, unit_norm=True, device=meta, most=math.inf)
    assert 0.5 * 2**30 < taken < 3 * 2**30


def test_a_gpu_counts_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(*_: Any) -> None: ...

    for name in ("synchronize", "reset_peak_memory_stats"):
        monkeypatch.setattr(torch.cuda, name, nothing)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda _: 1000)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda _: 3500)
    gpu = torch.device("cuda")
    assert cost._peak(small_readout(), nothing, device=gpu, most=math.inf) == 2500

    def too_much(model: EncodingModel, device: torch.device) -> None:
        if device == gpu:
            raise torch.OutOfMemoryError("CUDA out of memory")
        torch.zeros(1000, device=device)

    assert cost._peak(small_readout(), too_much, device=gpu, most=10_000) == 4000


def test_cost_is_proportional_to_frames_and_measured_once() -> None:
    model = small_readout()
    costs = [measured(model, frames=frames) for frames in (100, 200, 400)]
    assert costs[1] / costs[0] == pytest.approx(2, rel=0.1) and costs[2] / costs[1] == pytest.approx(2, rel=0.1)
    model.forward = None  # type: ignore[assignment]
    assert measured(model, frames=200) == costs[1]
    assert prediction_bytes(small_readout(), frames=400, device=CPU, most=math.inf) < costs[2]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "slack"), [("readout", plan.SLACK), ("small", plan.CLIP_SLACK)])
def test_a_window_takes_what_was_estimated(name: str, slack: float, tmp_path: Path) -> None:
    """The process grows by what the plan says, not much less."""
    if not Path("/proc/self/clear_refs").exists():
        pytest.skip("only Linux says what was resident at most")
    script, out = Path(__file__).parents[1] / "benchmarks" / "window_memory.py", tmp_path / "memory.json"
    command = [sys.executable, script, "--models", name, "--passes", "20", "--out", out]
    subprocess.run([*map(str, command)], capture_output=True, check=True)
    (row,) = json.loads(out.read_text())["rows"]
    assert 0.8 * row["tensors_mib"] < row["last_mib"] < 1.2 * slack * row["tensors_mib"]


# --- how work is cut -----------------------------------------------------------------------------------------------


def planned(
    frames: Sequence[int], models: Sequence[EncodingModel], preset: str = "default", **changes: Any
) -> plan.Plan:
    options: dict[str, Any] = {"settings": PRESETS[preset], "device": CPU, "windows_at_once": None, "max_memory": None}
    return plan_work(frames, models=models, **options | changes)


@pytest.fixture
def free(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Says how much memory is free; the process holds 1 MB."""

    def say(amount: int | None) -> None:
        monkeypatch.setattr(plan, "free_bytes", lambda _: amount)

    monkeypatch.setattr(plan, "used_bytes", lambda _: 1_000_000)
    say(None)
    return say


@given(st.lists(st.integers(40, 43), min_size=1, max_size=12), st.integers(1, 20))
def test_groups_are_all_trials_in_order_and_of_one_length(frames: list[int], at_once: int) -> None:
    groups = planned(frames, [ToyEncoder()], windows_at_once=at_once).groups
    assert [number for group in groups for number in group] == list(range(len(frames)))
    for group in groups:
        assert len({frames[number] for number in group}) == 1
        windows = math.ceil(frames[group[0]] / 8)
        assert len(group) <= max(1, math.ceil(at_once / windows))


def test_as_many_windows_as_fit(free: Any) -> None:
    models = [small_readout()]
    whole = planned([60] * 20, models)
    assert (whole.windows_at_once, len(whole.groups[0])) == (8, 8)  # each window is a movie
    assert (whole.windows, whole.first_windows, whole.passes, whole.models) == (20, 8, 4, 1)
    free(whole.needed)
    assert planned([60] * 20, models).windows_at_once == 8
    free(whole.needed // 2)
    half = planned([60] * 20, models)
    assert 2 <= half.windows_at_once <= 4 and half.needed <= whole.needed // 2
    asked = planned([60] * 20, models, max_memory=whole.needed // 4 + 1_000_000)
    assert 1 <= asked.windows_at_once <= 2 and asked.needed <= whole.needed // 4
    assert planned([60] * 20, models, windows_at_once=1).windows_at_once == 1


def test_a_clip_model_takes_one_window_at_a_time_on_a_cpu(free: Any) -> None:
    clips = planned([40, 40, 30], [ToyEncoder()])
    assert (clips.windows_at_once, clips.groups) == (1, [range(0, 1), range(1, 2), range(2, 3)])


def test_what_is_planned_does_not_grow_with_movies_or_models(free: Any) -> None:
    model = small_readout()
    needed = {planned([60] * count, [model] * models).needed for count in (8, 16, 64) for models in (1, 4)}
    assert len(needed) == 1


def test_too_little_memory_is_refused_with_numbers(free: Any) -> None:
    model = small_readout()
    needed = planned([60], [model]).needed
    said = r"a window of 60 frames and its movie take about \d[\d.]* MB of memory on the device cpu, but "
    free(needed // 2)
    cost._KNOWN.clear()
    with pytest.raises(ResourceError, match=said + r"\d[\d.]* MB are free: close other programs.*windows='sliding'"):
        planned([60], [model])
    with pytest.raises(ResourceError, match=said + r"max_memory is 1.0 MB, of which the process holds 1.0 MB already"):
        planned([60], [model], max_memory=1_000_500)
    free(None)
    assert planned([60], [model], max_memory=needed + 1_000_000).windows_at_once == 1


def test_the_line_before_the_start(free: Any) -> None:
    free(10**10)
    line = str(planned([60] * 20, [small_readout()] * 2))
    assert line.startswith("20 movies, 2 models, 4 passes over 20 windows, 8 at once: about ")
    assert line.endswith(" MB of memory (10 GB may be used)")
    assert str(planned([40], [ToyEncoder()])).startswith("1 movie, 1 model, ")


def test_the_forecast_is_said_once(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([10.0, 12.0])
    monkeypatch.setattr(plan.time, "perf_counter", lambda: next(clock))
    said: list[str] = []
    forecast = Forecast(150, say=said.append)
    for _ in range(4):
        forecast(None, None)  # type: ignore[arg-type]
    assert said == ["This takes about 5.0 min."]


# --- where memory runs out -----------------------------------------------------------------------------------------


def run(trials: Any, models: Any, **options: Any) -> Any:
    return nr.reconstruct(trials, models, **({"iterations": 4, "progress": False, "device": "cpu"} | options))


@pytest.mark.parametrize(
    ("preset", "run_out"),
    [("default", gpu_without_memory), ("default", cpu_without_memory), ("published", gpu_without_memory)],
)
def test_the_batch_is_halved_and_the_movies_are_the_same(
    preset: str, run_out: Callable[[], None], capsys: pytest.CaptureFixture[str]
) -> None:
    model, roomy = Narrow(neurons=20, most=6, run_out=run_out), ToyEncoder(neurons=20)
    trials = toy_trials(roomy, 3)
    options: dict[str, Any] = {"preset": preset, "windows_at_once": 16, "ablated": "left_out"}
    one, other = run(trials, model, **options, progress=True), run(trials, roomy, **options)
    for result, expected in zip(one, other, strict=True):
        np.testing.assert_allclose(result.video, expected.video, atol=1e-3)
        np.testing.assert_allclose(result.dataset["loss"].values, expected.dataset["loss"].values, rtol=1e-5)
    notes = [line for line in capsys.readouterr().err.splitlines() if "ran out" in line]
    assert notes[0].startswith("neuroreel: Memory ran out with ") and "windows at once; going on with " in notes[0]
    assert len(notes) == sum(tried > 6 for tried in model.tried) <= 3  # later groups know
    run(trials, Narrow(neurons=20, most=6), **options)
    assert capsys.readouterr().err == ""


def test_not_even_one_window(capsys: pytest.CaptureFixture[str]) -> None:
    trials = toy_trials(ToyEncoder(neurons=20), 1)
    said = r"memory ran out \(CUDA out of memory. Tried to allocate 2 GiB\): not even one window of 8 frames fits"
    with pytest.raises(ResourceError, match=said):
        run(trials, Narrow(neurons=20, most=1), windows_at_once=5)


def test_memory_that_runs_out_elsewhere_is_told_clearly() -> None:
    model = ToyEncoder(neurons=20)
    trials = toy_trials(model, 1)

    def greedy(*_: Any) -> None:
        raise MemoryError("Unable to allocate 9 GiB")

    with pytest.raises(ResourceError, match=r"memory ran out \(Unable to allocate 9 GiB\) beside the windows"):
        run(trials, model, callbacks=[greedy])

    def broken(*_: Any) -> None:
        raise RuntimeError("of another kind")

    with pytest.raises(RuntimeError, match=r"^of another kind$"):
        run(trials, model, callbacks=[broken])


LIMITED = """
import resource
import numpy as np
import torch
torch.set_num_threads(1)
import neuroreel as nr
from neuroreel.encoding.readout import ReadoutConfig, ReadoutModel
torch.manual_seed(0)
model = ReadoutModel(ReadoutConfig(neurons=50, video_height=36, video_width=64, frame_rate_hz=30))
responses = np.random.default_rng(0).poisson(1.0, (8, 50, 150)).astype(np.float32)
trials = [nr.Trial(responses=each, frame_rate_hz=30.0) for each in responses]
options = dict(iterations=2, device="cpu", record_every=1)
expected = nr.reconstruct(trials[-1], model, progress=False, **options).video
pages = int(open("/proc/self/statm").read().split()[0])
most = pages * resource.getpagesize() + 400 * 2**20
resource.setrlimit(resource.RLIMIT_AS, (most, most))
made = nr.reconstruct(trials, model, **options)
print(np.abs(made[-1].video - expected).max())
"""


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the address space is limited on Linux alone")
def test_a_real_limit() -> None:
    """Eight movies together take about 500 MB; there are 400, which the plan sees and never runs into.

    No test runs into such a limit: refused memory, libraries below PyTorch may crash instead of saying so.
    """
    done = subprocess.run([sys.executable, "-c", LIMITED], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 1e-3
    assert "Memory ran out" not in done.stderr and "8 at once" not in done.stderr


# --- from outside --------------------------------------------------------------------------------------------------


def test_max_memory_is_respected(monkeypatch: pytest.MonkeyPatch) -> None:
    model = ToyEncoder(neurons=20, any_length=True)
    trials = toy_trials(model, 6)
    monkeypatch.setattr(plan, "used_bytes", lambda _: 0)
    whole = planned([40] * 6, [model])
    seen: list[int] = []
    calculate = model.window_responses
    monkeypatch.setattr(model, "window_responses", lambda inputs: (seen.append(len(inputs)), calculate(inputs))[1])
    free_movies = run(trials, model)
    assert max(seen) == 6
    seen.clear()
    bounded = run(trials, model, max_memory=whole.needed // 2)
    assert 1 <= max(seen) <= 3
    for one, other in zip(free_movies, bounded, strict=True):
        np.testing.assert_allclose(one.video, other.video, atol=1e-3)
    seen.clear()
    with pytest.raises(ResourceError, match="but max_memory is 1 kB, of which"):
        run(trials, model, max_memory="1 kB")
    assert not seen
    with pytest.raises(InputError, match="max_memory is 'lots'; it must be an amount of memory like '8 GB'"):
        run(trials, model, max_memory="lots")


def test_movies_one_by_one_are_the_same_and_not_kept() -> None:
    model = ToyEncoder(neurons=20)
    trials = toy_trials(model, 6)
    together = run(trials, model)
    handed_over = run(trials, model, one_by_one=True)
    alive: weakref.WeakSet[nr.Reconstruction] = weakref.WeakSet()
    for count, expected in enumerate(together):
        result = next(handed_over)
        alive.add(result)
        np.testing.assert_array_equal(result.video, expected.video)
        assert result.name == trials[count].name and len(alive) <= 2
    with pytest.raises(StopIteration):
        next(handed_over)
    (only,) = run(trials[0], model, one_by_one=True)
    np.testing.assert_array_equal(only.video, together[0].video)
    with pytest.raises(InputError, match="no trials were given"):
        run([], model, one_by_one=True)  # before the first is asked for


def test_trials_are_read_when_they_are_needed() -> None:
    model = ToyEncoder(neurons=20)
    stored = toy_trials(model, 5)
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

    assert [result.name for result in run(Lazy(), model, one_by_one=True)] == [f"read {index}" for index in range(5)]
    assert most <= 2

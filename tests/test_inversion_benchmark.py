"""benchmarks/inversion.py: its published pass computes what the published code computes, in the way it does."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from torch import nn

import neuroreel as nr
from neuroreel.bauer_2026.likelihood import Evidence
from neuroreel.encoding.dwiseneuro.network import DwiseNeuro, DwiseNeuroConfig

ROOT = Path(__file__).parents[1]
Benchmark = Callable[[str], ModuleType]


def batches_of(model: nn.Module) -> list[int]:
    """Gets the size of every batch that goes through the model from now on."""
    sizes: list[int] = []
    model.register_forward_hook(lambda _module, inputs, _output: sizes.append(len(inputs[0])))
    return sizes


@pytest.mark.parametrize("fold", [0, 1])
def test_clips_go_one_by_one_and_give_the_golden_gradient(fold: int, golden: Path, benchmark_module: Benchmark) -> None:
    inversion, published = benchmark_module("inversion"), np.load(golden / "clips.npz")
    model = nr.load_encoder(next((golden / "checkpoints" / f"fold_{fold}").glob("*.pth")), session=1)
    model = inversion.as_published(model)
    sizes = batches_of(model)
    clips = torch.from_numpy(published["inputs"])  # (2, 5, 16, 64, 64): the even and the odd frames of a window
    window = torch.stack(list(clips), dim=2).flatten(1, 2)[None].requires_grad_()
    responses = inversion.clip_by_clip(model, window)
    responses.square().sum().backward()
    assert sizes == [1, 1] and window.grad is not None
    wanted = {"responses": published[f"responses_{fold}"], "gradient": published[f"gradient_{fold}"]}
    found = {"responses": responses[None].detach(), "gradient": window.grad}
    for name, value in found.items():
        each = torch.cat([value[..., first::2] if name == "responses" else value[:, :, first::2] for first in (0, 1)])
        error = np.linalg.norm(each.numpy() - wanted[name]) / np.linalg.norm(wanted[name])
        assert error < 1e-5, name


def test_the_published_pass_has_the_gradient_of_ours(benchmark_module: Benchmark) -> None:
    inversion = benchmark_module("inversion")
    small = {"core_features": (4, 8), "spatial_strides": (2, 2), "cortex_features": (16,), "expansion_ratio": 2}
    network = benchmark_module("_networks").settled_network(DwiseNeuroConfig(readout_neurons=(9,), **small))
    model = DwiseNeuro(network, readout=0)
    theirs = inversion.as_published(model)
    sizes = batches_of(theirs)
    evidence = Evidence(responses=torch.rand(9, 32), covariates=torch.rand(4, 32), keep=torch.ones(9).bool())
    movie = torch.rand(32, 64, 64) * 255
    for _ in range(2):  # the second time with the position codes of the first
        published = inversion.published_pass(theirs, movie, evidence)
    assert sizes == [1] * 4
    assert all(each.grad is not None for each in theirs.network.core.parameters()), "gradients of all weights"
    ours = inversion.our_pass(model, movie, evidence)
    assert (ours - published).norm() < 1e-4 * published.norm()


@pytest.mark.parametrize("name", ["inversion", "profile_window"])
def test_the_page_has_the_numbers_that_were_measured(name: str, benchmark_module: Benchmark) -> None:
    rows = json.loads((ROOT / "benchmarks" / "results" / f"{name}.json").read_text(encoding="utf-8"))["rows"]
    lines = (ROOT / "docs" / "speed.md").read_text(encoding="utf-8").splitlines()
    measured = [benchmark_module(name).table_line(row) for row in rows]
    assert len(measured) > 2 and [line for line in measured if line not in lines] == []


def test_a_pass_of_the_small_model(benchmark_module: Benchmark) -> None:
    row = benchmark_module("readout").measured(20, repeats=2)
    assert row["gradient_error"] < 1e-5 and row["ratio"] == row["as_trained"] / row["for_inversion"] > 0
    assert [len(seconds) for seconds in row["all_seconds"].values()] == [2, 2]


def test_gains_of_distillation_are_paired(benchmark_module: Benchmark) -> None:
    found = {"one model": [0.5, 0.7, 0.6], "distilled model": [0.6, 0.8, 0.7]}
    seconds, predicted = {way: [1.0, 3.0] for way in found}, dict.fromkeys(found, 0.4)
    table = benchmark_module("distillation").summary(found, seconds, predicted)
    row = table.loc["distilled model"]
    assert row["difference"] == pytest.approx(0.1) and row["interval"] == pytest.approx(0) and row["seconds"] == 2

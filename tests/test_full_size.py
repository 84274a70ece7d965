"""The DwiseNeuro of the paper at its full size: names and shapes, conversion, prediction, reconstruction, benchmark."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import neuroreel as nr
from neuroreel.encoding.dwiseneuro.network import DwiseNeuroConfig, DwiseNeuroNetwork

BENCHMARK = Path(__file__).parents[1] / "benchmarks" / "full_size.py"
NEURONS = (7863, 7908, 8202, 7939, 8122, 7440, 7928, 8285, 7671, 7495)
MOUSE = 4
FRAMES = 36

# Our names to the published ones, in the order in which they are replaced: the reverse of what the package reads.
RENAMED = (
    (r"^stem\.0\.", "core.stem.0."),
    (r"^stem\.1\.", "core.stem.1.bn."),
    (r"^core\.(\d+)\.shortcut_norm\.", r"core.blocks.\1.bn_sc.bn."),
    (r"^core\.(\d+)\.expansion\.", r"core.blocks.\1.conv_pw."),
    (r"^core\.(\d+)\.spatial\.", r"core.blocks.\1.spat_covn_dw."),
    (r"^core\.(\d+)\.temporal\.", r"core.blocks.\1.temp_covn_dw."),
    (r"^core\.(\d+)\.projection\.", r"core.blocks.\1.conv_pwl."),
    (r"^core\.(\d+)\.excitation\.", r"core.blocks.\1.se.conv_"),
    (r"^core\.(\d+)\.inv_freq", r"core.blocks.\1.inv_freq"),
    (r"(conv_pwl?|covn_dw)\.1\.", r"\1.1.bn."),
    (r"^cortex\.(\d+)\.norm\.", r"cortex.layers.\1.bn.bn."),
    (r"^cortex\.(\d+)\.shortcut_norm\.", r"cortex.layers.\1.bn_sc.bn."),
    (r"^cortex\.(\d+)\.conv\.", r"cortex.layers.\1.conv."),
    (r"^readouts\.(\d+)\.conv\.", r"readouts.\1.layer.1."),
)


def published_name(name: str) -> str:
    for ours, published in RENAMED:
        name = re.sub(ours, published, name)
    return name


def published_shapes(config: DwiseNeuroConfig) -> dict[str, tuple[int, ...]]:
    """The published name and shape of every parameter and buffer, without memory for their values."""
    with torch.device("meta"):
        network = DwiseNeuroNetwork(config)
    return {published_name(name): tuple(tensor.shape) for name, tensor in network.state_dict().items()}


def shape_by_rule(name: str, config: DwiseNeuroConfig) -> tuple[int, ...]:
    """The shape of a published parameter, written down from the description of the network."""
    if name.endswith("num_batches_tracked"):
        return ()
    widths, groups = config.core_features, config.groups
    part, number = re.match(r"(core\.stem|core\.blocks|cortex|readouts)\D*(\d+)", name).groups()  # type: ignore[union-attr]
    index = int(number)
    if part == "core.stem":
        return (widths[0], config.in_channels, 1, 1, 1) if index == 0 else (widths[0],)
    if part == "core.blocks":
        return block_shape(name, config, index // 2)
    cortex = (widths[-1], *config.cortex_features)
    if part == "cortex":
        return (cortex[index + 1], cortex[index] // groups, 1) if name.endswith("conv.weight") else (cortex[index + 1],)
    outputs = config.readout_neurons[index] + config.readout_neurons[index] % groups
    return (outputs, cortex[-1] // groups, 1) if name.endswith("weight") else (outputs,)


def block_shape(name: str, config: DwiseNeuroConfig, block: int) -> tuple[int, ...]:
    width = config.core_features[block]
    out = config.core_features[min(block + 1, len(config.core_features) - 1)]
    wide = width * config.expansion_ratio
    reduced, k, t = wide // config.se_reduce_ratio, config.spatial_kernel, config.temporal_kernel
    if name.endswith("inv_freq"):
        return (-(-width // 6),)
    shapes = {
        "conv_pw.0.weight": (wide, width, 1, 1, 1),
        "spat_covn_dw.0.weight": (wide, 1, 1, k, k),
        "temp_covn_dw.0.weight": (wide, 1, t, 1, 1),
        "conv_pwl.0.weight": (out, wide, 1, 1, 1),
        "se.conv_reduce.weight": (reduced, wide, 1, 1, 1),
        "se.conv_reduce.bias": (reduced,),
        "se.conv_expand.weight": (wide, reduced, 1, 1, 1),
        "se.conv_expand.bias": (wide,),
    }
    within = name.split(".", 3)[3]
    return shapes.get(within, (out,) if within.startswith(("conv_pwl", "bn_sc")) else (wide,))


def golden_checkpoint(golden: Path) -> dict[str, Any]:
    file = next((golden / "checkpoints" / "fold_0").glob("*.pth"))
    return dict(torch.load(file, map_location="cpu", weights_only=True))


def kinds_of(names: set[str] | dict[str, Any]) -> set[str]:
    """Names without their numbers; blocks keep the parity of theirs: position codes and convolutions alternate."""
    odd_even = {re.sub(r"blocks\.(\d+)", lambda block: f"blocks.{int(block[1]) % 2}", name) for name in names}
    return {re.sub(r"(layers|readouts)\.\d+", r"\1", name) for name in odd_even}


def test_golden_names_and_shapes_follow_from_the_config(golden: Path) -> None:
    checkpoint = golden_checkpoint(golden)
    config = DwiseNeuroConfig.from_published(checkpoint["params"]["nn_module"][1])
    published = {name: tuple(tensor.shape) for name, tensor in checkpoint["nn_state_dict"].items()}
    assert published_shapes(config) == published
    assert {name: shape_by_rule(name, config) for name in published} == published


def test_full_size_names_and_shapes(golden: Path) -> None:
    config = DwiseNeuroConfig(readout_neurons=NEURONS)
    shapes = published_shapes(config)
    assert {name: shape_by_rule(name, config) for name in shapes} == shapes
    assert kinds_of(shapes) == kinds_of(golden_checkpoint(golden)["nn_state_dict"])
    for name, count in {"blocks": 18, "layers": 3, "readouts": 10}.items():
        assert len({number for key in shapes for number in re.findall(rf"{name}\.(\d+)", key)}) == count
    assert [shapes[f"readouts.{mouse}.layer.1.weight"][0] for mouse in range(10)] == [n + n % 2 for n in NEURONS]
    assert shapes["core.blocks.17.conv_pw.0.weight"] == (1792, 256, 1, 1, 1)


def test_the_benchmark_measures_this_model(benchmark_module: Callable[[str], ModuleType]) -> None:
    benchmark = benchmark_module("full_size")
    assert benchmark.paper_config() == DwiseNeuroConfig(readout_neurons=NEURONS)
    assert NEURONS[benchmark.LARGEST] == max(NEURONS)


def test_the_benchmark_runs(tmp_path: Path) -> None:
    out = tmp_path / "full_size.json"
    command = [sys.executable, str(BENCHMARK), "--quick", "--repeats", "2", "--out", str(out)]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    report = json.loads(out.read_text())
    assert report["quick"] and report["repeats"] == 2 and report["model"]["neurons"] == sum(n // 100 for n in NEURONS)
    forward, both = report["rows"]
    assert 0 < forward["seconds_least"] <= forward["seconds"] <= forward["seconds_most"]
    assert forward["seconds"] < both["seconds"]
    assert forward["peak_mib"] is None or 0 < forward["peak_mib"] < both["peak_mib"]
    assert "forward and backward" in said


def test_the_benchmark_of_the_posterior_runs(tmp_path: Path) -> None:
    out = tmp_path / "posterior.json"
    script = BENCHMARK.with_name("full_size_posterior.py")
    command = [sys.executable, str(script), "--model", "small", "--passes", "3", "--out", str(out)]
    assert "windows computed twice" in subprocess.run(command, capture_output=True, text=True, check=True).stdout
    kept, twice = json.loads(out.read_text())["rows"]
    assert kept["keep_graphs"] and not twice["keep_graphs"] and 1 < kept["passes"] <= 3
    assert kept["seconds_a_pass"] > 0 and kept["peak_mib"] > 0


@pytest.mark.nightly
def test_full_size_converts_predicts_and_reconstructs(tmp_path: Path) -> None:
    """A published-style checkpoint of the paper's size, from the file to two iterations of the published rule."""
    file = tmp_path / "model-017-0.291.pth"
    weights = published_checkpoint(file)
    model = nr.load_encoder(file, session=MOUSE)
    file.unlink()  # 0.65 GiB
    assert model.neurons == NEURONS[MOUSE]
    check_weights(model, weights)
    converted = nr.save_encoder(model, tmp_path / "model.safetensors")
    again = nr.load_encoder(converted, session=MOUSE)
    assert converted.stat().st_size > 4 * 170_000_000
    check_weights(again, weights)
    converted.unlink()
    del again, weights

    random = np.random.default_rng(0)
    trial = nr.Trial(
        video=random.uniform(0, 255, (FRAMES, 36, 64)).astype(np.float32),
        behavior=random.random((2, FRAMES)),
        pupil_center=random.random((2, FRAMES)),
        frame_rate_hz=30,
    )
    predicted = nr.predict(model, trial)
    assert predicted.shape == (NEURONS[MOUSE], FRAMES)
    assert np.isfinite(predicted).all() and (predicted >= 0).all() and predicted.std() > 0
    watched = trial.replace(responses=random.poisson(predicted).astype(np.float32))
    compute = nr.Compute(device="cpu", progress=False)
    result = nr.bauer_2026.reconstruct(watched, model, iterations=2, record_every=1, compute=compute)
    assert result.video.shape == (FRAMES, 36, 64)
    assert np.isfinite(result.video).all() and result.video.std() > 0  # pass 0 records, pass 1 moves
    assert np.isfinite(result.dataset["loss"]).all() and len(result.dataset["loss"]) == 2

    prior = nr.MoviePrior.natural(height=36, width=64, frame_rate_hz=30)
    posterior = nr.fit_posterior(model, [watched, watched], movie_prior=prior, compute=compute)
    likely = nr.reconstruct(watched, posterior, passes=6, compute=compute)
    assert np.isfinite(likely.video).all() and likely.video.std() > 0
    assert np.diff(likely.dataset["loss"]).max(initial=-1) <= 0


def check_weights(model: nr.EncodingModel, weights: dict[str, Tensor]) -> None:
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, weights[name.removeprefix("network.")]), name


def published_checkpoint(file: Path) -> dict[str, Tensor]:
    """Write random weights as pytorch-argus writes them, and hand them out under our names."""
    config = DwiseNeuroConfig(readout_neurons=NEURONS)
    torch.manual_seed(0)
    weights = DwiseNeuroNetwork(config).state_dict()
    parameters = config.as_dict()
    parameters["readout_outputs"] = parameters.pop("readout_neurons")
    content = {
        "model_name": "MouseModel",
        "params": {"nn_module": ("dwiseneuro", parameters), "device": "cuda:0"},
        "nn_state_dict": {published_name(name): tensor for name, tensor in weights.items()},
    }
    torch.save(content, file)
    return weights

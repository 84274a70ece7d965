"""DwiseNeuro against the published code's numbers, and its parts one by one."""

from __future__ import annotations

import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import neuroreel as nr
from neuroreel.encoding.dwiseneuro.layers import PositionCode, tile_channels
from neuroreel.encoding.dwiseneuro.network import (
    DwiseNeuro,
    DwiseNeuroConfig,
    DwiseNeuroNetwork,
    square_canvas,
)

TINY: dict[str, Any] = {
    "core_features": (8, 12),
    "spatial_strides": (2, 2),
    "expansion_ratio": 2,
    "se_reduce_ratio": 4,
    "cortex_features": (16, 24),
}


def tiny(*, neurons: int = 5, channels: int = 5, size: tuple[int, int] = (36, 64)) -> DwiseNeuro:
    torch.manual_seed(0)
    network = DwiseNeuroNetwork(DwiseNeuroConfig(readout_neurons=(neurons,), in_channels=channels, **TINY))
    return DwiseNeuro(network, readout=0, video_size=size).eval()


def checkpoint(golden: Path, fold: int) -> Path:
    return next((golden / "checkpoints" / f"fold_{fold}").glob("*.pth"))


@pytest.mark.parametrize("fold", [0, 1])
def test_golden_outputs_and_gradients(golden: Path, fold: int) -> None:
    clips = np.load(golden / "clips.npz")
    model = nr.load_encoder(checkpoint(golden, fold), session=1)
    inputs = torch.from_numpy(clips["inputs"]).requires_grad_()
    responses = model(inputs)
    responses.square().sum().backward()
    for ours, theirs in ((responses.detach(), clips[f"responses_{fold}"]), (inputs.grad, clips[f"gradient_{fold}"])):
        assert ours is not None
        error = np.linalg.norm(ours.numpy() - theirs) / np.linalg.norm(theirs)
        largest = np.abs(ours.numpy() - theirs).max() / np.abs(theirs).max()
        assert max(error, largest) < 1e-5


def test_golden_readouts_are_the_two_mice(golden: Path) -> None:
    file = checkpoint(golden, 0)
    assert nr.load_encoder(file, session=1).neurons == 33
    assert nr.load_encoder(file, session=0).neurons != 33
    last = len(published(golden)["params"]["nn_module"][1]["readout_outputs"]) - 1
    for wrong in (last + 1, -1):
        with pytest.raises(nr.InputError, match=rf"there is no readout {wrong};.*0\.\.{last}"):
            nr.load_encoder(file, session=wrong)


@pytest.mark.parametrize(("size", "channels"), [((36, 64), 5), ((20, 20), 1), ((30, 18), 3)])
def test_other_sizes_and_no_behavior(size: tuple[int, int], channels: int) -> None:
    model = tiny(channels=channels, size=size, neurons=7)
    assert model.covariates == channels - 1
    assert model.canvas.size == (max(size), max(size))
    video = model.canvas.place(torch.rand(2, 32, *size) * 255)
    inputs = model.assemble(video, torch.rand(2, channels - 1, 32))
    responses = model.window_responses(inputs)
    assert responses.shape == (2, 7, 32)
    assert (responses >= 0).all() and responses.isfinite().all()


def test_window_responses_are_those_of_the_two_clips() -> None:
    model = tiny()
    inputs = torch.rand(2, 5, 32, 64, 64) * 100
    window = model.window_responses(inputs)
    torch.testing.assert_close(window[..., 0::2], model(inputs[:, :, 0::2]))
    torch.testing.assert_close(window[..., 1::2], model(inputs[:, :, 1::2]))


@pytest.mark.parametrize("neurons", [1, 2, 9])
def test_odd_neuron_counts(neurons: int) -> None:
    model = tiny(neurons=neurons, channels=1, size=(16, 16))
    assert model(torch.rand(1, 1, 16, 16, 16)).shape == (1, neurons, 16)


@pytest.mark.parametrize("channels", [6, 12, 14, 64])
def test_position_code_by_the_formula(channels: int) -> None:
    frames, height, width = 3, 4, 5
    code = PositionCode(channels)(torch.zeros(1, channels, frames, height, width))[0]
    per_axis = 2 * -(-channels // 6)
    expected = np.zeros((3 * per_axis, frames, height, width))
    half = per_axis // 2
    for t, y, x in np.ndindex(frames, height, width):
        for axis, place in enumerate((t, y, x)):
            for i in range(half):
                angle = place / 10000 ** (2 * i / per_axis)
                expected[axis * per_axis + i, t, y, x] = np.sin(angle)
                expected[axis * per_axis + half + i, t, y, x] = np.cos(angle)
    np.testing.assert_allclose(code.numpy(), expected[:channels], atol=1e-6)


def test_tile_channels_repeats_cyclically() -> None:
    x = torch.arange(3.0)[None, :, None]
    assert tile_channels(x, 7).flatten().tolist() == [0, 1, 2, 0, 1, 2, 0]
    assert tile_channels(x, 2).flatten().tolist() == [0, 1]
    assert tile_channels(x, 3) is x


def test_published_canvas() -> None:
    canvas = square_canvas(36, 64)
    placed = canvas.place(torch.ones(36, 64))
    assert placed.shape == (64, 64)
    assert placed[14:50].min() == 1 and placed[:14].max() == 0 and placed[50:].max() == 0


def test_stochastic_depth_and_dropout_only_while_training() -> None:
    model = tiny(channels=1, size=(16, 16))
    clip = torch.rand(1, 1, 16, 16, 16)
    torch.testing.assert_close(model(clip), model(clip), rtol=0, atol=0)
    model.train()
    assert not torch.equal(model(clip), model(clip))


def test_blocks_and_strides_must_agree() -> None:
    with pytest.raises(nr.InputError, match="3 blocks, spatial_strides 2"):
        DwiseNeuroNetwork(DwiseNeuroConfig(readout_neurons=(3,), **(TINY | {"core_features": (8, 8, 8)})))


# --- damaged and hostile published files ---


def saved(content: Any, folder: Path) -> Path:
    file = folder / "model.pth"
    torch.save(content, file)
    return file


def published(golden: Path) -> dict[str, Any]:
    return dict(torch.load(checkpoint(golden, 0), weights_only=True))


@pytest.mark.parametrize("kept", [0, 10, 1000, 0.5, 0.99])
def test_truncated_checkpoint(golden: Path, tmp_path: Path, kept: float) -> None:
    whole = checkpoint(golden, 0).read_bytes()
    file = tmp_path / "cut.pth"
    file.write_bytes(whole[: int(kept * len(whole)) if isinstance(kept, float) else kept])
    with pytest.raises(nr.InputError, match="not a readable published checkpoint"):
        nr.load_encoder(file)


def test_corrupt_checkpoint(golden: Path, tmp_path: Path) -> None:
    whole = bytearray(checkpoint(golden, 0).read_bytes())
    with zipfile.ZipFile(checkpoint(golden, 0)) as archive:
        pickled = next(info for info in archive.infolist() if info.filename.endswith("data.pkl"))
    rng = np.random.default_rng(0)
    for _ in range(20):
        damaged = bytearray(whole)
        start = pickled.header_offset + 100
        for place in rng.integers(start, start + pickled.file_size - 200, 20):
            damaged[place] = int(rng.integers(256))
        file = tmp_path / "corrupt.pth"
        file.write_bytes(damaged)
        with pytest.raises(nr.InputError):
            nr.load_encoder(file)


@pytest.mark.parametrize(
    "content", [{}, [], {"params": {}}, {"params": {"nn_module": ("dwiseneuro", {})}, "nn_state_dict": {}}, 3]
)
def test_no_such_checkpoint(tmp_path: Path, content: Any) -> None:
    with pytest.raises(nr.InputError, match=r"model\.pth"):
        nr.load_encoder(saved(content, tmp_path))


def test_another_kind_of_model(golden: Path, tmp_path: Path) -> None:
    content = published(golden)
    content["params"]["nn_module"] = ("resnet", {})
    with pytest.raises(nr.InputError, match="kind 'resnet'"):
        nr.load_encoder(saved(content, tmp_path))


def test_unknown_setting_is_named(golden: Path, tmp_path: Path) -> None:
    content = published(golden)
    content["params"]["nn_module"][1]["attention_heads"] = 4
    with pytest.raises(nr.InputError, match="attention_heads"):
        nr.load_encoder(saved(content, tmp_path))


def test_another_architecture_is_named(golden: Path, tmp_path: Path) -> None:
    content = published(golden)
    weights = content["nn_state_dict"]
    names = sorted(name for name in weights if name.endswith("weight"))
    del weights[names[0]]
    weights[names[1]] = torch.zeros(2, 3)
    weights["extra.weight"] = torch.zeros(1)
    with pytest.raises(nr.InputError, match=r"missing: .*unexpected: extra\.weight; of another shape: .*\(2, 3\)"):
        nr.load_encoder(saved(content, tmp_path))


class Hostile:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.target,)


@pytest.mark.parametrize("legacy", [False, True])
def test_hostile_pickle_does_not_run(tmp_path: Path, legacy: bool) -> None:
    target = tmp_path / "ran"
    file = tmp_path / "hostile.pth"
    if legacy:
        file.write_bytes(pickle.dumps({"params": Hostile(target)}))
    else:
        torch.save({"params": Hostile(target), "nn_state_dict": {}}, file)
    with pytest.raises(nr.InputError, match="not a readable published checkpoint"):
        nr.load_encoder(file)
    assert not target.exists()

"""The readout model: what it may and may not see, its behaviour gain and positions, and its first guess."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import neuroreel as nr
from neuroreel.encoding.readout import ReadoutConfig, ReadoutModel, delay_kernels, gabor_filters
from neuroreel.encoding.readout_start import start_readout
from neuroreel.encoding.training.store import TrialStore

HEIGHT, WIDTH = 16, 24


def build(**changes: Any) -> ReadoutModel:
    torch.manual_seed(0)
    sizes: dict[str, Any] = {
        "neurons": 3,
        "video_height": HEIGHT,
        "video_width": WIDTH,
        "frame_rate_hz": 30.0,
        "channels": 8,
        "hidden_channels": 8,
    }
    return ReadoutModel(ReadoutConfig(**(sizes | changes))).eval()


def random_video(frames: int = 40, seed: int = 0) -> torch.Tensor:
    return torch.rand(1, 1, frames, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(seed)) * 255


@settings(deadline=None, max_examples=10)
@given(changed=st.integers(1, 39))
def test_later_frames_never_change_earlier_responses(changed: int) -> None:
    model, video = build(), random_video()
    other = video.clone()
    other[:, :, changed:] = random_video(seed=1)[:, :, changed:]
    with torch.no_grad():
        torch.testing.assert_close(model(video)[..., :changed], model(other)[..., :changed])
        assert not torch.allclose(model(video)[..., changed:], model(other)[..., changed:])


def test_after_the_warm_up_the_past_is_forgotten() -> None:
    model, video = build(), random_video()
    with torch.no_grad():
        whole, cut = model(video), model(video[:, :, 10:])
    counted = model.warmup_frames
    assert counted == model.config.temporal_kernel - 1
    torch.testing.assert_close(cut[..., counted:], whole[..., 10 + counted :])
    assert not torch.allclose(cut[..., :counted], whole[..., 10 : 10 + counted])


def test_responses_are_not_negative_and_have_gradients() -> None:
    model, video = build(), random_video().requires_grad_()
    responses = model(video)
    assert (responses >= 0).all()
    responses.sum().backward()
    assert video.grad is not None and video.grad.isfinite().all() and video.grad.abs().max() > 0


def test_behavior_scales_the_response() -> None:
    model = build(covariates=2)
    model.standardize(torch.ones(3), torch.tensor([10.0, -1.0]), torch.tensor([2.0, 0.5]))
    with torch.no_grad():
        model.gain.copy_(torch.tensor([[0.5, 0.0], [0.0, 0.25], [0.0, 0.0]]))
    video = random_video()[:, 0]

    def respond(first: float, second: float) -> torch.Tensor:
        with torch.no_grad():
            return model(model.assemble(video, torch.tensor([first, second])[None, :, None].expand(-1, -1, 40)))

    ratio = respond(12.0, 0.0) / respond(10.0, -1.0)  # one and two deviations up
    torch.testing.assert_close(ratio[0], torch.exp(torch.tensor([0.5, 0.5, 0.0]))[:, None].expand(-1, 40))
    assert respond(1e9, 1e9).max() < 1e3


def test_a_constant_behavior_channel_does_no_harm() -> None:
    model = build(covariates=1)
    model.standardize(torch.zeros(3), torch.tensor([1.0]), torch.zeros(1))
    inputs = model.assemble(random_video()[:, 0], torch.ones(1, 1, 40))
    assert model(inputs).isfinite().all()


def test_a_neuron_sees_what_is_at_its_position() -> None:
    model = build(spatial_kernel=3, hidden_kernel=1, stride=1)
    with torch.no_grad():
        model.position.copy_(torch.tensor([[-0.8, -0.8], [0.8, 0.8], [0.0, 0.0]]))
    video = random_video().requires_grad_()
    for neuron, (x, y) in enumerate(model.position.tolist()):
        (gradient,) = torch.autograd.grad(model(video)[0, neuron].sum(), video)
        rows, columns = gradient[0, 0].abs().sum(dim=0).nonzero().T
        center = rows.float().mean(), columns.float().mean()
        assert abs(center[0] - ((y + 1) * HEIGHT - 1) / 2) < 1.5
        assert abs(center[1] - ((x + 1) * WIDTH - 1) / 2) < 1.5
        assert rows.max() - rows.min() <= 4


def test_positions_are_jittered_only_while_training() -> None:
    model, video = build(), random_video()
    torch.testing.assert_close(model(video), model(video), rtol=0, atol=0)
    model.train()
    assert not torch.equal(model(video), model(video))


def test_start_finds_a_planted_position() -> None:
    """Neurons driven by the grey level of one patch each: the regression must place them there."""
    model = build(stride=2, channels=16, hidden_channels=16)
    rng = np.random.default_rng(0)
    places = [(3, 4), (12, 19), (8, 12)]
    store = TrialStore([_planted(rng, places) for _ in range(5)], show_progress=False)
    model.standardize(store.statistics("responses")[0], torch.zeros(0), torch.zeros(0))
    start_readout(model, store)
    found = [((y + 1) * HEIGHT / 2 - 0.5, (x + 1) * WIDTH / 2 - 0.5) for x, y in model.position.tolist()]
    for (row, column), (wanted_row, wanted_column) in zip(found, places, strict=True):
        assert abs(row - wanted_row) <= 3 and abs(column - wanted_column) <= 3
    trial = _planted(rng, places)
    assert nr.encoder_correlation(model, [trial]) > 0.5


def _planted(rng: np.random.Generator, places: list[tuple[int, int]]) -> nr.Trial:
    coarse = rng.uniform(0, 255, (60, HEIGHT // 4, WIDTH // 4))
    video = coarse.repeat(6, axis=0).repeat(4, axis=1).repeat(4, axis=2)
    delayed = np.concatenate([video[:3], video[:-3]])  # three frames late
    responses = [
        delayed[:, row - 1 : row + 2, column - 1 : column + 2].mean(axis=(1, 2)) / 100 for row, column in places
    ]
    return nr.Trial(video=video, responses=np.array(responses), frame_rate_hz=30.0)


def test_first_filters_have_unit_norm_and_kernels_are_causal() -> None:
    torch.manual_seed(0)
    for count in (1, 7, 24):
        filters = gabor_filters(count, 9)
        assert filters.shape == (count, 1, 9, 9)
        torch.testing.assert_close(filters.flatten(1).norm(dim=1), torch.ones(count))
        kernels = delay_kernels(count, 13)
        assert kernels.shape == (count, 1, 13, 1) and kernels.isfinite().all()
        assert (kernels.flatten(1).argmax(dim=1) >= 13 // 2 - 1).all()  # the peak is recent: the last tap is now

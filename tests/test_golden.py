"""The published method, in every clone: what the published code computed for small inputs (tests/golden/README.md)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import neuroreel as nr
from neuroreel.encoding.engine import engine_of

GOLDEN = Path(__file__).parent / "golden"
LARGEST = torch.tensor([255, 60, 30, 160, 160]).view(1, 5, 1, 1, 1)  # of the video and four of behavior


@pytest.fixture(scope="module")
def model() -> nr.EncodingModel:
    return nr.load_encoder(GOLDEN / "model-017-0.292118.pth", session=1)


def assert_close(ours: np.ndarray, published: np.ndarray, *, relative: float) -> None:
    assert np.linalg.norm(ours - published) < relative * np.linalg.norm(published)


@pytest.mark.parametrize("folded", [False, True], ids=["as stored", "as the search computes it"])
def test_responses_and_gradients(model: nr.EncodingModel, folded: bool) -> None:
    published = np.load(GOLDEN / "clips.npz")
    noise = torch.rand(2, 5, 16, 64, 64, generator=torch.Generator().manual_seed(7))
    clips = (noise * LARGEST).requires_grad_()
    responses = (engine_of(model) if folded else model)(clips)
    responses.square().sum().backward()
    assert clips.grad is not None
    assert_close(responses.detach().numpy(), published["responses"], relative=1e-5)
    gradient = clips.grad.numpy()
    assert_close(gradient[:, :, ::5, ::9, ::9], published["gradient"], relative=1e-5)
    norms = np.sqrt(np.square(gradient.astype(np.float64)).sum(axis=(2, 3, 4)))
    np.testing.assert_allclose(norms, published["gradient_norm"], rtol=1e-5)


def test_reconstruction_and_its_log(model: nr.EncodingModel) -> None:
    published = np.load(GOLDEN / "reconstruction.npz")
    trial = nr.Trial(
        video=published["movie"],
        responses=published["responses"],
        behavior=published["behavior"],
        pupil_center=published["pupil_center"],
        frame_rate_hz=30.0,
    )
    mask = nr.load_mask(GOLDEN / "mask_m1.npy")
    compute = nr.Compute(device="cpu", progress=False)
    result = nr.bauer_2026.reconstruct(trial, model, mask=mask, iterations=25, record_every=24, compute=compute)
    assert_close(result.video - 127.5, published["video_pred"] - 127.5, relative=1e-5)
    log = {
        "iteration": "video_itter",
        "loss": "response_loss_full",
        "response_correlation": "response_corr_full",
        "video_correlation": "video_corr",
        "video_rmse": "video_RMSE",
    }
    for ours, theirs in log.items():
        np.testing.assert_allclose(result.dataset[ours], published[theirs][[0, -1]], rtol=1e-3, atol=1e-5, err_msg=ours)


def test_folds(tmp_path: Path) -> None:
    published = np.load(GOLDEN / "folds.npz")
    movies = published["movies"]
    for kind, arrays in {"videos": np.moveaxis(movies, 1, -1), "responses": np.ones((len(movies), 2, 5))}.items():
        (tmp_path / "data" / kind).mkdir(parents=True)
        for number, array in enumerate(arrays):
            np.save(tmp_path / "data" / kind / f"{number}.npy", array.astype(np.float32))
    (tmp_path / "meta" / "trials").mkdir(parents=True)
    np.save(tmp_path / "meta" / "trials" / "tiers.npy", ["train"] * len(movies))
    assert nr.open_recording(tmp_path).folds() == published["folds"].tolist()
    assert len(set(published["folds"])) == 7

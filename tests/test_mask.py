"""The transparency mask: the published training, the true receptive fields, files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

import neuroreel as nr
from neuroreel.bauer_2026.mask import _blur, _draw_pairs, train_mask
from neuroreel.errors import InputError, ResourceError
from neuroreel.recordings.simulate import load_truth
from toy_encoder import ToyEncoder, toy_trials

MOUSE_0 = "dynamic29515-10-12-Video-9b4f6a1a067fe51e15306b9628efea20"


@pytest.mark.slow
def test_published_training_is_reproduced(golden: Path) -> None:
    recorded = np.load(golden / "masks" / "training_m0.npz")
    folds = json.loads((golden / "folds.json").read_text())[MOUSE_0]
    opened = nr.open_recording(golden / "recordings" / MOUSE_0)
    trials = [opened.trials[number] for number, fold in enumerate(folds) if fold == "fold_1"]
    (checkpoint,) = (golden / "checkpoints" / "fold_1").glob("*.pth")
    model = nr.load_encoder(checkpoint, session=0)
    pairs = [tuple(pair) for pair in recorded["trials"].tolist()]
    got = train_mask(model, trials, torch.from_numpy(recorded["initial"]), pairs, first_frame=20)
    final = recorded["final"]
    assert np.linalg.norm(final - recorded["initial"][0]) > 0.1 * np.linalg.norm(final)  # it learned something
    assert np.linalg.norm(got - final) < 1e-5 * np.linalg.norm(final)


def test_mask_finds_the_pixels_that_drive_the_responses() -> None:
    model = ToyEncoder(neurons=30)
    with torch.no_grad():
        model.filters[:, :, 4:] = 0  # nobody sees the right half
    mask = nr.learn_mask(model, toy_trials(model, 4), steps=150, first_frame=5, seed=1, progress=False)
    assert mask.shape == (8, 8) and mask.dtype == np.float32
    seen, unseen = mask[1:-1, :4], mask[1:-1, 4:]
    assert seen.mean() > 2 * abs(unseen).mean()


def test_same_seed_same_mask_another_seed_another() -> None:
    model = ToyEncoder(covariates=2)
    trials = toy_trials(model, 3)
    one, again, other = (nr.learn_mask(model, trials, steps=5, seed=seed, progress=False) for seed in (3, 3, 4))
    np.testing.assert_array_equal(one, again)
    assert not np.array_equal(one, other)


def test_every_trial_can_be_drawn_and_never_as_its_own_background() -> None:
    pairs = _draw_pairs(np.random.default_rng(0), 5, 500)
    assert {shown for shown, _ in pairs} == {behind for _, behind in pairs} == set(range(5))
    assert all(shown != behind for shown, behind in pairs)


@pytest.mark.slow
def test_mask_covers_the_true_receptive_fields(tmp_path: Path) -> None:
    recording = nr.simulate(tmp_path / "mouse", trials=35, seconds=6, neurons=150, seed=2, progress=False)
    trials = list(recording.trials)
    model = nr.fit_encoder(trials, seed=0, progress=False, recipe={"epochs": 1, "batches_per_epoch": 20})
    mask = nr.learn_mask(model, trials, steps=100, seed=0, progress=False)
    coverage = load_truth(recording.folder).coverage()
    assert mask.shape == coverage.shape
    correlation = np.corrcoef(mask.ravel(), coverage.ravel())[0, 1]
    assert correlation > 0.6
    most = coverage >= np.quantile(coverage, 0.8)
    assert mask[most].mean() > 2 * mask[coverage <= np.quantile(coverage, 0.3)].mean()


def test_blur_is_a_gaussian_with_reflected_edges() -> None:
    image = np.random.default_rng(0).normal(size=(40, 64)).astype(np.float32)
    offsets = np.arange(-7, 8)
    kernel = np.exp(-(offsets**2) / 50)
    kernel /= kernel.sum()
    padded = np.pad(image, 7, mode="reflect")
    rows = sum(weight * padded[7 + shift : 47 + shift] for shift, weight in zip(offsets, kernel, strict=True))
    both = sum(weight * rows[:, 7 + shift : 71 + shift] for shift, weight in zip(offsets, kernel, strict=True))
    np.testing.assert_allclose(_blur(torch.from_numpy(image)).numpy(), both, atol=1e-5)


@pytest.mark.parametrize("size", [(1, 64), (4, 64), (3, 2)])
def test_blur_of_images_smaller_than_its_kernel(size: tuple[int, int]) -> None:
    np.testing.assert_allclose(_blur(torch.ones(size)).numpy(), 1, rtol=1e-5)


def test_mask_files_round_trip(tmp_path: Path) -> None:
    mask = np.random.default_rng(0).random((6, 8)).astype(np.float32)
    nr.save_mask(tmp_path / "mask.npy", mask)
    np.testing.assert_array_equal(nr.load_mask(tmp_path / "mask.npy"), mask)
    with pytest.raises(InputError, match="already exists"):
        nr.save_mask(tmp_path / "mask.npy", mask)
    nr.save_mask(tmp_path / "mask.npy", mask + 1, overwrite=True)
    assert nr.load_mask(tmp_path / "mask.npy").min() >= 1
    assert [file.name for file in tmp_path.iterdir()] == ["mask.npy"]


def test_published_mask_file_opens(golden: Path) -> None:
    mask = nr.load_mask(golden / "masks" / "mask_m1.npy")
    assert mask.shape == (64, 64)
    assert mask.max() > 0.5


def test_bad_mask_requests() -> None:
    model = ToyEncoder(clip_frames=8)
    trials = toy_trials(model, 2)
    short = trials[0].replace(video=trials[0].video[:10], responses=trials[0].responses[:, :10])
    for bad, message in [
        ({"trials": trials[:1]}, "at least two"),
        ({"steps": 0}, "steps is 0"),
        ({"first_frame": -1}, "first_frame is -1"),
        ({"trials": [trials[0], short]}, "10 frames"),
        ({"trials": [trials[0], trials[1].replace(video=None)]}, "no video"),
        ({"trials": [trials[0], trials[1].replace(responses=None)]}, "no responses"),
        ({"device": "toaster"}, "device is 'toaster'"),
    ]:
        with pytest.raises(InputError, match=message):
            nr.learn_mask(model, **({"trials": trials, "steps": 2, "progress": False} | bad))
    with pytest.raises(ResourceError, match="not available"):
        nr.learn_mask(model, trials, device="cuda:99")

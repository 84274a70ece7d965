"""Where the video lies in a mask: one rule for reconstruction, scores and maps, whatever the model's canvas."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import neuroreel as nr
from neuroreel.encoding.dwiseneuro.network import square_canvas
from neuroreel.encoding.interface import Canvas
from neuroreel.errors import InputError
from neuroreel.masks import mask_on_video
from toy_encoder import ToyEncoder, toy_trials

QUIET = nr.Compute(device="cpu", progress=False)


class LowerBorder(ToyEncoder):
    """The video lies at the top of the canvas, all of the border below it."""

    def __init__(self, **options: int) -> None:
        super().__init__(**options)
        filters = self.canvas.crop(self.filters.detach())
        self.canvas = replace(self.canvas, top=0)
        self.filters = torch.nn.Parameter(self.canvas.place(filters))


def test_a_mask_means_the_same_pixels_to_reconstruct_and_to_the_scores() -> None:
    model = LowerBorder(neurons=20)
    trials = toy_trials(model, 3)
    mask = nr.learn_mask(model, trials, steps=30, first_frame=0, progress=False)
    assert mask.shape == (6, 8)  # of the video: nobody could know where it lies on an 8 x 8 canvas
    mask[:3] += 1
    result = nr.bauer_2026.reconstruct(trials[0], model, mask=mask, iterations=3, compute=QUIET)
    np.testing.assert_array_equal(result.mask, mask)
    scored = nr.video_correlation(trials[0].video, result.video, mask=mask, skip=5)
    assert scored == nr.video_correlation(trials[0].video, result.video, mask=result.mask, skip=5)
    rows = mask >= 1
    expected = np.corrcoef(trials[0].video[5:, rows].ravel(), result.video[5:, rows].ravel())[0, 1]
    assert scored == pytest.approx(expected)


def test_a_mask_on_a_canvas_with_the_video_elsewhere_is_refused() -> None:
    model = LowerBorder(neurons=20)
    (trial,) = toy_trials(model, 1)
    mask = np.zeros((8, 8), np.float32)
    mask[:2] = 1.2
    with pytest.raises(InputError, match=r"does not lie in the center.*model\.canvas\.crop\(mask\)"):
        nr.bauer_2026.reconstruct(trial, model, mask=mask, compute=QUIET)
    cut = model.canvas.crop(torch.from_numpy(mask)).numpy()
    assert nr.bauer_2026.reconstruct(trial, model, mask=cut, iterations=2, compute=QUIET).mask is not None


@given(
    video=st.tuples(st.integers(1, 6), st.integers(1, 6)),
    border=st.tuples(st.integers(0, 5), st.integers(0, 5)),
    place=st.tuples(st.integers(0, 5), st.integers(0, 5)),
)
def test_masks_of_centered_canvases_are_cut_where_the_canvas_is(
    video: tuple[int, int], border: tuple[int, int], place: tuple[int, int]
) -> None:
    top, left = (min(pair) for pair in zip(border, place, strict=True))
    height, width = (sum(pair) for pair in zip(video, border, strict=True))
    canvas = Canvas(height=height, width=width, video_height=video[0], video_width=video[1], top=top, left=left)
    mask = np.arange(height * width).reshape(height, width)
    same = np.array_equal(mask_on_video(mask, video), canvas.crop(torch.from_numpy(mask)).numpy())
    assert canvas.is_centered == same == ((top, left) == (border[0] // 2, border[1] // 2))
    assert square_canvas(*video).is_centered


def test_masks_that_fit_no_video_and_videos_that_fit_no_canvas() -> None:
    for shape in ((5, 8), (6, 7), (48,), (1, 6, 8)):
        with pytest.raises(InputError, match="not of one model"):
            mask_on_video(np.ones(shape), (6, 8))
    for wrong in ({"top": 3}, {"top": -1}, {"left": 1}, {"height": 5}):
        with pytest.raises(InputError, match="does not lie on its canvas"):
            Canvas(**{"height": 8, "width": 8, "video_height": 6, "video_width": 8} | wrong)
    with pytest.raises(InputError, match="cannot be read as an array"):
        nr.video_correlation(np.ones((3, 2, 2)), np.ones((3, 2, 2)), mask=[[1, 1], [1]], skip=0)

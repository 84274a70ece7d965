"""Pictures of what people hold: what is drawn is what is there, and a notebook is shown it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

import neuroreel as nr
from mice import made_up_trial
from neuroreel.decoding.pictures import strongest_filters
from neuroreel.encoding.pictures import gradients_at_grey
from neuroreel.masks import Mask
from neuroreel.outlines import mask_outline, scored_share, share_words, svg_path
from neuroreel.pictures import Strip, draw_outline, draw_strips, even_frames, scaled_responses
from toy_encoder import ToyEncoder, toy_trials


def area(line: np.ndarray) -> float:
    """By the shoelace formula."""
    (x, y), (next_x, next_y) = line[:-1].T, line[1:].T
    return abs(float(np.sum(x * next_y - next_x * y))) / 2


def ellipse(height: int = 36, width: int = 64) -> np.ndarray:
    rows, columns = np.mgrid[:height, :width] + 0.5
    return np.hypot((rows - height / 2) / 12, (columns - width / 2) / 20) <= 1


# ------------------------------------------------------------------------------------------------------------- outlines


def test_the_outline_runs_around_the_area_that_is_scored() -> None:
    inside = ellipse()
    (line,) = mask_outline(1.2 * inside)
    assert area(line) == pytest.approx(inside.sum(), rel=0.03)
    np.testing.assert_allclose(line[0], line[-1])
    turns = np.diff(np.unwrap(np.arctan2(*np.diff(line, axis=0).T)))
    assert np.abs(turns).max() < 0.8, "smooth: no corner of a pixel is left"


def test_holes_notches_and_single_pixels_are_not_outlined() -> None:
    whole = ellipse().astype(float)
    spoilt = whole.copy()
    spoilt[17:20, 28:34] = 0.4  # a hole in the middle of the picture
    spoilt[5:20, 40] = 0.4  # a cut from the border
    spoilt[1, 1] = 3.0  # a pixel of its own
    (line,) = mask_outline(spoilt)
    (expected,) = mask_outline(whole)
    assert area(line) == pytest.approx(area(expected), rel=0.01)


def test_areas_apart_have_an_outline_each_and_borders_of_the_screen_are_kept() -> None:
    mask = np.zeros((20, 30))
    mask[:, :12] = mask[5:15, 20:28] = 1.0
    lines = sorted(mask_outline(mask), key=area, reverse=True)
    assert [round(area(line), -1) for line in lines] == [240, 80]
    assert lines[0].min() == 0 and lines[0].max(axis=0).tolist() == pytest.approx([12, 20], abs=0.1)


def test_few_pixels_all_pixels_or_none() -> None:
    tiny = np.zeros((6, 8))
    tiny[2, 3] = 1.0
    (line,) = mask_outline(tiny)
    assert line.mean(axis=0) == pytest.approx([3.5, 2.5], abs=0.2)
    assert mask_outline(np.ones((6, 8))) == [] == mask_outline(np.zeros((6, 8)))
    assert svg_path(np.ones((6, 8))) == ""
    assert svg_path(tiny).startswith("M") and svg_path(tiny).endswith("Z") and svg_path(tiny, threshold=2) == ""


def test_the_share_that_is_scored_is_exact() -> None:
    assert scored_share(1.2 * ellipse()) == ellipse().mean() and scored_share(None) == 1.0
    assert share_words(None) == "100% of the screen" and share_words(np.zeros((2, 2))) == "0% of the screen"


def test_an_outline_lies_where_the_image_has_its_pixels() -> None:
    mask = np.zeros((10, 12))
    mask[2:6, 3:8] = 1.0
    ax = Figure().subplots()
    ax.imshow(mask)
    limits = ax.get_xlim(), ax.get_ylim()
    draw_outline(ax, mask)
    x, y = ax.lines[-1].get_xydata().T
    assert (x.min(), x.max()) == pytest.approx((2.5, 7.5), abs=0.1) and (y.min(), y.max()) == pytest.approx(
        (1.5, 5.5), abs=0.1
    )
    assert limits == (ax.get_xlim(), ax.get_ylim()) and len(ax.lines) == 2
    draw_outline(ax, None)
    assert len(ax.lines) == 2


def test_outlines_on_frames_lie_in_their_frames() -> None:
    movie = np.zeros((40, 10, 20), np.float32)
    mask = np.zeros((10, 20), np.float32)
    mask[3:7, 5:15] = 1.0
    ax = Figure().subplots()
    draw_strips(ax, [Strip(name="", rows={"a": movie, "b": movie}, frame_rate_hz=30.0, mask=mask)], frames=[[0, 9]])
    for line, image in zip(ax.lines[::2], ax.images, strict=True):
        left, right, bottom, top = image.get_extent()
        x, y = line.get_xydata().T
        assert x.min() - left == pytest.approx(0.25, abs=0.02) and right - x.max() == pytest.approx(0.25, abs=0.02)
        assert y.min() - top == pytest.approx(3 / 20, abs=0.02) and bottom - y.max() == pytest.approx(3 / 20, abs=0.02)


# ------------------------------------------------------------------------------------------------------------ responses


def test_silent_neurons_do_not_set_the_scale_and_neighbors_are_averaged() -> None:
    recorded = np.random.default_rng(0).gamma(1.0, size=(10, 50))
    recorded[9] = 1e-6 * np.arange(50)
    (alone,) = scaled_responses(recorded)
    np.testing.assert_allclose(alone[0], recorded[0] / max(recorded[0].std(), 0.0))
    assert alone[9].max() < 1e-3
    few, predicted = scaled_responses(recorded, 2 * recorded, most_rows=5)
    np.testing.assert_allclose(few, (alone[::2] + alone[1::2]) / 2)
    np.testing.assert_allclose(predicted, 2 * few)


def test_frames_are_even_and_may_leave_out_the_start() -> None:
    assert even_frames(300, 6) == [25, 75, 125, 175, 225, 275] and even_frames(3, 6) == [0, 1, 2]
    assert even_frames(40, 2, first=30) == [32, 37] and even_frames(31, 2, first=30) == [7, 23]
    with pytest.raises(nr.InputError, match="0 frames"):
        even_frames(300, 0)


# ---------------------------------------------------------------------------------------------------- trial, recording


def shows(thing: Any, *words: str) -> None:
    page = thing._repr_html_()
    assert page.startswith("<div>") and "src='data:image/png;base64,iVBOR" in page
    assert [word for word in words if word not in page] == []


def test_a_trial_shows_its_movie_responses_and_behavior() -> None:
    trial = made_up_trial("mouse <1>", neurons=7, seed=3).replace(simulated=True)
    movie, raster, traces, _ = trial.plot(columns=5).axes
    assert [each.get_text() for each in movie.texts] == ["0.17 s", "0.50 s", "0.83 s", "1.17 s", "1.50 s"]
    np.testing.assert_array_equal(np.asarray(movie.images[1].get_array()), trial.video[15])
    np.testing.assert_allclose(np.asarray(raster.images[0].get_array()), scaled_responses(trial.responses)[0])
    assert raster.images[0].get_extent() == [0, 50 / 30, 7, 0] and raster.get_xlabel() == "time (s)"
    names = [each.get_text() for each in traces.get_yticklabels()]
    assert names == ["behavior 0", "behavior 1", "pupil center 0", "pupil center 1"] and len(traces.lines) == 4
    first = np.asarray(traces.lines[0].get_ydata())
    assert np.corrcoef(first, trial.behavior[0])[0, 1] == pytest.approx(1) and first.min() == 0 and first.max() == 0.8
    assert traces.figure.get_suptitle() == "simulated mouse, not a real one"
    shows(trial, "mouse &lt;1&gt;", "7 neurons")


def test_what_was_not_recorded_is_not_drawn() -> None:
    whole = made_up_trial("mouse", neurons=7, seed=3)
    still = whole.replace(behavior=None, pupil_center=np.full((2, 50), 3.0))
    assert len(still.replace(responses=None).plot().axes) == 2, "movie, and the pupil that never moves"
    assert len(still.replace(video=None, pupil_center=None).plot().axes) == 2, "raster and its color bar"


def test_a_trial_as_labelled_arrays() -> None:
    trial = made_up_trial("mouse", neurons=7, seed=3)
    data = trial.to_xarray()
    assert data["video"].dims == ("frame", "height", "width") and np.shares_memory(data["video"].values, trial.video)
    assert dict(data["behavior"].sizes) == {"channel": 2, "frame": 50} and data["responses"].dims == ("neuron", "frame")
    assert data["time"].values[-1] == pytest.approx(49 / 30) and data.attrs["trial"] == "mouse/trial 3"
    assert data["height"].values.tolist() == list(range(8, -1, -1)) and data["height"].attrs["units"] == "pixels"
    assert set(trial.replace(behavior=None, video=None).to_xarray()) == {"responses", "pupil_center"}


def test_a_recording_shows_trials_all_over_the_session(tmp_path: Path) -> None:
    trials = [made_up_trial("mouse", neurons=5, seed=number) for number in range(8)]
    nr.write_recording(tmp_path / "mouse", trials)
    recording = nr.open_recording(tmp_path / "mouse")
    *frames, raster, rates, _ = recording.plot(columns=4).axes
    assert [ax.get_title() for ax in frames] == ["trial 1", "trial 3", "trial 5", "trial 7"]
    np.testing.assert_array_equal(np.asarray(frames[2].images[0].get_array()), trials[5].video[25])
    assert raster.get_title("left") == "responses in mouse/trial 1"
    assert sum(bar.get_height() for bar in rates.patches) == 5
    shows(recording, "8 trials", "5 neurons", "16x9 pixels at 30 Hz", "behavior, pupil center")


def test_a_damaged_recording_still_says_what_it_is(tmp_path: Path) -> None:
    nr.write_recording(tmp_path / "mouse", [made_up_trial("mouse", neurons=5, seed=number) for number in range(3)])
    recording = nr.open_recording(tmp_path / "mouse")
    (tmp_path / "mouse" / "data" / "videos" / "1.npy").write_bytes(b"broken")
    page = recording._repr_html_()
    assert "3 trials" in page and "Not drawn: " in page and "<img" not in page


# ------------------------------------------------------------------------------------------------ mask, model, decoder


def test_a_mask_is_an_array_that_shows_itself(tmp_path: Path) -> None:
    values = np.where(ellipse(), 1.2, 0.3).astype(np.float32)
    nr.save_mask(tmp_path / "mask.npy", values)
    mask = nr.load_mask(tmp_path / "mask.npy")
    assert isinstance(mask, Mask) and isinstance(mask[:5], Mask)
    assert type(mask >= 1) is np.ndarray and type(2 * mask) is np.ndarray and type(mask.max()) is np.float32
    shows(mask, "64x36 pixels", f"{ellipse().mean():.0%} of the screen is scored")
    drawn = mask.plot().axes[0]
    np.testing.assert_array_equal(np.asarray(drawn.images[0].get_array()), values)
    assert len(drawn.lines) == 2
    assert mask[0]._repr_html_() is None and mask[:0]._repr_html_() is None


def test_a_model_shows_where_its_neurons_look() -> None:
    model = ToyEncoder(neurons=12, covariates=1)
    maps = gradients_at_grey(model, [0, 5])
    filters = model.canvas.crop(model.filters.detach()).numpy()
    for found, number in zip(maps, (0, 5), strict=True):
        assert np.corrcoef(found.ravel(), filters[number].ravel())[0, 1] == pytest.approx(1, abs=1e-5)
    figure = model.plot()
    assert [ax.get_title() for ax in figure.axes] == [f"neuron {number}" for number in (0, 2, 4, 6, 8, 11)]
    np.testing.assert_allclose(np.asarray(figure.axes[0].images[0].get_array()), maps[0])
    low, high = figure.axes[0].images[0].get_clim()
    assert -low == high == pytest.approx(np.abs(maps[0]).max())
    assert all(weight.requires_grad and weight.grad is None for weight in model.parameters())
    shows(model, "12 neurons", "1 behavior channels", "8x6 pixels")


def test_a_model_with_its_own_axes_and_behavior_shows_the_same() -> None:
    """As other labs' models answer: behavior as vectors, neurons last, no answer to the first frames."""

    class Turned(ToyEncoder):
        behavior_as = "vectors"
        output_axes = "batch frames neurons"

        def forward(self, clips: torch.Tensor, behavior: torch.Tensor) -> torch.Tensor:
            planes = behavior[..., None, None].expand(-1, -1, -1, *clips.shape[-2:])
            return super().forward(torch.cat([clips, planes], dim=1)).mT[:, 2:]

    plain, turned = (kind(neurons=12, covariates=1) for kind in (ToyEncoder, Turned))
    np.testing.assert_allclose(gradients_at_grey(turned, [0, 5]), gradients_at_grey(plain, [0, 5]), rtol=1e-5)
    assert "12 neurons" in turned._repr_html_()


def test_a_decoder_shows_what_a_neuron_adds_to_the_movie() -> None:
    trials = toy_trials(ToyEncoder(neurons=12), 4, frames=60)
    decoder = nr.fit_decoder(trials, progress=False)
    filters = strongest_filters(decoder, 12)
    name, strongest = next(iter(filters.items()))
    number = int(name.split()[1].rstrip(","))
    raised = trials[0].responses.copy()
    scale, mean = decoder.features.scale[number], decoder.features.mean[number]
    rooted = np.sqrt(raised[number, 30])
    raised[number, 30] = (rooted + 1 / scale) ** 2  # one standard deviation more, in one frame
    before, after = (
        decoder.features.of(trials[0].replace(responses=each)) @ torch.from_numpy(decoder.weights)
        for each in (trials[0].responses, raised)
    )
    added = (after - before).numpy().reshape(60, 6, 8)
    lag = round(float(name.split()[-2]) * 30)
    np.testing.assert_allclose(added[30 - lag], strongest, atol=1e-3 * np.abs(strongest).max())
    assert np.square(added).sum(axis=(1, 2)).argmax() == 30 - lag and np.isfinite(mean)
    figure = decoder.plot()
    np.testing.assert_array_equal(np.asarray(figure.axes[0].images[0].get_array()), decoder.mean_video)
    errors = figure.axes[-1]
    assert errors.lines[0].get_xydata().tolist() == [list(each) for each in sorted(decoder.held_out_errors.items())]
    shows(decoder, "RidgeDecoder(12 neurons")

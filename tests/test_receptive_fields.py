"""Receptive fields by sparse pixels, their population map, and its agreement with the transparency mask."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

import neuroreel as nr
from neuroreel.errors import InputError
from neuroreel.results.datasets import read_dataset, write_dataset
from toy_encoder import ToyEncoder, toy_trials

QUIET: dict[str, Any] = {"progress": False}


@pytest.fixture(scope="module")
def fields() -> xr.Dataset:
    return nr.receptive_fields(ToyEncoder(), **QUIET)


def by_predicting(model: nr.EncodingModel, stimuli: nr.SparsePixels, *, on: bool) -> np.ndarray:
    """The same maps by nr.predict, a movie at a time: (neurons, rows, columns)."""
    grey = np.full((stimuli.frames, stimuli.height, stimuli.width), 127.5, np.float32)
    silent = nr.predict(model, nr.Trial(video=grey, frame_rate_hz=30))[:, stimuli.shown].mean(axis=1)
    maps = np.empty((model.neurons, len(stimuli.rows), len(stimuli.columns)))
    for row, column in np.ndindex(maps.shape[1:]):
        trial = nr.Trial(video=stimuli.movie(row, column, on=on), frame_rate_hz=30)
        maps[:, row, column] = nr.predict(model, trial)[:, stimuli.shown].mean(axis=1) - silent
    return maps


@pytest.mark.parametrize("any_length", [False, True])
def test_maps_are_those_of_predict(any_length: bool) -> None:
    model = ToyEncoder(any_length=any_length)
    maps = nr.receptive_fields(model, clips="all", size_px=2, clips_at_once=5, **QUIET)
    stimuli = nr.SparsePixels(height=6, width=8, size_px=2)
    for polarity in ("on", "off"):
        expected = by_predicting(model, stimuli, on=polarity == "on")
        np.testing.assert_allclose(maps[polarity], expected, atol=1e-5)


def test_a_window_tells_what_all_clips_tell_for_less(fields: xr.Dataset) -> None:
    everything = nr.receptive_fields(ToyEncoder(), clips="all", **QUIET)
    for polarity in ("on", "off"):
        assert np.corrcoef(fields[polarity].values.ravel(), everything[polarity].values.ravel())[0, 1] > 0.999


class Counting(ToyEncoder):
    """Counts the clips that it sees, and the largest number of them at once."""

    clips, most = 0, 0

    def forward(self, clips: torch.Tensor) -> torch.Tensor:
        self.clips, self.most = self.clips + len(clips), max(self.most, len(clips))
        return super().forward(clips)


def test_no_clip_is_wasted_and_few_are_seen_at_once() -> None:
    """As DwiseNeuro: 16 frames, every second one; a window of 32 frames holds the spot and both clips are needed."""
    window, every = Counting(clip_frames=16), Counting(clip_frames=16)
    spots = 1 + 2 * 3 * 4
    nr.receptive_fields(window, size_px=2, clips_at_once=6, **QUIET)
    nr.receptive_fields(every, size_px=2, clips="all", clips_at_once=32, **QUIET)
    assert (window.clips, every.clips) == (2 * spots, 15 * spots)
    assert window.most == 6 and every.most == 30


@settings(max_examples=25, deadline=None)
@given(clip_frames=st.integers(2, 12), before=st.integers(0, 20), shown=st.integers(1, 40), after=st.integers(0, 20))
def test_every_frame_with_the_spot_counts_once(clip_frames: int, before: int, shown: int, after: int) -> None:
    """A model that answers with the brightness: the mean over the frames with the spot is that of one frame."""
    model = Brightness(clip_frames=clip_frames)
    times = {"before_s": before / 30, "shown_s": shown / 30, "after_s": after / 30}
    if before + shown + after < model.window_frames:
        with pytest.raises(InputError, match="too short"):
            nr.receptive_fields(model, **times, **QUIET)
        return
    for clips in ("window", "all"):
        maps = nr.receptive_fields(model, clips=clips, size_px=3, **times, **QUIET)
        np.testing.assert_allclose(maps["on"], 127.5 * 9 / 48, rtol=1e-4)
        np.testing.assert_allclose(maps["off"], -127.5 * 9 / 48, rtol=1e-4)


class Brightness(ToyEncoder):
    def forward(self, clips: torch.Tensor) -> torch.Tensor:
        return self.canvas.crop(clips[:, 0]).mean(dim=(2, 3))[:, None].expand(-1, self.neurons, -1)


def test_maps_are_the_filters_of_a_linear_model(fields: xr.Dataset) -> None:
    filters = ToyEncoder().filters[:, 1:-1].detach().numpy()
    difference = (fields["on"] - fields["off"]).values
    assert np.corrcoef(difference.ravel(), filters.ravel())[0, 1] > 0.999
    assert fields["on"].dtype == np.float32 and fields["on"].dims == ("neuron", "row", "column")
    np.testing.assert_allclose(fields["baseline"], np.log(2), rtol=1e-5)  # softplus of nothing


def test_coordinates_are_pixels_and_degrees() -> None:
    screen = nr.Screen.with_pixels_of(2, width=8)
    maps = nr.receptive_fields(ToyEncoder(), size_px=2, screen=screen, **QUIET)
    np.testing.assert_array_equal(maps["row"], [0.5, 2.5, 4.5])
    np.testing.assert_array_equal(maps["column"], [0.5, 2.5, 4.5, 6.5])
    np.testing.assert_allclose(maps["azimuth"], [-6, -2, 2, 6], atol=0.05)
    np.testing.assert_allclose(maps["elevation"], [4, 0, -4], atol=0.05)
    assert maps["azimuth"].dims == ("column",) and maps["azimuth"].units == "degree"
    degrees = nr.receptive_fields(ToyEncoder(), size_deg=4, screen=screen, **QUIET)
    xr.testing.assert_equal(degrees, maps)


def test_an_ensembles_maps_are_the_mean_of_its_models() -> None:
    models = [ToyEncoder(seed=0), ToyEncoder(seed=1, clip_frames=6), ToyEncoder(seed=2, any_length=True)]
    together = nr.receptive_fields(models, **QUIET)
    alone = [nr.receptive_fields(model, **QUIET) for model in models]
    for name in ("on", "off", "baseline"):
        np.testing.assert_allclose(together[name], np.mean([each[name] for each in alone], axis=0), atol=1e-5)
    xr.testing.assert_equal(nr.receptive_fields(models[-1:], **QUIET), alone[-1])  # what the published code keeps


def test_behavior_is_the_recordings_mean(tmp_path: Path) -> None:
    model = ToyEncoder(covariates=2)
    recording = nr.write_recording(tmp_path / "mouse", toy_trials(model, 4))
    with pytest.raises(InputError, match="pass the recording"):
        nr.receptive_fields(model, **QUIET)
    maps = nr.receptive_fields(model, recording, **QUIET)
    grey = recording.trial_showing(np.full((45, 6, 8), 127.5))
    np.testing.assert_allclose(maps["baseline"], nr.predict(model, grey)[:, 20], rtol=1e-5)
    assert maps.attrs["recording"] == "mouse" and maps.attrs["simulated"] == 0
    with pytest.raises(InputError, match="mouse has 12 neurons, the models predict 7"):
        nr.receptive_fields(ToyEncoder(neurons=7), recording, **QUIET)


def test_maps_of_a_published_checkpoint(golden: Path) -> None:
    """Behavior, padding rows and clips of every second frame: one large spot, against nr.predict."""
    model = nr.load_encoder(next((golden / "checkpoints" / "fold_0").glob("*.pth")), session=1)
    recording = nr.open_recording(next((golden / "recordings").glob("dynamic29623*")))
    maps = nr.receptive_fields(model, recording, size_px=36, clips="all", **QUIET)
    stimuli = nr.SparsePixels(size_px=36)
    movies = {"baseline": np.full((45, 36, 64), 127.5), "on": stimuli.movie(0, 0), "off": stimuli.movie(0, 0, on=False)}
    mean = {name: nr.predict(model, recording.trial_showing(movie))[:, 15:30].mean(1) for name, movie in movies.items()}
    np.testing.assert_allclose(maps["baseline"], mean["baseline"], rtol=1e-4)
    for polarity in ("on", "off"):
        evoked = mean[polarity] - mean["baseline"]
        np.testing.assert_allclose(maps[polarity].values[:, 0, 0], evoked, atol=1e-4 * np.abs(evoked).max())


def test_padding_can_be_grey_as_published() -> None:
    model = ToyEncoder(border=2)
    ours, published = nr.receptive_fields(model, **QUIET), nr.receptive_fields(model, padding=127.5, **QUIET)
    np.testing.assert_array_equal(ours["on"], published["on"])  # this model has no filters there
    with torch.no_grad():
        model.filters += 0.02
    ours, published = nr.receptive_fields(model, **QUIET), nr.receptive_fields(model, padding=127.5, **QUIET)
    assert (published["baseline"] > ours["baseline"]).all()


def test_maps_survive_a_file(fields: xr.Dataset, tmp_path: Path) -> None:
    write_dataset(fields, tmp_path / "fields.nc")
    again = read_dataset(tmp_path / "fields.nc", kind="receptive_fields")
    xr.testing.assert_equal(again, fields)
    assert nr.mask_agreement(again, ramp()) == nr.mask_agreement(fields, ramp())
    assert '"size_px": 1' in again.attrs["provenance"]


def test_a_model_is_left_as_it_was() -> None:
    model = ToyEncoder().train()
    nr.receptive_fields(model, size_px=3, **QUIET)
    assert model.training and all(each.grad is None for each in model.parameters())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"clips": "some"}, "clips is 'some'"),
        ({"clips_at_once": 0}, "clips_at_once is 0"),
        ({"size_px": 7}, "larger than the movie"),
        ({"shown_s": 0.0}, "shown_s"),
        ({"before_s": 0.0, "shown_s": 0.1, "after_s": 0.0}, "too short"),
        ({"size_deg": 0.1}, "a pixel of this movie"),
        ({"device": "cuda:99"}, "not available"),
    ],
)
def test_bad_mappings(change: dict[str, Any], words: str) -> None:
    with pytest.raises(nr.NeuroreelError, match=words):
        nr.receptive_fields(ToyEncoder(), **(QUIET | change))


def test_models_that_are_no_use() -> None:
    model = ToyEncoder()
    with torch.no_grad():
        model.filters[0, 2, 2] = torch.nan
    with pytest.raises(InputError, match="NaN or infinite"):
        nr.receptive_fields(model, **QUIET)
    with pytest.raises(InputError, match="no encoding model"):
        nr.receptive_fields([], **QUIET)


def ramp() -> np.ndarray:
    """A mask of a movie of 6 x 8, from 0 to 1.5 from left to right."""
    return np.broadcast_to(np.linspace(0, 1.5, 8), (6, 8)).copy()


def made_up(on: np.ndarray, off: np.ndarray | None = None) -> xr.Dataset:
    maps = {"on": on, "off": np.zeros_like(on) if off is None else off}
    dataset = xr.Dataset({name: (("neuron", "row", "column"), each) for name, each in maps.items()})
    places = {"row": np.arange(on.shape[1]), "column": np.arange(on.shape[2])}
    attributes = {"video_height": on.shape[1], "video_width": on.shape[2], "spot_px": 1}
    return dataset.assign_coords(places).assign_attrs(attributes)


def test_every_neuron_weighs_the_same_in_the_population_map() -> None:
    on, off = np.zeros((2, 4, 6, 8))
    on[0, 1, 1], off[1, 4, 6], on[2] = 1, -50, 0.3  # neuron 2 responds everywhere alike, neuron 3 nowhere
    population = nr.population_map(made_up(on, off))
    expected = np.full((6, 8), 1 / 48)
    expected[1, 1] += 1
    expected[4, 6] += 1
    np.testing.assert_allclose(population, expected / expected.max())
    assert population.dims == ("row", "column")
    on[3, 2, 3] = 1e-7  # rounding is no response
    np.testing.assert_array_equal(nr.population_map(made_up(on, off)), population)


def test_perfect_and_no_agreement() -> None:
    seen = np.zeros((6, 8))
    seen[1:4, 2:5] = 1.2
    agreement = nr.mask_agreement(made_up(np.sqrt(seen)[None]), seen)
    assert agreement["correlation"] == pytest.approx(1) and agreement["overlap"] == 1
    assert agreement["area"] == pytest.approx(9 / 48)
    assert agreement["overlap_chance"] == pytest.approx(9 / (96 - 9))
    apart = nr.mask_agreement(made_up((1.2 - seen)[None]), seen)
    assert apart["correlation"] == pytest.approx(-1) and apart["overlap"] == 0


def test_chance_is_what_random_maps_overlap() -> None:
    random = np.random.default_rng(0)
    found = [nr.mask_agreement(made_up(random.random((1, 6, 8))), ramp(), mask_threshold=0.9) for _ in range(100)]
    assert np.mean([each["overlap"] for each in found]) == pytest.approx(found[0]["overlap_chance"], abs=0.03)
    assert np.mean([each["correlation"] for each in found]) == pytest.approx(0, abs=0.03)


def test_masks_of_a_canvas_are_cropped_and_averaged_over_spots() -> None:
    model = ToyEncoder(border=2)
    maps = nr.receptive_fields(model, size_px=2, **QUIET)
    canvas = np.pad(ramp(), ((2, 2), (0, 0)), constant_values=9.0)
    on_canvas = nr.mask_agreement(maps, canvas, mask_threshold=0.8)
    assert on_canvas == nr.mask_agreement(maps, ramp(), mask_threshold=0.8)
    averaged = ramp().reshape(3, 2, 4, 2).mean(axis=(1, 3))
    population = nr.population_map(maps)
    expected = np.corrcoef(averaged.ravel(), population.values.ravel())[0, 1]
    assert nr.mask_agreement(population, ramp(), mask_threshold=0.8)["correlation"] == pytest.approx(expected)
    assert on_canvas["area"] == 0.5


def test_maps_lie_where_the_mask_is() -> None:
    """A population that looks to the left: its learned mask and its map agree, and not with a mask of the right."""
    model = ToyEncoder(neurons=40)
    with torch.no_grad():
        model.filters[:, :, 5:] = 0
    mask = nr.learn_mask(model, toy_trials(model, 4), steps=150, first_frame=5, **QUIET)
    maps = nr.receptive_fields(model, **QUIET)
    threshold = float(np.median(mask[1:-1]))
    agreement = nr.mask_agreement(maps, mask, mask_threshold=threshold)
    assert agreement["correlation"] > 0.6 and agreement["overlap"] > agreement["overlap_chance"] + 0.2
    other = nr.mask_agreement(maps, mask[:, ::-1], mask_threshold=threshold)
    assert other["correlation"] < 0 and other["overlap"] < agreement["overlap"] - 0.2


@pytest.mark.parametrize(
    ("mask", "words"),
    [
        (np.zeros((6, 8)), "nowhere"),
        (np.full((6, 8), 2.0), "everywhere"),
        (np.full((6, 8), np.nan), "NaN"),
        (np.ones((5, 8)), "not of one model"),
        (np.ones(48), "one image"),
    ],
)
def test_bad_masks(fields: xr.Dataset, mask: np.ndarray, words: str) -> None:
    with pytest.raises(InputError, match=words):
        nr.mask_agreement(fields, mask)


def test_bad_fields(fields: xr.Dataset) -> None:
    with pytest.raises(InputError, match="no receptive fields"):
        nr.population_map(xr.Dataset({"video": ((), 1.0)}))
    with pytest.raises(InputError, match="no neuron responds"):
        nr.population_map(made_up(np.zeros((2, 6, 8))))
    with pytest.raises(InputError, match="alike to all spots"):
        nr.mask_agreement(made_up(np.ones((2, 6, 8))), ramp())
    with pytest.raises(InputError, match="do not say"):
        nr.mask_agreement(xr.DataArray(np.ones((6, 8)), dims=("row", "column")), ramp())

"""Sets of noise and gratings: one layout, from our generators or from the authors' files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import neuroreel as nr
from neuroreel.errors import InputError
from neuroreel.stimuli.gratings import PUBLISHED_SPATIAL_FREQUENCIES, PUBLISHED_TEMPORAL_LABELS
from neuroreel.stimuli.noise import PUBLISHED_LENGTHS, published_noise

SMALL: dict[str, Any] = {"frames": 12, "height": 9, "width": 16}
NOISE = ("inverted", "repeat", "spatial_px", "temporal_frames", "frame", "height", "width")
GRATINGS = ("direction_deg", "spatial_frequency", "temporal_frequency_hz", "frame", "height", "width")


@pytest.fixture(scope="module")
def noise_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of the published shape, with three frames and two repeats."""
    file = tmp_path_factory.mktemp("noise") / "gaussian_noise_movies.npz"
    scale = np.arange(1, 8) * np.ones((7, 1))
    np.savez(file, video=np.random.default_rng(0).normal(1, scale, size=(36, 36, 3, 2, 7, 7)))
    return file


@pytest.fixture(scope="module")
def grating_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of the published shape, with two frames; the grey level says which movie it is."""
    file = tmp_path_factory.mktemp("gratings") / "grating_movies.npz"
    level = np.arange(4 * 7 * 4).reshape(4, 7, 4, 1, 1, 1) / 2  # direction, temporal, spatial
    np.savez(
        file,
        video=level + np.zeros((4, 7, 4, 2, 36, 64)),
        drifting_directions=[0, 90, 180, 270],
        drifting_sf_in_pix=[0.5, 0.25, 0.125, 0.0625],
        drifting_sf_in_deg=[1 / 7, 1 / 14, 1 / 28, 1 / 56],
        drifting_temporal_frequencies=PUBLISHED_TEMPORAL_LABELS,
    )
    return file


def test_a_set_of_noise_holds_the_movies_of_the_generator() -> None:
    stimuli = nr.noise_stimuli(repeats=2, spatial_px=(0, 1.5), temporal_frames=(0, 2, 4), **SMALL)
    assert stimuli.dims == NOISE and stimuli.shape == (2, 2, 2, 3, 12, 9, 16) and stimuli.dtype == np.float32
    chosen = stimuli.sel(repeat=1, spatial_px=1.5, temporal_frames=4, inverted=False).values
    alone = nr.gaussian_noise(spatial_px=1.5, temporal_frames=4, seed=(0, 1), **SMALL)
    np.testing.assert_array_equal(chosen, alone)
    negative = stimuli.sel(repeat=1, spatial_px=1.5, temporal_frames=4, inverted=True).values
    np.testing.assert_array_equal(negative, 255 - chosen)
    assert stimuli["spatial_px"].units == "pixels" and stimuli["temporal_frames"].units == "frames"


def test_a_movie_does_not_change_with_what_else_is_asked_for() -> None:
    one = nr.noise_stimuli(repeats=[3], spatial_px=[2], temporal_frames=[1], inverted=[False], **SMALL)
    among = nr.noise_stimuli(repeats=4, spatial_px=(1, 2), temporal_frames=(0, 1), **SMALL)
    chosen = among.sel(repeat=3, spatial_px=2, temporal_frames=1, inverted=False)
    np.testing.assert_array_equal(one.squeeze().values, chosen.values)
    other = nr.noise_stimuli(repeats=[3], spatial_px=[2], temporal_frames=[1], inverted=[False], seed=1, **SMALL)
    assert abs(np.corrcoef(one.values.ravel(), other.values.ravel())[0, 1]) < 0.3


def test_noise_of_the_authors_has_the_layout_of_ours(noise_file: Path) -> None:
    theirs = nr.noise_stimuli(noise_file)  # it has two repeats, not the published five
    ours = nr.noise_stimuli(repeats=2, frames=3)
    assert theirs.dims == ours.dims == NOISE and theirs.shape == ours.shape and theirs.dtype == ours.dtype
    for name in ("inverted", "repeat", "spatial_px", "temporal_frames"):
        np.testing.assert_array_equal(theirs[name], ours[name])
    assert theirs.attrs["source"] == str(noise_file) and ours.attrs["source"] == "neuroreel"
    expected = published_noise(np.load(noise_file)["video"])
    np.testing.assert_allclose(theirs.sel(inverted=False), expected, atol=1e-4)


def test_a_part_of_the_authors_noise_is_shown_as_in_the_whole(noise_file: Path) -> None:
    """The mean and deviation of all stimuli are part of how each is shown."""
    part = nr.noise_stimuli(noise_file, repeats=[1], spatial_px=(4, 32), temporal_frames=[8], inverted=[True])
    whole = nr.noise_stimuli(noise_file, repeats=2)
    chosen = whole.sel(inverted=True, repeat=1, spatial_px=[4, 32], temporal_frames=8)
    np.testing.assert_array_equal(part.squeeze(), chosen)


def test_a_set_of_gratings_holds_the_movies_of_the_generator() -> None:
    asked: dict[str, Any] = {"spatial_frequencies": (0.01, 0.02), "temporal_frequencies_hz": (0, 2.5, 5)}
    stimuli = nr.grating_stimuli(**asked, frame_rate_hz=20.0, **SMALL)
    assert stimuli.dims == GRATINGS and stimuli.shape == (4, 2, 3, 12, 9, 16)
    chosen = stimuli.sel(direction_deg=90, spatial_frequency=0.02, temporal_frequency_hz=5)
    alone = nr.drifting_grating(
        direction_deg=90, spatial_frequency=0.02, temporal_frequency_hz=5, frame_rate_hz=20.0, **SMALL
    )
    np.testing.assert_array_equal(chosen, alone)
    assert stimuli["spatial_frequency"].units == "cycles/degree"


def test_gratings_of_the_authors_have_the_layout_of_ours(grating_file: Path) -> None:
    theirs, ours = nr.grating_stimuli(grating_file), nr.grating_stimuli(frames=2)
    assert theirs.dims == ours.dims == GRATINGS and theirs.shape == ours.shape and theirs.dtype == ours.dtype
    for name in GRATINGS[:3]:
        np.testing.assert_allclose(theirs[name], ours[name])
    for place in ((0, 0, 0), (1, 2, 6), (3, 3, 5)):  # direction, spatial, temporal
        direction, space, time = place
        assert (theirs.values[place] == ((direction * 7 + time) * 4 + space) / 2).all()


def test_labels_may_be_rounded(grating_file: Path) -> None:
    part = nr.grating_stimuli(grating_file, spatial_frequencies=(0.036, 0.143), temporal_frequencies_hz=[0.0])
    whole = nr.grating_stimuli(grating_file)
    np.testing.assert_array_equal(part.values, whole.values[:, [2, 0], 6:])


def test_published_pixels_a_cycle_on_the_authors_screen() -> None:
    """Exactly 2, 4, 8 and 16 pixels: at 3.5 degrees a pixel, and at the limit of what pixels can show."""
    screen = nr.Screen.with_pixels_of(3.5, width=64)
    still = nr.grating_stimuli(directions_deg=[0], temporal_frequencies_hz=[0.0], frames=1, screen=screen)
    for frequency, pixels in zip(PUBLISHED_SPATIAL_FREQUENCIES, (2, 4, 8, 16), strict=True):
        row = still.sel(spatial_frequency=frequency).values.squeeze()[0]
        np.testing.assert_allclose(row[pixels:], row[:-pixels], atol=1e-2)
        if pixels > 2:
            assert np.abs(row[pixels // 2 :] - row[: -(pixels // 2)]).max() > 100
    with pytest.raises(InputError, match=r"pixels can show 0 to 0\.142857"):
        nr.grating_stimuli(spatial_frequencies=[0.1435], screen=screen)


def test_an_experiment_can_take_either(noise_file: Path) -> None:
    """The same call, the same places: only the file differs."""
    where = {"repeat": 0, "spatial_px": 8, "temporal_frames": 4, "inverted": False}
    for source in (None, noise_file):
        movie = nr.noise_stimuli(source, repeats=[0], spatial_px=[8], temporal_frames=[4]).sel(where)
        trial = nr.Trial(video=movie.values, frame_rate_hz=30)
        assert trial.needs_video().shape[1:] == (36, 64)


def test_golden_stand_ins_are_of_no_known_set(golden: Path) -> None:
    """The stand-ins in the golden folder have one or two entries an axis, and do not say which."""
    files = golden / "published_files"
    with pytest.raises(InputError, match="does not say what"):
        nr.noise_stimuli(files / "gaussian_noise_movies.npz", repeats=1)
    with pytest.raises(InputError, match="does not say what"):
        nr.grating_stimuli(files / "grating_movies.npz")


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"repeats": 0}, "repeats is 0"),
        ({"repeats": []}, "at least one"),
        ({"repeats": 2.5}, r"repeats is 2\.5"),
        ({"repeats": [0.5]}, "seed is"),
        ({"spatial_px": [1, 1]}, "only once"),
        ({"temporal_frames": []}, "at least one"),
        ({"inverted": []}, "at least one"),
        ({"spatial_px": [-1]}, "0 or more"),
        ({"frames": 0}, "frames is 0"),
    ],
)
def test_bad_noise_sets(asked: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        nr.noise_stimuli(**(SMALL | {"repeats": 1, "spatial_px": [1], "temporal_frames": [1]} | asked))


def test_bad_files(noise_file: Path, grating_file: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no spatial_px 3; it has 0, 1, 2, 4"):
        nr.noise_stimuli(noise_file, spatial_px=[3], repeats=1)
    with pytest.raises(InputError, match="no repeat 2"):
        nr.noise_stimuli(noise_file, repeats=3)
    with pytest.raises(InputError, match=r"no spatial_frequency 0\.1;"):
        nr.grating_stimuli(grating_file, spatial_frequencies=[0.1])
    with pytest.raises(InputError, match="holds no noise"):
        nr.noise_stimuli(grating_file)
    with pytest.raises(InputError, match="holds no gratings"):
        nr.grating_stimuli(noise_file)
    with pytest.raises(InputError, match="absent"):
        nr.noise_stimuli(tmp_path / "absent.npz")
    loud = tmp_path / "loud.npz"
    np.savez(loud, video=np.full((4, 7, 4, 1, 36, 64), 300.0), drifting_directions=[0, 90, 180, 270])
    with pytest.raises(InputError, match="grey levels"):
        nr.grating_stimuli(loud)


def test_published_lengths_are_those_of_the_file(noise_file: Path) -> None:
    video = nr.read_published(noise_file)["video"]
    assert (
        tuple(video["spatial_length_px"].values) == tuple(video["temporal_length_frames"].values) == PUBLISHED_LENGTHS
    )

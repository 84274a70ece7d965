"""Photographs and the movies made of them."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neuroreel.errors import InputError, ResourceError
from neuroreel.stimuli import movies, photographs
from neuroreel.stimuli.movies import draw_movie, render
from neuroreel.stimuli.photographs import FOLDS, photograph, photographs_of_fold
from neuroreel.stimuli.screen import SENSORIUM_SCREEN


def test_no_photograph_is_in_two_folds() -> None:
    folds = [set(photographs_of_fold(fold)) for fold in range(FOLDS)]
    assert all(folds)
    assert all(not a & b for a, b in itertools.combinations(folds, 2))
    assert len(set.union(*folds)) >= 15


def test_photographs_of_different_folds_show_different_things() -> None:
    """Not only the names differ: no picture is a near copy of another one, as the halves of a stereo pair are."""
    names = [name for fold in range(FOLDS) for name in photographs_of_fold(fold)]
    small = np.stack([_shrink(photograph(name)).ravel() for name in names])
    correlation = np.corrcoef(small)
    assert correlation[~np.eye(len(names), dtype=bool)].max() < 0.8
    left, right = (_shrink(_grey(f"motorcycle_{side}.png")) for side in ("left", "right"))
    assert np.corrcoef(left.ravel(), right.ravel())[0, 1] > 0.8  # the measure would see such a pair


def _grey(file: str) -> np.ndarray:
    from PIL import Image

    path = photographs._find("skimage/data/camera.png")
    assert path is not None
    return np.asarray(Image.open(path.parent / file).convert("L"), np.float32)


def _shrink(picture: np.ndarray) -> np.ndarray:
    rows, columns = (np.linspace(0, length, 17).astype(int)[:-1] for length in picture.shape)
    return np.add.reduceat(np.add.reduceat(picture, rows, axis=0), columns, axis=1)


@pytest.mark.parametrize("fold", range(FOLDS))
def test_photographs_have_comparable_contrast(fold: int) -> None:
    for name in photographs_of_fold(fold):
        picture = photograph(name)
        assert picture.dtype == np.float32
        assert picture.min() >= 0
        assert picture.max() <= 255
        assert picture.mean() == pytest.approx(127.5, abs=8)
        assert picture.std() == pytest.approx(51, abs=10)
        assert not picture.flags.writeable


def test_unknown_fold_and_photograph_are_refused() -> None:
    with pytest.raises(InputError, match="folds 0 to 6"):
        photographs_of_fold(7)
    with pytest.raises(InputError, match=r"no photograph 'skimage/data/page\.png'"):
        photograph("skimage/data/page.png")


def test_photographs_that_are_not_installed_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(photographs, "find_spec", lambda package: None)
    with pytest.raises(ResourceError, match="pip install scikit-image scikit-learn"):
        photographs_of_fold(0)


def test_one_missing_photograph_moves_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    before = [photographs_of_fold(fold) for fold in range(FOLDS)]
    gone = before[2][0]
    find = photographs._find
    monkeypatch.setattr(photographs, "_find", lambda name: None if name == gone else find(name))
    after = [photographs_of_fold(fold) for fold in range(FOLDS)]
    assert after == [tuple(name for name in names if name != gone) for names in before]


def test_pixel_spans_3_4_degrees_in_the_middle_of_the_screen() -> None:
    assert SENSORIUM_SCREEN.degrees_per_pixel(64) == pytest.approx(3.37, abs=0.01)
    # Independently: half of the screen is 62 degrees, and 32 pixels of a flat screen are tan(62 deg) * 15 cm.
    assert np.tan(np.radians(SENSORIUM_SCREEN.degrees_per_pixel(64))) * 15 * 64 == pytest.approx(56.5)


@pytest.mark.parametrize(("height", "width", "rate"), [(36, 64, 30.0), (18, 20, 12.5), (64, 36, 60.0)])
def test_movie_has_the_size_asked_for_and_whole_grey_levels(height: int, width: int, rate: float) -> None:
    movie = draw_movie(np.random.default_rng(1), fold=3, frames=40, height=height, width=width, frame_rate_hz=rate)
    video = render(movie)
    assert video.shape == (40, height, width)
    assert video.dtype == np.float32
    assert np.array_equal(video, video.astype(np.uint8))
    assert video.std() > 5


def test_same_seed_gives_the_same_movie_and_another_seed_another() -> None:
    first, again, other = (draw_movie(np.random.default_rng(seed), fold=0) for seed in (5, 5, 6))
    assert first == again
    assert np.array_equal(render(first), render(again))
    assert not np.array_equal(render(first), render(other))


def test_chosen_frames_are_those_of_the_whole_movie() -> None:
    movie = draw_movie(np.random.default_rng(2), fold=1)
    video = render(movie)
    wanted = [299, 0, 130, 131, 60]
    assert np.array_equal(render(movie, wanted), video[wanted])
    assert render(movie, []).shape == (0, 36, 64)
    for wrong in ([300], [-1]):
        with pytest.raises(InputError, match="frames 0 to 299"):
            render(movie, wrong)


@given(st.integers(0, 10_000), st.integers(0, FOLDS - 1))
@settings(max_examples=25, deadline=None)
def test_scenes_come_from_one_fold_and_the_camera_stays_inside_the_photograph(seed: int, fold: int) -> None:
    movie = draw_movie(np.random.default_rng(seed), fold=fold)
    assert {scene.photograph for scene in movie.scenes} <= set(photographs_of_fold(fold))
    starts = [scene.first_frame for scene in movie.scenes] + [movie.frames]
    assert starts[0] == 0
    assert min(np.diff(starts)) >= 0.8 * 30 - 1
    with pytest.MonkeyPatch.context() as patch:
        seen: list[bool] = []
        patch.setattr(movies, "_read", lambda picture, rows, columns: _inside(picture, rows, columns, seen))
        render(movie, range(0, 300, 10))
    assert all(seen)


def _inside(picture: np.ndarray, rows: np.ndarray, columns: np.ndarray, seen: list[bool]) -> np.ndarray:
    tall, wide = picture.shape
    seen.append(rows.min() > -1 and columns.min() > -1 and rows.max() < tall and columns.max() < wide)
    return np.zeros(rows.shape, np.float32)


def test_cuts_are_seen_and_scenes_are_smooth() -> None:
    changes: list[float] = []
    jumps: list[float] = []
    for seed in range(20):
        movie = draw_movie(np.random.default_rng(seed), fold=seed % FOLDS)
        difference = np.abs(np.diff(render(movie), axis=0)).mean(axis=(1, 2))
        cuts = [scene.first_frame - 1 for scene in movie.scenes[1:]]
        jumps.extend(difference[cuts])
        changes.extend(np.delete(difference, cuts))
    assert np.median(jumps) > 8 * np.median(changes)
    assert 1 < np.median(changes) < 8  # neither a still nor a flicker


def test_spectrum_falls_as_in_natural_movies() -> None:
    """Power of natural pictures falls with about the square of the spatial frequency (Field 1987)."""
    random = np.random.default_rng(3)
    frames = [render(draw_movie(random, fold=k % FOLDS), [0, 150, 290]) for k in range(42)]
    square = np.concatenate(frames)[:, :, 14:50]
    window = np.hanning(36)[:, None] * np.hanning(36)
    power = np.abs(np.fft.fft2((square - square.mean(axis=(1, 2), keepdims=True)) * window)) ** 2
    frequency = np.hypot(np.fft.fftfreq(36)[:, None], np.fft.fftfreq(36))
    band = (frequency > 0.05) & (frequency < 0.3)
    slope = np.polyfit(np.log(frequency[band]), np.log(power.mean(axis=0)[band]), 1)[0]
    assert -3.0 < slope < -1.7


def test_autocorrelation_falls_over_space_and_time() -> None:
    """Neighbours are alike; a second later, or a third of the screen away, little is left."""
    random = np.random.default_rng(4)
    movies = np.stack([render(draw_movie(random, fold=k % FOLDS), range(60)) for k in range(21)])
    scene = movies - movies.mean(axis=(1, 2, 3), keepdims=True)

    def alike(axis: int, apart: int) -> float:
        moved = np.moveaxis(scene, axis, 0)
        return float(np.corrcoef(moved[apart:].ravel(), moved[:-apart].ravel())[0, 1])

    for axis, lags in ((1, (1, 4, 12, 30)), (2, (1, 4, 12)), (3, (1, 4, 12, 21))):
        correlations = [alike(axis, lag) for lag in lags]
        assert correlations[0] > 0.8 and correlations[-1] < 0.55
        assert (np.diff(correlations) < 0).all()


def test_movement_has_natural_speed() -> None:
    """Median speed on the screen, from the camera's own path, is about 25 degrees a second."""
    speeds: list[float] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(movies, "_sample", lambda levels, rows, columns, level: _record(rows, columns, speeds))
        for seed in range(60):
            render(draw_movie(np.random.default_rng(seed), fold=seed % FOLDS))
    assert 18 < np.median(speeds) < 32
    assert np.percentile(speeds, 95) < 200


def _record(rows: np.ndarray, columns: np.ndarray, speeds: list[float]) -> np.ndarray:
    """Speed of the middle of the screen in degrees a second, from where it looks on the photograph."""
    scale = np.hypot(columns[:, 0, -1] - columns[:, 0, 0], rows[:, 0, -1] - rows[:, 0, 0]) / (columns.shape[2] - 1)
    middle = np.stack([rows.mean(axis=(1, 2)), columns.mean(axis=(1, 2))])
    if len(rows) > 1:
        speeds.extend(np.hypot(*np.diff(middle)) / scale[1:] * SENSORIUM_SCREEN.degrees_per_pixel(64) * 30)
    return np.zeros(rows.shape, np.float32)


@pytest.mark.parametrize("wrong", [{"frames": 0}, {"height": -3}, {"width": 0}, {"frame_rate_hz": float("nan")}])
def test_impossible_movies_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(InputError, match=next(iter(wrong))):
        draw_movie(np.random.default_rng(0), fold=0, **wrong)  # type: ignore[arg-type]


def test_photographs_lie_in_the_installed_packages() -> None:
    for fold in range(FOLDS):
        for name in photographs_of_fold(fold):
            path = photographs._find(name)
            assert isinstance(path, Path)
            assert path.is_file()

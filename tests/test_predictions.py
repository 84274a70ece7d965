"""``neuroreel predict`` as a user types it: files, table, correlation, and movies that no recording holds."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr

import neuroreel as nr
from neuroreel.cli import main
from neuroreel.encoding.dwiseneuro.network import DwiseNeuro, DwiseNeuroConfig, DwiseNeuroNetwork
from neuroreel.evaluation.predictions import predict_to_files
from neuroreel.recordings.movie_file import movie_trial
from neuroreel.results.export import write_mp4, write_tiff
from neuroreel.results.prediction import load_prediction

SIZE = (12, 16)
TINY = {"core_features": (6, 8), "spatial_strides": (2, 2), "expansion_ratio": 2, "se_reduce_ratio": 4}


@pytest.fixture(scope="module")
def mouse(tmp_path_factory: pytest.TempPathFactory) -> nr.Recording:
    folder = tmp_path_factory.mktemp("mouse") / "mouse"
    return nr.simulate(folder, trials=9, seconds=2, neurons=7, height=12, width=16, progress=False)


@pytest.fixture(scope="module")
def encoders(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two models of two mice each; the second mouse's seven neurons are those of the recording."""
    folder = tmp_path_factory.mktemp("models")
    files = []
    for seed in range(2):
        torch.manual_seed(seed)
        config = DwiseNeuroConfig(readout_neurons=(3, 7), cortex_features=(16,), **TINY)  # type: ignore[arg-type]
        model = DwiseNeuro(DwiseNeuroNetwork(config), readout=1, video_size=SIZE)
        files.append(nr.save_encoder(model, folder / f"encoder_{seed}.safetensors"))
    return files


def run(*arguments: object) -> None:
    main(["predict", *map(str, arguments)])


def refused(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    with pytest.raises(SystemExit) as stopped:
        run(*arguments)
    assert stopped.value.code == 2
    said, error = capsys.readouterr()
    assert error.startswith("neuroreel: ") and error.count("\n") == 1 and "wrote" not in said
    return error


def test_trials_are_predicted_and_scored(
    mouse: nr.Recording, encoders: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [mouse.folder, "--encoders", *encoders, "--session", 1, "--out", tmp_path, "--trials", 3, 5, 6]
    run(*arguments)
    said = capsys.readouterr().out.splitlines()
    models = [nr.load_encoder(file, session=1) for file in encoders]
    trials = [mouse.trials[number] for number in (3, 5, 6)]
    score = nr.encoder_correlation(models, trials, skip=50)
    assert said[-2].startswith(f"single-trial correlation {score:.3f}: mean over 7 neurons, 3 trials")
    assert "not a real one" in said[-1]
    assert sorted(file.name for file in tmp_path.iterdir()) == ["trial_003.nc", "trial_005.nc", "trial_006.nc"]
    for number, trial in zip((3, 5, 6), trials, strict=True):
        assert f"wrote {tmp_path / f'trial_{number:03d}.nc'}" in said
        expected = nr.predict(models, trial)
        alone = nr.encoder_correlation(models, [trial], skip=50)
        assert any(line.split()[-2:] == [str(trial.frames), f"{alone:.3f}"] for line in said)
        dataset = xr.load_dataset(tmp_path / f"trial_{number:03d}.nc", engine="h5netcdf", decode_times=False)
        np.testing.assert_array_equal(dataset["predicted"], expected)
        assert dataset["predicted"].dims == ("neuron", "frame")
        np.testing.assert_array_equal(dataset["neuron"], mouse.unit_ids)
        np.testing.assert_allclose(dataset["time"], np.arange(trial.frames) / 30)
        assert dataset.attrs["trial"] == trial.name and dataset.attrs["simulated"] == 1
        provenance = json.loads(dataset.attrs["provenance"])
        assert provenance["settings"] == {"session": 1, "models": 2}
        assert set(provenance["hashes"]) == {"models", "video", "behavior"}

    before = {file: file.stat().st_mtime_ns for file in tmp_path.iterdir()}
    (tmp_path / "trial_005.nc").unlink()
    run(*arguments)
    again = capsys.readouterr().out.splitlines()
    assert again[3:] == said[3:]  # the same table, of two files kept and one made anew
    assert sum("already exists" in line for line in again) == 2
    after = {file: file.stat().st_mtime_ns for file in tmp_path.iterdir()}
    assert {file.name for file in before if after[file] != before[file]} == {"trial_005.nc"}


def test_a_fold_and_other_frames_left_out(
    mouse: nr.Recording, encoders: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fold = next(word for word in mouse.folds() if word.startswith("fold"))
    numbers = mouse.select(fold).indices
    run(mouse.folder, "--encoders", encoders[0], "--session", 1, "--out", tmp_path, "--fold", fold, "--skip", 0)
    said = capsys.readouterr().out
    assert {file.name for file in tmp_path.iterdir()} == {f"trial_{number:03d}.nc" for number in numbers}
    score = nr.encoder_correlation(nr.load_encoder(encoders[0], session=1), mouse.select(fold))
    assert f"single-trial correlation {score:.3f}" in said and "without the first" not in said


def test_predictions_of_other_models_are_not_mixed(
    mouse: nr.Recording, encoders: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    common = [mouse.folder, "--session", 1, "--out", tmp_path]
    run(*common, "--encoders", encoders[0], "--trials", 4)
    capsys.readouterr()
    kept = (tmp_path / "trial_004.nc").read_bytes()
    assert "predicted by other models" in refused(capsys, *common, "--encoders", encoders[1], "--trials", 2, 4)
    assert "predicted by other models" in refused(capsys, *common, "--encoders", *encoders, "--trials", 2, 4)
    assert [file.name for file in tmp_path.iterdir()] == ["trial_004.nc"]
    assert (tmp_path / "trial_004.nc").read_bytes() == kept
    (tmp_path / "trial_004.nc").write_bytes(kept[:-100])
    assert "trial_004.nc" in refused(capsys, *common, "--encoders", encoders[0], "--trials", 4)


def test_refusals_come_before_work(
    mouse: nr.Recording, encoders: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    common = [mouse.folder, "--encoders", encoders[0], "--out", tmp_path / "out", "--trials", 1]
    assert "ids for 7 neurons, the models predict 3" in refused(capsys, *common)
    assert "there is no readout 2" in refused(capsys, *common, "--session", 2)
    assert "--skip 60 leaves none of the 60 frames" in refused(capsys, *common, "--session", 1, "--skip", 60)
    assert "there is no trial 9" in refused(capsys, *common, 9, "--session", 1)
    assert "both given" in refused(capsys, *common, "--session", 1, "--videos", tmp_path / "movie.npy")
    assert not (tmp_path / "out").exists()


def test_withheld_responses_are_predicted_and_not_compared(
    mouse: nr.Recording, encoders: list[Path], tmp_path: Path
) -> None:
    model = nr.load_encoder(encoders[0], session=1)
    trials = [mouse.trials[0].replace(responses=None), mouse.trials[1]]
    table = predict_to_files(model, trials, [tmp_path / "a.nc", tmp_path / "b.nc"], device="cpu")
    assert np.isnan(table.trials[0].correlation) and "not recorded" in str(table).splitlines()[1]
    assert table.single_trial_correlation == pytest.approx(nr.encoder_correlation(model, trials[1:], skip=50))
    np.testing.assert_array_equal(load_prediction(tmp_path / "a.nc")["predicted"], nr.predict(model, trials[0]))


# --- movies in files ---


def grey_movie(frames: int = 40) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (frames, *SIZE)).astype(np.uint8)


def test_movies_in_files(
    mouse: nr.Recording, encoders: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    movie, out = grey_movie(), tmp_path / "out"
    np.save(tmp_path / "one.npy", movie.astype(np.float32))
    write_tiff(tmp_path / "two.tif", movie, frame_rate_hz=30)
    write_mp4(tmp_path / "three.mp4", movie, frame_rate_hz=30, exact=True)
    files = [tmp_path / name for name in ("one.npy", "two.tif", "three.mp4")]
    run(mouse.folder, "--encoders", *encoders, "--session", 1, "--out", out, "--videos", *files)
    said = capsys.readouterr().out
    assert "correlation" not in said and "one.npy" in said
    behavior, center = (
        np.repeat(mouse.statistics[kind].mean[:, None], len(movie), axis=1) for kind in ("behavior", "pupil_center")
    )
    trial = nr.Trial(video=movie, behavior=behavior, pupil_center=center, frame_rate_hz=30)
    expected = nr.predict([nr.load_encoder(file, session=1) for file in encoders], trial)
    for name in ("one", "two", "three"):
        dataset = xr.load_dataset(out / f"{name}.nc", engine="h5netcdf", decode_times=False)
        np.testing.assert_allclose(dataset["predicted"], expected, rtol=1e-6)


def test_a_watchable_video_comes_close(mouse: nr.Recording, tmp_path: Path) -> None:
    rows, columns, frames = np.ogrid[:12, :16, :30]
    movie = (127 + 100 * np.sin(0.2 * rows + 0.15 * columns + 0.1 * frames)).transpose(2, 0, 1)
    write_mp4(tmp_path / "movie.mp4", movie, frame_rate_hz=30, scale=1)
    read = movie_trial(tmp_path / "movie.mp4", mouse).needs_video()
    assert np.abs(read - movie).max() < 8


def test_movies_that_do_not_fit(
    mouse: nr.Recording, encoders: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    movie = grey_movie().astype(np.float32)
    arrays = {
        "small": (movie[:, :, :8], "8x12 pixels .width x height., the recording's movies are 16x12"),
        "sideways": (np.moveaxis(movie, 0, -1), "looks like .height, width, frames."),
        "colour": (np.stack([movie] * 3, axis=-1), "must have 3 axes"),
        "unit": (movie / 255, "largest grey level is 1, .*multiply the movie by 255"),
        "bright": (movie * 2, "grey levels from 0 to 510"),
        "holes": (np.where(movie > 200, np.nan, movie), "NaN"),
        "short": (movie[:20], "20 frames, the model's window is 32"),
    }
    for name, (array, message) in arrays.items():
        np.save(tmp_path / f"{name}.npy", array)
        check(message, capsys, mouse, encoders, tmp_path, f"{name}.npy")
    write_mp4(tmp_path / "slow.mp4", movie, frame_rate_hz=24, exact=True)
    check("runs at 24 Hz, the model at 30 Hz", capsys, mouse, encoders, tmp_path, "slow.mp4")
    write_tiff(tmp_path / "slow.tif", movie, frame_rate_hz=24)
    check("runs at 24 Hz, the model at 30 Hz", capsys, mouse, encoders, tmp_path, "slow.tif")
    write_mp4(tmp_path / "large.mp4", movie, frame_rate_hz=30)
    check("the recording's movies are 16x12: resize it", capsys, mouse, encoders, tmp_path, "large.mp4")
    write_tiff(tmp_path / "two.tif", movie, frame_rate_hz=30, truth=movie)
    check("must be .frames, height, width., grey", capsys, mouse, encoders, tmp_path, "two.tif")


@pytest.mark.parametrize("name", ["damaged.npy", "damaged.tif", "damaged.mp4", "absent.mp4", "movie.txt"])
def test_files_that_are_no_movies(
    name: str, mouse: nr.Recording, encoders: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if name != "absent.mp4":
        (tmp_path / name).write_bytes(b"no movie at all")
    check(f"{name} (cannot be read|ends in)|there is no file", capsys, mouse, encoders, tmp_path, name)


def check(
    message: str, capsys: pytest.CaptureFixture[str], mouse: nr.Recording, encoders: list[Path], folder: Path, name: str
) -> None:
    """The movie is refused with this message, and nothing is written."""
    common = ["--encoders", encoders[0], "--session", 1, "--out", folder / "out"]
    error = refused(capsys, mouse.folder, *common, "--videos", folder / name)
    assert name in error
    assert re.search(message, error), error
    assert not (folder / "out").exists()


def test_two_movies_of_one_name(
    mouse: nr.Recording, encoders: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        np.save(tmp_path / folder / "movie.npy", grey_movie())
    files = [tmp_path / folder / "movie.npy" for folder in ("a", "b")]
    error = refused(capsys, mouse.folder, "--encoders", encoders[0], "--out", tmp_path / "out", "--videos", *files)
    assert "movie.nc" in error and "several movies" in error


def test_mean_behavior_must_be_stored(mouse: nr.Recording, tmp_path: Path) -> None:
    movie = tmp_path / "movie.npy"
    np.save(movie, grey_movie())
    without = nr.open_recording(mouse.folder)
    without.statistics.clear()
    with pytest.raises(nr.InputError, match=r"stores no mean of its behavior .*write_recording"):
        movie_trial(movie, without)

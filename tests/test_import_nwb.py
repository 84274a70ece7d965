"""NWB files become recordings: the same numbers, on the movie's clock, without being read whole."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import neuroreel as nr
from films import noise, write_film
from neuroreel.cli import main
from neuroreel.recordings.nwb import series as nwb_series
from neuroreel.recordings.nwb.contents import Found
from neuroreel.recordings.nwb.images import Look, Stimulus, open_stimulus
from nwb_files import add_behavior, add_movie, add_responses, empty_file, ophys, write

RATE = 30.0


@pytest.fixture(scope="module")
def mouse(tmp_path_factory: pytest.TempPathFactory) -> nr.Recording:
    folder = tmp_path_factory.mktemp("simulated") / "mouse"
    return nr.simulate(folder, trials=7, seconds=2, neurons=6, height=12, width=16, progress=False)


def session_of(mouse: nr.Recording) -> Any:
    """The mouse's trials one after the other, a second of rest after each, as one NWB session."""
    nwb, rest = empty_file(), 30
    trials = list(mouse.trials)
    nwb.add_trial_column("tier", "of the trial")

    def whole(arrays: list[Any]) -> Any:
        return np.concatenate([np.pad(array, ((0, rest), (0, 0))) for array in arrays])

    start = 0.0
    for trial, tier in zip(trials, mouse.tiers, strict=True):
        nwb.add_trial(start_time=start, stop_time=start + trial.duration_s, tier=tier)
        start += trial.duration_s + rest / RATE
    videos = [trial.needs_video().astype(np.uint8) for trial in trials]
    stamps = np.concatenate([np.arange(60) / RATE + 3 * k for k in range(len(trials))])
    add_movie(nwb, np.concatenate(videos), timestamps=stamps)
    add_responses(nwb, whole([np.asarray(trial.responses).T for trial in trials]))
    behavior = whole([np.asarray(trial.behavior).T for trial in trials])
    center = whole([np.asarray(trial.pupil_center).T for trial in trials])
    add_behavior(nwb, pupil=behavior[:, 0], running=behavior[:, 1], center=center)
    return nwb


def noise_session(*, seconds: float = 4, neurons: int = 3, seed: int = 0) -> Any:
    """One movie at 30 Hz, with responses on the same clock; no trials."""
    random, nwb, frames = np.random.default_rng(seed), empty_file(), round(seconds * RATE)
    add_movie(nwb, random.integers(0, 256, (frames, 6, 8)).astype(np.uint8))
    add_responses(nwb, random.random((frames, neurons), np.float32))
    return nwb


def data_of(nwb: Any, name: str = "dff") -> Any:
    return ophys(nwb)["DfOverF"][name].data


def test_a_session_comes_back_as_it_was(mouse: nr.Recording, tmp_path: Path) -> None:
    file = write(session_of(mouse), tmp_path / "session.nwb")
    said: list[str] = []
    read = nr.import_nwb(file, tmp_path / "mouse", say=said.append)
    assert read.tiers == mouse.tiers
    assert read.frame_rate_hz == RATE
    np.testing.assert_array_equal(read.unit_ids, 100 + np.arange(6))
    assert read.coordinates is not None
    np.testing.assert_allclose(read.coordinates, [[2 * k, 4 * k + 2] for k in range(6)])
    for ours, theirs in zip(read.trials, mouse.trials, strict=True):
        np.testing.assert_array_equal(ours.video, theirs.needs_video().astype(np.uint8))
        for kind in ("responses", "behavior", "pupil_center"):
            np.testing.assert_array_equal(getattr(ours, kind), np.asarray(getattr(theirs, kind), np.float32))
    made_of = json.loads((read.folder / "meta" / "nwb.json").read_text())
    assert made_of["responses"][0].startswith("processing/ophys/DfOverF/dff (")
    assert made_of["behavior"] == [
        "processing/behavior/PupilTracking/pupil_dilation",
        "processing/behavior/BehavioralTimeSeries/running_speed",
    ]
    assert made_of["left_out"] == {}
    assert "trials: 7, at 30 frames per second" in said


def test_positions_of_image_masks(tmp_path: Path) -> None:
    nwb = empty_file()
    add_movie(nwb, np.full((60, 4, 4), 9, np.uint8))
    add_responses(nwb, np.ones((60, 3)), masks=False)
    read = nr.import_nwb(write(nwb, tmp_path / "a.nwb"), tmp_path / "a")
    np.testing.assert_allclose(read.coordinates, [[0, 2], [2, 6], [4, 10]])  # type: ignore[arg-type]


def test_stretches_between_pauses_are_trials(tmp_path: Path) -> None:
    nwb = empty_file()
    stamps = np.concatenate([np.arange(20) / RATE, 5 + np.arange(30) / RATE])
    movie = np.random.default_rng(0).integers(0, 256, (50, 4, 5)).astype(np.uint8)
    add_movie(nwb, movie, timestamps=stamps)
    add_responses(nwb, np.ones((240, 2)))
    read = nr.import_nwb(write(nwb, tmp_path / "a.nwb"), tmp_path / "a")
    assert [trial.frames for trial in read.trials] == [20, 30]
    np.testing.assert_array_equal(read.trials[1].video, movie[20:])


def test_an_index_series_shows_its_images_again_and_again(tmp_path: Path) -> None:
    nwb = empty_file()
    images = np.random.default_rng(0).integers(0, 256, (15, 4, 5)).astype(np.uint8)
    index_series(nwb, np.tile(np.arange(15, dtype=np.uint32), 2), images)
    add_responses(nwb, np.ones((40, 2)))
    read = nr.import_nwb(write(nwb, tmp_path / "a.nwb"), tmp_path / "a")
    assert len(read.trials) == 2
    for trial in read.trials:
        np.testing.assert_array_equal(trial.video, images)


def test_films_are_shown_in_any_order(tmp_path: Path) -> None:
    from pynwb.image import ImageSeries

    from neuroreel.recordings.nwb.images import _Films

    for number in range(2):
        np.save(tmp_path / f"{number}.npy", np.arange(5, dtype=np.uint8)[:, None, None] + 10 * number)
    files = {"external_file": ["0.npy", "1.npy"], "starting_frame": [0, 5], "format": "external", "num_samples": 10}
    films = _Films(ImageSeries(name="film", unit="n.a.", rate=1.0, **files), path="film", folder=tmp_path)
    assert films.read(np.array([7, 0, 9, 4, 5, 0])).ravel().tolist() == [12, 0, 14, 4, 10, 0]


def test_damage_inside_the_file_is_told(tmp_path: Path) -> None:
    import h5py
    from pynwb import H5DataIO

    nwb = empty_file()
    add_movie(nwb, np.full((60, 4, 4), 9, np.uint8))
    add_responses(nwb, H5DataIO(np.random.default_rng(0).random((60, 50)), compression="gzip", chunks=(60, 50)))
    file = write(nwb, tmp_path / "a.nwb")
    with h5py.File(file) as opened:
        chunk = opened["processing/ophys/DfOverF/dff/data"].id.get_chunk_info(0)
    content = bytearray(file.read_bytes())
    content[chunk.byte_offset : chunk.byte_offset + chunk.size] = bytes(chunk.size)
    file.write_bytes(content)
    with pytest.raises(nr.InputError, match=r"trial 0 cannot be read from the NWB file .*copy it again"):
        nr.import_nwb(file, tmp_path / "out")


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    nwb = noise_session()
    add_behavior(nwb, running=np.arange(120.0))
    nwb.add_trial(start_time=0.0, stop_time=2.0)
    file = write(nwb, tmp_path / "a.nwb")
    main(["import", str(file), "--list"])
    shown = capsys.readouterr().out
    assert "--responses\n  processing/ophys/DfOverF/dff (RoiResponseSeries, 120 x 3, 30 Hz)" in shown
    assert "--stimulus\n  stimulus/movie (ImageSeries, 120 x 6 x 8, 30 Hz)" in shown
    assert "--pupil\n  nothing that looks like it" in shown
    assert "--trials\n  trials (1 rows; columns start_time, stop_time)" in shown
    np.save(tmp_path / "keep.npy", [2, 0])
    options = ["--neurons", tmp_path / "keep.npy", "--size", 3, 4, "--trial-seconds", 1, "--leave-out", 1]
    main(["import", str(file), "--out", str(tmp_path / "mouse"), *map(str, options)])
    assert "left out: 1, because leave_out names it" in capsys.readouterr().out
    (trial,) = nr.open_recording(tmp_path / "mouse").trials
    np.testing.assert_array_equal(trial.responses, data_of(nwb)[:30, [2, 0]].T)
    np.testing.assert_array_equal(trial.behavior, [np.arange(30)])
    assert trial.needs_video().shape == (30, 3, 4)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["a.nwb"], "no folder was given; give one with --out"),
        (["a.csv", "--out", "b", "--size", "3", "4"], "--size: only for NWB files"),
        (["a.csv", "--out", "b", "--image-axes", "width-height"], "--image-axes: only for NWB files"),
        (["a.csv", "--list"], "--list shows what an NWB file holds"),
        (["a.mat", "--out", "b"], "ends in '.mat'; give a file that ends in .nwb, .csv, .tsv"),
        (["a.csv", "--out", "b"], "there is no file a.csv"),
    ],
)
def test_the_command_refuses(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["import", *arguments])
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err


def test_units_positions_and_long_chunks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Conversion and offset; columns x, y, z; and chunks too large to be kept, which change no number."""
    from pynwb import H5DataIO

    nwb, random = empty_file(), np.random.default_rng(0)
    stored = random.integers(0, 1000, (90, 3)).astype(np.int16)
    add_movie(nwb, np.full((90, 4, 4), 9, np.uint8))
    add_responses(nwb, H5DataIO(stored, chunks=(90, 1)), rate=30.0, conversion=0.5, offset=2.0)
    table = ophys(nwb)["ImageSegmentation"]["plane_dff"]
    places = random.random((3, 3))
    for axis, name in enumerate("xyz"):
        table.add_column(name=name, description=name, data=places[:, axis])
    file = write(nwb, tmp_path / "a.nwb")
    read = nr.import_nwb(file, tmp_path / "a", trial_seconds=1)
    np.testing.assert_array_equal(read.coordinates, places)  # type: ignore[arg-type]
    monkeypatch.setattr(nwb_series, "_KEPT_BYTES", 0)
    again = nr.import_nwb(file, tmp_path / "b", trial_seconds=1)
    for number in range(3):
        wanted = stored[30 * number : 30 * (number + 1)].T * np.float32(0.5) + np.float32(2)
        np.testing.assert_array_equal(read.trials[number].responses, wanted)
        np.testing.assert_array_equal(again.trials[number].responses, wanted)


def test_timestamps_in_milliseconds_keep_every_image(tmp_path: Path) -> None:
    nwb, movie = empty_file(), np.random.default_rng(0).integers(0, 256, (300, 4, 5)).astype(np.uint8)
    stamps = np.round(np.arange(300) / RATE, 3)
    add_movie(nwb, movie, timestamps=stamps)
    ramp = np.arange(400)[:, None] / RATE
    add_responses(nwb, ramp)
    said: list[str] = []
    read = nr.import_nwb(write(nwb, tmp_path / "a.nwb"), tmp_path / "a", say=said.append)
    np.testing.assert_array_equal(read.trials[0].video, movie)
    np.testing.assert_allclose(read.trials[0].responses, [stamps], atol=1e-6)  # type: ignore[arg-type]
    assert read.frame_rate_hz == pytest.approx(299 / stamps[-1], rel=1e-5)
    assert 0.3 < about(read)["largest_deviation_ms"] <= 1
    assert not any(line.startswith("clock:") for line in said)


def about(recording: nr.Recording) -> dict[str, Any]:
    return dict(json.loads((recording.folder / "meta" / "nwb.json").read_text()))


def test_dropped_frames_are_repeated_and_told(tmp_path: Path) -> None:
    nwb, movie = empty_file(), np.random.default_rng(0).integers(0, 256, (60, 4, 5)).astype(np.uint8)
    add_movie(nwb, movie, timestamps=np.delete(np.arange(62) / RATE, [20, 40]))
    add_responses(nwb, np.ones((80, 2)))
    said: list[str] = []
    read = nr.import_nwb(write(nwb, tmp_path / "a.nwb"), tmp_path / "a", say=said.append)
    shown = np.insert(np.arange(60), [20, 39], [19, 38])
    np.testing.assert_array_equal(read.trials[0].video, movie[shown])
    assert said[-1].startswith("clock: images come on up to ")
    assert said[-1].endswith("of 30 frames per second; 2 of 62 frames repeat an image, and 0 images are in no frame")
    assert about(read)["frames_that_repeat_an_image"] == 2


def test_strong_jitter_is_told(tmp_path: Path) -> None:
    """Half a frame off and more: no image is lost, but frames are not where the images came on."""
    nwb, stamps = empty_file(), np.arange(60) / RATE
    stamps[[20, 40]] += [-0.4 / RATE, 0.4 / RATE]
    add_movie(nwb, np.full((60, 2, 3), 9, np.uint8), timestamps=stamps)
    add_responses(nwb, np.ones((80, 2)))
    said: list[str] = []
    nr.import_nwb(write(nwb, tmp_path / "a.nwb"), tmp_path / "a", say=said.append)
    assert said[-1] == (
        "clock: images come on up to 13.3 ms off a regular clock of 30 frames per second; 0 of 60 frames repeat an "
        "image, and 0 images are in no frame"
    )


def test_jitter_shifts_no_trial(tmp_path: Path) -> None:
    """Running at about twice the rate of the film: which rule holds must not depend on the jitter within a trial."""
    random, nwb = np.random.default_rng(0), empty_file()
    times = np.arange(0, 41, 1 / 60)
    times += random.uniform(-5e-5, 5e-5, len(times))
    add_movie(nwb, np.full((1200, 2, 3), 9, np.uint8))
    add_responses(nwb, np.ones((1300, 1)))
    add_behavior(nwb, running=times, timestamps=times)
    read = nr.import_nwb(write(nwb, tmp_path / "a.nwb"), tmp_path / "a", trial_seconds=2)
    assert len(read.trials) == 20
    onsets = np.arange(1200).reshape(20, 1, 60) / RATE
    np.testing.assert_allclose([trial.behavior for trial in list(read.trials)[1:]], onsets[1:], atol=1e-4)


def test_samples_without_a_time_are_missing_ones(tmp_path: Path) -> None:
    nwb, stamps = noise_session(), np.arange(180) / RATE
    stamps[[50, 51, 52]] = np.nan
    add_behavior(nwb, running=np.arange(180.0), timestamps=stamps)
    said: list[str] = []
    read = nr.import_nwb(write(nwb, tmp_path / "a.nwb"), tmp_path / "a", say=said.append)
    np.testing.assert_allclose(read.trials[0].behavior, [np.arange(120)], rtol=1e-6)  # type: ignore[arg-type]
    path = "processing/behavior/BehavioralTimeSeries/running_speed"
    assert said[-1] == f"gaps: 3 of 120 frames are where samples of {path} are missing, and are interpolated"


def test_gaps_of_responses_are_told(tmp_path: Path) -> None:
    nwb, stamps = empty_file(), np.delete(np.arange(120) / RATE, np.arange(60, 75))
    add_movie(nwb, np.full((120, 2, 3), 9, np.uint8))
    add_responses(nwb, np.ones((105, 2)), timestamps=stamps)
    said: list[str] = []
    read = nr.import_nwb(write(nwb, tmp_path / "a.nwb"), tmp_path / "a", say=said.append)
    assert "gaps: 15 of 120 frames are where samples of processing/ophys/DfOverF/dff are missing" in said[-1]
    assert about(read)["frames_in_gaps"] == {"processing/ophys/DfOverF/dff": 15}


def index_series(nwb: Any, shown: Any, images: Any, **about: Any) -> None:
    """In an older way, which files still have."""
    from pynwb.image import ImageSeries, IndexSeries

    template = ImageSeries(name="template", data=images, unit="n.a.", rate=30.0, **about)
    nwb.add_stimulus_template(template)
    series = IndexSeries.__new__(IndexSeries, in_construct_mode=True)
    series.__init__(name="shown", data=shown, indexed_timeseries=template, unit="N/A", rate=30.0)
    nwb.add_stimulus(series)


def test_number_minus_one_is_a_blank(tmp_path: Path) -> None:
    nwb, images = empty_file(), np.random.default_rng(0).integers(0, 256, (20, 4, 5)).astype(np.uint8)
    shown = np.tile(np.arange(20), 2)
    shown[[0, 7, 39]] = -1
    index_series(nwb, shown.astype(np.uint32), images)
    add_responses(nwb, np.ones((60, 2)))
    said: list[str] = []
    read = nr.import_nwb(write(nwb, tmp_path / "a.nwb"), tmp_path / "a", say=said.append)
    assert [trial.frames for trial in read.trials] == [20, 20]  # a blank is no new start of the movie
    for trial, numbers in zip(read.trials, np.split(shown, 2), strict=True):
        wanted = np.where((numbers == -1)[:, None, None], 127, images[numbers])
        np.testing.assert_array_equal(trial.video, wanted)
    assert "blanks: 3 of 40 frames have no image (number -1) and are grey 127" in said


def opened(series: Any, *, axes: Any = "auto") -> Stimulus:
    return open_stimulus(Found("stimulus/shown", series), folder=Path(), axes=axes)


@pytest.mark.parametrize("kind", [np.int8, np.int32, np.int64, np.uint8, np.uint16, np.uint32, np.uint64, np.float64])
def test_minus_one_in_any_type(kind: type) -> None:
    nwb, shown = empty_file(), np.array([3, -1, 4, 0])
    index_series(nwb, shown.astype(np.int64).astype(kind), np.zeros((20, 2, 3), np.uint8))
    stimulus = opened(nwb.stimulus["shown"])
    np.testing.assert_array_equal(stimulus.shown, shown)
    np.testing.assert_array_equal(stimulus.restarts, [3])


@pytest.mark.parametrize(
    ("shown", "message"),
    [
        (np.array([0, 1, -2]), "shows image -2, but the images are numbered 0 to 19"),
        (np.array([0, 1, 20]), "shows image 20, but the images are numbered 0 to 19"),
        (np.array([0, 1, 0.5]), "numbers of images that are not whole"),
        (np.array([0, 1, np.nan]), "numbers of images that are not whole"),
        (np.zeros(0, np.int64), "shows no image at all"),
    ],
)
def test_impossible_numbers_of_images(shown: Any, message: str) -> None:
    nwb = empty_file()
    index_series(nwb, shown, np.zeros((20, 2, 3), np.uint8))
    with pytest.raises(nr.InputError, match=message):
        opened(nwb.stimulus["shown"])


@pytest.mark.parametrize("color", [False, True])
@pytest.mark.parametrize("indexed", [False, True])
@pytest.mark.parametrize(
    ("turned", "dimension", "axes", "upright"),
    [
        (False, None, "auto", True),
        (False, [5, 4], "auto", True),
        (True, [5, 4], "auto", True),
        (True, None, "auto", False),
        (True, None, "width-height", True),
        (False, [4, 5], "auto", False),  # NWB's schema has the width first
        (False, [4, 5], "height-width", True),
        (True, [5, 4, 3], "auto", True),
        (True, [9, 9], "auto", False),
    ],
)
def test_the_order_of_axes(
    turned: bool, dimension: list[int] | None, axes: Any, upright: bool, color: bool, indexed: bool
) -> None:
    nwb, movie = empty_file(), np.random.default_rng(0).integers(0, 256, (30, 4, 5)).astype(np.uint8)
    stored = movie.swapaxes(1, 2) if turned else movie
    stored = np.repeat(stored[..., None], 3, axis=3) if color else stored
    if indexed:
        index_series(nwb, np.arange(30), stored, dimension=dimension)
    else:
        add_movie(nwb, stored, name="shown", dimension=dimension, rate=RATE)
    stimulus = opened(nwb.stimulus["shown"], axes=axes)
    wanted = movie if upright else movie.swapaxes(1, 2)
    np.testing.assert_allclose(stimulus.read(np.arange(30), Look(), what=""), wanted, atol=1e-3)
    assert stimulus.images.size() == wanted.shape[1:]


def test_the_summary_tells_size_and_axes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    nwb = empty_file()
    add_movie(nwb, np.full((30, 6, 4), 9, np.uint8), dimension=[6, 4], rate=RATE)
    add_responses(nwb, np.ones((30, 2)))
    file = write(nwb, tmp_path / "a.nwb")
    main(["import", str(file), "--out", str(tmp_path / "a")])
    said = capsys.readouterr().out
    assert "stimulus/movie, stored as (frame, width, height), as its dimension [6, 4] says\n" in said
    assert "movie: 6x4 pixels (width x height)\n" in said
    main(["import", str(file), "--out", str(tmp_path / "b"), "--image-axes", "height-width"])
    assert "movie: 4x6 pixels (width x height)\n" in capsys.readouterr().out


def spoil_timestamps(file: Path, path: str) -> Path:
    """Two rows of timestamps, which pynwb refuses."""
    import h5py

    with h5py.File(file, "a") as opened:
        group = opened[path]
        data, kept = group["timestamps"][()], dict(group["timestamps"].attrs)
        del group["timestamps"]
        group["timestamps"] = np.stack([data, data])
        group["timestamps"].attrs.update(kept)
    return file


def test_a_series_that_cannot_be_read_is_named_and_can_be_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    nwb = noise_session()
    add_behavior(nwb, running=np.arange(120.0), pupil=np.arange(120.0), timestamps=np.arange(120) / RATE)
    running = "processing/behavior/BehavioralTimeSeries/running_speed"
    file = spoil_timestamps(write(nwb, tmp_path / "a.nwb"), running)
    with pytest.raises(nr.InputError) as refused:
        nr.import_nwb(file, tmp_path / "a")
    said = str(refused.value)
    assert said.startswith(
        f"{running} (TimeSeries) cannot be read: TimeSeries.__init__: incorrect shape for timestamps"
    )
    assert "running=" in said and len(said) < 300
    main(["import", str(file), "--list"])
    assert f"--running\n  {running} (TimeSeries) cannot be read" in capsys.readouterr().out
    lines: list[str] = []
    read = nr.import_nwb(file, tmp_path / "a", running="none", say=lines.append)
    np.testing.assert_array_equal(read.trials[0].behavior, [np.arange(120)])
    assert lines[-1].startswith(f"{running} (TimeSeries) cannot be read")


@pytest.mark.parametrize("path", ["stimulus/presentation/movie", "processing/ophys/DfOverF/dff"])
def test_what_is_needed_and_cannot_be_read(tmp_path: Path, path: str) -> None:
    nwb, clock = empty_file(), {"timestamps": np.arange(60) / RATE}
    add_movie(nwb, np.full((60, 2, 3), 9, np.uint8), **clock)
    add_responses(nwb, np.ones((60, 2)), **clock)
    file = spoil_timestamps(write(nwb, tmp_path / "a.nwb"), path)
    with pytest.raises(nr.InputError, match=r"(stimulus/movie|DfOverF/dff) \(.*\) cannot be read: .*incorrect shape"):
        nr.import_nwb(file, tmp_path / "a")


def test_a_table_of_trials_that_cannot_be_read_is_not_passed_over() -> None:
    from pynwb.epoch import TimeIntervals

    from neuroreel.recordings.nwb.contents import Unreadable, read_contents
    from neuroreel.recordings.nwb.shows import find_epochs

    broken = Unreadable("intervals/trials", TimeIntervals, None, "columns of different lengths")
    contents = read_contents(noise_session(), [broken])
    assert contents.lines()[-1] == "intervals/trials (TimeIntervals) cannot be read: columns of different lengths"
    with pytest.raises(nr.InputError, match=r"columns of different lengths; please correct .* with trials="):
        find_epochs(contents.intervals, [], trials="auto", tier_column=None, trial_seconds=None)


def film_session(folder: Path, **files: Any) -> Path:
    """A film of 20 and one of 25 frames beside the file."""
    from pynwb.image import ImageSeries

    nwb = empty_file()
    for number, frames in enumerate((20, 25)):
        np.save(folder / f"{number}.npy", np.full((frames, 4, 5), 9, np.uint8))
    series = ImageSeries.__new__(ImageSeries, in_construct_mode=True)
    given = {"external_file": ["0.npy", "1.npy"], "starting_frame": [0, 20], "format": "external"} | files
    series.__init__(name="film", unit="n.a.", **given)
    nwb.add_stimulus(series)
    add_responses(nwb, np.ones((60, 2)))
    return write(nwb, folder / "a.nwb")


@pytest.mark.filterwarnings("ignore:.*starting_frame")  # pynwb sees it too
@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"timestamps": np.arange(44) / RATE}, r"1\.npy has 25 frames, but stimulus/film has .* for 24"),
        ({"timestamps": np.arange(46) / RATE}, r"1\.npy has 25 frames, but stimulus/film has .* for 26"),
        ({"starting_frame": [0, 21], "rate": RATE}, r"0\.npy has 20 frames, but stimulus/film has .* for 21"),
        ({"starting_frame": [0, 0], "rate": RATE}, r"2 files and the starting frames \[0, 0\]"),
        ({"starting_frame": [1, 20], "rate": RATE}, r"2 files and the starting frames \[1, 20\]"),
        ({"starting_frame": [0], "rate": RATE}, r"2 files and the starting frames \[0\]"),
    ],
)
def test_films_whose_frames_do_not_fit_their_clock(tmp_path: Path, files: dict[str, Any], message: str) -> None:
    with pytest.raises(nr.InputError, match=message):
        nr.import_nwb(film_session(tmp_path, **files), tmp_path / "a")


def test_films_may_leave_their_number_of_frames_open(tmp_path: Path) -> None:
    assert nr.import_nwb(film_session(tmp_path, rate=RATE), tmp_path / "a").trials[0].frames == 45


def test_a_film_of_varying_rate_is_taken_by_the_timestamps(tmp_path: Path) -> None:
    """Its own clock has pauses; each stored frame is shown when the NWB file says."""
    from pynwb.image import ImageSeries

    write_film(tmp_path / "film.mkv", noise(60), ticks="3000*(N+floor(N/10))")
    nwb = empty_file()
    stamps = np.arange(60) / RATE
    series = ImageSeries(
        name="film", external_file=["film.mkv"], starting_frame=[0], format="external", timestamps=stamps
    )
    nwb.add_stimulus(series)
    add_responses(nwb, np.ones((60, 2)))
    read = nr.import_nwb(write(nwb, tmp_path / "a.nwb"), tmp_path / "a")
    np.testing.assert_array_equal(read.trials[0].video, noise(60))


def test_pictures_held_on_the_screen_become_frames(tmp_path: Path) -> None:
    from pynwb.base import ImageReferences, Images
    from pynwb.image import GrayscaleImage, IndexSeries

    nwb = empty_file()
    pictures = [GrayscaleImage(name=f"p{k}", data=np.full((4, 5), 50 * k, np.uint8)) for k in range(3)]
    order = ImageReferences(name="order_of_images", data=[pictures[2], pictures[0], pictures[1]])
    images = Images(name="pictures", images=pictures, order_of_images=order)
    nwb.add_stimulus_template(images)
    shown = np.array([0, 2, 1], np.uint32)
    nwb.add_stimulus(
        IndexSeries(name="shown", data=shown, indexed_images=images, unit="N/A", timestamps=[0.5, 1.0, 1.5])
    )
    nwb.add_trial(start_time=0.5, stop_time=1.9)
    add_responses(nwb, np.ones((90, 2)))
    read = nr.import_nwb(write(nwb, tmp_path / "a.nwb"), tmp_path / "a", frame_rate_hz=10)
    np.testing.assert_array_equal(read.trials[0].needs_video()[:, 0, 0], [100] * 5 + [50] * 5 + [0] * 4)
    assert opened(nwb.stimulus["shown"], axes="width-height").images.size() == (5, 4)


@pytest.mark.parametrize("scale", [1, 2])
def test_grey_levels_size_and_colour(tmp_path: Path, scale: int) -> None:
    nwb, random = empty_file(), np.random.default_rng(0)
    colours = random.random((30, 4 * scale, 6 * scale, 3))
    add_movie(nwb, colours)
    add_responses(nwb, np.ones((30, 2)))
    file = write(nwb, tmp_path / "a.nwb")
    with pytest.raises(nr.InputError, match=r"grey_levels=\(0, 1\)"):
        nr.import_nwb(file, tmp_path / "a")
    read = nr.import_nwb(file, tmp_path / "a", grey_levels=(0, 1), size=(4, 6))
    luma = 255 * (colours @ [0.299, 0.587, 0.114])
    wanted = luma.reshape(30, 4, scale, 6, scale).mean(axis=(2, 4))
    np.testing.assert_allclose(read.trials[0].video, wanted, atol=1e-3)  # type: ignore[arg-type]


def test_a_movie_in_a_file_beside(tmp_path: Path) -> None:
    from pynwb.image import ImageSeries

    random, nwb = np.random.default_rng(0), empty_file()
    movies = [random.integers(0, 256, (frames, 4, 5)).astype(np.uint8) for frames in (20, 25)]
    for number, movie in enumerate(movies):
        np.save(tmp_path / f"{number}.npy", movie)
    files = {"external_file": ["0.npy", "1.npy"], "starting_frame": [0, 20], "format": "external", "num_samples": 45}
    series = ImageSeries(name="film", unit="n.a.", rate=30.0, **files)
    nwb.add_stimulus(series)
    add_responses(nwb, np.ones((45, 2)))
    read = nr.import_nwb(write(nwb, tmp_path / "a.nwb"), tmp_path / "a")
    np.testing.assert_array_equal(read.trials[0].video, np.concatenate(movies))
    (tmp_path / "0.npy").unlink()
    with pytest.raises(nr.InputError, match=r"0\.npy, which does not exist"):
        nr.import_nwb(tmp_path / "a.nwb", tmp_path / "b")


def test_planes_follow_each_other_and_neurons_are_chosen(tmp_path: Path) -> None:
    nwb = noise_session()
    add_responses(nwb, np.random.default_rng(1).random((120, 2)).astype(np.float32), name="deeper")
    file = write(nwb, tmp_path / "a.nwb")
    with pytest.raises(nr.InputError, match=r"2 series that could be its responses; name one with responses='NAME'"):
        nr.import_nwb(file, tmp_path / "a")
    both = nr.import_nwb(file, tmp_path / "a", responses=["dff", "deeper"], trial_seconds=2)
    assert [trial.frames for trial in both.trials] == [60, 60]
    everything = np.concatenate([data_of(nwb), data_of(nwb, "deeper")], axis=1).T
    np.testing.assert_array_equal(both.trials[1].responses, everything[:, 60:])
    np.testing.assert_array_equal(both.unit_ids, np.arange(5))  # the planes' own ids overlap
    keep = np.array([True, False, False, True, False])
    some = nr.import_nwb(file, tmp_path / "b", responses=["d[ef]*"], neurons=keep)
    deeper_first = np.roll(everything, 2, axis=0)  # in the order of the file
    np.testing.assert_array_equal(some.trials[0].responses, deeper_first[keep])
    with pytest.raises(nr.InputError, match="the file has 5 neurons"):
        nr.import_nwb(file, tmp_path / "c", responses=["D*"], neurons=np.array([5]))


def test_series_of_other_rates_are_brought_onto_the_frames(tmp_path: Path) -> None:
    """A ramp stays a ramp, whichever the rate: interpolated, or as the mean over a frame."""
    nwb = empty_file()
    add_movie(nwb, np.full((300, 4, 4), 9, np.uint8), rate=30.0, starting_time=1.0)
    slow, fast = np.arange(0, 12, 1 / 7), np.arange(0, 12, 1 / 300)
    add_responses(nwb, np.stack([slow, 2 * slow], axis=1), rate=7.0)
    pupil = fast.copy()
    pupil[900:1000] = np.nan  # a blink
    add_behavior(nwb, pupil=pupil, running=-fast, rate=300.0)
    (trial,) = nr.import_nwb(write(nwb, tmp_path / "a.nwb"), tmp_path / "a").trials
    frames_s = 1 + np.arange(300) / 30
    np.testing.assert_allclose(trial.responses, [frames_s, 2 * frames_s], rtol=1e-5)  # type: ignore[arg-type]
    np.testing.assert_allclose(trial.behavior, [frames_s, -frames_s], rtol=1e-5)  # type: ignore[arg-type]


def test_trials_that_cannot_be_used_are_left_out_and_told(tmp_path: Path) -> None:
    nwb = empty_file()
    stamps = np.concatenate([np.arange(60) / RATE, 10 + np.arange(60) / RATE, 20 + np.arange(60) / RATE])
    add_movie(nwb, np.full((180, 4, 4), 9, np.uint8), timestamps=stamps)
    add_responses(nwb, np.ones((400, 2)))  # 13 s
    for start, stop in ((0, 2), (5, 7), (0, 12), (10, 12), (0, 0.1), (20, 22), (np.nan, np.nan)):
        nwb.add_trial(start_time=float(start), stop_time=float(stop))
    said: list[str] = []
    read = nr.import_nwb(write(nwb, tmp_path / "a.nwb"), tmp_path / "a", leave_out=[3], say=said.append)
    assert len(read.trials) == 1
    told = "\n".join(said)
    for count, reason in ((2, "no stimulus was shown"), (1, "the stimulus paused for 8 s"), (1, "leave_out names it")):
        assert f"left out: {count}, because {reason}" in told
    assert "left out: 1, because it has 3 frames; at least 5 are needed" in told
    assert "left out: 1, because responses were not recorded throughout" in told


def test_withheld_responses_stay_withheld(tmp_path: Path) -> None:
    nwb = empty_file()
    nwb.add_trial_column("split", "of the trial")
    nwb.add_trial(start_time=0.0, stop_time=2.0, split="train")
    nwb.add_trial(start_time=2.0, stop_time=4.0, split="none")
    add_movie(nwb, np.full((120, 4, 4), 9, np.uint8))
    add_responses(nwb, np.repeat([[1.0], [0.0]], 60, axis=0))
    file = write(nwb, tmp_path / "a.nwb")
    read = nr.import_nwb(file, tmp_path / "a")
    assert read.tiers == ("train", "none")
    assert read.trials[1].responses is None
    with pytest.raises(nr.InputError, match="has no column 'side'; it has start_time, stop_time, split"):
        nr.import_nwb(file, tmp_path / "b", tier_column="side")


def spoilt(case: str) -> tuple[Any, dict[str, Any], str]:
    """A file with one fault, the arguments, and what the message says."""
    nwb = noise_session()
    if case == "nan":
        data_of(nwb)[70, 1] = np.nan
        return nwb, {}, "1 of 3 neurons are NaN.*neuron 1.*leave_out=\\(0,\\).*neurons="
    if case == "long":
        nwb = empty_file()
        add_movie(nwb, np.zeros((121 * 3, 2, 2), np.uint8), rate=3.0)
        add_responses(nwb, np.ones((121 * 3, 2)), rate=3.0)
        return nwb, {}, "would last 121 s, more than 120.*trials=.*trial_seconds=10"
    if case == "no stimulus":
        nwb = empty_file()
        add_responses(nwb, np.ones((40, 2)))
        return nwb, {}, r"0 series that could be its stimulus; name one with stimulus='NAME': nothing"
    if case == "two stimuli":
        add_movie(nwb, np.zeros((120, 6, 8), np.uint8), name="other")
        return nwb, {"stimulus": ["*"]}, "no trial that can be used: several stimuli were shown at once"
    if case == "two pupils":
        add_behavior(nwb, pupil=np.ones(120))
        from pynwb import TimeSeries

        nwb.add_acquisition(TimeSeries(name="pupil_area", data=np.ones(120), unit="pixels", rate=30.0))
        return nwb, {}, "2 series that could be its pupil; name one with pupil='NAME', or leave it out with none"
    if case == "backwards":
        nwb = empty_file()
        stamps = np.arange(40) / RATE
        stamps[[7, 8]] = stamps[[8, 7]]
        add_movie(nwb, np.zeros((40, 2, 2), np.uint8), timestamps=stamps)
        add_responses(nwb, np.ones((40, 2)))
        return nwb, {}, "stimulus/movie has timestamps that do not increase, the first at sample 8"
    if case in ("nan stimulus", "nan responses"):
        nwb, stamps = empty_file(), {"timestamps": np.arange(40) / RATE}
        broken = {"timestamps": np.where(np.arange(40) == 7, np.nan, np.arange(40) / RATE)}
        add_movie(nwb, np.zeros((40, 2, 2), np.uint8), **(broken if case == "nan stimulus" else stamps))
        add_responses(nwb, np.ones((40, 2)), **(broken if case == "nan responses" else stamps))
        series = "stimulus/movie" if case == "nan stimulus" else "DfOverF/dff"
        return nwb, {}, f"{series}: 1 of 40 timestamps are NaN or infinite, the first that of sample 7"
    if case == "center first":
        from pynwb import TimeSeries

        nwb.add_acquisition(TimeSeries(name="pupil_center", data=np.ones((2, 120)), unit="pixels", rate=30.0))
        return nwb, {}, r"pupil_center has shape \(2, 120\); it must be \(samples, 2\), time first"
    arguments: dict[str, dict[str, Any]] = {
        "wrong axes": {"image_axes": "width"},
        "wrong name": {"responses": ["F"]},
        "wrong table": {"trials": "presentations"},
        "wrong rate": {"frame_rate_hz": -1},
        "wrong grey": {"grey_levels": (3, 3)},
        "wrong size": {"size": (0, 3)},
        "wrong pieces": {"trial_seconds": 0},
        "everything out": {"leave_out": [0]},
        "unknown out": {"leave_out": [0, 7]},
    }
    messages = {
        "wrong axes": "image_axes is 'width'; it must be one of auto, height-width, width-height",
        "wrong name": "nothing is called 'F'; give more of the path of one of:\n  processing/ophys/DfOverF/dff",
        "wrong table": "no table of intervals 'presentations'; there is none, or use 'stimulus'",
        "wrong rate": "frame_rate_hz is -1; it must be a positive number",
        "wrong grey": "values of black and white",
        "wrong size": "a height and a width of at least one pixel",
        "wrong pieces": "trial_seconds is 0; it must be a positive number",
        "unknown out": r"leave_out names \[7\]; the trials are numbered 0 to 0",
        "everything out": "no trial that can be used: leave_out names it",
    }
    return nwb, arguments[case], messages[case]


@pytest.mark.parametrize(
    "case",
    [
        *["nan", "long", "no stimulus", "two stimuli", "two pupils", "backwards", "wrong name", "wrong table"],
        *["wrong rate", "wrong grey", "wrong size", "wrong pieces", "everything out", "unknown out"],
        *["nan stimulus", "nan responses", "center first", "wrong axes"],
    ],
)
def test_bad_input_is_refused_and_nothing_is_left_behind(tmp_path: Path, case: str) -> None:
    nwb, arguments, message = spoilt(case)
    file = write(nwb, tmp_path / "a.nwb")
    with pytest.raises(nr.InputError, match=message):
        nr.import_nwb(file, tmp_path / "out", **arguments)
    assert [path.name for path in tmp_path.iterdir()] == ["a.nwb"]


def test_what_is_no_nwb_is_refused(tmp_path: Path) -> None:
    import h5py

    (tmp_path / "text.nwb").write_text("no HDF5")
    with h5py.File(tmp_path / "other.nwb", "w") as file:
        file["x"] = [1]
    whole = write(noise_session(), tmp_path / "whole.nwb").read_bytes()
    (tmp_path / "cut.nwb").write_bytes(whole[: len(whole) // 2])
    for name in ("text", "other", "cut"):
        with pytest.raises(nr.InputError, match=f"{name}.nwb cannot be .* as NWB"):
            nr.import_nwb(tmp_path / f"{name}.nwb", tmp_path / "out")
    with pytest.raises(nr.InputError, match="there is no file"):
        nr.import_nwb(tmp_path / "missing.nwb", tmp_path / "out")
    nr.import_nwb(tmp_path / "whole.nwb", tmp_path / "out")
    with pytest.raises(nr.InputError, match="already exists"):
        nr.import_nwb(tmp_path / "whole.nwb", tmp_path / "out")


BIG = """
import sys
from pathlib import Path
import pynwb, pynwb.ophys
import neuroreel as nr

def peak():  # of this process alone; getrusage counts its parent too
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) // 1024 for line in lines if line.startswith("VmHWM:"))

nr.import_nwb
before = peak()
recording = nr.import_nwb(sys.argv[1], sys.argv[2])
print(len(recording.trials), before, peak())
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux to tell the peak of memory")
def test_an_hour_of_8000_neurons_is_read_lazily(tmp_path: Path) -> None:
    """3.4 GB of responses and 0.5 GB of movie on the session's clock, chunks of which were never written."""
    import h5py
    from pynwb import H5DataIO  # type: ignore[attr-defined]

    frames, neurons = 60 * 60 * 30, 8000
    nwb = empty_file()
    for start in range(0, 3600, 300):
        nwb.add_trial(start_time=float(start), stop_time=start + 10.0)
    movie = {"shape": (frames, 36, 64), "dtype": np.uint8, "chunks": (300, 36, 64), "fillvalue": 90}
    add_movie(nwb, H5DataIO(**movie))
    from pynwb import TimeSeries

    responses = {"shape": (frames, neurons), "dtype": np.float32, "chunks": (1000, 500), "fillvalue": 0.5}
    ophys(nwb).add(TimeSeries(name="events", data=H5DataIO(**responses), unit="n.a.", rate=30.0))
    file = write(nwb, tmp_path / "big.nwb")
    assert file.stat().st_size < 50e6
    with h5py.File(file) as opened:
        assert opened["processing/ophys/events/data"].nbytes > 3.4e9
    done = subprocess.run(
        [sys.executable, "-c", BIG, str(file), str(tmp_path / "big")], capture_output=True, text=True, check=True
    )
    trials, before, peak = map(int, re.findall(r"\d+", done.stdout))
    assert trials == 12
    assert 0 < peak - before < 400, f"{before} MiB before, {peak} MiB at most"

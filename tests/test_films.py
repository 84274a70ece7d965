"""Video files, whose frames have a clock of their own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import neuroreel as nr
from films import noise, write_film
from neuroreel.recordings.movie_file import read_movie
from neuroreel.results.export import write_mp4


@pytest.mark.parametrize("ending", [".mp4", ".mkv"])
@pytest.mark.parametrize("by_number", [True, False])
def test_regular_frames_are_read_one_by_one(tmp_path: Path, ending: str, by_number: bool) -> None:
    """Matroska has times in whole milliseconds."""
    film = write_film(tmp_path / f"film{ending}", noise(50))
    video, rate = read_movie(film, by_number=by_number)
    np.testing.assert_array_equal(video, noise(50))
    assert rate == 30


def test_a_single_frame(tmp_path: Path) -> None:
    video, rate = read_movie(write_film(tmp_path / "film.mkv", noise(1)))
    np.testing.assert_array_equal(video, noise(1))
    assert rate is not None


@pytest.mark.parametrize("ending", [".mp4", ".mkv"])
def test_frames_that_stay_longer_are_repeated_with_a_warning(tmp_path: Path, ending: str) -> None:
    film = write_film(tmp_path / f"film{ending}", noise(60), ticks="3000*(N+floor(N/10))")
    with pytest.warns(UserWarning, match=r"varying frame rate: its 60 frames, .* are read as 65 at 30 Hz"):
        video, rate = read_movie(film)
    assert rate == 30
    np.testing.assert_array_equal(video, noise(60)[np.repeat(np.arange(60), 1 + (np.arange(60) % 10 == 9))[:65]])
    stored, _ = read_movie(film, by_number=True)
    np.testing.assert_array_equal(stored, noise(60))


def test_the_rate_is_that_of_the_frames(tmp_path: Path) -> None:
    """A file may claim another rate, such as that of its fields."""
    film = write_film(tmp_path / "film.mp4", noise(40), ticks="3000*N+if(gte(N\\,39)\\,1500)", rate=60)
    video, rate = read_movie(film)
    np.testing.assert_array_equal(video, noise(40))
    assert rate == pytest.approx(30, rel=0.02)


@pytest.mark.parametrize("name", ["12:30:05.mkv", "-dash.mkv", "http:film.mkv", "50%d.mkv"])
def test_names_that_ffmpeg_could_misread(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_film(tmp_path / name, noise(20))
    np.testing.assert_array_equal(read_movie(Path(name))[0], noise(20))
    written = Path(name).with_suffix(".mp4")
    write_mp4(written, noise(20), frame_rate_hz=30, exact=True)
    np.testing.assert_array_equal(read_movie(written)[0], noise(20))


def test_what_is_no_video_is_refused(tmp_path: Path) -> None:
    (tmp_path / "film.mp4").write_text("no video")
    with pytest.raises(nr.InputError, match=r"film\.mp4 cannot be read as a video"):
        read_movie(tmp_path / "film.mp4")

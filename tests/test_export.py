"""Exports are read back by other programs' readers: tifffile as ImageJ would, ffmpeg as a player would."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest
import tifffile
from PIL import Image

from neuroreel.errors import InputError, NeuroreelError, ResourceError
from neuroreel.pictures import even_frames
from neuroreel.results import Reconstruction
from neuroreel.results.export import grey_png, side_by_side, write_gif, write_mp4, write_tiff


@pytest.fixture
def movie() -> np.ndarray:
    """A drifting grating that uses every grey level."""
    frames, rows, columns = np.meshgrid(np.arange(40), np.arange(36), np.arange(64), indexing="ij")
    return (127.5 + 127.5 * np.sin(0.3 * columns + 0.1 * rows - 0.4 * frames)).astype(np.float32)


def read_mp4(path: Path, size: tuple[int, int]) -> tuple[np.ndarray, str]:
    """Grey frames (frames, height, width) and what ffmpeg says of the file."""
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-i", str(path), "-f", "rawvideo", "-pix_fmt", "gray", "-"]
    done = subprocess.run(command, capture_output=True, check=True)
    return np.frombuffer(done.stdout, np.uint8).reshape(-1, *size), done.stderr.decode()


def test_tiff_reads_back_exactly(tmp_path: Path, movie: np.ndarray) -> None:
    path = write_tiff(tmp_path / "movie.tif", movie, frame_rate_hz=30.0)
    with tifffile.TiffFile(path) as file:
        assert file.is_imagej and file.imagej_metadata is not None
        assert file.series[0].axes == "TYX"
        assert file.imagej_metadata["frames"] == 40
        assert file.imagej_metadata["finterval"] == pytest.approx(1 / 30, rel=1e-6)
        assert file.imagej_metadata["fps"] == 30.0
        assert file.imagej_metadata["unit"] == "pixel"
        np.testing.assert_array_equal(file.asarray(), np.round(movie).astype(np.uint8))


def test_float_tiff_with_the_true_movie_as_a_channel(tmp_path: Path, movie: np.ndarray) -> None:
    path = write_tiff(
        tmp_path / "both.tiff", movie, truth=movie[::-1], dtype="float32", frame_rate_hz=7.5, pixels_per_degree=3.4
    )
    with tifffile.TiffFile(path) as file:
        stack, metadata = file.asarray(), file.imagej_metadata
        assert file.series[0].axes == "TCYX" and stack.dtype == np.float32
        assert metadata is not None and (metadata["channels"], metadata["frames"]) == (2, 40)
        assert metadata["unit"] == "degree" and metadata["finterval"] == pytest.approx(1 / 7.5)
        numerator, denominator = file.pages[0].tags["XResolution"].value
        assert numerator / denominator == pytest.approx(3.4)
    np.testing.assert_array_equal(stack[:, 0], movie[::-1])
    np.testing.assert_array_equal(stack[:, 1], movie)


@pytest.mark.parametrize(("height", "width"), [(36, 64), (35, 63), (7, 9)])
def test_exact_mp4_reads_back_every_grey_level(tmp_path: Path, movie: np.ndarray, height: int, width: int) -> None:
    movie = movie[:, :height, :width]
    path = write_mp4(tmp_path / "exact.mp4", movie, frame_rate_hz=30.0, exact=True)
    frames, facts = read_mp4(path, (height, width))
    np.testing.assert_array_equal(frames, np.round(movie).astype(np.uint8))
    assert re.search(rf"Video: h264 .* {width}x{height}.* 30 fps", facts), facts


def test_exact_mp4_of_noise_reads_back(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (12, 36, 64))
    frames, _ = read_mp4(write_mp4(tmp_path / "n.mp4", noise, frame_rate_hz=30.0, exact=True), (36, 64))
    np.testing.assert_array_equal(frames, noise)


def test_watchable_mp4_is_enlarged_and_close(tmp_path: Path, movie: np.ndarray) -> None:
    path = write_mp4(tmp_path / "watch.mp4", movie, frame_rate_hz=30.0)
    frames, facts = read_mp4(path, (36 * 8, 64 * 8))
    assert "yuv420p" in facts and len(frames) == 40
    middles = frames[:, 4::8, 4::8].astype(float)
    assert np.abs(middles - movie).mean() < 3  # grey levels: limited range and lossy


def test_frame_rates_are_not_rounded(tmp_path: Path, movie: np.ndarray) -> None:
    path = write_mp4(tmp_path / "slow.mp4", movie, frame_rate_hz=15.625, exact=True)
    duration = re.search(r"Duration: 00:00:([\d.]+)", read_mp4(path, (36, 64))[1])
    assert duration is not None and float(duration[1]) == pytest.approx(40 / 15.625, abs=0.006)


def test_odd_sizes_are_padded_for_players(tmp_path: Path, movie: np.ndarray) -> None:
    path = write_mp4(tmp_path / "odd.mp4", movie[:, :35, :63], frame_rate_hz=30.0, scale=1)
    frames, _ = read_mp4(path, (36, 64))
    assert len(frames) == 40


def test_a_gif_keeps_time_and_outlines_the_mask(tmp_path: Path) -> None:
    movie = np.tile(np.linspace(0, 200, 40)[:, None, None], (1, 8, 10))
    mask = np.zeros((8, 10))
    mask[2:6, 3:8] = 1.5
    with Image.open(write_gif(tmp_path / "a.gif", movie, truth=movie[::-1], frame_rate_hz=30.0, mask=mask)) as file:
        assert file.n_frames == 20 and file.size == (2 * (10 + 10) + 2, 16)
        times, pictures = [], []
        for number in range(file.n_frames):
            file.seek(number)
            times.append(file.info["duration"])
            pictures.append(np.asarray(file.convert("L")))
    assert sum(times) == pytest.approx(1000 * 40 / 30, abs=10)
    picture = pictures[5]
    assert picture[1, 1] == round(float(movie[29, 0, 0])) and picture[1, -2] == round(float(movie[10, 0, 0]))
    right = picture[:, -20:]
    assert (right[[3, 11], 6:15] == 255).all() and (right[4:11, [5, 15]] == 255).all(), "around the area, corners round"
    assert (right[4:11, 6:15] < 255).all() and (right[:3] < 255).all()
    with pytest.raises(InputError, match=r"must end in \.gif"):
        write_gif(tmp_path / "a.png", movie, frame_rate_hz=30.0)


def test_a_result_exports_itself_beside_the_truth(tmp_path: Path, movie: np.ndarray) -> None:
    result = Reconstruction.build(
        video=movie[::-1], truth=movie, frame_rate_hz=30.0, settings={}, hashes={}, pixels_per_degree=3.4
    )
    frames, _ = read_mp4(result.to_mp4(tmp_path / "both.mp4", with_truth=True, exact=True), (36, 64 + 2 + 64))
    np.testing.assert_array_equal(frames[:, :, :64], np.round(movie))
    np.testing.assert_array_equal(frames[:, :, -64:], np.round(movie[::-1]))
    with tifffile.TiffFile(result.to_tiff(tmp_path / "both.tif", with_truth=True)) as file:
        assert file.series[0].axes == "TCYX"
        assert file.imagej_metadata is not None and file.imagej_metadata["unit"] == "degree"
    untrue = Reconstruction(result.dataset.drop_vars("truth"))
    with pytest.raises(InputError, match="not known"):
        untrue.to_mp4(tmp_path / "no.mp4", with_truth=True)


def test_bad_requests_are_refused_and_nothing_is_written(tmp_path: Path, movie: np.ndarray) -> None:
    with pytest.raises(InputError, match="must end in"):
        write_mp4(tmp_path / "movie.avi", movie, frame_rate_hz=30.0)
    with pytest.raises(InputError, match="scale is 0"):
        write_mp4(tmp_path / "movie.mp4", movie, frame_rate_hz=30.0, scale=0)
    with pytest.raises(InputError, match="dtype must be"):
        write_tiff(tmp_path / "movie.tif", movie, frame_rate_hz=30.0, dtype="int16")
    with pytest.raises(InputError, match="must agree"):
        write_tiff(tmp_path / "movie.tif", movie, truth=movie[1:], frame_rate_hz=30.0)
    with pytest.raises(InputError, match="NaN"):
        write_tiff(tmp_path / "movie.tif", movie * np.nan, frame_rate_hz=30.0)
    with pytest.raises(InputError, match="frame_rate_hz"):
        write_tiff(tmp_path / "movie.tif", movie, frame_rate_hz=-1.0)
    with pytest.raises(InputError, match="shape"):
        write_tiff(tmp_path / "movie.tif", movie[0], frame_rate_hz=30.0)
    assert list(tmp_path.iterdir()) == []
    path = write_tiff(tmp_path / "movie.tif", movie, frame_rate_hz=30.0)
    with pytest.raises(InputError, match="already exists"):
        write_tiff(path, movie, frame_rate_hz=30.0)


@pytest.mark.parametrize(
    ("library", "name"), [("tifffile", "movie.tif"), ("imageio_ffmpeg", "movie.mp4"), ("zarr", "movie.zarr")]
)
def test_a_missing_library_is_named(
    tmp_path: Path, movie: np.ndarray, monkeypatch: pytest.MonkeyPatch, library: str, name: str
) -> None:
    result = Reconstruction.build(video=movie, frame_rate_hz=30.0, settings={}, hashes={})
    monkeypatch.setitem(sys.modules, library, None)
    writers = {".tif": result.to_tiff, ".mp4": result.to_mp4, ".zarr": result.save}
    with pytest.raises(ResourceError, match=rf"{library} is not installed; run pip install 'neuroreel\[export\]'"):
        writers[Path(name).suffix](tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_a_failing_ffmpeg_is_explained(tmp_path: Path, movie: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = tmp_path / "ffmpeg"
    broken.write_text("#!/bin/sh\necho 'Unknown encoder libx264' >&2\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setattr(imageio_ffmpeg, "get_ffmpeg_exe", lambda: str(broken))
    with pytest.raises(NeuroreelError, match="Unknown encoder"):
        write_mp4(tmp_path / "movie.mp4", movie, frame_rate_hz=30.0)
    assert [path.name for path in tmp_path.iterdir()] == ["ffmpeg"]


def test_pictures() -> None:
    movies = [np.full((5, 3, 4), grey, np.float32) for grey in (10, 200)]
    beside = side_by_side(movies)
    assert beside.shape == (5, 3, 10) and (beside[0, 0] == [10] * 4 + [255] * 2 + [200] * 4).all()
    assert grey_png(beside[0]).startswith(b"\x89PNG")
    assert even_frames(300, 6) == [25, 75, 125, 175, 225, 275] and even_frames(3, 6) == [0, 1, 2]
    with pytest.raises(InputError, match="0 frames"):
        even_frames(300, 0)

"""Movies in TIFF files: written in pieces, compressed, or holding something else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from neuroreel.errors import InputError, ResourceError
from neuroreel.recordings.movie_file import read_movie

tifffile = pytest.importorskip("tifffile", reason="tifffile comes with the export extra")


@pytest.fixture
def movie() -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (12, 6, 8)).astype(np.uint8)


@pytest.mark.parametrize("pieces", [(4, 4, 4), (1, 10, 1), (1,) * 12, (12,)])
def test_a_movie_written_in_pieces_is_one_movie(pieces: tuple[int, ...], movie: NDArray[Any], tmp_path: Path) -> None:
    file = tmp_path / "movie.tif"
    for piece in np.split(movie, np.cumsum(pieces)[:-1]):
        tifffile.imwrite(file, piece if len(piece) > 1 else piece[0], append=True, photometric="minisblack")
    np.testing.assert_array_equal(read_movie(file, size=(6, 8))[0], movie)


@pytest.mark.parametrize(
    "other", [np.zeros((3, 5, 8), np.uint8), np.zeros((3, 6, 8), np.uint16), np.zeros((2, 3, 6, 8), np.uint8)]
)
def test_series_that_are_not_one_movie_are_counted(other: NDArray[Any], movie: NDArray[Any], tmp_path: Path) -> None:
    file = tmp_path / "movie.tif"
    for series in (movie, other):
        tifffile.imwrite(file, series, append=True, photometric="minisblack")
    with pytest.raises(InputError, match="holds 2 series of images that are not one movie"):
        read_movie(file)


@pytest.mark.parametrize("dtype", [np.uint8, bool, np.float32, np.uint16])
@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_adobe_deflate", "packbits"])
def test_compressed_movies_are_read(compression: str, dtype: Any, movie: NDArray[Any], tmp_path: Path) -> None:
    frames = (movie > 127) if dtype is bool else movie.astype(dtype)
    images = [Image.fromarray(frame) for frame in frames]
    file = tmp_path / "movie.tif"
    images[0].save(file, save_all=True, append_images=images[1:], compression=compression)
    read, _ = read_movie(file)
    assert read.dtype == dtype
    np.testing.assert_array_equal(read, frames)


def test_a_codec_that_nobody_has_is_named(movie: NDArray[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "movie.tif"
    images = [Image.fromarray(frame) for frame in movie]
    images[0].save(file, save_all=True, append_images=images[1:], compression="tiff_lzw")
    monkeypatch.setattr(Image, "open", lambda file: (_ for _ in ()).throw(OSError("decoder libtiff not available")))
    with pytest.raises(ResourceError, match="packed with LZW, which needs another library: pip install imagecodecs"):
        read_movie(file)


def test_images_that_are_not_grey_from_black_to_white(movie: NDArray[Any], tmp_path: Path) -> None:
    file = tmp_path / "movie.tif"
    tifffile.imwrite(file, movie, photometric="miniswhite")
    with pytest.raises(InputError, match=r"holds MINISWHITE images.*black at 0 \(MINISBLACK\)"):
        read_movie(file)
    tifffile.imwrite(file, np.zeros((6, 8, 3), np.uint8), photometric="rgb")  # not six frames of three pixels
    with pytest.raises(InputError, match="holds RGB images"):
        read_movie(file)


def test_damage_is_still_called_damage(movie: NDArray[Any], tmp_path: Path) -> None:
    file = tmp_path / "movie.tif"
    tifffile.imwrite(file, movie)
    file.write_bytes(file.read_bytes()[:300])
    with pytest.raises(InputError, match=r"cannot be read as TIFF .*it may be damaged"):
        read_movie(file)


def test_height_and_width_in_the_other_order(movie: NDArray[Any], tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "movie.tif", movie)
    with pytest.raises(InputError, match="swap its height and width"):
        read_movie(tmp_path / "movie.tif", size=(8, 6))
    with pytest.raises(InputError, match="resize it"):
        read_movie(tmp_path / "movie.tif", size=(8, 8))

"""Movies in files, also as trials of a recording that never showed them."""

from __future__ import annotations

import re
import subprocess
import warnings
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuroreel.errors import InputError, NeuroreelError, ResourceError
from neuroreel.extras import needs
from neuroreel.files import user_path
from neuroreel.recordings.clock import Clock, rate_of
from neuroreel.recordings.disk import check_fetched, read_array
from neuroreel.recordings.recording import Recording
from neuroreel.recordings.trial import Trial

ENDINGS = (".npy", ".tif", ".tiff", ".mp4", ".avi", ".mkv", ".mov")


def movie_trial(file: str | Path, recording: Recording) -> Trial:
    """A trial without responses: the movie of a file, with behavior held at the recording's mean.

    The paper used constant mean behavior for stimuli that no animal watched (Bauer, Margrie & Clopath, eLife 2026). A
    file without a frame rate (.npy, many .tif) is assumed to have the recording's.

    Parameters
    ----------
    file
        ``.npy`` or ``.tif`` (frames, height, width) in gray levels 0..255, or a video, whose luma is used.
    recording
        Defines the size of the movie, the frame rate and the behavior.

    Raises
    ------
    InputError
        The file is missing, damaged or of another kind; its size or gray levels are not those of the recording's
        movies, or the recording stores no mean behavior.
    ResourceError
        The library that reads such files is not installed.
    """
    file = user_path(file)
    video, rate = read_movie(file, size=recording.video_size)
    trial = recording.trial_showing(video, name=file.name)
    return trial if rate is None else trial.replace(frame_rate_hz=rate)


def read_movie(
    file: Path, *, size: tuple[int, int] | None = None, by_number: bool = False
) -> tuple[NDArray[Any], float | None]:
    """The movie (frames, height, width) of a file, in gray levels, and its frame rate if stored.

    If a video has a varying frame rate, frames are repeated or left out so that it plays at its usual rate, with a
    warning.

    Parameters
    ----------
    file
        ``.npy``, ``.tif`` or a video, whose luma is used.
    size
        Required (height, width); None accepts any.
    by_number
        Return every stored frame once, whenever it is shown.

    Raises
    ------
    InputError
        The file is missing, not fetched, damaged, or of another kind or size.
    ResourceError
        The library that reads such files is not installed.
    """
    if file.suffix.lower() not in ENDINGS:
        raise InputError(f"{file} ends in {file.suffix!r}; a movie's name must end in one of {', '.join(ENDINGS)}")
    check_fetched(file)
    if not file.is_file():
        raise InputError(f"there is no file {file}; give the path of a movie")
    read_video = _read_stored_frames if by_number else _read_video
    read = {".npy": _read_npy, ".tif": _read_tiff, ".tiff": _read_tiff}.get(file.suffix.lower(), read_video)
    return read(file, size)


def _read_npy(file: Path, size: tuple[int, int] | None) -> tuple[NDArray[Any], float | None]:
    video = read_array(file, rank=3)
    if size is not None and video.shape[:2] == size and video.shape[1:] != size:
        raise InputError(
            f"{file} has shape {video.shape}, which looks like (height, width, frames), as in recordings on disk; "
            "it must be (frames, height, width): np.moveaxis(video, -1, 0)"
        )
    _check_size(file, video.shape, size)
    return video, None


def _read_tiff(file: Path, size: tuple[int, int] | None) -> tuple[NDArray[Any], float | None]:
    tifffile = needs("tifffile")
    try:
        with tifffile.TiffFile(file) as tiff:
            described = tiff.imagej_metadata or {}
            shape = _shape_of_series(file, tiff)
            _check_size(file, shape, size)
            pieces = [_pixels(file, series).reshape(-1, *shape[1:]) for series in tiff.series]
    except NeuroreelError:
        raise
    except Exception as error:  # for damaged files, tifffile raises nearly anything
        raise InputError(f"{file} cannot be read as TIFF ({error}); it may be damaged") from error
    video = pieces[0] if len(pieces) == 1 else np.concatenate(pieces)
    return video, float(described["fps"]) if "fps" in described else None


def _shape_of_series(file: Path, tiff: Any) -> tuple[int, ...]:
    """The shape of all series together (appending pages leaves several); InputError if they do not fit."""
    kinds = {(series.axes[-2:], series.shape[-2:], str(series.dtype)) for series in tiff.series}
    pixels = {page.photometric.name for page in tiff.pages[:1]}
    if pixels != {"MINISBLACK"} or any(axes != "YX" for axes, _, _ in kinds):
        raise InputError(
            f"{file} holds {', '.join(pixels) or 'no'} images, not grey ones with black at 0 (MINISBLACK): save it so"
        )
    if len(tiff.series) == 1:
        return tuple(tiff.series[0].shape)
    if len(kinds) > 1 or any(len(series.shape) > 3 for series in tiff.series):
        shapes = ", ".join(f"{series.shape} {series.dtype}" for series in tiff.series[:5])
        raise InputError(
            f"{file} holds {len(tiff.series)} series of images that are not one movie ({shapes}); save only the movie"
        )
    frames = sum(series.shape[0] if len(series.shape) == 3 else 1 for series in tiff.series)
    return (frames, *tiff.series[0].shape[-2:])


def _pixels(file: Path, series: Any) -> NDArray[Any]:
    """The images of a series, read by Pillow if tifffile lacks their codec."""
    try:
        return np.asarray(series.asarray())
    except ValueError as error:
        if "imagecodecs" not in str(error):
            raise
    from PIL import Image

    try:
        with Image.open(file) as image:
            images = []
            for page in series.pages:
                image.seek(page.index)
                images.append(np.asarray(image))
        pixels = np.stack(images).reshape(series.shape)
    except (OSError, ValueError, EOFError):  # Pillow lacks it too
        pixels = None
    if pixels is None or pixels.dtype.newbyteorder("=") != series.dtype.newbyteorder("="):
        raise ResourceError(
            f"{file} is packed with {series.keyframe.compression.name}, which needs another library: "
            "pip install imagecodecs"
        )
    return pixels


def _read_video(file: Path, size: tuple[int, int] | None) -> tuple[NDArray[Any], float]:
    """The movie as a player shows it."""
    with TemporaryDirectory() as folder:
        stamps = Path(folder) / "stamps"
        video, told = _read_stored_frames(file, size, stamps=stamps)
        clock = Clock(_read_stamps(stamps))
    if len(clock.times) != len(video) or (np.diff(clock.times) <= 0).any():
        raise InputError(f"{file} does not say when each of its frames is shown; convert it, for instance with ffmpeg")
    every = np.arange(len(video))
    if clock.regular_frames(every, frame_s=1 / told):
        return video, told
    usual = rate_of(clock.interval_s)  # some files give a multiple of it
    usual = told if abs(told / usual - 1) < 0.01 else usual
    images = clock.frames(every, frame_s=1 / usual).images
    if not np.array_equal(images, every):
        warnings.warn(
            f"{file} has a varying frame rate: its {len(every)} frames, some repeated or left out, are "
            f"read as {len(images)} at {usual:g} Hz",
            stacklevel=3,
        )
    return video[images], usual


def _read_stored_frames(
    file: Path, size: tuple[int, int] | None, *, stamps: Path | None = None
) -> tuple[NDArray[Any], float]:
    """Every frame once, and the file's frame rate; the time of each frame is written to the file ``stamps``."""
    # YUV4MPEG begins with a line such as b"YUV4MPEG2 W64 H36 F30:1 ..."; its rate is not rounded
    header = _ffmpeg(file, "-frames:v", "1", "-f", "yuv4mpegpipe").partition(b"\n")[0].decode("ascii").split()[1:]
    words = {word[0]: word[1:] for word in header}
    height, width = int(words["H"]), int(words["W"])
    _check_size(file, (1, height, width), size)
    pixels = np.frombuffer(_ffmpeg(file, *_EVERY_FRAME, "-f", "rawvideo", stamps=stamps), np.uint8)
    return pixels.reshape(-1, height, width), float(Fraction(words["F"].replace(":", "/")))


_EVERY_FRAME = ("-fps_mode", "passthrough", "-enc_time_base", "1:90000")


def _ffmpeg(file: Path, *options: str, stamps: Path | None = None) -> bytes:
    """The output of ffmpeg for the file's first video stream, in gray levels."""
    program = needs("imageio_ffmpeg").get_ffmpeg_exe()
    # "file:" because ffmpeg takes what is before a colon for a protocol
    command = [program, "-v", "error", "-i", f"file:{file}", "-map", "0:v:0", *options, "-pix_fmt", "gray", "-"]
    if stamps is not None:
        command += ["-map", "0:v:0", *_EVERY_FRAME, "-f", "framecrc", f"file:{stamps}"]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    if done.returncode != 0 or not done.stdout:
        reason = done.stderr.decode(errors="replace").strip().splitlines()
        raise InputError(f"{file} cannot be read as a video ({reason[-1] if reason else 'it is empty'})")
    return done.stdout


def _read_stamps(file: Path) -> NDArray[np.float64]:
    """(frames,) seconds from ffmpeg's table: ``#tb 0: 1/90000``, then a comma-separated line per frame, time third."""
    text = file.read_text(encoding="utf-8")
    unit = Fraction(re.findall(r"^#tb 0: (\S+)$", text, re.MULTILINE)[0])
    ticks = re.findall(r"^0,[^,]+,\s*(-?\d+),", text, re.MULTILINE)
    return np.array(ticks, np.float64) * float(unit)


def _check_size(file: Path, shape: tuple[int, ...], size: tuple[int, int] | None) -> None:
    """Check the size before reading pixels: a full-size film would not fit into memory."""
    if len(shape) != 3:
        raise InputError(f"{file} has shape {shape}; it must be (frames, height, width), grey")
    if size is not None and tuple(shape[1:]) != size:
        raise InputError(
            f"{file} is {shape[2]}x{shape[1]} pixels (width x height), the recording's movies are {size[1]}x{size[0]}: "
            f"{'swap its height and width' if tuple(shape[:0:-1]) == size else 'resize it'}"
        )

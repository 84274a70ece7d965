"""Movies for other programs: TIFF for ImageJ, MP4 for players, GIF and PNG for pages."""

from __future__ import annotations

import errno
import io
import os
import subprocess
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuroreel.arguments import whole_number
from neuroreel.errors import InputError, NeuroreelError, ResourceError
from neuroreel.extras import needs
from neuroreel.files import atomic_path, refuse_existing, user_path
from neuroreel.outlines import mask_outline

_WATCHABLE_PIXELS = 480  # long side of an upscaled MP4, at least
GAP_PIXELS = 2  # between movies side by side
_GIF_FRAMES_PER_S = 15.0


def grey_levels(video: NDArray[Any]) -> NDArray[np.uint8]:
    """Round gray levels 0..255 to whole ones; values outside are clipped."""
    levels: NDArray[np.uint8] = np.clip(np.rint(video), 0, 255).astype(np.uint8)
    return levels


def write_tiff(
    path: str | Path,
    video: NDArray[Any],
    *,
    frame_rate_hz: float,
    truth: NDArray[Any] | None = None,
    dtype: str = "uint8",
    pixels_per_degree: float | None = None,
    overwrite: bool = False,
) -> Path:
    """Write a movie as an ImageJ hyperstack with its frame interval.

    Parameters
    ----------
    path
        Ends in ``.tif`` or ``.tiff``.
    video
        (frames, height, width), gray 0..255.
    frame_rate_hz
        Frames per second.
    truth
        The true movie, of the same shape: becomes channel 1, and the reconstruction channel 2.
    dtype
        ``uint8`` (gray levels rounded) or ``float32`` (exact).
    pixels_per_degree
        If known, gives the pixels a size in degrees of visual angle.
    overwrite
        Replace an existing file.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    InputError
        A movie, extension or type that cannot be written, or a file that already exists.
    ResourceError
        tifffile is not installed, or the disk is full.
    """
    tifffile = needs("tifffile")
    path = _checked_path(path, endings=(".tif", ".tiff"), overwrite=overwrite)
    if dtype not in ("uint8", "float32"):
        raise InputError(f"a TIFF of type {dtype!r} was asked for; dtype must be 'uint8' or 'float32'")
    movies = _checked_movies(video, truth, frame_rate_hz=frame_rate_hz)
    stack = np.stack(movies, axis=1) if truth is not None else movies[0]
    stack = grey_levels(stack) if dtype == "uint8" else stack.astype(np.float32)
    metadata: dict[str, Any] = {
        "axes": "TCYX" if truth is not None else "TYX",
        "mode": "grayscale",
        "fps": float(frame_rate_hz),
        "finterval": 1.0 / frame_rate_hz,
        "tunit": "s",
        "unit": "pixel" if pixels_per_degree is None else "degree",
        "min": 0.0,  # the display range: ImageJ would otherwise stretch the first frame's
        "max": 255.0,
    }
    size = (1.0, 1.0) if pixels_per_degree is None else (pixels_per_degree, pixels_per_degree)
    file = io.BytesIO()  # in memory first: tifffile does not report a full disk
    tifffile.imwrite(file, stack, imagej=True, metadata=metadata, resolution=size)
    with atomic_path(path, overwrite=overwrite) as partial:
        partial.write_bytes(file.getvalue())
    return path


def write_mp4(
    path: str | Path,
    video: NDArray[Any],
    *,
    frame_rate_hz: float,
    truth: NDArray[Any] | None = None,
    exact: bool = False,
    scale: int | None = None,
    comment: str = "",
    overwrite: bool = False,
) -> Path:
    """Write a movie as H.264, either for players and browsers or lossless.

    Parameters
    ----------
    path
        Ends in ``.mp4``.
    video
        (frames, height, width), gray 0..255; rounded to whole gray levels.
    frame_rate_hz
        Frames per second.
    truth
        The true movie, of the same shape: shown to the left of the reconstruction.
    exact
        False: yuv420p, which every player shows, within a few gray levels. True: lossless gray, which reads back
        exactly (with ``-pix_fmt gray``), but browsers and some players do not show.
    scale
        Every pixel becomes ``scale`` x ``scale`` pixels. By default 1 if exact, else enough to make the long side at
        least 480 pixels.
    comment
        Comment in the file on what is shown.
    overwrite
        Replace an existing file.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    InputError
        A movie, extension or scale that cannot be written, or a file that already exists.
    ResourceError
        imageio-ffmpeg is not installed, or the disk is full.
    """
    path = _checked_path(path, endings=(".mp4",), overwrite=overwrite)
    movies = _checked_movies(video, truth, frame_rate_hz=frame_rate_hz)
    frames = grey_levels(side_by_side(movies))
    if scale is None:
        scale = 1 if exact else -(-_WATCHABLE_PIXELS // max(frames.shape[1:]))
    whole_number(scale, name="scale")
    frames = frames.repeat(scale, axis=1).repeat(scale, axis=2)
    if not exact:  # yuv420p halves the colour planes, so both sides must be even: repeat the last row or column
        frames = np.pad(frames, ((0, 0), (0, frames.shape[1] % 2), (0, frames.shape[2] % 2)), mode="edge")
    lossless = ["-pix_fmt", "gray", "-crf", "0", "-preset", "medium"]
    watchable = ["-pix_fmt", "yuv420p", "-crf", "12", "-preset", "medium", "-movflags", "+faststart"]
    said = ["-metadata", f"comment={comment}"] if comment else []
    with atomic_path(path, overwrite=overwrite) as partial:
        _encode(partial, frames, frame_rate_hz=frame_rate_hz, options=[*(lossless if exact else watchable), *said])
    return path


def write_gif(
    path: str | Path,
    video: NDArray[Any],
    *,
    frame_rate_hz: float,
    truth: NDArray[Any] | None = None,
    mask: NDArray[Any] | None = None,
    scale: int = 2,
    comment: str = "",
    overwrite: bool = False,
) -> Path:
    """Write a movie as an animated GIF, for slides and pages: at most 15 frames per second, in real time.

    Parameters
    ----------
    path
        Ends in ``.gif``.
    video, frame_rate_hz, truth
        As in :func:`write_mp4`.
    mask
        (height, width): the outline of its pixels of at least 1 is drawn in white.
    scale
        Every pixel becomes ``scale`` x ``scale`` of them.
    comment
        Comment in the file on what is shown.
    overwrite
        Replace an existing file.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    InputError
        A movie, extension or scale that cannot be written, or a file that already exists.
    ResourceError
        The disk is full.
    """
    path = _checked_path(path, endings=(".gif",), overwrite=overwrite)
    movies = _checked_movies(video, truth, frame_rate_hz=frame_rate_hz)
    whole_number(scale, name="scale")
    written = gif(movies, frame_rate_hz=frame_rate_hz, mask=mask, scale=scale, comment=comment)
    with atomic_path(path, overwrite=overwrite) as partial:
        partial.write_bytes(written)
    return path


def gif(
    movies: Sequence[NDArray[Any]],
    *,
    frame_rate_hz: float,
    mask: NDArray[Any] | None = None,
    scale: int = 2,
    comment: str = "",
) -> bytes:
    """Movies (frames, height, width) side by side as the bytes of an animated GIF; see :func:`write_gif`."""
    from PIL import Image

    every = max(1, round(frame_rate_hz / _GIF_FRAMES_PER_S))
    frames = [grey_levels(movie[::every]).repeat(scale, axis=1).repeat(scale, axis=2) for movie in movies]
    if mask is not None:
        outline = _outline_pixels(mask, scale=scale)
        for movie in frames:
            movie[:, outline] = 255
    pictures = [Image.fromarray(frame) for frame in side_by_side(frames)]
    times = np.round(100 * np.arange(len(pictures) + 1) * every / frame_rate_hz)  # a GIF counts hundredths of seconds
    buffer = io.BytesIO()
    pictures[0].save(
        buffer,
        format="gif",
        save_all=True,
        append_images=pictures[1:],
        duration=[int(step) for step in 10 * np.diff(times)],
        loop=0,
        optimize=False,
        **({"comment": comment.encode()} if comment else {}),
    )
    return buffer.getvalue()


def _outline_pixels(mask: NDArray[Any], *, scale: int) -> NDArray[np.bool_]:
    """A mask's outline, on pixels enlarged ``scale`` times."""
    from PIL import Image, ImageDraw

    height, width = np.shape(mask)
    drawn = Image.new("1", (width * scale, height * scale))
    for line in mask_outline(mask):
        inner = (line * scale - 0.5).clip(0, (width * scale - 1, height * scale - 1))
        ImageDraw.Draw(drawn).line([tuple(point) for point in inner.tolist()], fill=1)
    return np.asarray(drawn)


def side_by_side(movies: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """Movies (frames, height, width) joined from left to right, with a narrow white gap between them."""
    frames, height, _ = movies[0].shape
    gap = np.full((frames, height, GAP_PIXELS), 255, movies[0].dtype)
    pieces = [piece for movie in movies for piece in (gap, movie)]
    return np.concatenate(pieces[1:], axis=2)


def grey_png(image: NDArray[Any]) -> bytes:
    """A picture (height, width) of gray levels 0..255 as the bytes of a PNG file."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(grey_levels(image)).save(buffer, format="png")
    return buffer.getvalue()


def _checked_path(path: str | Path, *, endings: tuple[str, ...], overwrite: bool) -> Path:
    path = user_path(path)
    if path.suffix.lower() not in endings:
        raise InputError(f"{path} ends in {path.suffix!r}; the name must end in {' or '.join(endings)}")
    refuse_existing(path, overwrite=overwrite)
    return path


def _checked_movies(video: NDArray[Any], truth: NDArray[Any] | None, *, frame_rate_hz: float) -> list[NDArray[Any]]:
    movies = [np.asarray(video)] if truth is None else [np.asarray(truth), np.asarray(video)]
    if movies[-1].ndim != 3 or movies[-1].size == 0:
        raise InputError(f"the movie has shape {movies[-1].shape}; it must be (frames, height, width), none of them 0")
    if movies[0].shape != movies[-1].shape:
        raise InputError(
            f"the true movie has shape {movies[0].shape}, the other {movies[-1].shape}; "
            "to lie side by side they must agree"
        )
    if not all(np.isfinite(movie).all() for movie in movies):
        raise InputError("the movie holds NaN or infinite grey levels; replace them first")
    if not (np.isfinite(frame_rate_hz) and frame_rate_hz > 0):
        raise InputError(f"frame_rate_hz is {frame_rate_hz}; it must be a positive number")
    return movies


def _encode(path: Path, frames: NDArray[np.uint8], *, frame_rate_hz: float, options: list[str]) -> None:
    """Pipe gray frames through ffmpeg: its Python wrapper would round the frame rate to two digits."""
    imageio_ffmpeg = needs("imageio_ffmpeg")
    _, height, width = frames.shape
    rate = str(Fraction(frame_rate_hz).limit_denominator(1001))
    source = ["-f", "rawvideo", "-pix_fmt", "gray", "-s", f"{width}x{height}", "-r", rate, "-i", "-"]
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-y", *source, "-an", "-c:v", "libx264", *options]
    # "file:" because ffmpeg takes what is before a colon for a protocol
    done = subprocess.run([*command, f"file:{path}"], input=frames.tobytes(), capture_output=True, check=False)
    if done.returncode == 0:
        return
    reason = done.stderr.decode(errors="replace").strip() or f"exit status {done.returncode}"
    if os.strerror(errno.ENOSPC) in reason:
        raise ResourceError(f"no space left on the disk while writing {path.name}; free some and run again")
    raise NeuroreelError(f"ffmpeg could not write {path.name}: {reason[-500:]}")

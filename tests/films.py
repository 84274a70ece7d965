"""Small video files, written with ffmpeg."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

imageio_ffmpeg = pytest.importorskip("imageio_ffmpeg", reason="imageio-ffmpeg comes with the export extra")


def write_film(file: Path, frames: NDArray[np.uint8], *, ticks: str = "3000*N", rate: float = 30) -> Path:
    """Frames without loss, each shown at a number of 90,000ths of a second: a formula in N, the frame's number."""
    _, height, width = frames.shape
    source = ["-f", "rawvideo", "-pix_fmt", "gray", "-s", f"{width}x{height}", "-r", str(rate), "-i", "-"]
    clock = ["-vf", f"settb=1/90000,setpts={ticks}", "-fps_mode", "passthrough", "-enc_time_base", "1:90000"]
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", *source, *clock]
    codec = ["-c:v", "libx264", "-crf", "0", "-pix_fmt", "gray"] if file.suffix == ".mp4" else ["-c:v", "ffv1"]
    subprocess.run([*command, *codec, f"file:{file}"], input=frames.tobytes(), check=True)
    return file


def noise(frames: int) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (frames, 12, 16)).astype(np.uint8)

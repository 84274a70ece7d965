"""Natural-looking movies: a camera that pans, zooms and turns over photographs, with cuts from scene to scene.

A movie is first *drawn*, as a small description of every scene, and then *rendered*, whole or only at some frames.
Every camera movement is a closed-form function of time, so a frame does not depend on the frames before it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from neuroreel.errors import InputError
from neuroreel.stimuli.photographs import photograph, photographs_of_fold
from neuroreel.stimuli.screen import SENSORIUM_SCREEN

SHORTEST_SCENE_S = 0.8
MEAN_SCENE_S = 2.5
MEDIAN_SPEED_DEG_PER_S = 25.0
VIEW = (0.3, 0.85)  # width of the view, as a share of the widest that fits into the photograph
REACH = 0.67  # how far from the photograph's middle the camera roams in a typical scene, in widths of the screen
SHARPER_LEVELS = 0.7  # corrects for the pyramid and the interpolation, which blur more than a camera


@dataclass(frozen=True, kw_only=True)
class Swing:
    """A smooth movement between -1 and 1: sin(phase + rate t + wobble sin(wobble_rate t + wobble_phase)).

    Rates in radians per second.
    """

    phase: float
    rate: float
    wobble: float
    wobble_rate: float
    wobble_phase: float

    def at(self, seconds: NDArray[np.float64]) -> NDArray[np.float64]:
        """Position of the movement at these times, -1..1."""
        wobble = self.wobble * np.sin(self.wobble_rate * seconds + self.wobble_phase)
        return np.sin(self.phase + self.rate * seconds + wobble)


@dataclass(frozen=True, kw_only=True)
class Scene:
    """One shot: a photograph, and the camera's path over it from ``first_frame`` to the next scene."""

    photograph: str
    mirrored: bool
    first_frame: int
    across: Swing
    down: Swing
    zoom: Swing
    turn: Swing
    tilt_deg: float


@dataclass(frozen=True, kw_only=True)
class Movie:
    """A movie before it is rendered: its size, rate, fold and scenes."""

    frames: int
    height: int
    width: int
    frame_rate_hz: float
    fold: int
    scenes: tuple[Scene, ...]


def draw_movie(
    random: np.random.Generator,
    *,
    fold: int,
    frames: int = 300,
    height: int = 36,
    width: int = 64,
    frame_rate_hz: float = 30.0,
) -> Movie:
    """Draw the scenes of a movie at random from the photographs of one fold.

    Parameters
    ----------
    random
        The random generator.
    fold
        0..6; the movie shows no photograph of another fold.
    frames, height, width
        Size of the movie, in frames and pixels.
    frame_rate_hz
        Frames per second.

    Raises
    ------
    InputError
        A size or rate that is not positive, or an unknown fold.
    """
    for what, value in {"frames": frames, "height": height, "width": width, "frame_rate_hz": frame_rate_hz}.items():
        if not (math.isfinite(value) and value > 0):
            raise InputError(f"a movie needs positive {what}; got {value}")
    names = photographs_of_fold(fold)
    scenes = tuple(
        _draw_scene(random, name=str(random.choice(names)), first_frame=first, width=width)
        for first in _draw_cuts(random, frames=frames, frame_rate_hz=frame_rate_hz)
    )
    return Movie(frames=frames, height=height, width=width, frame_rate_hz=frame_rate_hz, fold=fold, scenes=scenes)


def render(movie: Movie, frames: Sequence[int] | NDArray[np.integer] | None = None) -> NDArray[np.float32]:
    """Render a movie, or only some of its frames.

    Parameters
    ----------
    movie
        As returned by ``draw_movie``.
    frames
        Indices of frames to render, in any order; all by default.

    Returns
    -------
    (frames, height, width) float32, whole gray levels 0..255, exact in uint8.
    """
    wanted = np.arange(movie.frames) if frames is None else np.asarray(frames, dtype=np.intp)
    if wanted.size and (wanted.min() < 0 or wanted.max() >= movie.frames):
        raise InputError(f"the movie has frames 0 to {movie.frames - 1}; got {wanted.min()} to {wanted.max()}")
    video = np.empty((wanted.size, movie.height, movie.width), np.float32)
    scene_of = np.searchsorted([scene.first_frame for scene in movie.scenes], wanted, side="right") - 1
    for index, scene in enumerate(movie.scenes):
        here = scene_of == index
        if here.any():
            seconds = wanted[here] / movie.frame_rate_hz
            video[here] = _render_scene(scene, seconds, height=movie.height, width=movie.width)
    return np.rint(video)


def _draw_cuts(random: np.random.Generator, *, frames: int, frame_rate_hz: float) -> list[int]:
    """First frames of the scenes: a minimum length plus an exponential waiting time."""
    cuts = [0]
    while True:
        seconds = SHORTEST_SCENE_S + random.exponential(MEAN_SCENE_S - SHORTEST_SCENE_S)
        cut = cuts[-1] + max(1, round(seconds * frame_rate_hz))
        if cut > frames - SHORTEST_SCENE_S * frame_rate_hz:
            return cuts
        cuts.append(cut)


def _draw_scene(random: np.random.Generator, *, name: str, first_frame: int, width: int) -> Scene:
    speed_deg = MEDIAN_SPEED_DEG_PER_S * random.lognormal(0.0, 0.7)
    rate = speed_deg / SENSORIUM_SCREEN.degrees_per_pixel(width) / (REACH * width)
    return Scene(
        photograph=name,
        mirrored=bool(random.random() < 0.5),
        first_frame=first_frame,
        across=_draw_swing(random, rate=rate),
        down=_draw_swing(random, rate=0.6 * rate),  # gaze and camera move more along the horizon
        zoom=_draw_swing(random, rate=0.5),
        turn=_draw_swing(random, rate=0.5),
        tilt_deg=float(random.uniform(2, 20)),
    )


def _draw_swing(random: np.random.Generator, *, rate: float) -> Swing:
    return Swing(
        phase=float(random.uniform(0, 2 * np.pi)),
        rate=float(rate * random.uniform(0.5, 1.5) * random.choice([-1, 1])),
        wobble=float(random.uniform(0, 0.5)),
        wobble_rate=float(rate * random.uniform(1, 4)),
        wobble_phase=float(random.uniform(0, 2 * np.pi)),
    )


def _render_scene(scene: Scene, seconds: NDArray[np.float64], *, height: int, width: int) -> NDArray[np.float32]:
    """(times, height, width) gray levels of one scene, at times counted from the start of the movie."""
    levels = _pyramid(scene.photograph)
    tall, wide = levels[0].shape
    angle = np.radians(scene.tilt_deg) * scene.turn.at(seconds)
    cos, sin = np.cos(angle), np.abs(np.sin(angle))
    # Photograph pixels per movie pixel: the widest view is the largest rotated frame that still fits.
    widest = np.minimum(wide / (width * cos + height * sin), tall / (width * sin + height * cos))
    scale = widest * VIEW[0] * (VIEW[1] / VIEW[0]) ** (0.5 + 0.5 * scene.zoom.at(seconds))
    reach_x = (wide - scale * (width * cos + height * sin)) / 2
    reach_y = (tall - scale * (width * sin + height * cos)) / 2
    center_x = (wide - 1) / 2 + reach_x * scene.across.at(seconds)
    center_y = (tall - 1) / 2 + reach_y * scene.down.at(seconds)

    y, x = np.meshgrid(np.arange(height) - (height - 1) / 2, np.arange(width) - (width - 1) / 2, indexing="ij")
    cos, sin, scale = (value[:, None, None] for value in (np.cos(angle), np.sin(angle), scale))
    rows = center_y[:, None, None] + scale * (sin * x + cos * y)
    columns = center_x[:, None, None] + scale * (cos * x - sin * y)
    video = _sample(levels, rows, columns, level=np.clip(np.log2(scale.ravel()) - SHARPER_LEVELS, 0, len(levels) - 1))
    return video[:, :, ::-1] if scene.mirrored else video


def _sample(
    levels: tuple[NDArray[np.float32], ...],
    rows: NDArray[np.float64],
    columns: NDArray[np.float64],
    *,
    level: NDArray[np.float64],
) -> NDArray[np.float32]:
    """Read a pyramid at (times, height, width) coordinates of its finest level, linearly between two levels."""
    sampled = np.zeros(rows.shape, np.float32)
    for index, picture in enumerate(levels):
        weight = np.clip(1 - np.abs(level - index), 0, 1).astype(np.float32)
        used = weight > 0
        if used.any():
            sampled[used] += weight[used, None, None] * _read(picture, rows[used] / 2**index, columns[used] / 2**index)
    return sampled


def _read(picture: NDArray[np.float32], rows: NDArray[np.float64], columns: NDArray[np.float64]) -> NDArray[np.float32]:
    """Read a picture bilinearly at (times, height, width) coordinates: ten times faster in torch than in SciPy."""
    import torch

    tall, wide = picture.shape
    where = np.stack([2 * columns / (wide - 1) - 1, 2 * rows / (tall - 1) - 1], axis=-1).astype(np.float32)
    values = torch.nn.functional.grid_sample(
        torch.from_numpy(picture)[None, None],
        torch.from_numpy(where.reshape(1, len(rows), -1, 2)),
        padding_mode="reflection",
        align_corners=True,
    )
    return np.asarray(values.numpy().reshape(rows.shape))


@cache
def _pyramid(name: str) -> tuple[NDArray[np.float32], ...]:
    """A photograph at full, half, quarter … resolution, blurred before each halving so that nothing aliases."""
    levels = [photograph(name).copy()]  # torch needs a writable array
    while min(levels[-1].shape) > 32:
        levels.append(np.ascontiguousarray(ndimage.gaussian_filter(levels[-1], sigma=1.0, mode="mirror")[::2, ::2]))
    return tuple(levels)

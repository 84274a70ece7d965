"""Transparency masks: one image, as large as the video or as a canvas around it; checked, cropped, plotted, saved."""

from __future__ import annotations

from pathlib import Path
from tokenize import TokenError
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neuroreel.arguments import as_array
from neuroreel.errors import InputError
from neuroreel.files import atomic_path, user_path
from neuroreel.recordings.disk import check_fetched

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def check_mask_values(values: ArrayLike, *, what: str) -> NDArray[np.float32]:
    """The mask as float32; InputError unless it is one image of finite numbers."""
    mask = as_array(values, name=what)
    if mask.ndim != 2 or mask.size == 0:
        raise InputError(f"{what} has shape {mask.shape}; a mask is one image (height, width)")
    if mask.dtype.kind not in "fiub" or not np.isfinite(mask).all():
        raise InputError(f"{what} holds NaN, infinite or non-numeric values; a mask is an image of finite numbers")
    return mask.astype(np.float32)


def centered_place(size: tuple[int, ...], canvas: tuple[int, ...]) -> tuple[int, int]:
    """(top, left) of a video in the center of a canvas, both (height, width)."""
    top, left = ((spread - pixels) // 2 for spread, pixels in zip(canvas, size, strict=True))
    return top, left


def mask_on_video(mask: NDArray[Any], size: tuple[int, ...]) -> NDArray[Any]:
    """The mask on the pixels of a video of ``size`` (height, width); the only place where masks are cropped.

    A mask does not say where its video is, so a larger mask (the published 64 x 64 around 36 x 64 pixels) is assumed
    to have the video in its center. Models that place it elsewhere learn and take masks of the video's size.

    Raises
    ------
    InputError
        A mask that is smaller than the video, or does not have two axes.
    """
    if mask.ndim != 2 or any(spread < pixels for spread, pixels in zip(mask.shape, size, strict=True)):
        raise InputError(
            f"the mask has shape {mask.shape}, the video {tuple(size)} (height, width): they are not of one model; "
            "a mask is as large as the video, or a larger canvas with the video in its center"
        )
    top, left = centered_place(size, mask.shape)
    return mask[top : top + size[0], left : left + size[1]]


def scored_pixels(mask: NDArray[Any] | None, size: tuple[int, ...]) -> NDArray[np.bool_]:
    """(height, width): pixels scored during a run, mask >= 1; all if there is no mask or none reaches 1."""
    chosen = np.ones(size, bool) if mask is None else mask_on_video(mask, size) >= 1
    return chosen if chosen.any() else np.ones(size, bool)


class Mask(np.ndarray):
    """A mask as an array that notebooks show as a picture; computing with it gives plain arrays."""

    def __array_wrap__(self, array: Any, context: Any = None, return_scalar: bool = False) -> Any:
        """The plain array or number."""
        return np.asarray(array)[()] if return_scalar else np.asarray(array)

    def plot(self) -> Figure:
        """The mask's values, with the outline of the pixels that are scored, those of at least 1."""
        from neuroreel.pictures import mask_figure

        return mask_figure(np.asarray(self))

    def _repr_html_(self) -> str | None:
        if self.ndim != 2 or not self.size or self.dtype.kind not in "fiub":
            return None
        from neuroreel.outlines import share_words
        from neuroreel.showing import figure_html

        height, width = self.shape
        return figure_html(
            self.plot(), title="Mask", facts=[f"{width}x{height} pixels", f"{share_words(self)} is scored (at least 1)"]
        )


def load_mask(file: str | Path) -> Mask:
    """Read a mask (height, width) from a ``.npy`` file, ours or a published ``mask_m{mouse}.npy``.

    Raises
    ------
    InputError
        No such file, a file of another kind, a wrong shape, NaN or infinite values.
    """
    file = user_path(file)
    check_fetched(file)
    try:
        with file.open("rb") as stream:
            mask = np.lib.format.read_array(stream, allow_pickle=False)
    except (OSError, ValueError, EOFError, TokenError, MemoryError, OverflowError) as error:
        raise InputError(f"{file} cannot be read as a mask ({error}); it must be a .npy file of one image") from error
    return check_mask_values(mask, what=str(file)).view(Mask)


def save_mask(file: str | Path, mask: NDArray[np.float32], *, overwrite: bool = False) -> None:
    """Write a mask (height, width) to a ``.npy`` file, whole or not at all."""
    checked = check_mask_values(mask, what="the mask")
    with atomic_path(file, overwrite=overwrite) as partial, partial.open("wb") as stream:
        np.save(stream, checked)

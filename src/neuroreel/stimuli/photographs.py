"""Gray photographs that come with scikit-image and scikit-learn, each assigned to one fold for good.

A decoder that saw a photograph in training could recognize it instead of decoding it from the neurons. So each
photograph belongs to one fold, and a movie uses photographs of one fold only.
"""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from neuroreel.errors import InputError, ResourceError
from neuroreel.grey import CONTRAST_GREY, MID_GREY

FOLDS = 7

# Files inside the wheels, none downloaded on demand. Only the left picture of the stereo pair is used. The table is
# fixed, so that a file missing from some release cannot move another one between folds.
_FOLDS: dict[str, int] = {
    "skimage/data/chelsea.png": 0,
    "sklearn/datasets/images/china.jpg": 0,
    "skimage/data/astronaut.png": 1,
    "skimage/data/gravel.png": 1,
    "skimage/data/coffee.png": 2,
    "skimage/data/brick.png": 2,
    "skimage/data/motorcycle_left.png": 3,
    "skimage/data/moon.png": 3,
    "skimage/data/camera.png": 4,
    "skimage/data/grass.png": 4,
    "skimage/data/rocket.jpg": 5,
    "skimage/data/retina.jpg": 5,
    "sklearn/datasets/images/flower.jpg": 6,
    "skimage/data/coins.png": 6,
    "skimage/data/ihc.png": 6,
}


def photographs_of_fold(fold: int) -> tuple[str, ...]:
    """The names of a fold's photographs that are on this machine.

    Parameters
    ----------
    fold
        0..6.

    Raises
    ------
    InputError
        There is no such fold.
    ResourceError
        None of the fold's photographs is installed.
    """
    if not 0 <= fold < FOLDS:
        raise InputError(f"photographs are spread over folds 0 to {FOLDS - 1}; there is no fold {fold}")
    wanted = [name for name, home in _FOLDS.items() if home == fold]
    names = tuple(name for name in wanted if _find(name) is not None)
    if not names:
        raise ResourceError(
            f"none of the photographs of fold {fold} is on this machine ({', '.join(wanted)}); they ship inside "
            "scikit-image and scikit-learn: install both (pip install scikit-image scikit-learn)"
        )
    return names


@cache
def photograph(name: str) -> NDArray[np.float32]:
    """One photograph, (height, width), gray levels 0..255, read-only.

    Every photograph is scaled to the same mean (127.5) and contrast (standard deviation about 51), so that no fold is
    easier than another.

    Parameters
    ----------
    name
        As returned by ``photographs_of_fold``.
    """
    path = _find(name)
    if path is None:
        known = ", ".join(known for known in _FOLDS if _find(known) is not None)
        raise InputError(f"there is no photograph {name!r} on this machine; there are {known or 'none'}")
    from PIL import Image

    with Image.open(path) as picture:
        grey = np.asarray(picture.convert("L"), dtype=np.float32)
    for _ in range(4):  # clipping reduces the contrast of pictures with few bright or dark spots: scale and clip again
        grey = np.clip((grey - grey.mean()) / grey.std() * CONTRAST_GREY + MID_GREY, 0, 255)
    grey.setflags(write=False)
    return grey


def _find(name: str) -> Path | None:
    """The file of a photograph, found without importing the package that ships it."""
    package, _, inside = name.partition("/")
    spec = find_spec(package) if name in _FOLDS else None
    for folder in (spec.submodule_search_locations or []) if spec else []:
        if (path := Path(folder) / inside).is_file():
            return path
    return None

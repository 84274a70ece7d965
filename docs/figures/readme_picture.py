"""Draw the moving picture of the README from the results of the demo: writes docs/_static/reconstruction.gif.

    neuroreel demo                          # writes its results into a folder
    python docs/figures/readme_picture.py   # or with the result files as arguments

It plays the result in the middle of the scores, not the best one: left what was shown, right the reconstruction at the
true movie's brightness and contrast, as the paper shows its own. The line is the border of what is scored.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from scipy.ndimage import binary_erosion, binary_fill_holes, gaussian_filter

import neuroreel as nr
from neuroreel.evaluation.scores import contrast_gain

TARGET = Path(__file__).parents[1] / "_static" / "reconstruction.gif"
FIRST_FRAME = 30  # the first that is scored
EVERY = 3  # frames of 30 a second: the GIF has 10
WIDTH, GAP, HEAD = 400, 12, 30  # pixels: of a movie, between the two, above them
GREYS = 40  # few grey levels make a small file
GREY, LINE = 128, 235  # around the reconstruction, and of the border
FADED = 0.5  # contrast that the true movie keeps outside the border


def enlarged(frame: NDArray[np.floating], size: tuple[int, int]) -> NDArray[np.float32]:
    """A frame of another size, without visible pixels."""
    return np.asarray(Image.fromarray(frame.astype(np.float32)).resize(size, Image.Resampling.BICUBIC))


def scored_area(mask: NDArray[np.floating], size: tuple[int, int]) -> NDArray[np.bool_]:
    """The pixels inside the outer border of what is scored, enlarged."""
    return binary_fill_holes(enlarged(gaussian_filter(mask, 1.0), size) >= 1)


def pictures(result: nr.Reconstruction) -> list[Image.Image]:
    """The frames of the GIF."""
    height, width = result.mask.shape
    size = (WIDTH, round(WIDTH * height / width))
    inside = scored_area(result.mask, size)
    line = inside & ~binary_erosion(inside, iterations=2, border_value=1)
    shown, video = (movie[:, result.mask >= 1] for movie in (result.truth, result.video))
    matched = shown.mean() + contrast_gain(shown.std(), video.std()) * (result.video - video.mean())
    blank = Image.new("L", (2 * WIDTH + GAP, HEAD + size[1]), 255)
    heads = ("what was shown", f"reconstructed from responses (correlation {result.score():.2f})")
    for number, words in enumerate(heads):
        middle = number * (WIDTH + GAP) + WIDTH / 2
        font = ImageFont.load_default(17)
        ImageDraw.Draw(blank).text((middle, HEAD / 2), words, fill=20, font=font, anchor="mm")
    made = []
    for frame in range(FIRST_FRAME, len(matched), EVERY):
        page = blank.copy()
        for number, (movie, contrast) in enumerate(((result.truth, FADED), (matched, 0))):
            image = enlarged(movie[frame], size).clip(0, 255)
            image = np.where(inside, image, GREY + contrast * (image - GREY))
            image = np.round(image / 255 * (GREYS - 1)) * 255 / (GREYS - 1)
            image[line] = LINE
            page.paste(Image.fromarray(image.astype(np.uint8)), (number * (WIDTH + GAP), HEAD))
        made.append(page)
    return made


def main(names: list[str]) -> None:
    files = [Path(name) for name in names] or sorted(Path("neuroreel-demo").rglob("*.nc"))
    results = [nr.Reconstruction.load(file) for file in files]
    if not results:
        sys.exit("there is no neuroreel-demo here: run `neuroreel demo` first, or give the result files (.nc)")
    result = sorted(results, key=lambda each: each.score())[(len(results) - 1) // 2]
    first, *others = pictures(result)
    hundredths = np.round(100 * EVERY / result.frame_rate_hz * np.arange(len(others) + 2))  # a GIF counts in these
    durations = [int(step) for step in 10 * np.diff(hundredths)]
    first.save(TARGET, save_all=True, append_images=others, duration=durations, loop=0, optimize=False)
    print(f"wrote {TARGET}, {TARGET.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main(sys.argv[1:])

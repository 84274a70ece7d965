"""Draw the pictures of docs/gallery.md: writes docs/_static/gallery.

    neuroreel demo
    neuroreel experiment all --quick
    python docs/figures/gallery.py neuroreel-demo neuroreel-experiments

Of each figure of the paper it keeps a small picture and, in a zip file, the numbers of its panels, the tests and the
caption; of the demo, what its results draw of themselves.
"""

from __future__ import annotations

import io
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from matplotlib.figure import Figure
from PIL import Image

import neuroreel as nr

TARGET = Path(__file__).parents[1] / "_static" / "gallery"
WIDTH = 1000  # pixels; a card is half as wide, on a screen of two pixels a point
EPOCH = (1980, 1, 1, 0, 0, 0)  # the same numbers make the same file


def keep(picture: Image.Image, name: str) -> None:
    """The picture, not wider than it needs to be, with a palette of 64 colors."""
    flat = picture.convert("RGB")
    flat.thumbnail((WIDTH, 3 * WIDTH))
    flat.quantize(64).save(TARGET / f"{name}.png", optimize=True)
    print(f"wrote {TARGET / name}.png")


def keep_figure(figure: Figure, name: str) -> None:
    """A figure that matplotlib has not drawn yet."""
    drawn = io.BytesIO()
    figure.savefig(drawn, dpi=200)
    keep(Image.open(drawn), name)


def experiments(results: Path) -> None:
    """Every figure that there are results of, and the numbers behind it."""
    with tempfile.TemporaryDirectory() as folder:
        command = ["-m", "neuroreel", "figures", "all", "--results", str(results), "--out", folder]
        subprocess.run([sys.executable, *command], check=True)
        for figure in sorted(Path(folder).iterdir()):
            keep(Image.open(figure / "figure.png"), figure.name)
            with zipfile.ZipFile(TARGET / f"{figure.name}.zip", "w", zipfile.ZIP_DEFLATED) as archive:
                for file in sorted([*figure.glob("*.csv"), figure / "caption.md"]):
                    archive.writestr(zipfile.ZipInfo(f"{figure.name}/{file.name}", EPOCH), file.read_bytes())


def demo(folder: Path) -> None:
    """What results and the posterior draw of themselves."""
    results = [nr.Reconstruction.load(file) for file in sorted(folder.rglob("*.nc"))]
    middle = sorted(results, key=lambda result: result.score())[(len(results) - 1) // 2]
    keep_figure(middle.plot(), "result")
    keep_figure(nr.load_posterior(folder / "posterior").plot(), "posterior")
    if drawn := [result for result in results if result.samples is not None]:
        keep_figure(nr.calibration_figure({"held-out movies": drawn}), "calibration")


def main(arguments: list[str]) -> None:
    if len(arguments) != 2:
        sys.exit("give the folder of `neuroreel demo` and that of `neuroreel experiment all`")
    TARGET.mkdir(parents=True, exist_ok=True)
    demo(Path(arguments[0]))
    experiments(Path(arguments[1]))


if __name__ == "__main__":
    main(sys.argv[1:])

"""A figure: its panels and letters, and its files: picture, numbers of each panel, tests, caption."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from neuroreel import __version__
from neuroreel.figures.comparisons import COLUMNS
from neuroreel.figures.material import Material, summary_of_missing
from neuroreel.files import atomic_path, refuse_existing
from neuroreel.style import INK, LETTER, SIMULATED, TICK, WARNING, animal_looks, inches, short_name, style

if TYPE_CHECKING:
    from matplotlib.figure import Figure, SubFigure

_UNDATED = {"pdf": {"CreationDate": None}, "svg": {"Date": None}, "png": {}}


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """What a panel returns: its numbers, a sentence for the caption, and its tests."""

    numbers: pd.DataFrame
    caption: str
    tests: pd.DataFrame | None = None


@dataclass(frozen=True)
class Panel:
    """A panel of a sheet, ready to be written."""

    letter: str
    name: str
    drawn: Drawn


@dataclass
class Sheet:
    """A figure with its panels and caption.

    Parameters
    ----------
    width, height
        Millimeters, as printed.
    title
        First sentence of the caption.
    """

    width: float
    height: float
    title: str
    panels: list[Panel] = field(default_factory=list)

    def __post_init__(self) -> None:
        from matplotlib.figure import Figure

        self.figure: Figure = Figure(figsize=(inches(self.width), inches(self.height)), layout="constrained")

    def add(self, name: str, draw: Callable[..., Drawn], data: Any, ax: Any, **options: Any) -> Drawn:
        """Draw the next panel into ``ax`` (axes, or a subfigure for panels of several) and give it its letter."""
        letter = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"[len(self.panels)]
        drawn = draw(data, ax, **options)
        put_letter(ax, letter)
        self.panels.append(Panel(letter, name, drawn))
        return drawn

    def marks(self, *, partial: str, simulated: bool) -> None:
        """Put important notes at the top of the picture."""
        words = [partial.upper()] if partial else []
        words += [SIMULATED] if simulated else []
        if words:
            color = WARNING if partial else INK
            self.figure.suptitle(" · ".join(words), fontsize=TICK, color=color, x=0.99, ha="right")

    def lay_out(self) -> None:
        """Lay out everything once for all formats, because it takes longer than drawing."""
        from matplotlib import rcParams

        shown_at = self.figure.dpi
        self.figure.set_dpi(rcParams["savefig.dpi"])  # letters are wider there: coarse pixels round their widths
        for _ in range(2):  # the second time the sizes of the pictures are known
            self.figure.draw_without_rendering()
        self.figure.set_layout_engine("none")
        self.figure.set_dpi(shown_at)

    def animal_legend(self, recordings: Sequence[str]) -> None:
        """Under the panels: which color and marker is which animal."""
        from matplotlib.lines import Line2D

        looks = animal_looks(recordings)
        if not 1 < len(looks) <= 10:
            return
        handles = [Line2D([], [], linestyle="", **look) for look in looks.values()]
        self.figure.legend(
            handles,
            [short_name(name) for name in looks],
            loc="outside lower center",
            ncols=min(len(looks), 5),
            title="animal",
            title_fontsize=TICK,
            handletextpad=0.2,
            columnspacing=1.2,
        )


def put_letter(ax: Any, letter: str) -> None:
    """A panel's letter at its upper left."""
    from matplotlib.figure import SubFigure

    if isinstance(ax, SubFigure):
        ax.suptitle(letter, x=0.005, ha="left", fontsize=LETTER, fontweight="bold")
        return
    ax.set_title(letter, loc="left", x=-0.02, ha="right", fontsize=LETTER, fontweight="bold")


def stacked(figure: Figure | SubFigure, heights: Sequence[float]) -> list[SubFigure]:
    """Parts of a figure one below the other, with these relative heights."""
    parts: Any = figure.subfigures(len(heights), 1, height_ratios=heights, squeeze=False)
    return list(parts[:, 0])


def beside(figure: Figure | SubFigure, widths: Sequence[float]) -> list[SubFigure]:
    """Parts of a figure from left to right, with these relative widths."""
    parts: Any = figure.subfigures(1, len(widths), width_ratios=widths, squeeze=False)
    return list(parts[0])


def write_sheet(
    draw: Callable[[Material], Sheet], material: Material, target: Path, *, overwrite: bool = False
) -> Path:
    """Draw a figure and write it to a folder, whole or not at all: see :func:`neuroreel.figures.paper.write_figure`."""
    refuse_existing(target, overwrite=overwrite)
    with style():
        sheet = draw(material)
        sheet.marks(partial=material.partial, simulated=material.simulated)
        sheet.lay_out()
        with atomic_path(target, overwrite=overwrite) as partial:
            partial.mkdir()
            for ending, metadata in _UNDATED.items():
                sheet.figure.savefig(partial / f"figure.{ending}", metadata=metadata)
            for panel in sheet.panels:
                numbers = partial / f"{panel.letter}_{panel.name}.csv"
                panel.drawn.numbers.to_csv(numbers, index=False, lineterminator="\n")
            all_tests(sheet).to_csv(partial / "tests.csv", index=False, lineterminator="\n")
            (partial / "caption.md").write_text(caption(sheet, material), encoding="utf-8")
            if material.missing:
                (partial / "missing.txt").write_text("\n".join(material.missing) + "\n", encoding="utf-8")
    return target


def all_tests(sheet: Sheet) -> pd.DataFrame:
    """The tests of all panels, with the panel's letter before each."""
    made = [
        each.drawn.tests.assign(panel=each.letter)
        for each in sheet.panels
        if each.drawn.tests is not None and len(each.drawn.tests)
    ]
    columns = ["panel", *COLUMNS]
    return pd.concat(made, ignore_index=True)[columns] if made else pd.DataFrame(columns=columns)


def caption(sheet: Sheet, material: Material) -> str:
    """The caption as Markdown: title, panels, what was run, and what is missing."""
    title = f"**{sheet.title}**"
    if material.partial:
        title = f"**{material.partial.capitalize()}.** {title}"
    parts = [title]
    parts += [f"**({panel.letter})** {panel.drawn.caption}" for panel in sheet.panels]
    run = [f"{name}: {value}" for name, value in material.said.items()]
    run += ["recordings are simulated: no animal was recorded"] if material.simulated else []
    run += [f"drawn by neuroreel {__version__}"]
    parts += [f"What was run: {'; '.join(run)}.", *material.notes]
    if material.missing:
        lines = summary_of_missing(material.missing)
        parts += [
            f"Missing ({len(material.missing)}, see `missing.txt`):\n\n" + "\n".join(f"- {each}" for each in lines)
        ]
    return "\n\n".join(parts) + "\n"

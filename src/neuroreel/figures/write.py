"""A figure in files: the picture as PDF, SVG and PNG, a table of numbers for each panel, the tests, the caption."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from neuroreel import __version__
from neuroreel.figures.catalog import figure_function
from neuroreel.figures.material import Material, summary_of_missing
from neuroreel.figures.sheet import Sheet
from neuroreel.files import atomic_path, refuse_existing
from neuroreel.style import style

if TYPE_CHECKING:
    from pandas import DataFrame

_UNDATED = {"pdf": {"CreationDate": None}, "svg": {"Date": None}, "png": {}}


def write_figure(name: str, material: Material, folder: Path, *, overwrite: bool = False) -> Path:
    """Draw a figure and write it to ``folder/name``, whole or not at all.

    Parameters
    ----------
    name
        Of the figure: see ``catalog``.
    material
        What it is drawn from.
    folder
        Gets a folder ``name`` with ``figure.pdf``, ``figure.svg``, ``figure.png``, one ``LETTER_PANEL.csv`` a panel,
        ``tests.csv`` (every test, with statistic, degrees of freedom, p and n), ``caption.md``, and ``missing.txt``
        where something is missing.
    overwrite
        Replace what is there.

    Returns
    -------
    pathlib.Path
        ``folder/name``.

    Raises
    ------
    InputError
        It is there already, or the results lack what the figure needs.
    """
    target = folder / name
    refuse_existing(target, overwrite=overwrite)
    with style():
        sheet = figure_function(name)(material)
        sheet.marks(partial=material.partial, simulated=material.simulated)
        sheet.lay_out()
        with atomic_path(target, overwrite=overwrite) as partial:
            partial.mkdir()
            for ending, metadata in _UNDATED.items():
                sheet.figure.savefig(partial / f"figure.{ending}", metadata=metadata)
            _write_tables(sheet, partial)
            (partial / "caption.md").write_text(caption(sheet, material), encoding="utf-8")
            if material.missing:
                (partial / "missing.txt").write_text("\n".join(material.missing) + "\n", encoding="utf-8")
    return target


def _write_tables(sheet: Sheet, folder: Path) -> None:
    for panel in sheet.panels:
        panel.drawn.numbers.to_csv(folder / f"{panel.letter}_{panel.name}.csv", index=False, lineterminator="\n")
    all_tests(sheet).to_csv(folder / "tests.csv", index=False, lineterminator="\n")


def all_tests(sheet: Sheet) -> DataFrame:
    """The tests of all panels, with the panel's letter before each."""
    import pandas as pd

    from neuroreel.figures.comparisons import COLUMNS

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

"""``neuroreel figures``: read results, draw figures, report what could not be drawn."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from neuroreel.errors import InputError
from neuroreel.extras import needs
from neuroreel.figures.from_experiment import read_experiment
from neuroreel.figures.material import Material, summary_of_missing
from neuroreel.figures.paper import FIGURES, check_experiment, write_figure
from neuroreel.files import refuse_existing

Say = Callable[[str], object]


def draw_figures(
    experiment: str,
    *,
    results: Path | None = None,
    published: Path | None = None,
    out: Path,
    overwrite: bool = False,
    say: Say = lambda _: None,
) -> list[Path]:
    """Draw the figures of an experiment, or of ``all`` experiments that have results, each into a folder of its own.

    They are drawn from the folder that ``neuroreel experiment`` wrote into, or from the authors' published results.
    ``say`` is called with a line of text for each figure, and for what is missing.

    Raises
    ------
    InputError
        No such experiment, nothing to draw, neither or both of the folders, mixed results, or existing figures.
    ResourceError
        A library of the ``figures`` extra is not installed.
    """
    if experiment != "all":
        check_experiment(experiment)
    if (results is None) == (published is None):
        raise InputError("give either results= (of neuroreel experiment) or published= (the authors' files)")
    needs("statsmodels", extra="figures")
    names = list(FIGURES) if experiment == "all" else [experiment]
    if published is not None:
        from neuroreel.figures.from_published import PublishedFolder

        source = PublishedFolder(published)
        chosen = source.there(names)
        read: Callable[[str], Material] = source.read
    else:
        assert results is not None
        folder = results
        chosen = _there(folder, names) if experiment == "all" else names

        def read(name: str) -> Material:
            return read_experiment(folder / name)

    for name in chosen:
        for figure in FIGURES[name]:
            refuse_existing(out / figure, overwrite=overwrite)
    return [path for name in chosen for path in _draw(name, read(name), out, overwrite=overwrite, say=say)]


def _there(results: Path, names: list[str]) -> list[str]:
    """The experiments that have a folder in the results."""
    chosen = [name for name in names if (results / name / "experiment.json").is_file()]
    if not chosen:
        raise InputError(f"{results} has no results of {', '.join(names)}; run `neuroreel experiment` first")
    return chosen


def _draw(name: str, material: Material, out: Path, *, overwrite: bool, say: Say) -> list[Path]:
    """The figures of one experiment."""
    if material.partial:
        say(f"{name} is {material.partial}; its figures say so")
    for line in summary_of_missing(material.missing):
        say(f"  missing: {line}")
    written = []
    for figure in FIGURES[name]:
        written.append(write_figure(figure, material, out, overwrite=overwrite))
        say(f"wrote {written[-1]}")
    return written

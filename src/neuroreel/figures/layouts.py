"""A layout that several figures share: one trial under all conditions on the left, panels on the right."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from neuroreel.figures.examples import one_trial, side_by_side
from neuroreel.figures.material import Material
from neuroreel.figures.sheet import Sheet, beside
from neuroreel.figures.strips import panel_strips
from neuroreel.style import PAGE

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from pandas import DataFrame

_ROW = 15.0  # millimetres of height for a row of frames


def sheet_with_example(
    material: Material,
    table: DataFrame,
    *,
    title: str,
    condition: str,
    order: Mapping[Any, str],
    panels: int = 1,
    score: str = "video_correlation",
) -> tuple[Sheet, Sequence[Axes]]:
    """A sheet with frames of the trial in the middle of the scores, and axes for the panels beside it.

    Parameters
    ----------
    material, table
        Where the movies come from, and the rows to choose the trial from.
    title
        First sentence of the caption.
    condition, order
        Column that tells the conditions apart; its values from top to bottom and what each is called.
    panels
        How many axes are wanted.
    score
        Which score chooses the trial and is printed beside its movies.

    Returns
    -------
    tuple
        The sheet, and the axes from left to right.
    """
    rows = one_trial(table, condition=condition, order=list(order))
    height = max(62.0, 16 + _ROW * (len(rows) + 1))
    sheet = Sheet(PAGE, height, title)
    if not len(rows):  # no trial has all conditions
        return sheet, list(sheet.figure.subplots(1, panels, squeeze=False)[0])
    left, right = beside(sheet.figure, [5, 4] if panels == 1 else [4, 5])
    labels = [order[value] for value in rows[condition]]
    example = side_by_side(material, rows, labels, score=score)
    columns = 4 if panels == 1 else 3
    sheet.add("frames", panel_strips, [example], left, columns=columns, what="A movie in the middle of the scores")
    return sheet, list(right.subplots(1, panels, squeeze=False)[0])

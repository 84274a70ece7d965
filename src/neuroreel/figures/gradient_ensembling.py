"""One video from the models' mean gradient, against the mean of one video a model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from neuroreel.figures.conditions import panel_conditions
from neuroreel.figures.layouts import sheet_with_example
from neuroreel.figures.material import Material
from neuroreel.figures.sheet import Drawn, Sheet

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from pandas import DataFrame

ORDER = {"single": "single\nmodel", "gradients": "mean of\ngradients", "videos": "mean of\nvideos"}


def panel_ensembles(table: DataFrame, ax: Axes) -> Drawn:
    """A single model, the models' mean gradient, the mean of the models' videos."""
    what = "One model, one video from the mean gradient of all models, and the mean of one video a model"
    return panel_conditions(table, ax, condition="ensemble", order=ORDER, what=what)


def draw(material: Material) -> Sheet:
    """The whole figure."""
    table = material.table
    title = "Two ways of ensembling."
    sheet, (ax,) = sheet_with_example(material, table, title=title, condition="ensemble", order=ORDER)
    sheet.add("ensembles", panel_ensembles, table, ax)
    sheet.animal_legend(list(table["recording"]))
    return sheet

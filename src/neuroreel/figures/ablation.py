"""Fewer neurons (Figure 5): the correlation against how many were kept, and tests between the fractions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from neuroreel.figures.conditions import panel_conditions
from neuroreel.figures.curves import panel_curve
from neuroreel.figures.layouts import sheet_with_example
from neuroreel.figures.material import Material, needs_columns
from neuroreel.figures.sheet import Drawn, Sheet

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from pandas import DataFrame


def fractions(table: DataFrame) -> dict[float, str]:
    """The fractions that were kept, from all neurons down, and what each is called."""
    rows = needs_columns(table, "fraction", "video_correlation", figure="ablation")
    return {float(each): f"{100 * each:g}%" for each in sorted(rows["fraction"].unique(), reverse=True)}


def panel_fractions(table: DataFrame, ax: Axes) -> Drawn:
    """By the share of neurons that was kept."""
    drawn = panel_conditions(
        table, ax, condition="fraction", order=fractions(table), what="Movies from a share of the neurons"
    )
    ax.set_xlabel("neurons kept")
    return drawn


def panel_neurons(table: DataFrame, ax: Axes) -> Drawn:
    """By the number of neurons, each animal a line."""
    counted = "neurons" in table and table["neurons"].notna().any()
    x, label = ("neurons", "neurons") if counted else ("fraction", "fraction of neurons kept")
    rows = needs_columns(table, "fraction", x, figure="ablation")
    if counted:  # a drawn population differs by a few neurons between movies: their mean
        means = rows.astype({"neurons": float}).groupby(["recording", "fraction"])["neurons"].transform("mean")
        rows = rows.assign(neurons=means.round())
    drawn = panel_curve(rows, ax, x=x, x_label=label, logarithmic=True, what=f"Video correlation by {label}")
    if counted and rows["neurons"].nunique() > 5:
        ax.set_xticks([], minor=True)
    return drawn


def draw(material: Material) -> Sheet:
    """The whole figure."""
    table = material.table
    sheet, (left, right) = sheet_with_example(
        material, table, title="Fewer neurons.", condition="fraction", order=fractions(table), panels=2
    )
    sheet.add("fractions", panel_fractions, table, left)
    sheet.add("neurons", panel_neurons, table, right)
    sheet.animal_legend(list(table["recording"]))
    return sheet

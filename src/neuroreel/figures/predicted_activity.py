"""Movies reconstructed from responses that the models themselves predict: how good a reconstruction could be."""

from __future__ import annotations

from typing import TYPE_CHECKING

from neuroreel.errors import InputError
from neuroreel.figures.comparisons import counted
from neuroreel.figures.conditions import panel_conditions
from neuroreel.figures.layouts import sheet_with_example
from neuroreel.figures.material import Material, needs_columns
from neuroreel.figures.sheet import Drawn, Sheet
from neuroreel.ranges import range_with_zero
from neuroreel.style import FAINT, TICK, animal_looks

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from pandas import DataFrame

ORDER = {"recorded": "recorded\nresponses", "predicted": "predicted\nresponses"}


def panel_targets(table: DataFrame, ax: Axes) -> Drawn:
    """From recorded and from predicted responses."""
    what = "Movies reconstructed from the recorded responses, and from those predicted for the true movie"
    return panel_conditions(table, ax, condition="target", order=ORDER, what=what)


def panel_bound(table: DataFrame, ax: Axes) -> Drawn:
    """Each movie from recorded against predicted responses, with the line on which they would be equal."""
    rows = needs_columns(table, "recording", "trial", "target", "video_correlation", figure="predicted_activity")
    wide = rows.pivot_table(index=["recording", "trial"], columns="target", values="video_correlation")
    if not set(ORDER) <= set(wide.columns):
        raise InputError("no movie was reconstructed from recorded and from predicted responses; both are needed")
    wide = wide[list(ORDER)].dropna().reset_index()
    looks = animal_looks(list(wide["recording"]))
    for name, own in wide.groupby("recording"):
        ax.plot(own["recorded"], own["predicted"], linestyle="", **looks[str(name)], alpha=0.8)
    low, high = range_with_zero(1.05 * wide[list(ORDER)], narrowest=0.05)
    ax.plot([low, high], [low, high], color=FAINT, linewidth=0.6, zorder=0)
    ax.set(xlim=(low, high), ylim=(low, high), aspect="equal")
    ax.set(xlabel="from recorded responses (r)", ylabel="from predicted responses (r)")
    ax.set_title(counted(wide), loc="right", fontsize=TICK)
    caption = (
        f"Video correlation of every movie from recorded against predicted responses; line: equal. {counted(wide)}."
    )
    return Drawn(numbers=wide, caption=caption)


def draw(material: Material) -> Sheet:
    """The whole figure."""
    table = material.table
    title = "Reconstruction from predicted responses bounds what the models allow."
    both = {"recorded", "predicted"} <= set(table["target"].dropna())
    sheet, axes = sheet_with_example(
        material, table, title=title, condition="target", order=ORDER, panels=2 if both else 1
    )
    sheet.add("targets", panel_targets, table, axes[0])
    if both:
        sheet.add("bound", panel_bound, table, axes[1])
    sheet.animal_legend(list(table["recording"]))
    return sheet

"""Masks: none, the trained one, the strict one. The published method moves what is inside, the posterior is scored."""

from __future__ import annotations

from typing import TYPE_CHECKING

from neuroreel.figures.conditions import panel_conditions
from neuroreel.figures.curves import panel_curve
from neuroreel.figures.layouts import sheet_with_example
from neuroreel.figures.material import Material
from neuroreel.figures.sheet import Drawn, Sheet

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from pandas import DataFrame

ORDER = {"none": "no mask", "trained": "trained\nmask", "strict": "strict\nmask"}
_TRAINED, _SCORED = 0.5, 1.0  # thresholds of the paper's update mask, and of the evaluation mask
_SAME = ("recording", "trial", "target", "mask", "mask_threshold")


def panel_variants(table: DataFrame, ax: Axes) -> Drawn:
    """No mask, the trained one at its usual threshold, the strict one."""
    what = (
        "Published method: pixels moved everywhere, inside the trained mask (at least 0.5), inside the strict one (at "
        "least 1), always scored inside the evaluation mask. Posterior: pixels scored"
    )
    return panel_conditions(variants(table), ax, condition="mask", order=ORDER, what=what)


def panel_thresholds(table: DataFrame, ax: Axes) -> Drawn:
    """The trained mask at other thresholds."""
    return panel_curve(
        table,
        ax,
        x="mask_threshold",
        x_label="threshold (mask value)",
        what="Video correlation by the threshold of the mask: of pixels moved (published method) or scored (posterior)",
    )


def variants(table: DataFrame) -> DataFrame:
    """Without the threshold sweep: of the trained mask only the usual threshold."""
    if "mask_threshold" not in table:
        return table
    usual = _TRAINED
    if "method" in table:
        usual = table["method"].map({"posterior": _SCORED}).fillna(_TRAINED)
    sweep = (table["mask"] == "trained") & table["mask_threshold"].notna() & (table["mask_threshold"] != usual)
    return table[~sweep].drop_duplicates([name for name in _SAME if name in table])


def draw(material: Material) -> Sheet:
    """The whole figure."""
    table = material.table
    title = "Variants of the transparency mask."
    swept = "mask_threshold" in table and table["mask_threshold"].nunique() > 2
    sheet, axes = sheet_with_example(
        material, variants(table), title=title, condition="mask", order=ORDER, panels=2 if swept else 1
    )
    sheet.add("variants", panel_variants, table, axes[0])
    if swept:
        sheet.add("thresholds", panel_thresholds, table, axes[1])
    sheet.animal_legend(list(table["recording"]))
    return sheet

"""Drifting gratings: by direction, and by spatial and temporal frequency."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from neuroreel.figures.conditions import panel_conditions
from neuroreel.figures.examples import example_of
from neuroreel.figures.maps import panel_map
from neuroreel.figures.material import Example, Material, needs_columns
from neuroreel.figures.sheet import Drawn, Sheet, stacked
from neuroreel.figures.strips import panel_strips
from neuroreel.style import PAGE, short_name

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from pandas import DataFrame

_PLACE = ("direction_deg", "spatial_frequency", "temporal_frequency_hz")


def grating_rows(table: DataFrame) -> DataFrame:
    """Rows whose frequencies are known; frequencies a pair of directions has in common are one ``trial``."""
    rows = needs_columns(table, "recording", *_PLACE, "video_correlation", figure="gratings")
    pairs = zip(rows["spatial_frequency"], rows["temporal_frequency_hz"], strict=True)
    return rows.assign(trial=[f"{spatial:g}cpd-{temporal:g}Hz" for spatial, temporal in pairs])


def panel_directions(table: DataFrame, ax: Axes) -> Drawn:
    """By direction, over all frequencies."""
    rows = grating_rows(table)
    order = {each: f"{each:g}" for each in sorted(rows["direction_deg"].unique())}
    what = "Gratings by direction (a movie: one pair of frequencies)"
    drawn = panel_conditions(rows, ax, condition="direction_deg", order=order, what=what)
    ax.set_xlabel("direction (degrees)")
    return drawn


def panel_frequencies(table: DataFrame, ax: Axes) -> Drawn:
    """By spatial and temporal frequency, over all directions."""
    return panel_map(
        grating_rows(table),
        ax,
        x="temporal_frequency_hz",
        y="spatial_frequency",
        x_label="temporal frequency (Hz)",
        y_label="spatial frequency (cycles/degree)",
        what="Gratings by spatial and temporal frequency, mean over directions",
    )


def draw(material: Material) -> Sheet:
    """The whole figure."""
    rows = grating_rows(material.table)
    means = rows.groupby(list(_PLACE))["video_correlation"].mean().sort_values(ascending=False)
    places = dict.fromkeys((0, len(means) // 2))
    examples = [_example(material, rows.set_index(list(_PLACE)).loc[[means.index[place]]]) for place in places]
    sheet = Sheet(PAGE, 62 + 27 * len(examples), "Drifting gratings.")
    above, below = stacked(sheet.figure, [27 * len(examples), 62])
    sheet.add("frames", panel_strips, examples, above, what="Gratings reconstructed best, and in the middle")
    left, right = below.subplots(1, 2, width_ratios=[2, 3])
    sheet.add("directions", panel_directions, material.table, left)
    sheet.add("frequencies", panel_frequencies, material.table, right)
    sheet.animal_legend(list(rows["recording"]))
    return sheet


def _example(material: Material, rows: DataFrame) -> Example:
    row = rows.reset_index().sort_values("video_correlation").iloc[len(rows) // 2].to_dict()
    example = example_of(material, row)
    said = (
        f"{row['direction_deg']:g} deg",
        f"{row['spatial_frequency']:.2g} c/deg",
        f"{row['temporal_frequency_hz']:.3g} Hz",
    )
    name = f"{', '.join(said)} ({short_name(str(row['recording']))})"
    return replace(example, name=name, beside="\n".join((*said, example.beside)))

"""The figures of the paper, each a function that lays out panels on a sheet; and the figures of each experiment."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from neuroreel.errors import InputError
from neuroreel.evaluation.uncertainty import ensemble_uncertainty
from neuroreel.figures import conditions, curves, quality
from neuroreel.figures.fields import panel_maps, panel_overlap
from neuroreel.figures.material import Material
from neuroreel.figures.movies import (
    at_percentiles,
    chosen_noise,
    example_of,
    grating_example,
    noise_example,
    one_trial,
    panel_strips,
    side_by_side,
)
from neuroreel.figures.sheet import Drawn, Sheet, beside, stacked, write_sheet
from neuroreel.style import COLUMN, COLUMN_AND_A_HALF, PAGE

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from pandas import DataFrame

_ROW = 15.0  # millimeters of height for a row of frames
_EXAMPLE = 27.0  # height for a true movie and its reconstruction
_QUARTILES = (75, 50, 25)
_MOST_ANIMALS = 5  # side by side
_LOGGED = {
    "loss": ("loss", "Loss between recorded and predicted responses, mean over neurons and frames"),
    "video_correlation": ("video correlation (r)", "Correlation of the movie with the true one"),
    "response_correlation": ("response correlation (r)", "Correlation of predicted with recorded responses"),
}


def natural(material: Material) -> Sheet:
    """Natural movies: examples, every movie's correlation, effects of ensembling and smoothing (Figures 1 to 3)."""
    table = material.table
    chosen = at_percentiles(table, _QUARTILES)
    whose = "a simulated mouse" if material.simulated else "visual cortex"
    sheet = Sheet(PAGE, 60 + _EXAMPLE * len(chosen), f"Natural movies reconstructed from the responses of {whose}.")
    above, below = stacked(sheet.figure, [_EXAMPLE * len(chosen), 55])
    examples = [example_of(material, row) for row in chosen.to_dict("records")]
    what = "Movies at the quartiles of the video correlation" if len(chosen) > 2 else "Movies, the better one above"
    sheet.add("frames", panel_strips, examples, above, what=what)
    compared = conditions.methods(table)["method"].nunique() > 1  # otherwise the panel would repeat another
    axes = below.subplots(1, 1 + compared, width_ratios=[3, 2][: 1 + compared], squeeze=False)[0]
    sheet.add("movies", curves.panel_movies, table, axes[0])
    if compared:
        sheet.add("ensembling", conditions.panel_ensembling, table, axes[1])
    sheet.animal_legend(list(table["recording"]))
    return sheet


def convergence(material: Material) -> Sheet:
    """How loss and correlations change while a movie is optimized (Figure 1): a panel for each that was logged."""
    history = material.history(material.table)
    there = [name for name in _LOGGED if name in history and history[name].notna().any()]
    sheet = Sheet(PAGE if len(there) > 1 else COLUMN, 55, "Convergence of the reconstructions.")
    for name, ax in zip(there, sheet.figure.subplots(1, max(len(there), 1), squeeze=False)[0], strict=False):
        label, what = _LOGGED[name]
        sheet.add(name, curves.panel_convergence, history, ax, quantity=name, label=label, what=what)
    return sheet


def judged_otherwise(material: Material) -> Sheet:
    """Natural movies by identification, by frequency, and by whether an ensemble knows its errors."""
    movies, uncertain = [], []
    for row in material.table.to_dict("records"):
        own = material.movies(row)
        if own.model_videos is not None:
            with suppress(InputError):  # too short to be judged
                uncertain.append(ensemble_uncertainty(own.truth, own.model_videos, mask=own.mask))
        movies.append(replace(own, model_videos=None))  # for fifty movies they would take a gigabyte
    panels: dict[str, tuple[Callable[..., Drawn], Sequence[object]]] = {
        "identification": (quality.panel_identification, movies),
        "bands": (quality.panel_bands, movies),
    }
    if uncertain:
        panels["uncertainty"] = (quality.panel_uncertainty, uncertain)
    sheet = Sheet(PAGE if uncertain else COLUMN_AND_A_HALF, 62, "Natural movies judged in other ways.")
    axes = sheet.figure.subplots(1, len(panels), width_ratios=[3, 4, 3][: len(panels)])
    for (name, (panel, data)), ax in zip(panels.items(), axes, strict=True):
        sheet.add(name, quality.or_say_why(panel), data, ax)
    return sheet


def gradient_ensembling(material: Material) -> Sheet:
    """One video from the models' mean gradient, compared with the mean of one video per model."""
    return _with_example(
        material,
        title="Two ways of ensembling.",
        condition="ensemble",
        order=conditions.ENSEMBLES,
        panels={"ensembles": conditions.panel_ensembles},
    )


def predicted_activity(material: Material) -> Sheet:
    """Movies from responses that the models themselves predict (Figure 3): how good a reconstruction could be."""
    both = {"recorded", "predicted"} <= set(material.table["target"].dropna())
    return _with_example(
        material,
        title="Reconstruction from predicted responses bounds what the models allow.",
        condition="target",
        order=conditions.TARGETS,
        panels={"targets": conditions.panel_targets} | ({"bound": curves.panel_bound} if both else {}),
    )


def masks(material: Material) -> Sheet:
    """Masks: none, the trained mask, the strict mask, and other thresholds if requested."""
    table = material.table
    swept = "mask_threshold" in table and table["mask_threshold"].nunique() > 2
    return _with_example(
        material,
        title="Variants of the transparency mask.",
        condition="mask",
        order=conditions.MASKS,
        rows=conditions.variants(table),
        panels={"variants": conditions.panel_variants} | ({"thresholds": curves.panel_thresholds} if swept else {}),
    )


def ablation(material: Material) -> Sheet:
    """Fewer neurons (Figure 5)."""
    return _with_example(
        material,
        title="Fewer neurons.",
        condition="fraction",
        order=conditions.fractions(material.table),
        panels={"fractions": conditions.panel_fractions, "neurons": curves.panel_neurons},
    )


def noise(material: Material) -> Sheet:
    """Gaussian noise (Figure 4): which length constants in space and time are recovered, and phase inversions."""
    rows = curves.noise_rows(material.table)
    there = [inverted for inverted in (False, True) if (rows["inverted"] == inverted).any()]
    means = rows.groupby(["inverted", "spatial_px", "temporal_frames"])["video_correlation"].mean()
    colors = curves.correlation_colors(means)  # for both panels, which share a color bar
    examples = [noise_example(material, row) for row in chosen_noise(material.table)]
    title = "Gaussian noise by its length constants in space and time."
    sheet = Sheet(PAGE, 62 + _EXAMPLE * len(examples), title)
    above, below = stacked(sheet.figure, [_EXAMPLE * len(examples), 62])
    sheet.add("frames", panel_strips, examples, above, what="Noise reconstructed best, in the middle, and worst")
    for inverted, ax in zip(there, below.subplots(1, len(there), squeeze=False)[0], strict=True):
        name, last = "inverted" if inverted else "noise", inverted == there[-1]
        sheet.add(name, curves.panel_noise, material.table, ax, inverted=inverted, colors=colors, bar=last)
    return sheet


def gratings(material: Material) -> Sheet:
    """Drifting gratings: by direction, and by spatial and temporal frequency."""
    rows = conditions.grating_rows(material.table)
    place = ["direction_deg", "spatial_frequency", "temporal_frequency_hz"]
    means = rows.groupby(place)["video_correlation"].mean().sort_values(ascending=False)
    places = dict.fromkeys((0, len(means) // 4))
    examples = [grating_example(material, rows.set_index(place).loc[[means.index[each]]]) for each in places]
    sheet = Sheet(PAGE, 60 + _EXAMPLE * len(examples), "Drifting gratings.")
    above, below = stacked(sheet.figure, [_EXAMPLE * len(examples), 60])
    sheet.add("frames", panel_strips, examples, above, what="Gratings reconstructed best, and at the upper quartile")
    left, right = below.subplots(1, 2, width_ratios=[2, 3])
    sheet.add("directions", conditions.panel_directions, material.table, left)
    sheet.add("frequencies", curves.panel_frequencies, material.table, right)
    sheet.animal_legend(list(rows["recording"]))
    return sheet


def receptive_fields(material: Material) -> Sheet:
    """Receptive field maps from light and dark spots next to the mask, and how well they agree."""
    if material.fields is None:
        raise InputError("these results hold no receptive fields; run `neuroreel experiment receptive_fields`")
    rows = material.table.sort_values("recording").to_dict("records")[:_MOST_ANIMALS]
    fields = [material.fields(row) for row in rows]
    compared = "rf_mask_overlap" in material.table and material.table["rf_mask_overlap"].notna().any()
    wide = 40.0 * len(fields) + 22
    height = 25.0 * (3 + any("mask" in each for each in fields)) + 8
    sheet = Sheet(min(PAGE, wide + 45 * compared), height, "Receptive fields and transparency masks.")
    parts = beside(sheet.figure, [wide, 45]) if compared else beside(sheet.figure, [1])
    sheet.add("maps", panel_maps, fields, parts[0])
    if compared:
        sheet.add("overlap", panel_overlap, material.table, parts[1].subplots())
    return sheet


def responses(material: Material) -> Sheet:
    """How well the recorded responses are predicted from the true movie and from its reconstruction."""
    sheet = Sheet(COLUMN_AND_A_HALF, 66, "Responses predicted from true and reconstructed movies.")
    sheet.add("movies", conditions.panel_responses, material.table, sheet.figure.subplots())
    sheet.animal_legend(list(material.table["recording"]))
    return sheet


def _with_example(
    material: Material,
    *,
    title: str,
    condition: str,
    order: Mapping[Any, str],
    panels: Mapping[str, Callable[[DataFrame, Axes], Drawn]],
    rows: DataFrame | None = None,
) -> Sheet:
    """A sheet with frames of the median trial under each condition, and one or two panels next to them.

    ``rows`` are the rows to choose the trial from, by default all. If no trial has all conditions there are no frames.
    """
    table = material.table
    shown = one_trial(table if rows is None else rows, condition=condition, order=list(order))
    sheet = Sheet(PAGE, max(62.0, 16 + _ROW * (len(shown) + 1)), title)
    place: Any = sheet.figure
    if len(shown):
        left, place = beside(sheet.figure, [5, 4] if len(panels) == 1 else [4, 5])
        example = side_by_side(material, shown, [order[value] for value in shown[condition]])
        columns = 4 if len(panels) == 1 else 3
        sheet.add("frames", panel_strips, [example], left, columns=columns, what="The movie with the median score")
    for (name, panel), ax in zip(panels.items(), place.subplots(1, len(panels), squeeze=False)[0], strict=True):
        sheet.add(name, panel, table, ax)
    sheet.animal_legend(list(table["recording"]))
    return sheet


FIGURES: dict[str, dict[str, Callable[[Material], Sheet]]] = {  # experiment: its figures
    "natural": {"natural": natural, "convergence": convergence, "quality": judged_otherwise},
    "gradient_ensembling": {"gradient_ensembling": gradient_ensembling},
    "predicted_activity": {"predicted_activity": predicted_activity},
    "masks": {"masks": masks},
    "ablation": {"ablation": ablation},
    "noise": {"noise": noise},
    "gratings": {"gratings": gratings},
    "receptive_fields": {"receptive_fields": receptive_fields},
    "responses": {"responses": responses},
}


def check_experiment(name: str) -> None:
    """InputError unless there are figures for this experiment."""
    if name not in FIGURES:
        raise InputError(f"there is no experiment {name!r}; there are figures of {', '.join(FIGURES)}, or all")


def write_figure(name: str, material: Material, folder: Path, *, overwrite: bool = False) -> Path:
    """Draw a figure and write it to ``folder/name``, whole or not at all.

    Parameters
    ----------
    name
        Name of the figure, one of those in ``FIGURES``.
    material
        Its material.
    folder
        Gets a folder ``name`` with ``figure.pdf``, ``figure.svg``, ``figure.png``, one ``LETTER_PANEL.csv`` per panel,
        ``tests.csv`` (every test, with statistic, degrees of freedom, p and n), ``caption.md``, and ``missing.txt`` if
        something is missing.
    overwrite
        Replace an existing figure.

    Returns
    -------
    pathlib.Path
        ``folder/name``.

    Raises
    ------
    InputError
        The figure already exists, or the results lack what it needs.
    """
    functions = {figure: draw for figures in FIGURES.values() for figure, draw in figures.items()}
    return write_sheet(functions[name], material, folder / name, overwrite=overwrite)

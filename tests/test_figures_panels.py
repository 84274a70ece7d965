"""Panels: the numbers that come back are those that went in, and what is drawn is where the numbers are."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

import neuroreel as nr
from figure_tables import (
    grating_table,
    history_of,
    material_of,
    movies_of,
    noise_table,
    table_of,
)
from neuroreel.figures import conditions, curves, fields, paper, quality
from neuroreel.figures.comparisons import COLUMNS, compare_conditions, format_p, stars, summary_of_tests
from neuroreel.figures.conditions import panel_conditions
from neuroreel.figures.curves import correlation_colors, draw_values, panel_convergence, panel_curve, panel_map
from neuroreel.figures.material import needs_columns, summary_of_missing
from neuroreel.figures.movies import at_percentiles, chosen_frames, one_trial, panel_strips
from neuroreel.pictures import Strip
from neuroreel.style import COLORS, animal_looks, correlation_axis, short_name, style

FRACTIONS = {1.0: 0.0, 0.5: -0.1, 0.25: -0.2}
NAMES = {1.0: "all", 0.5: "half", 0.25: "a\nquarter"}


@pytest.fixture
def ax() -> Iterator[Axes]:
    with style():
        yield Figure(layout="constrained").subplots()


def test_conditions_give_back_every_movie_animal_and_mean(ax: Axes) -> None:
    table = table_of("fraction", FRACTIONS)
    drawn = panel_conditions(table, ax, condition="fraction", order=NAMES, what="Shares")
    numbers = drawn.numbers
    movies = numbers[numbers["level"] == "movie"].sort_values(["recording", "trial", "fraction"])
    expected = table.sort_values(["recording", "trial", "fraction"])
    np.testing.assert_array_equal(movies["video_correlation"], expected["video_correlation"])
    for name, own in table.groupby(["recording", "fraction"])["video_correlation"]:
        row = numbers[(numbers["level"] == "animal") & (numbers["recording"] == name[0])]
        assert row.loc[row["fraction"] == name[1], "video_correlation"].item() == pytest.approx(own.mean())
    mean = numbers[numbers["level"] == "mean over animals"].set_index("fraction")
    animals = table[table["fraction"] == 0.5].groupby("recording")["video_correlation"].mean()
    assert mean.loc[0.5, "video_correlation"] == pytest.approx(animals.mean())
    assert mean.loc[0.5, "standard_error"] == pytest.approx(animals.std(ddof=1) / 2)
    assert [each.get_text() for each in ax.get_xticklabels()] == list(NAMES.values())
    assert ax.get_title("right") == "n = 4 animals, 12 movies"
    dots = np.concatenate([np.asarray(each.get_offsets())[:, 1] for each in ax.collections if len(each.get_offsets())])
    assert set(np.round(expected["video_correlation"], 9)) <= set(np.round(dots.astype(float), 9))


def test_tests_are_over_animals_and_named(ax: Axes) -> None:
    """Against SciPy."""
    from scipy.stats import ttest_rel

    table = table_of("fraction", FRACTIONS)
    drawn = panel_conditions(table, ax, condition="fraction", order=NAMES, what="Shares")
    tests = drawn.tests
    assert tests is not None and list(tests.columns) == list(COLUMNS)
    wide = table.groupby(["recording", "fraction"])["video_correlation"].mean().unstack()
    row = tests[(tests["test"] == "paired t-test") & (tests["comparison"] == "all - half")].iloc[0]
    expected = ttest_rel(wide[1.0], wide[0.5])
    assert row["value"] == pytest.approx(expected.statistic) and row["p"] == pytest.approx(expected.pvalue)
    assert row["p_corrected"] == pytest.approx(min(1, 3 * expected.pvalue)) and row["df"] == 3 and row["animals"] == 4
    assert {"repeated-measures ANOVA", "paired t-test", "mixed model"} == set(tests["test"])
    assert tests.loc[tests["test"] == "mixed model", "movies"].unique().tolist() == [12]
    for words in ("Repeated-measures ANOVA (n = 4 animals", "F(2, 6)", "t(3)", "Mixed model", "half - a quarter"):
        assert words in drawn.caption
    marks = {each.get_text() for each in ax.texts}
    assert stars(row["p_corrected"]) in marks


def test_no_test_where_animals_are_few_or_nothing_varies() -> None:
    few = table_of("fraction", FRACTIONS, animals=2)
    arguments: dict[str, Any] = {"score": "video_correlation", "condition": "fraction", "names": NAMES}
    none = compare_conditions(few, order=list(NAMES), **arguments)
    assert len(none) == 0 and summary_of_tests(none).startswith("No test")
    alike = table_of("fraction", FRACTIONS).assign(video_correlation=0.5)
    none = compare_conditions(alike, order=list(NAMES), **arguments)
    assert set(none["note"].str.contains("without variation")) == {True} and none["p"].isna().all()
    assert "No paired t-test: " in summary_of_tests(none)
    lacking = table_of("fraction", FRACTIONS)
    lacking = lacking[(lacking["fraction"] != 0.5) | (lacking["recording"] != "mouse_0")]
    tests = compare_conditions(lacking, order=list(NAMES), **arguments)
    assert set(tests["animals"]) == {3}, "an animal without one of the conditions does not count"


@pytest.mark.parametrize(("p", "mark", "words"), [(0.0004, "***", "p < 0.001"), (0.02, "*", "p = 0.020")])
def test_words_for_p(p: float, mark: str, words: str) -> None:
    assert stars(p) == mark and format_p(p) == words
    assert stars(0.005) == "**" and stars(0.05) == "n.s." and format_p(float("nan")) == "p undefined"


def test_axes_of_scores_show_differences_and_say_when_they_do_not_begin_at_0(ax: Axes) -> None:
    assert correlation_axis(ax, 0.6, 0.7) == " The axis does not begin at 0." and ax.get_ylim()[0] == pytest.approx(
        0.55
    )
    assert correlation_axis(ax, 0.2, 0.7) == "" and ax.get_ylim()[0] == 0.0
    assert correlation_axis(ax, -0.1, 0.7) == "" and ax.get_ylim()[0] == pytest.approx(-0.11)
    table = table_of("fraction", {1.0: 0.0, 0.5: -0.01})
    cut = panel_conditions(table, ax, condition="fraction", order=NAMES, what="Shares")
    assert "does not begin at 0" in cut.caption and 0 < ax.get_ylim()[0] < table["video_correlation"].min()


def test_curve_has_a_line_an_animal(ax: Axes) -> None:
    table = table_of("fraction", FRACTIONS, animals=3)
    drawn = panel_curve(table, ax, x="fraction", x_label="fraction kept", logarithmic=True, what="Scores")
    assert len(ax.containers) == 3 and ax.get_xscale() == "log" and ax.get_xlabel() == "fraction kept"
    (line,) = (each for each in ax.lines if each.get_color() == COLORS[0])
    own = table[table["recording"] == "mouse_0"].groupby("fraction")["video_correlation"].mean()
    np.testing.assert_allclose(np.asarray(line.get_ydata(), float), own)
    assert (drawn.numbers["level"] == "movie").sum() == len(table)
    with pytest.raises(nr.InputError, match="positive"):
        panel_curve(table.assign(fraction=0.0), ax, x="fraction", x_label="", logarithmic=True, what="")


def test_convergence_leaves_out_what_is_undefined(ax: Axes) -> None:
    history = history_of(table_of("fraction", {1.0: 0.0}, animals=2, movies=2))
    drawn = panel_convergence(history, ax, quantity="video_correlation", label="r", what="Correlation")
    mean = drawn.numbers[drawn.numbers["level"] == "mean over movies"]
    assert mean["iteration"].tolist() == [10, 20] and mean["video_correlation"].tolist() == pytest.approx([0.2, 0.4])
    assert len(ax.lines) >= 5  # four movies and their mean
    other = Figure().subplots()
    loss = panel_convergence(history, other, quantity="loss", label="loss", what="Loss").numbers
    mean = loss[loss["level"] == "mean over movies"]
    assert mean["loss"].tolist() == pytest.approx([1.0, 0.5, 0.75])
    assert mean["loss_change"].tolist() == pytest.approx([0.0, -0.5, -0.25]) and other.get_ylabel() == "change of loss"
    np.testing.assert_allclose(np.asarray(other.lines[-1].get_ydata(), float), mean["loss_change"])


def test_map_is_the_mean_over_animals(ax: Axes) -> None:
    table = noise_table()
    drawn = curves.panel_noise(table, ax, inverted=False)
    (image,) = ax.images
    grid = np.asarray(image.get_array())
    plain = table[~table["inverted"]]
    expected = plain.groupby(["spatial_px", "temporal_frames"])["video_correlation"].mean().unstack()
    np.testing.assert_allclose(grid, expected.to_numpy())
    assert {each.get_text() for each in ax.texts} == {f"{value:.2f}" for value in expected.to_numpy().ravel()}
    means = drawn.numbers[drawn.numbers["level"] == "mean over animals"]
    assert len(means) == 6 and "n = 2 animals" in ax.get_title("right")
    inverted = curves.panel_noise(table, ax, inverted=True).numbers
    assert inverted["video_correlation"].mean() == pytest.approx(drawn.numbers["video_correlation"].mean() + 0.001)
    nullable = table.astype({"inverted": "boolean"})
    nullable.loc[nullable["inverted"] == False, "inverted"] = pd.NA  # noqa: E712  what is not said is not inverted
    pd.testing.assert_frame_equal(curves.panel_noise(nullable, ax, inverted=False).numbers, drawn.numbers)


def test_colors_and_ink_hold_for_correlations_below_zero_and_unknown_ones(ax: Axes) -> None:
    values = np.array([[-0.9, -0.15], [0.0, np.nan]])
    image = draw_values(values, ax, colors=correlation_colors(values))
    assert image.get_clim() == (-0.9, 0.0)
    background = {value: np.mean(image.cmap(image.norm(value))[:3]) for value in (-0.9, -0.15, 0.0)}
    inks = {each.get_text(): each.get_color() for each in ax.texts}
    assert background[-0.9] < 0.3 and inks["\N{MINUS SIGN}0.90"] == "white"
    assert background[-0.15] > 0.5 and inks["\N{MINUS SIGN}0.15"] == "black" and len(inks) == 3
    assert correlation_colors(np.full((2, 2), np.nan)) == (0.0, 0.05)


def test_panels_that_share_a_bar_share_its_colors() -> None:
    table = noise_table().assign(video_correlation=lambda rows: rows["video_correlation"] - 0.1 * rows["inverted"])
    with style():
        sheet = paper.noise(material_of("noise", table))
    spans = [ax.images[0].get_clim() for ax in sheet.figure.axes if ax.get_xlabel().startswith("temporal")]
    inverted = table[table["inverted"]].groupby(["spatial_px", "temporal_frames"])["video_correlation"].mean()
    assert len(spans) == 2 and spans[0] == spans[1] == pytest.approx((inverted.min(), 0.535))


def test_one_spot_does_not_hide_the_other_receptive_fields() -> None:
    maps = np.full((2, 20, 20), 0.001)
    maps[:, 8:12, 8:12] = 1.0
    maps[0, 0, 0] = 1000.0
    places = {"row": np.arange(20), "column": np.arange(20)}
    dataset = xr.Dataset(dict.fromkeys(("on", "off"), (("neuron", "row", "column"), maps)), coords=places)
    dataset.attrs = {"recording": "mouse", "video_height": 20, "video_width": 20, "spot_px": 1}
    silent = dataset.assign(off=0 * dataset["off"])
    figure = Figure()
    fields.panel_maps([silent], figure.subfigures(1, 1))
    on, off = figure.axes[0].images[0], figure.axes[1].images[0]
    assert on.get_clim() == (-1.0, 1.0)
    assert off.get_clim() == (-1.0, 1.0) and np.all(off.norm(off.get_array()) == 0.5), "nothing is white, not blue"


def test_gratings_by_direction_and_frequency(ax: Axes) -> None:
    drawn = conditions.panel_directions(grating_table(), ax)
    assert [each.get_text() for each in ax.get_xticklabels()] == ["0", "90"]
    means = drawn.numbers[drawn.numbers["level"] == "mean over animals"].set_index("direction_deg")
    assert means.loc[90.0, "video_correlation"] - means.loc[0.0, "video_correlation"] == pytest.approx(0.09)
    other = Figure().subplots()
    numbers = curves.panel_frequencies(grating_table(), other).numbers
    assert len(numbers[numbers["level"] == "mean over animals"]) == 4
    assert other.get_xlabel() == "temporal frequency (Hz)" and "cycles/degree" in other.get_ylabel()


def test_methods_of_natural_movies(ax: Axes) -> None:
    table = table_of("ensemble", {"videos": 0.0})
    drawn = conditions.panel_ensembling(table, ax)
    assert drawn.numbers["method"].drop_duplicates().tolist()[:3] == ["ensemble", "ensemble, smoothed", "single model"]
    unsmoothed = conditions.methods(table.assign(video_correlation_unsmoothed=table["video_correlation"]))
    assert set(unsmoothed["method"]) == {"single model", "ensemble"}
    alone = conditions.methods(table.assign(models=1, single_video_correlation=np.nan))
    assert set(alone["method"]) == {"single model", "single model, smoothed"}
    movies = curves.panel_movies(table, ax).numbers
    assert sorted(movies["video_correlation"]) == sorted(table["video_correlation"])


def test_masks_are_compared_without_the_sweep(ax: Axes) -> None:
    table = pd.concat(
        [
            table_of("mask", {"none": -0.1}, mask_threshold=np.nan),
            table_of("mask", {"trained": 0.0}, mask_threshold=0.5),
            table_of("mask", {"trained": 0.9}, mask_threshold=0.25),
            table_of("mask", {"strict": -0.05}, mask_threshold=1.0),
        ],
        ignore_index=True,
    )
    numbers = conditions.panel_variants(table, ax).numbers
    trained = numbers[(numbers["level"] == "movie") & (numbers["mask"] == "trained")]
    assert trained["video_correlation"].max() < 1, "the threshold 0.25 belongs to the sweep"
    swept = curves.panel_thresholds(table, Figure().subplots()).numbers
    assert sorted(swept["mask_threshold"].unique()) == [0.25, 0.5, 1.0]


def test_neurons_that_were_kept_are_means_of_the_draws(ax: Axes) -> None:
    table = table_of("fraction", {1.0: 0.0, 0.5: -0.1})
    table["neurons"] = np.where(table["fraction"] == 1, 100, 50 + table["trial"])
    numbers = curves.panel_neurons(table.astype({"neurons": "Int64"}), ax).numbers
    assert sorted(numbers["neurons"].unique()) == [51, 100] and ax.get_xlabel() == "neurons"
    by_share = curves.panel_neurons(table.drop(columns="neurons"), Figure().subplots()).numbers
    assert sorted(by_share["fraction"].unique()) == [0.5, 1.0]


def test_bound_pairs_movies(ax: Axes) -> None:
    table = table_of("target", {"recorded": 0.0, "predicted": 0.2})
    numbers = curves.panel_bound(table, ax).numbers
    assert len(numbers) == 12 and (numbers["predicted"] > numbers["recorded"]).all()
    below = table.assign(video_correlation=-table["video_correlation"])
    other = Figure().subplots()
    curves.panel_bound(below, other)
    assert other.get_xlim() == pytest.approx((1.05 * below["video_correlation"].min(), 0))
    with pytest.raises(nr.InputError, match="both are needed"):
        curves.panel_bound(table[table["target"] == "recorded"], ax)


def test_responses_are_of_the_movies_that_were_shown(ax: Axes) -> None:
    table = table_of("ensemble", {"videos": 0.0}, response_correlation=0.44, response_correlation_truth=0.38)
    assert set(conditions.shown_movies(table)["movie"]) == {"true", "reconstructed"}
    assert conditions.panel_responses(table, ax).numbers["response_correlation"].isin([0.44, 0.38]).sum() >= 24


def test_quality_is_what_the_measures_say(ax: Axes) -> None:
    movies = [movies_of({"trial": number}) for number in range(3)]
    bands = quality.panel_bands(movies[:1], ax).numbers
    own = movies[0]
    expected = nr.band_correlation(own.truth, own.video, frame_rate_hz=30.0, mask=own.mask).correlation
    np.testing.assert_allclose(bands["correlation"], np.ravel(expected))
    assert own.model_videos is not None
    found = nr.ensemble_uncertainty(own.truth, own.model_videos, mask=own.mask)
    numbers = quality.panel_uncertainty([found], Figure().subplots()).numbers
    np.testing.assert_allclose(numbers["error"], found.curve_error)
    with pytest.raises(nr.InputError, match="several models"):
        quality.panel_uncertainty([], Figure().subplots())
    random = np.random.default_rng(0)
    longer = [random.uniform(0, 255, (48, 12, 16)).astype(np.float32) for _ in movies]
    shown = [replace(own, truth=each, video=0.5 * each) for each in longer]
    told = quality.panel_identification(shown, Figure().subplots())
    assert set(told.numbers["ways"]) == {2, 3} and told.numbers["accuracy"].tolist() == [1.0] * 4


def test_strips_show_frames_that_are_scored() -> None:
    movies = movies_of({"trial": 1})
    shown = {"true": movies.truth, "reconstructed": movies.video}
    example = Strip(name="trial 1", rows=shown, frame_rate_hz=30.0, mask=movies.mask, beside="r = 0.57")
    assert chosen_frames(example, 3) == [30, 34, 39]
    short = Strip(name="short", rows={"true": movies.truth[:20]}, frame_rate_hz=30.0)
    assert chosen_frames(short, 3) == [0, 10, 19]
    figure = Figure(layout="constrained")
    drawn = panel_strips([example], figure.subfigures(1, 1), columns=3, what="Movies")
    assert drawn.numbers["frame"].tolist() == [30, 34, 39] and "trial 1" in drawn.caption
    images = [image for ax in figure.axes for image in ax.images]
    np.testing.assert_array_equal(np.asarray(images[4].get_array()), movies.video[34])
    (ax,) = figure.axes
    assert [each.get_text() for each in ax.texts] == ["1.00 s", "1.13 s", "1.30 s", "r = 0.57"]
    assert [each.get_text() for each in ax.get_yticklabels()] == ["true", "reconstructed"]
    left, right, bottom, top = images[4].get_extent()
    assert (right - left, bottom - top) == pytest.approx((1, 12 / 16)), "in widths of a frame"
    assert left > 1 and top > 12 / 16, "second frame of the second row"


def test_strips_of_several_movies_do_not_overlap_and_have_frames_of_one_width() -> None:
    movies = movies_of({"trial": 1})
    tall = np.zeros((40, 30, 20), np.float32)
    examples = [
        Strip(name="one", rows={"true": movies.truth, "again": movies.truth}, frame_rate_hz=30.0, beside="r = 0.57"),
        Strip(name="two", rows={"true": tall}, frame_rate_hz=10.0),
    ]
    figure = Figure(layout="constrained")
    panel_strips(examples, figure.subfigures(1, 1), columns=2, what="Movies")
    (ax,) = figure.axes
    places = sorted([image.get_extent() for image in ax.images], key=lambda place: (place[3], place[0]))
    assert [right - left for left, right, _, _ in places] == pytest.approx([1.0] * 6)
    rows = [(top, bottom) for _, _, bottom, top in places[::2]]
    assert all(upper[1] < lower[0] for upper, lower in itertools.pairwise(rows))
    lowest, highest = ax.get_ylim()
    assert highest == 0 < rows[0][0] and rows[-1][1] == pytest.approx(lowest)


def test_examples_are_not_the_best() -> None:
    table = table_of("fraction", {1.0: 0.0, 0.5: -0.1}, animals=1, movies=5)
    ranked = table[table["fraction"] == 1].sort_values("video_correlation")
    assert at_percentiles(ranked, [75, 50])["trial"].tolist() == ranked["trial"].iloc[[3, 2]].tolist()
    assert len(at_percentiles(ranked.iloc[:1], [75, 50, 25])) == 1
    rows = one_trial(table, condition="fraction", order=[1.0, 0.5])
    assert rows["fraction"].tolist() == [1.0, 0.5] and rows["trial"].nunique() == 1
    assert rows["trial"].iloc[0] == ranked["trial"].iloc[2]
    alone = table[(table["fraction"] == 1) == (table["trial"] < 2)]
    assert one_trial(alone, condition="fraction", order=[1.0, 0.5]).empty


def test_animals_look_the_same_in_all_panels() -> None:
    looks = animal_looks(["b", "a", "b"])
    assert list(looks) == ["a", "b"] and looks["a"]["color"] == COLORS[0]
    many = animal_looks([f"{number:02d}" for number in range(10)])
    assert len({(look["color"], look["marker"]) for look in many.values()}) == 10
    assert short_name("dynamic29515-10-12-Video-9b4f6a1a067fe51e15306b9628efea20") == "29515-10-12"
    assert short_name("a" * 30) == "a" * 17 + "…"


def test_what_is_missing_is_counted_by_folder() -> None:
    few = ["a", "b"]
    assert summary_of_missing(few) == few
    many = [f"folder/{number}" for number in range(20)] + ["no run of noise"]
    assert summary_of_missing(many) == ["no run of noise", "20 files in folder"]
    assert summary_of_missing([f"key_{number}" for number in range(30)]) == ["30 results"]


def test_what_a_panel_lacks_is_said() -> None:
    table = table_of("fraction", FRACTIONS)
    with pytest.raises(nr.InputError, match="needs mask, which the results do not have; they have recording"):
        needs_columns(table, "mask", figure="masks")
    with pytest.raises(nr.InputError, match="no result has all of"):
        needs_columns(table.assign(mask=None), "mask", figure="masks")
    ax = Figure().subplots()
    with pytest.raises(nr.InputError, match="no result has a fraction among 7"):
        panel_conditions(table, ax, condition="fraction", order={7: "seven"}, what="")
    with pytest.raises(nr.InputError, match="video_correlation map"):
        panel_map(table, ax, x="a", y="b", x_label="", y_label="", what="")
    assert material_of("masks", table, finished=3, expected=9).partial == "partial: 3 of 9 results"


def test_the_style_gives_back_what_it_set_and_nothing_else() -> None:
    import matplotlib

    before = dict(matplotlib.rcParams)
    with style():
        assert matplotlib.rcParams["pdf.fonttype"] == 42
        matplotlib.rcParams["interactive"] = not before["interactive"]  # as a notebook does at its first figure
    assert matplotlib.rcParams["interactive"] is not before["interactive"]
    matplotlib.rcParams["interactive"] = before["interactive"]
    assert dict(matplotlib.rcParams) == before

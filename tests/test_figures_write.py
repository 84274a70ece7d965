"""Figures in files: every picture is drawn whole, text stays text, and what a reader must know is said."""

from __future__ import annotations

import itertools
import re
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

import neuroreel as nr
from figure_tables import HEIGHT, WIDTH, grating_table, material_of, noise_table, table_of
from neuroreel.figures.material import Material
from neuroreel.figures.paper import FIGURES, check_experiment, write_figure
from neuroreel.figures.sheet import Sheet
from neuroreel.style import LABEL, TICK, inches, style

RESPONSES = {"response_correlation": 0.44, "response_correlation_truth": 0.38}


def fields_of(row: dict[str, object], *, masked: bool = True) -> xr.Dataset:
    """Receptive fields of three neurons in the middle of the screen."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    blob = np.exp(-((rows - HEIGHT / 2) ** 2 + (columns - WIDTH / 2) ** 2) / 10).astype(np.float32)
    maps = np.stack([blob, 2 * blob, -blob])
    dataset = xr.Dataset(
        {"on": (("neuron", "row", "column"), maps), "off": (("neuron", "row", "column"), -0.5 * maps)},
        coords={
            "row": np.arange(HEIGHT),
            "column": np.arange(WIDTH),
            "elevation": ("row", np.linspace(20, -20, HEIGHT)),
            "azimuth": ("column", np.linspace(-30, 30, WIDTH)),
        },
        attrs={"recording": row["recording"], "video_height": HEIGHT, "video_width": WIDTH, "spot_px": 1},
    )
    return dataset.assign(mask=(("height", "width"), 1.4 * blob)) if masked else dataset


def fields_material() -> Material:
    scores = {"rf_mask_overlap": [0.7, 0.8], "rf_mask_overlap_chance": [0.2, 0.2], "rf_mask_correlation": [0.9, 0.95]}
    table = pd.DataFrame({"recording": ["mouse_0", "mouse_1"], "trial": None, **scores})
    return material_of("receptive_fields", table, fields=fields_of)


def material(experiment: str) -> Material:
    masks = pd.concat(
        [
            table_of("mask", {"none": -0.1}, mask_threshold=np.nan),
            table_of("mask", {"trained": 0.0}, mask_threshold=0.5),
            table_of("mask", {"trained": -0.02}, mask_threshold=0.25),
            table_of("mask", {"strict": -0.05}, mask_threshold=1.0),
        ],
        ignore_index=True,
    )
    tables = {
        "natural": table_of("ensemble", {"videos": 0.0}, **RESPONSES),
        "gradient_ensembling": table_of("ensemble", {"single": -0.1, "gradients": 0.0, "videos": 0.02}),
        "predicted_activity": table_of("target", {"recorded": 0.0, "predicted": 0.2}),
        "masks": masks,
        "ablation": table_of("fraction", {1.0: 0.0, 0.5: -0.1, 0.25: -0.2}, neurons=100),
        "noise": noise_table(),
        "gratings": grating_table(),
        "responses": table_of("ensemble", {"videos": 0.0}, **RESPONSES),
    }
    return fields_material() if experiment == "receptive_fields" else material_of(experiment, tables[experiment])


def pdf_content(file: Path) -> bytes:
    """The whole of a PDF, its compressed streams unpacked."""
    raw = file.read_bytes()
    streams = re.findall(rb"stream\r?\n(.*?)\r?\nendstream", raw, re.DOTALL)
    unpacked = []
    for stream in streams:
        try:
            unpacked.append(zlib.decompress(stream))
        except zlib.error:
            unpacked.append(stream)
    return raw + b"".join(unpacked)


_FAST = ("ablation", "noise", "receptive_fields")


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Sheet]:
    """The figures that are written, as they were laid out."""
    sheets: list[Sheet] = []
    lay_out = Sheet.lay_out

    def keep(sheet: Sheet) -> None:
        lay_out(sheet)
        sheets.append(sheet)

    monkeypatch.setattr(Sheet, "lay_out", keep)
    return sheets


@pytest.mark.parametrize(
    "experiment", [pytest.param(each, marks=() if each in _FAST else pytest.mark.slow) for each in FIGURES]
)
def test_every_figure_is_written_whole_and_well_laid_out(experiment: str, tmp_path: Path, drawn: list[Sheet]) -> None:
    marked = replace(material(experiment), finished=1, expected=2, simulated=True)  # which takes space
    for name in FIGURES[experiment]:
        folder = write_figure(name, marked, tmp_path)
        assert folder == tmp_path / name
        tables = sorted(file.name for file in folder.glob("?_*.csv"))
        caption = (folder / "caption.md").read_text()
        assert tables and [name[0] for name in tables] == list("ABCDEF"[: len(tables)])
        assert all(f"**({name[0]})**" in caption for name in tables) and "method: bauer_2026" in caption
        assert all(len(pd.read_csv(folder / name)) for name in tables)
        assert pd.read_csv(folder / "tests.csv").columns[0] == "panel"
        assert (folder / "figure.png").read_bytes()[:4] == b"\x89PNG"
        content = pdf_content(folder / "figure.pdf")
        assert b"FontFile2" in content and b"Type3" not in content, "fonts are embedded as TrueType"
        assert b" Tj" in content or b" TJ" in content, "text is text, not outlines"
        svg = (folder / "figure.svg").read_text()
        assert re.search(r"<text[^>]*>A</text>", svg), "text stays text"
        assert not list(folder.glob("missing.txt")) and not list(tmp_path.glob(".*"))
        assert_well_laid_out(drawn[-1], name)


def assert_well_laid_out(sheet: Sheet, name: str) -> None:
    """Every text lies on the page, is at least as large as ticks are, and axes with ticks say what they show."""
    renderer = FigureCanvasAgg(sheet.figure).get_renderer()
    with style():
        box = sheet.figure.get_tightbbox(renderer)  # of all that is drawn
    assert box.x0 >= -0.02 and box.x1 <= sheet.figure.get_figwidth() + 0.02, (name, box)
    assert box.y0 >= -0.02 and box.y1 <= sheet.figure.get_figheight() + 0.02, (name, box)
    texts = sheet.figure.findobj(lambda each: hasattr(each, "get_fontsize") and each.get_text())
    assert min(text.get_fontsize() for text in texts) >= TICK
    boxes = [(text.get_text(), text.get_window_extent(renderer)) for text in drawn_texts(sheet.figure)]
    overlapping = [
        (a, b) for (a, one), (b, other) in itertools.combinations(boxes, 2) if one.padded(-1.5).overlaps(other)
    ]
    assert not overlapping, (name, overlapping)
    for ax in sheet.figure.axes:
        if ax.get_visible() and not ax.images and ax.axison:
            assert ax.get_ylabel(), f"{name}: an axis without a label"
    assert sheet.figure.get_figwidth() <= inches(183.01) and LABEL >= 7


def drawn_texts(figure: Figure) -> list[Text]:
    """All that is written in a figure, without the labels of ticks that lie beyond their axis."""
    beyond = set()
    for axis in (each for ax in figure.axes for each in (ax.xaxis, ax.yaxis)):
        low, high = sorted(axis.get_view_interval())
        hidden = [tick for tick in axis.get_major_ticks() if not low - 1e-9 <= tick.get_loc() <= high + 1e-9]
        for tick in (*hidden, *axis.get_minor_ticks()):  # the latter have no labels here
            beyond |= {tick.label1, tick.label2}  # color bars have theirs on the right
    shown = figure.findobj(lambda each: isinstance(each, Text) and each.get_visible() and each.get_text().strip())
    return [text for text in shown if text not in beyond and (text.axes is None or text.axes.axison)]


def test_the_same_data_give_the_same_files(tmp_path: Path) -> None:
    first, second = (write_figure("ablation", material("ablation"), tmp_path / each) for each in ("a", "b"))
    for file in sorted(first.iterdir()):
        assert file.read_bytes() == (second / file.name).read_bytes(), file.name


def test_partial_and_simulated_are_said_everywhere(tmp_path: Path) -> None:
    half = material_of(
        "ablation",
        material("ablation").table,
        finished=12,
        expected=50,
        missing=[f"key_{number}" for number in range(38)],
        simulated=True,
    )
    folder = write_figure("ablation", half, tmp_path)
    caption, svg = (folder / "caption.md").read_text(), (folder / "figure.svg").read_text()
    assert "Partial: 12 of 50 results" in caption and "no animal was recorded" in caption and "Missing (38" in caption
    assert "PARTIAL: 12 OF 50 RESULTS" in svg and "simulated mouse, not a real one" in svg
    assert (folder / "missing.txt").read_text().splitlines() == list(half.missing)
    whole = write_figure("ablation", material("ablation"), tmp_path / "whole")
    assert "PARTIAL" not in (whole / "figure.svg").read_text() and "simulated" not in (whole / "figure.svg").read_text()


def test_nothing_is_overwritten_in_silence(tmp_path: Path) -> None:
    folder = write_figure("responses", material("responses"), tmp_path)
    (folder / "my_notes.txt").write_text("mine")
    with pytest.raises(nr.InputError, match="already exists"):
        write_figure("responses", material("responses"), tmp_path)
    assert (folder / "my_notes.txt").exists()
    write_figure("responses", material("responses"), tmp_path, overwrite=True)
    assert (folder / "figure.pdf").exists()


def test_a_figure_that_cannot_be_drawn_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(nr.InputError, match="needs spatial_px"):
        write_figure("noise", material("ablation"), tmp_path)
    assert not list(tmp_path.iterdir())
    with pytest.raises(nr.InputError, match="no receptive fields"):
        write_figure("receptive_fields", material("ablation"), tmp_path)
    with pytest.raises(nr.InputError, match="no experiment 'naturall'; there are figures of natural,"):
        check_experiment("naturall")


def test_a_trial_under_some_conditions_only_is_not_shown(tmp_path: Path) -> None:
    """Then the figure has no frames; everything else is drawn."""
    table = material("ablation").table
    apart = table[(table["fraction"] == 1.0) == (table["trial"] == 0)]
    folder = write_figure("ablation", material_of("ablation", apart), tmp_path)
    assert sorted(file.name for file in folder.glob("?_*.csv")) == ["A_fractions.csv", "B_neurons.csv"]


def test_one_method_is_not_compared_with_itself(tmp_path: Path) -> None:
    table = material("natural").table
    one = table.drop(columns="single_video_correlation").assign(video_correlation_unsmoothed=table["video_correlation"])
    folder = write_figure("natural", material_of("natural", one), tmp_path)
    assert sorted(file.name for file in folder.glob("?_*.csv")) == ["A_frames.csv", "B_movies.csv"]


def test_receptive_fields_without_a_mask(tmp_path: Path) -> None:
    known = fields_material()
    table = known.table.drop(columns=[name for name in known.table if name.startswith("rf_")])

    def unmasked(row: object) -> xr.Dataset:
        return fields_of(dict(row), masked=False)  # type: ignore[call-overload]

    folder = write_figure("receptive_fields", material_of("receptive_fields", table, fields=unmasked), tmp_path)
    assert [file.name for file in folder.glob("?_*.csv")] == ["A_maps.csv"]
    maps = pd.read_csv(folder / "A_maps.csv")
    assert len(maps) == 2 * HEIGHT * WIDTH and maps["population"].max() == pytest.approx(1.0)

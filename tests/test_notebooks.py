"""The notebooks run from top to bottom, show figures, and say what the simulated mice do; their pairs agree."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest

from neuroreel.figures.conditions import variants

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "examples" / "notebooks"
FIGURES = MappingProxyType(  # notebook: how many figures it shows; in the order of the page about them
    {"natural_movies": 5, "ablation": 2, "noise": 3, "gratings": 2, "masks_and_receptive_fields": 5}
)
NAMES = [pytest.param(name, id=name) for name in FIGURES]


def test_each_notebook_is_a_pair_and_on_the_page() -> None:
    for ending in (".py", ".ipynb"):
        assert {file.stem for file in FOLDER.glob(f"*{ending}")} == set(FIGURES)
    page = (ROOT / "docs" / "gallery.md").read_text(encoding="utf-8")
    assert [name for name in FIGURES if f"{name}.ipynb" not in page] == []


@pytest.mark.parametrize("name", NAMES)
def test_pair_is_in_sync_and_without_outputs(name: str) -> None:
    jupytext = pytest.importorskip("jupytext")
    script, notebook = (jupytext.read(FOLDER / f"{name}{ending}") for ending in (".py", ".ipynb"))
    fix = "run `python -m jupytext --update --to ipynb examples/notebooks/*.py` after a change of a .py"
    assert [(cell.cell_type, cell.source) for cell in notebook.cells] == [
        (cell.cell_type, cell.source) for cell in script.cells
    ], fix
    assert notebook.metadata["jupytext"]["formats"] == "ipynb,py:percent"
    assert all(not cell.outputs for cell in notebook.cells if cell.cell_type == "code"), f"outputs are kept; {fix}"


@pytest.mark.parametrize(
    ("names", "claims"),
    [
        pytest.param(tuple(FIGURES), 8, id="all", marks=pytest.mark.nightly),
    ],
)
def test_notebooks_run_and_show_their_figures(
    names: tuple[str, ...], claims: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One after another in one folder, as a reader has them: the first simulates the mice, the others find them."""
    pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    monkeypatch.delenv("MPLBACKEND", raising=False)  # the kernel shows figures in the notebook
    for variable in ("IPYTHONDIR", "JUPYTER_RUNTIME_DIR", "JUPYTER_CONFIG_DIR"):
        monkeypatch.setenv(variable, str(tmp_path / variable.lower()))
    for name in names:
        shown = figures_of(executed(name, tmp_path))
        assert len(shown) == FIGURES[name], name
        for picture in shown:
            assert min(picture.shape[:2]) > 200
            assert len(np.unique(picture)) > 20, f"{name} shows an empty figure"
    done = {name: tmp_path / "neuroreel-notebooks" / name for name in CLAIMS}
    tables = {name: table_of(folder) for name, folder in done.items() if folder.exists()}
    assert len(tables) == claims
    for name, table in tables.items():
        CLAIMS[name](table)


def executed(name: str, folder: Path) -> Any:
    """The notebook with its outputs; the error of the cell that fails."""
    import nbformat
    from nbclient import NotebookClient

    notebook = nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)
    place = {"metadata": {"path": str(folder)}}
    # on a busy machine figures come some seconds after their cell has ended
    NotebookClient(notebook, timeout=600, iopub_timeout=60, resources=place).execute()
    return notebook


def figures_of(notebook: Any) -> list[np.ndarray]:
    """Pictures in the outputs."""
    from PIL import Image

    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    encoded = [output.data["image/png"] for output in outputs if "image/png" in output.get("data", {})]
    return [np.asarray(Image.open(io.BytesIO(base64.b64decode(each)))) for each in encoded]


def table_of(folder: Path) -> Any:
    from neuroreel.studies import experiment_table

    return experiment_table(folder)


def means(table: Any, condition: str) -> Mapping[Any, float]:
    return dict(table.groupby(condition)["video_correlation"].mean())


def ensembles_help(table: Any) -> None:
    found = means(table, "ensemble")
    assert found["videos"] > found["single"] + 0.02
    assert found["gradients"] == found["videos"]  # the posterior averages predictions


def ensembles_help_with_the_published_rule(table: Any) -> None:
    found = means(table, "ensemble")
    assert found["single"] < found["gradients"] < found["videos"]


def predicted_responses_are_an_upper_bound(table: Any) -> None:
    found = means(table, "target")
    assert found["predicted"] > found["recorded"] + 0.05


def more_neurons_help(table: Any) -> None:
    found = means(table, "fraction")
    assert found[0.125] < found[0.25] < found[0.5] < found[1.0]


def coarse_noise_comes_back_and_white_noise_does_not(table: Any) -> None:
    found = means(table, "spatial_px")
    assert found[0] < 0.3
    assert found[0] < found[2] < found[8]
    inverted = means(table, "inverted")
    assert abs(inverted[True] - inverted[False]) < 0.1


def wide_and_slow_gratings_come_back(table: Any) -> None:
    by_space, by_time = means(table, "spatial_frequency"), means(table, "temporal_frequency_hz")
    assert list(by_space.values()) == sorted(by_space.values(), reverse=True)
    assert by_time[0] == max(by_time.values())


def pixels_that_the_population_sees_come_back_better(table: Any) -> None:
    found = means(variants(table), "mask")  # without the sweep of other thresholds, as the page's figure has it
    assert found["none"] < found["trained"] - 0.05
    assert found["strict"] == found["trained"]


def mask_and_receptive_fields_agree(table: Any) -> None:
    assert (table["rf_mask_overlap"] > 2 * table["rf_mask_overlap_chance"]).all()


CLAIMS: Mapping[str, Callable[[Any], None]] = MappingProxyType(
    {
        "gradient_ensembling": ensembles_help,
        "published_rule/gradient_ensembling": ensembles_help_with_the_published_rule,
        "predicted_activity": predicted_responses_are_an_upper_bound,
        "ablation": more_neurons_help,
        "noise": coarse_noise_comes_back_and_white_noise_does_not,
        "gratings": wide_and_slow_gratings_come_back,
        "masks": pixels_that_the_population_sees_come_back_better,
        "receptive_fields": mask_and_receptive_fields_agree,
    }
)
"""What the words in the notebooks say of the simulated mice."""

"""``neuroreel figures`` on results of experiments: whole, partial, mixed, none."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import neuroreel as nr
from experiment_mice import NAMES
from neuroreel.cli import main
from neuroreel.figures.from_experiment import read_experiment
from neuroreel.figures.paper import FIGURES
from neuroreel.studies import experiment_table


@pytest.fixture
def results(experiments_done: Path) -> Path:
    """Every experiment on two tiny made-up mice, one movie each."""
    return experiments_done / "results"


@pytest.fixture
def copied(results: Path, tmp_path: Path) -> Path:
    """The results, to be spoilt."""
    shutil.copytree(results, tmp_path / "out")
    return tmp_path / "out"


def figures(*arguments: object) -> None:
    main(["figures", *map(str, arguments)])


def refusal(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    with pytest.raises(SystemExit) as stop:
        figures(*arguments)
    assert stop.value.code == 2
    return capsys.readouterr().err


def test_what_is_drawn_is_what_was_scored(results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    figures("ablation", "--results", results, "--out", tmp_path)
    numbers = pd.read_csv(tmp_path / "ablation" / "B_fractions.csv")
    drawn = numbers[numbers["level"] == "movie"].sort_values(["recording", "trial", "fraction"])
    table = experiment_table(results / "ablation").sort_values(["recording", "trial", "fraction"])
    np.testing.assert_allclose(drawn["video_correlation"], table["video_correlation"])
    assert drawn["recording"].tolist() == table["recording"].tolist()
    kept = pd.read_csv(tmp_path / "ablation" / "C_neurons.csv")
    assert set(kept.loc[kept["level"] == "movie", "neurons"]) <= set(range(1, 11))
    caption = (tmp_path / "ablation" / "caption.md").read_text()
    assert "passes=2" in caption and "encoding models: 2" in caption and "skip=6" in caption
    assert f"made by neuroreel: {nr.__version__}" in caption and "Partial" not in caption
    assert capsys.readouterr().out.splitlines() == [f"wrote {tmp_path / 'ablation'}"]


def test_histories_are_those_of_the_results(results: Path) -> None:
    material = read_experiment(results / "natural")
    history = material.history(material.table)
    first = material.table.iloc[0]
    dataset = nr.Reconstruction.load(first["file"]).dataset
    own = history[history["recording"] == first["recording"]]
    np.testing.assert_allclose(own["loss"], dataset["loss"].values)
    assert own["iteration"].tolist() == dataset["iteration"].values.tolist()
    movies = material.movies(first.to_dict())
    assert movies.model_videos is None  # one movie of all models
    np.testing.assert_array_equal(movies.truth, dataset["truth"].values)


def test_receptive_fields_lie_beside_the_mask(results: Path, tmp_path: Path) -> None:
    figures("receptive_fields", "--results", results, "--out", tmp_path)
    overlap = pd.read_csv(tmp_path / "receptive_fields" / "B_overlap.csv")
    table = experiment_table(results / "receptive_fields")
    np.testing.assert_allclose(overlap["rf_mask_overlap"], table["rf_mask_overlap"])
    fields = read_experiment(results / "receptive_fields").fields
    assert fields is not None
    maps = fields(table.iloc[0].to_dict())
    assert maps["mask"].shape == (12, 16) and maps["mask"].max() == pytest.approx(1.2)


def test_incomplete_results_give_a_marked_figure(
    copied: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gone = sorted((copied / "ablation" / "jobs").glob("mouse_b*kept*.json"))
    for file in gone:
        file.unlink()
    figures("ablation", "--results", copied, "--out", tmp_path)
    printed = capsys.readouterr().out
    assert "ablation is partial: 3 of 4 results" in printed and gone[0].stem in printed
    assert "PARTIAL: 3 OF 4 RESULTS" in (tmp_path / "ablation" / "figure.svg").read_text()
    assert (tmp_path / "ablation" / "missing.txt").read_text().split() == [gone[0].stem]


def test_results_of_earlier_settings_are_left_out(copied: Path) -> None:
    file = copied / "natural" / "experiment.json"
    asked = json.loads(file.read_text())
    first = sorted(asked["jobs"])[0]
    asked["jobs"][first] = "0" * 64
    file.write_text(json.dumps(asked))
    material = read_experiment(copied / "natural")
    assert material.partial == "partial: 1 of 2 results" and first not in set(material.table["key"])
    assert material.missing == [f"{first} (done with other settings)"]
    asked["jobs"] = dict.fromkeys(asked["jobs"], "0" * 64)
    file.write_text(json.dumps(asked))
    with pytest.raises(nr.InputError, match=r"all 2 results .* have earlier settings; run the experiment again"):
        read_experiment(copied / "natural")


def test_mixed_results_are_refused(copied: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record = sorted((copied / "natural" / "jobs").glob("*.json"))[0]
    content = json.loads(record.read_text())
    record.write_text(json.dumps({**content, "versions": {"neuroreel": "9.9"}}))
    said = refusal(capsys, "natural", "--results", copied, "--out", tmp_path / "figures")
    assert "mixes results of several versions" in said and "9.9 (1 results)" in said
    content["common"]["settings"]["passes"] = 7
    record.write_text(json.dumps(content))
    said = refusal(capsys, "natural", "--results", copied, "--out", tmp_path / "figures")
    assert "cannot be compared" in said and "passes" in said
    assert not (tmp_path / "figures").exists()


def test_bad_input_is_said_in_one_line(results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "there is no experiment 'naturall'; there are figures of natural" in refusal(
        capsys, "naturall", "--results", results
    )
    assert "give either --results" in refusal(capsys, "natural")
    assert "give either --results" in refusal(capsys, "natural", "--results", results, "--published", results)
    said = refusal(capsys, "natural", "--results", tmp_path, "--out", tmp_path / "figures")
    assert "holds no results of an experiment" in said and "neuroreel experiment natural" in said
    assert "has no results of natural, " in refusal(capsys, "all", "--results", tmp_path)
    (tmp_path / "figures" / "convergence").mkdir(parents=True)
    said = refusal(capsys, "natural", "--results", results, "--out", tmp_path / "figures")
    assert "already exists" in said and not (tmp_path / "figures" / "natural").exists(), (
        "found before anything is drawn"
    )


@pytest.mark.slow
def test_all_experiments_in_one_command(results: Path, tmp_path: Path) -> None:
    figures("all", "--results", results, "--out", tmp_path)
    assert {folder.name for folder in tmp_path.iterdir()} == {name for names in FIGURES.values() for name in names}
    for folder in tmp_path.iterdir():
        assert {"figure.pdf", "figure.svg", "figure.png", "tests.csv", "caption.md"} <= {
            f.name for f in folder.iterdir()
        }
    assert set(pd.read_csv(tmp_path / "natural" / "B_movies.csv")["recording"]) == set(NAMES)

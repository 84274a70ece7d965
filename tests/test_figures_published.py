"""The same figures from the authors' published results."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.ndimage import gaussian_filter

import neuroreel as nr
from neuroreel.bauer_2026.files.find import Found, all_results
from neuroreel.cli import main
from neuroreel.figures.from_published import PublishedFolder
from neuroreel.figures.published_runs import conditions_of, kind_of
from neuroreel.studies.animals import PUBLISHED_MICE, PUBLISHED_MOVIES
from published_files import write_result

FULL, HALF = "datafold_0_pop100_hpc_round11", "datafold_0_pop50_hpc_round11_popreduc"
PREDICTED = f"{FULL}_fit_to_predicted"
MOVIES = ((0, 0), (0, 1), (1, 10), (1, 1))  # of mouse and trial, four of the paper's


def write(root: Path, run: str, *, models: tuple[object, ...] = (0, 1), **changes: Any) -> None:
    """Results with random numbers, long enough to be scored."""
    for model in models:
        for mouse, trial in MOVIES:
            made = {"mouse": mouse, "trial": trial, "frames": 34, "neurons": 4, "highest_mask": 1.4, **changes}
            number = model if isinstance(model, int) else 7
            write_result(root / f"modelfold[{model}]_{run}", f"m{mouse}_t{trial}", model=number, **made)


@pytest.fixture(scope="module")
def natural(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("reconstructions")
    write(root, FULL, reduction=0.0)
    write(root, FULL, models=("0 1",), reduction=0.0)
    write(root, HALF, reduction=0.5)
    return root


def test_scores_are_of_the_mean_movie_in_the_files_own_mask(natural: Path) -> None:
    table = PublishedFolder(natural, bar=False).read("natural").table
    assert set(table["recording"]) == set(PUBLISHED_MICE[:2]) and set(table["models"]) == {2} and len(table) == 4
    row = table[(table["recording"] == PUBLISHED_MICE[1]) & (table["trial"] == 10)].iloc[0]
    files = [natural / f"modelfold[{model}]_{FULL}" / "reconstruction_summary_m1_t10.npy" for model in (0, 1)]
    first, second = (nr.read_published(file) for file in files)
    truth, mask = first["video_gt"].values, first["mask"].values
    mean = (first["video_pred"].values + second["video_pred"].values) / 2
    assert row["video_correlation_unsmoothed"] == pytest.approx(nr.video_correlation(truth, mean, mask=mask), abs=1e-6)
    smooth = gaussian_filter(mean, 0.5)
    assert row["video_correlation"] == pytest.approx(nr.video_correlation(truth, smooth, mask=mask), abs=1e-6)
    each = [nr.video_correlation(truth, one["video_pred"].values, mask=mask) for one in (first, second)]
    assert row["single_video_correlation"] == pytest.approx(np.mean(each), abs=1e-6)
    logged = np.mean([one["response_corr_full"].values[-1] for one in (first, second)])
    assert row["response_correlation"] == pytest.approx(logged)
    other = nr.read_published(natural / f"modelfold[0]_{FULL}" / "reconstruction_summary_m0_t0.npy")["mask"].values
    assert nr.video_correlation(truth, smooth, mask=other) != pytest.approx(row["video_correlation"], abs=1e-3)


def test_histories_and_movies(natural: Path) -> None:
    material = PublishedFolder(natural, bar=False).read("natural")
    history = material.history(material.table)
    assert sorted(history["iteration"].unique()) == [0, 10, 20, 24] and len(history) == 16
    row = material.table.iloc[0].to_dict()
    movies = material.movies(row)
    assert movies.video.shape == movies.truth.shape == (34, 36, 64) and movies.model_videos is not None
    assert movies.mask is not None and movies.mask.shape == (36, 64) and len(movies.model_videos) == 2


def test_each_experiment_has_its_runs(natural: Path, tmp_path: Path) -> None:
    source = PublishedFolder(natural, bar=False)
    names = ["natural", "gradient_ensembling", "predicted_activity", "ablation", "noise", "responses"]
    assert source.there(names) == ["natural", "gradient_ensembling", "ablation", "responses"]
    ensembles = source.read("gradient_ensembling").table
    assert ensembles.groupby("ensemble").size().to_dict() == {"gradients": 4, "single": 4, "videos": 4}
    single = ensembles[ensembles["ensemble"] == "single"]
    np.testing.assert_array_equal(single["video_correlation"], single["single_video_correlation"])
    ablated = source.read("ablation")
    assert sorted(ablated.table["fraction"].unique()) == [0.5, 1.0]
    assert any("25%" in line for line in ablated.missing) and any("12%" in line for line in ablated.missing)
    write(tmp_path, PREDICTED, models=(0,))
    write(tmp_path, FULL, models=(0,), reduction=0.0)
    write(tmp_path, f"{FULL}_nontrainmask", models=(0,), reduction=0.0)
    other = PublishedFolder(tmp_path, bar=False)
    assert set(other.read("predicted_activity").table["target"]) == {"recorded", "predicted"}
    masks = other.read("masks")
    assert set(masks.table["mask"]) == {"trained", "none"} and any("strict" in line for line in masks.missing)
    with pytest.raises(nr.InputError, match=r"no published results of noise; it has the runs 'datafold"):
        other.there(["noise"])


def test_what_is_missing_is_listed_file_by_file(natural: Path) -> None:
    material = PublishedFolder(natural, bar=False).read("natural")
    assert (material.finished, material.expected) == (8, 350)
    assert material.partial == "partial: 8 of 350 files of the paper" and len(material.missing) == 342
    assert f"modelfold[6]_{FULL}/reconstruction_summary_m4_t9.npy" in material.missing
    assert f"modelfold[0]_{FULL}/reconstruction_summary_m0_t0.npy" not in material.missing
    assert sum(map(len, PUBLISHED_MOVIES)) == 50


def test_movies_that_the_paper_leaves_out_are_left_out(natural: Path, tmp_path: Path) -> None:
    """Trial 3 of mouse 0 was replaced by trial 10; alone, it is drawn and said to be another."""
    root = tmp_path / "reconstructions"
    shutil.copytree(natural, root)
    extra = {"mouse": 0, "trial": 3, "frames": 34, "highest_mask": 1.4, "reduction": 0.0}
    write_result(root / f"modelfold[0]_{FULL}", "m0_t3", **extra)
    material = PublishedFolder(root, bar=False).read("natural")
    assert 3 not in set(material.table["trial"]) and any("Left out, as in the paper" in note for note in material.notes)
    alone = tmp_path / "alone"
    write_result(alone / f"modelfold[0]_{FULL}", "m0_t3", **extra)
    only = PublishedFolder(alone, bar=False).read("natural")
    assert only.table["trial"].tolist() == [3] and any("None of these movies" in note for note in only.notes)
    assert only.finished == 0


def test_a_shifted_mouse_is_never_scored(tmp_path: Path) -> None:
    """Fault 4 of the published analysis: a movie scored inside another mouse's mask."""
    write(tmp_path, FULL, models=(0,), reduction=0.0)
    file = tmp_path / f"modelfold[0]_{FULL}" / "reconstruction_summary_m0_t0.npy"
    file.rename(file.with_name("reconstruction_summary_m2_t1.npy"))
    material = PublishedFolder(tmp_path, bar=False).read("natural")
    assert PUBLISHED_MICE[2] not in set(material.table["recording"]) and len(material.table) == 3
    assert any("its content says mouse 0, trial 0" in line for line in material.missing)
    renamed = tmp_path / "all_wrong" / f"modelfold[0]_{FULL}"
    write_result(renamed, "m1_t1", mouse=0, trial=0, frames=34, highest_mask=1.4)
    with pytest.raises(nr.InputError, match="no published result of natural can be used"):
        PublishedFolder(renamed.parent, bar=False).read("natural")


def test_noise_and_gratings_have_their_units(tmp_path: Path) -> None:
    for name in ("m0_r0s3t2", "m0_r1s3t2"):
        made = {"frames": 60, "highest_mask": 1.4, "mouse": 0}
        write_result(tmp_path / "modelfold0_round4_Gausnoise", name, **made)
        write_result(tmp_path / "modelfold0_round5_Gausnoise_PhaseInverted", name, **made)
        write_result(tmp_path / "modelfold0_round4_Drifting_gratings", name.replace("r", "d"), **made)
    source = PublishedFolder(tmp_path, bar=False)
    noise = source.read("noise").table
    assert set(noise["spatial_px"]) == {4.0} and set(noise["temporal_frames"]) == {2.0}
    assert noise.groupby("inverted").size().to_dict() == {False: 2, True: 2}
    gratings = source.read("gratings")
    assert sorted(gratings.table["direction_deg"]) == [0.0, 90.0] and set(gratings.table["temporal_frequency_hz"]) == {
        3.75
    }
    np.testing.assert_allclose(gratings.table["spatial_frequency"], 0.018, atol=5e-4)
    assert any("probably twice" in note for note in gratings.notes)
    assert gratings.expected == 4 * 4 * 7 * 7 and source.read("noise").expected == 2 * 3 * 5 * 49 * 7


def test_of_several_rounds_the_latest_is_taken() -> None:
    found = [
        Found(Path(f"modelfold[0]_{run}/x.npy"), run, {"mouse": 0, "trial": 0, "model": 0})
        for run in ("datafold_0_pop100_hpc_round5", FULL, f"{FULL}_randneurons", f"{FULL}_mse", "")
    ]
    (natural,) = conditions_of("natural", found)
    assert natural.run == FULL and [kind_of(each) for each in found] == ["natural", "natural", "", "", ""]
    assert conditions_of("ablation", found) == [] and conditions_of("receptive_fields", found) == []


def test_golden_files_are_drawn_in_one_command(
    golden: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["figures", "all", "--published", str(golden / "published_files"), "--out", str(tmp_path)])
    printed = capsys.readouterr().out
    drawn = {folder.name for folder in tmp_path.iterdir()}
    assert drawn == {"natural", "convergence", "quality", "ablation", "noise", "responses"}
    assert (
        "ablation is partial" in printed
        and "no run of 25% of the neurons" in (tmp_path / "ablation" / "missing.txt").read_text()
    )
    numbers = pd.read_csv(tmp_path / "ablation" / "B_fractions.csv")
    movies = numbers[numbers["level"] == "movie"].set_index("fraction")
    (file,) = (golden / "published_files").glob("*pop50*/*.npy")
    half = nr.read_published(file)
    smooth = gaussian_filter(half["video_pred"].values, 0.5)
    expected = nr.video_correlation(half["video_gt"].values, smooth, mask=half["mask"].values)
    assert movies.loc[0.5, "video_correlation"] == pytest.approx(expected, abs=1e-6)
    history = pd.read_csv(tmp_path / "convergence" / "A_loss.csv")
    full = nr.read_published(next((golden / "published_files").glob("*pop100*/*.npy")))
    movie = history[history["level"] == "movie"]
    np.testing.assert_allclose(movie["loss"], full["response_loss_full"].values)
    assert "receptive" not in printed


def test_folders_that_hold_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["figures", "natural", "--published", str(tmp_path)])
    assert "hold no reconstruction_summary_" in capsys.readouterr().err
    write(tmp_path, FULL, models=(0,))
    with pytest.raises(SystemExit):
        main(["figures", "receptive_fields", "--published", str(tmp_path), "--out", str(tmp_path / "out")])
    assert "receptive fields are not among the published files" in capsys.readouterr().err
    assert len(all_results(tmp_path)) == 4 and not (tmp_path / "out").exists()

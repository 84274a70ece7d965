"""``neuroreel benchmark quality``: every method on the same movies, scored alike, resumed where it was."""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import ttest_1samp

import neuroreel as nr
from neuroreel import cli
from neuroreel.evaluation.scores import response_correlation
from neuroreel.posterior.prediction import ensemble_responses
from neuroreel.recordings.recording import Recording, open_recordings
from neuroreel.recordings.simulate import load_truth
from neuroreel.recordings.simulate.behavior import Behavior
from neuroreel.studies import quality
from neuroreel.studies.methods import METHODS, SLOW, Case
from neuroreel.studies.mouse import SimulatedMouse, Training
from neuroreel.studies.simulator import TrueSimulator

TINY = quality.Quality(
    methods=tuple(METHODS),
    movies=2,
    training=Training(models=2, epochs=1, batches_per_epoch=2),
    decoder_steps=2,
    samples=2,
    iterations=3,
    published_mask=True,
)


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, pd.DataFrame]:
    folder = tmp_path_factory.mktemp("quality")
    mouse = SimulatedMouse(trials=28, seconds=2.5, neurons=20, height=12, width=16)
    recordings = quality.simulated_recordings(folder / "recordings", [mouse], [3])
    return folder, quality.compare_methods(folder, recordings, TINY)


def value(table: pd.DataFrame, method: str, score: str) -> np.ndarray:
    chosen = table[(table["method"] == method) & (table["score"] == score)]
    return chosen.sort_values("trial")["value"].to_numpy()


def test_every_method_is_scored_on_every_movie(compared: tuple[Path, pd.DataFrame]) -> None:
    _, table = compared
    assert list(dict.fromkeys(table["method"])) == list(METHODS)
    common = ("video_correlation", "ssim", "correlation_fine", "response_correlation", "identified_of_2", "seconds")
    if sys.platform == "linux":
        common += ("memory_gb",)
    counts = table[table["score"].isin(common)].groupby(["method", "score"]).size()
    assert len(counts) == len(METHODS) * len(common) and (counts == 2).all()
    assert (value(table, "posterior", "coverage_68%") <= value(table, "posterior", "coverage_95%")).all()
    assert (value(table, "posterior", "passes") <= 30).all()
    best = value(table, "bauer_2026", "video_correlation_at_best_pass")
    assert len(best) == 2 and (value(table, "bauer_2026", "best_pass") <= 3).all()


def test_scores_are_those_of_the_movies(compared: tuple[Path, pd.DataFrame]) -> None:
    """Made anew from the parts in the folder, by the public functions."""
    folder, table = compared
    (home,) = folder.glob("20_neurons*")
    recording = nr.open_recording(folder / "recordings" / home.name)
    trial, mask = recording.select("fold_0")[0], nr.load_mask(home / "mask.npy")
    truth, number = trial.needs_video(), recording.select("fold_0").indices[0]
    first = table[table["trial"] == number]
    ridge = nr.decode(nr.load_decoder(home / "decoder.safetensors"), trial)
    assert value(first, "ridge", "video_correlation")[0] == nr.video_correlation(truth, ridge, mask=mask)
    posterior = nr.load_posterior(home / "posterior")
    movie = nr.reconstruct(trial, posterior, compute=nr.Compute(progress=False)).video
    found = value(first, "posterior", "video_correlation")[0]
    assert found == pytest.approx(nr.video_correlation(truth, movie, mask=mask), abs=1e-5)
    both = nr.video_correlation(truth, (movie + ridge) / 2, mask=mask)
    assert value(first, "mean of posterior and ridge", "video_correlation")[0] == pytest.approx(both, abs=1e-5)
    published = nr.load_mask(home / "published_mask.npy")
    expected = nr.video_correlation(truth, ridge, mask=published) if (published >= 1).any() else np.nan
    np.testing.assert_equal(value(first, "ridge", "video_correlation_published_mask")[0], expected)
    judge = nr.load_encoder(home / "encoder_1000.safetensors")
    expected = response_correlation(trial.needs_responses(), nr.predict(judge, trial.replace(video=ridge)), skip=30)
    assert value(first, "ridge", "response_correlation")[0] == pytest.approx(expected, abs=1e-6)


def test_the_nearest_training_movie_is_one(compared: tuple[Path, pd.DataFrame]) -> None:
    folder, _ = compared
    (home,) = folder.glob("20_neurons*")
    train = nr.open_recording(folder / "recordings" / home.name).select(*[f"fold_{k}" for k in range(2, 7)])
    movies = [np.load(file)["video"] for file in sorted((home / "movies" / "nearest_training_movie").glob("*.npz"))]
    assert movies and all(any(np.array_equal(movie, trial.needs_video()) for trial in train) for movie in movies)


def test_the_nearest_training_movie_is_never_the_one_in_question(compared: tuple[Path, pd.DataFrame]) -> None:
    """Not even where it is longer than all others."""
    folder, _ = compared
    (home,) = folder.glob("20_neurons*")
    recording = nr.open_recording(folder / "recordings" / home.name)
    decoder, whole = nr.load_decoder(home / "decoder.safetensors"), recording.select("fold_0")[0]
    train: Any = [
        nr.Trial(video=trial.needs_video()[:40], responses=trial.needs_responses()[:, :40], frame_rate_hz=30.0)
        for trial in recording.select("fold_2")
    ]
    case = Case(trial=whole, number=0, train=train, truth=None, samples=0, iterations=1)
    made = METHODS["nearest training movie"].make(case, {"decoder": decoder}).video
    assert made.shape == whole.video.shape
    assert any(np.array_equal(made[:40], trial.needs_video()) for trial in train) and (made[40:] == made[39]).all()


def test_the_summary_pairs_movies() -> None:
    rng = np.random.default_rng(0)
    ridge, other = rng.random(6), rng.random(6)
    rows = [
        {"recording": f"m{k % 2}", "group": "g", "trial": k, "method": m, "score": "video_correlation", "value": v[k]}
        for m, v in (("ridge", ridge), ("posterior", other))
        for k in range(6)
    ]
    row = quality.summarize(pd.DataFrame(rows)).loc[("g", "posterior")]
    gap = other - ridge
    low, high = ttest_1samp(gap, 0).confidence_interval(0.95)
    assert row["movies"] == 6 and row["mean"] == pytest.approx(other.mean())
    assert row["difference"] - row["difference_interval"] == pytest.approx(low)
    assert row["difference"] + row["difference_interval"] == pytest.approx(high)
    assert row["worst"] == gap.min() and row["ratio"] == pytest.approx(other.mean() / ridge.mean())


def opened(folder: Path) -> list[Recording]:
    return open_recordings([place for place in sorted((folder / "recordings").iterdir()) if (place / "meta").exists()])


def test_what_is_finished_is_not_even_read(
    compared: tuple[Path, pd.DataFrame], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, table = compared
    loaded: list[str] = []
    monkeypatch.setattr(np, "load", lambda file, load=np.load, **how: loaded.append(str(file)) or load(file, **how))
    again = quality.compare_methods(folder, opened(folder), TINY)
    pd.testing.assert_frame_equal(again, table)
    assert not [file for file in loaded if file.endswith((".npz", "mask.npy"))]


def test_no_movie_is_read_while_methods_and_scores_are_made(
    tmp_path: Path, compared: tuple[Path, pd.DataFrame], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of two methods are averaged by a third, and all of them identified: they are at hand."""
    made = compared[0]
    (home,) = made.glob("20_neurons*")
    copy = tmp_path / home.name
    shutil.copytree(home, copy)
    shutil.rmtree(copy / "movies")
    loaded: list[str] = []
    monkeypatch.setattr(np, "load", lambda file, load=np.load, **how: loaded.append(str(file)) or load(file, **how))
    asked = replace(TINY, methods=("ridge", "posterior", "mean of posterior and ridge"), samples=0)
    table = quality.compare_methods(tmp_path, opened(made), asked)
    assert len(value(table, "mean of posterior and ridge", "identified_of_all")) == 2
    assert not [file for file in loaded if file.endswith(".npz")]


def test_a_setting_that_changes_redoes_what_it_touches(tmp_path: Path, compared: tuple[Path, pd.DataFrame]) -> None:
    folder, table = tmp_path / "copy", compared[1]
    shutil.copytree(compared[0], folder)
    (home,) = folder.glob("20_neurons*")
    before = {file: file.stat().st_mtime_ns for file in home.rglob("*.*") if "replaced" not in file.parts}
    again = quality.compare_methods(folder, opened(folder), replace(TINY, decoder_steps=3))
    touched = {
        file.relative_to(home).parts[:2]
        for file, time in before.items()
        if file.is_file() and file.stat().st_mtime_ns != time
    }
    assert touched == {
        ("convolutional.safetensors",),
        ("convolutional.safetensors.json",),
        ("movies", "convolutional"),
        ("movies", "mean_of_posterior_and_convolutional"),
    }
    assert (home / "replaced").exists()  # the old ones
    same = [name for name in METHODS if "convolutional" not in name]
    columns = ["trial", "method", "score", "value"]
    kept = [frame[frame["method"].isin(same)][columns].reset_index(drop=True) for frame in (table, again)]
    pd.testing.assert_frame_equal(*kept)


def test_other_files_are_refused(tmp_path: Path, compared: tuple[Path, pd.DataFrame]) -> None:
    (recording,) = opened(compared[0])
    (tmp_path / recording.name).mkdir()
    (tmp_path / recording.name / "mine.txt").touch()
    with pytest.raises(nr.InputError, match="holds other files"):
        quality.compare_methods(tmp_path, [recording], TINY)


def test_the_true_simulator_expects_what_the_simulation_expects(compared: tuple[Path, pd.DataFrame]) -> None:
    (recording,) = opened(compared[0])
    population, trial = load_truth(recording.folder).population, recording.trials[4]
    # a trial does not tell what the animal did before and after it: it is taken to have gone on alike
    around = np.pad(trial.covariates, ((0, 0), (population.lead, population.tail)), mode="edge")
    expected = population.expect(
        trial.needs_video(), Behavior(pupil=around[0], running=around[1], pupil_center=around[2:])
    )
    found = nr.predict(TrueSimulator(load_truth(recording.folder)), trial)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_the_true_simulator_has_the_right_slope(compared: tuple[Path, pd.DataFrame]) -> None:
    (recording,) = opened(compared[0])
    simulator = TrueSimulator(load_truth(recording.folder)).double()
    trial = recording.trials[4]
    video = torch.from_numpy(trial.needs_video()).double()
    step = 1e-3 * torch.randn(video.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    covariates = torch.from_numpy(trial.covariates).double()

    def total(shown: torch.Tensor) -> torch.Tensor:
        return ensemble_responses([simulator], shown, covariates).square().sum()

    (slope,) = torch.autograd.grad(total(video.requires_grad_()), video)
    assert torch.isfinite(slope).all()
    with torch.no_grad():
        found = (total(video + step) - total(video - step)) / 2
    assert float(found) == pytest.approx(float((slope * step).sum()), rel=1e-4)


def test_the_command_writes_tables_and_a_figure(
    tmp_path: Path, monkeypatch: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    mouse = SimulatedMouse(trials=28, seconds=2.5, neurons=12, height=9, width=16)
    asked = quality.Quality(movies=2, training=Training(models=1, epochs=1, batches_per_epoch=1), decoder_steps=1)
    monkeypatch.setattr(quality, "QUICK_MOUSE", mouse)
    monkeypatch.setattr(quality, "QUICK", asked)
    cli.main(["benchmark", "quality", "--quick", "--out", str(tmp_path / "out"), "--methods", "ridge", "mean frame"])
    printed = capsys.readouterr().out
    assert "a simulated mouse" in printed and "mean frame" in printed and "Video correlation:" in printed
    table = pd.read_csv(tmp_path / "out" / "table.csv")
    facts = json.loads((tmp_path / "out" / "summary.json").read_text())
    kept = [row for row in facts["summary"] if row["score"] == "video_correlation" and row["method"] == "ridge"]
    chosen = table[(table["method"] == "ridge") & (table["score"] == "video_correlation")]
    assert kept[0]["mean"] == pytest.approx(chosen["value"].mean())
    assert facts["provenance"]["settings"]["movies"] == 2
    assert (tmp_path / "out" / "quality.png").stat().st_size > 10_000


def test_bad_requests(tmp_path: Path) -> None:
    with pytest.raises(nr.InputError, match="there is no method 'magic'; there are 'mean frame'"):
        quality.Quality(methods=("magic",))
    with pytest.raises(nr.InputError, match="samples is 1"):
        quality.Quality(samples=1)
    with pytest.raises(nr.InputError, match="movies is 0"):
        quality.Quality(movies=0)
    assert not set(SLOW) & set(quality.Quality().chosen(simulated=True))
    assert "posterior, noise-free responses" not in quality.Quality().chosen(simulated=False)

"""Experiments from Python: declarations, fingerprints, what is done and what is not."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

import neuroreel as nr
from experiment_mice import GRID, HEIGHT, METHOD, NEURONS, WIDTH, open_mice, small
from neuroreel.compute import Compute
from neuroreel.encoding.dwiseneuro.network import DwiseNeuro, DwiseNeuroConfig, DwiseNeuroNetwork
from neuroreel.results.datasets import read_dataset
from neuroreel.studies import (
    EXPERIMENTS,
    Animal,
    Grid,
    Job,
    Method,
    NoiseStimulus,
    experiment_status,
    experiment_table,
    run,
    run_experiment,
)
from neuroreel.studies.plan import choose, expand, state_of
from neuroreel.studies.run import Runner
from neuroreel.studies.store import Store
from neuroreel.studies.table import CONDITIONS, SCORES
from neuroreel.studies.work import Work


@pytest.fixture(scope="module")
def animals(mice: Path) -> list[Animal]:
    return open_mice(mice)


def keys(experiment: str, animals: Sequence[Animal], grid: Grid = GRID) -> list[str]:
    return [job.key for job in EXPERIMENTS[experiment](animals, grid)]


def test_the_jobs_of_every_experiment(animals: list[Animal]) -> None:
    one = animals[:1]
    grid = small(movies=1)
    assert keys("natural", one, grid) == ["mouse_a_t001"]
    assert keys("gradient_ensembling", one, grid) == ["mouse_a_t001_single", "mouse_a_t001", "mouse_a_t001_gradients"]
    assert keys("predicted_activity", one, grid) == ["mouse_a_t001", "mouse_a_t001_predicted"]
    assert keys("masks", one, grid) == [
        *("mouse_a_t001_mask-none", "mouse_a_t001", "mouse_a_t001_mask-strict", "mouse_a_t001_mask-0.25"),
    ]
    assert keys("ablation", one, replace(grid, repeats=2)) == [
        *("mouse_a_t001", "mouse_a_t001_kept-0.5", "mouse_a_t001_kept-0.5_r1"),
    ]
    assert keys("noise", one, grid) == [
        *("mouse_a_noise-0px-0f_r0", "mouse_a_noise-0px-0f_r0_inverted"),
        *("mouse_a_noise-2px-0f_r0", "mouse_a_noise-2px-0f_r0_inverted"),
    ]
    assert keys("gratings", one, grid) == ["mouse_a_grating-0deg-0.02cpd-2hz", "mouse_a_grating-0deg-0.02cpd-0hz"]
    assert keys("receptive_fields", one, grid) == ["mouse_a_size_px-4"]
    assert keys("responses", one, grid) == ["mouse_a_t001"]


def test_the_paper_has_as_many_jobs_as_the_paper(animals: list[Animal]) -> None:
    full, one = Grid(), animals[:1]
    assert len(keys("noise", one, full)) == 7 * 7 * 5 * 2
    assert len(keys("gratings", one, full)) == 4 * 4 * 7
    for name in ("noise", "gratings"):
        assert len(set(keys(name, one, full))) == len(keys(name, one, full))


@pytest.mark.parametrize("name", sorted(EXPERIMENTS))
def test_every_experiment_runs_and_gives_its_table(name: str, animals: list[Animal], experiments_done: Path) -> None:
    both = experiment_table(experiments_done / "results" / name)
    assert list(both["key"]) == sorted(keys(name, animals, small(movies=1)))
    table = both[both["recording"] == "mouse_a"]
    assert list(table["key"]) == sorted(keys(name, animals[:1], small(movies=1)))
    assert set(table.columns) >= {*CONDITIONS, *SCORES, "smoothing", "seconds"}
    assert (table["experiment"] == name).all()
    if name == "receptive_fields":
        fields = read_dataset(table["file"][0], kind="receptive_fields")
        assert fields["on"].dims == ("neuron", "row", "column")
        assert np.isfinite(table["rf_mask_correlation"]).all() and table["video_correlation"].isna().all()
        return
    scored = table[["video_correlation", "rmse", "ssim", "response_correlation", "response_correlation_truth"]]
    assert np.isfinite(scored.to_numpy(float)).all()
    for row in table.to_dict("records"):
        made = nr.Reconstruction.load(row["file"])
        where = {"skip": METHOD.skip, "mask": None if row["mask"] == "none" else made.mask}
        if row["key"].endswith("mask-0.25"):  # under a posterior a mask says which pixels are scored
            where["mask_threshold"] = 0.25
        again = nr.video_correlation(made.truth, made.video, **where)
        assert row["video_correlation"] == row["video_correlation_unsmoothed"] == pytest.approx(again)
    if name == "noise":
        assert set(table["spatial_px"]) == {0, 2} and table["trial"].isna().all()
        assert table["inverted"].sum() == 2 and (table["target"] == "predicted").all()
    if name == "masks":
        assert list(table["mask_threshold"].fillna(-1)) == [1.0, 0.25, -1, 1.0]
    if name == "gradient_ensembling":
        assert list(table["ensemble"]) == ["videos", "gradients", "single"]
        assert list(table["models"]) == [2, 2, 1]
    if name == "responses":
        four = table[["response_correlation_truth", "response_correlation_masked", "response_correlation_matched"]]
        assert np.isfinite(four.to_numpy(float)).all()


def test_the_published_method_is_to_the_letter(animals: list[Animal], tmp_path: Path) -> None:
    method = Method(method="bauer_2026", settings={"iterations": 2}, skip=6)
    table = run_experiment("masks", animals[:1], out=tmp_path, grid=small(movies=1), method=method)
    assert (table["smoothing"] == 0.5).all() and (table["method"] == "bauer_2026").all()
    made = {row["key"]: nr.Reconstruction.load(row["file"]) for row in table.to_dict("records")}
    assert made["mouse_a_t001_mask-none"].settings["mask_threshold"] == 0  # what the paper calls no mask
    assert made["mouse_a_t001_mask-strict"].settings["mask_threshold"] == 1
    assert made["mouse_a_t001"].settings["ablated"] == "silenced"
    smoothed = made["mouse_a_t001"].smooth(0.5)
    expected = nr.video_correlation(smoothed.truth, smoothed.video, mask=smoothed.mask, skip=6)
    assert table.set_index("key")["video_correlation"]["mouse_a_t001"] == pytest.approx(expected)


def test_the_authors_movies_are_read_once(
    animals: list[Animal], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[Path] = []

    def stimuli(file: Path) -> xr.DataArray:
        read.append(file)
        movies = np.random.default_rng(0).random((2, 1, 2, 1, 24, HEIGHT, WIDTH)) * 255
        labels = {"inverted": [False, True], "repeat": [0], "spatial_px": [1, 2], "temporal_frames": [4]}
        axes = (*labels, "frame", "height", "width")
        return xr.DataArray(movies, dims=axes, coords=labels, attrs={"source": str(file)})

    monkeypatch.setattr("neuroreel.studies.stimuli.noise_stimuli", stimuli)
    file = tmp_path / "noise.npz"
    grid = small(spatial_px=(2, 1), temporal_frames=(4,), noise_file=file)
    table = run_experiment("noise", animals[:1], out=tmp_path, grid=grid, method=METHOD)
    assert len(table) == 4 and read == [file]
    row = table[(table["spatial_px"] == 2) & table["inverted"]]
    truth = nr.Reconstruction.load(row["file"].item()).truth
    np.testing.assert_allclose(truth, stimuli(file).sel(inverted=True, spatial_px=2).values[0, 0], rtol=1e-6)
    with pytest.raises(nr.InputError, match=r"noise.npz has no spatial_px 8; it has 1, 2"):
        run_experiment("noise", animals[:1], out=tmp_path, grid=replace(grid, spatial_px=(8,)), method=METHOD)


def test_an_ablated_neuron_has_no_say(animals: list[Animal], tmp_path: Path) -> None:
    """Other responses of the neurons left out give the same movie; of one that is kept, another one."""
    animal = animals[0]
    work = Work(job=Job(recording="mouse_a", trial=1, fraction=0.5), animal=animal, method=METHOD)
    kept = work.keep
    seed = (0 + 1) * (animal.number + 1)  # the first of its fold
    drawn = torch.rand(NEURONS, 1, generator=torch.Generator().manual_seed(seed))[:, 0].numpy()
    np.testing.assert_array_equal(kept, drawn > 0.5)
    fitted = Runner(Store(tmp_path)).get(work.posterior)
    video = work.make({"posterior": fitted}, Compute(device="cpu"))["video"].values
    for neuron, same in ((np.flatnonzero(~kept)[0], True), (np.flatnonzero(kept)[0], False)):
        trials = list(animal.recording.trials)
        changed = trials[1].needs_responses().copy()
        changed[neuron] = changed[neuron][::-1]
        trials[1] = trials[1].replace(responses=changed)
        folder = tmp_path / f"{same}" / "mouse_a"
        other = nr.write_recording(folder, trials, folds=animal.recording.folds())
        again = Work(job=work.job, animal=Animal(other, animal._models, mask=animal.mask), method=METHOD)
        made = again.make({"posterior": fitted}, Compute(device="cpu"))["video"].values
        assert np.array_equal(made, video) == same


def test_published_mice_have_their_numbers_and_movies(animals: list[Animal], tmp_path: Path) -> None:
    name = "dynamic29647-19-8-Video-9b4f6a1a067fe51e15306b9628efea20"
    trial = animals[0].recording.trials[0]
    folder = nr.write_recording(tmp_path / name, [trial] * 18, folds=["fold_0"] * 18)
    animal = Animal(folder, animals[0]._models)
    assert animal.number == 2
    assert animal.movies("fold_0")[:10] == (10, 1, 14, 3, 4, 5, 6, 15, 16, 9)
    assert sorted(animal.movies("fold_0")) == list(range(18))


def test_finished_jobs_are_kept_and_changed_ones_done_again(animals: list[Animal], tmp_path: Path) -> None:
    said: list[str] = []
    grid = small(movies=1)
    first = run_experiment("ablation", animals[:1], out=tmp_path, grid=grid, method=METHOD)
    before = {file: file.stat().st_mtime_ns for file in tmp_path.rglob("*.nc")}
    run_experiment("ablation", animals[:1], out=tmp_path, grid=grid, method=METHOD, say=said.append)
    assert all("already exists" in line for line in said) and len(said) == 2
    assert {file: file.stat().st_mtime_ns for file in tmp_path.rglob("*.nc")} == before

    other = replace(METHOD, settings={"passes": 3})
    works = expand(["ablation"], animals[:1], grid=grid, method=other)
    assert [state_of(work, Store(tmp_path)) for work in works] == ["stale", "stale"]
    second = run_experiment("ablation", animals[:1], out=tmp_path, grid=grid, method=other)
    assert list(second["key"]) == list(first["key"])
    assert not np.allclose(second["video_correlation"], first["video_correlation"])
    old = [file for file in (tmp_path / "ablation" / "replaced").iterdir() if file.suffix == ".nc"]
    assert len(old) == 2  # nothing is lost
    assert sorted(nr.Reconstruction.load(file).settings["passes"] for file in old) == [2, 2]


def test_settings_that_come_back_find_their_results(animals: list[Animal], tmp_path: Path) -> None:
    grid, said = small(movies=1), list[str]()
    first = run_experiment("natural", animals[:1], out=tmp_path, grid=grid, method=METHOD)
    video = nr.Reconstruction.load(first["file"][0]).video
    run_experiment("natural", animals[:1], out=tmp_path, grid=grid, method=replace(METHOD, seed=1, settings={}))
    again = run_experiment("natural", animals[:1], out=tmp_path, grid=grid, method=METHOD, say=said.append)
    assert len(said) == 1 and "is the same as natural/replaced/mouse_a_t001-" in said[0]
    np.testing.assert_array_equal(nr.Reconstruction.load(again["file"][0]).video, video)


def test_a_new_version_of_results_does_them_again(
    animals: list[Animal], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_experiment("natural", animals[:1], out=tmp_path, grid=small(movies=2), method=METHOD)
    monkeypatch.setattr("neuroreel.studies.work.RESULTS_VERSION", 9)
    with pytest.raises(nr.InputError, match=r"results_version: \d \(1 jobs\), \d \(1 jobs\)"):
        run_experiment("natural", animals[:1], out=tmp_path, grid=small(movies=2), method=METHOD, part="1/2")
    assert len(run_experiment("natural", animals[:1], out=tmp_path, grid=small(movies=2), method=METHOD)) == 2


def test_a_new_version_of_results_fits_posteriors_again(
    animals: list[Animal], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for version in (8, 9):
        for module in ("work", "posteriors"):
            monkeypatch.setattr(f"neuroreel.studies.{module}.RESULTS_VERSION", version, raising=False)
        run_experiment("natural", animals[:1], out=tmp_path, grid=small(movies=1), method=METHOD)
    assert len(list((tmp_path / "posteriors").glob("*.json"))) == 2


def test_equal_results_of_two_experiments_are_made_once(animals: list[Animal], tmp_path: Path) -> None:
    said: list[str] = []
    grid = small(movies=1)
    run_experiment("natural", animals[:1], out=tmp_path, grid=grid, method=METHOD)
    table = run_experiment("responses", animals[:1], out=tmp_path, grid=grid, method=METHOD, say=said.append)
    assert said == ["responses/mouse_a_t001 is the same as natural/jobs/mouse_a_t001.nc"]
    own, other = Path(table["file"][0]), tmp_path / "natural" / "jobs" / "mouse_a_t001.nc"
    assert own.samefile(other)
    assert np.isfinite(table["response_correlation_matched"][0])


def test_other_scores_need_no_other_result(animals: list[Animal], tmp_path: Path) -> None:
    grid = small(movies=1)
    first = run_experiment("natural", animals[:1], out=tmp_path, grid=grid, method=METHOD)
    file = Path(first["file"][0])
    before = file.stat().st_mtime_ns
    smoother = replace(METHOD, smoothing=0.5)
    second = run_experiment("natural", animals[:1], out=tmp_path, grid=grid, method=smoother)
    assert file.stat().st_mtime_ns == before
    assert second["smoothing"][0] == 0.5 and first["smoothing"][0] == 0
    unsmoothed = "video_correlation_unsmoothed"
    assert second[unsmoothed][0] == first[unsmoothed][0] != second["video_correlation"][0]


def test_any_order_and_any_parts_give_the_same(animals: list[Animal], tmp_path: Path) -> None:
    grid = small(movies=1)
    whole = run_experiment("ablation", animals, out=tmp_path / "whole", grid=grid, method=METHOD)
    for part in ("3/3", "1/3", "2/3"):
        parts = run_experiment("ablation", animals[::-1], out=tmp_path / "parts", grid=grid, method=METHOD, part=part)
    columns = [name for name in whole.columns if name not in ("file", "seconds")]
    assert whole[columns].equals(parts[columns])
    for one, other in zip(whole["file"], parts["file"], strict=True):
        videos = [nr.Reconstruction.load(file).video for file in (one, other)]
        np.testing.assert_array_equal(*videos)


@given(jobs=st.integers(1, 60), parts=st.integers(1, 80))
def test_parts_are_all_jobs_each_once(jobs: int, parts: int) -> None:
    entries: list[Any] = list(range(jobs))
    chosen = [choose(entries, part=f"{number}/{parts}") for number in range(1, parts + 1)]
    assert sorted(entry for part in chosen for entry in part) == entries
    sizes = [len(part) for part in chosen]
    assert max(sizes) - min(sizes) <= 1


CHANGES: dict[str, dict[str, Any]] = {
    "trial": {"trial": 2},
    "target": {"target": "predicted"},
    "ensemble": {"ensemble": "gradients"},
    "members": {"members": (1,)},
    "mask": {"mask": "strict"},
    "no mask": {"mask": "none"},
    "threshold": {"mask_threshold": 0.25},
    "fraction": {"fraction": 0.5},
    "draw": {"fraction": 0.5, "repeat": 1},
    "noise": {"trial": None, "stimulus": NoiseStimulus(spatial_px=2, temporal_frames=0), "target": "predicted"},
    "inverse": {
        "trial": None,
        "stimulus": NoiseStimulus(spatial_px=2, temporal_frames=0, inverted=True),
        "target": "predicted",
    },
    "first model's target": {
        "trial": None,
        "stimulus": NoiseStimulus(spatial_px=2, temporal_frames=0),
        "target": "predicted",
        "target_models": "first",
    },
}


OF_NO_POSTERIOR = {"ensemble", "mask", "no mask", "threshold"}
"""Changes that leave a posterior's movie as it is: there is one ensemble, and a mask says what is scored."""


@pytest.mark.parametrize(
    ("method", "setting"),
    [(METHOD, {"passes": 7}), (Method(method="bauer_2026", skip=6), {"learning_rate": 0.1})],
    ids=["posterior", "bauer_2026"],
)
def test_whatever_changes_a_result_changes_its_fingerprint_and_its_key(
    method: Method, setting: dict[str, Any], animals: list[Animal]
) -> None:
    job = Job(recording="mouse_a", trial=1)
    changes = CHANGES | {"setting": {"settings": setting}}
    jobs = {name: replace(job, **change) for name, change in changes.items()}
    assert len({job.key, *(each.key for each in jobs.values())}) == len(jobs) + 1

    def fingerprint(job: Job) -> str:
        return Work(job=job, animal=animals[0], method=method).hash

    same = {name for name, each in jobs.items() if fingerprint(each) == fingerprint(job)}
    assert same == (OF_NO_POSTERIOR if method is METHOD else set())
    others = [fingerprint(each) for name, each in jobs.items() if name not in same]
    assert len(set(others)) == len(others)


def test_whatever_changes_data_or_models_changes_the_fingerprint(animals: list[Animal], mice: Path) -> None:
    job = Job(recording="mouse_a", trial=1)
    same, other = animals
    mask = np.ones((HEIGHT, WIDTH), np.float32)
    models = same._models
    faster = replace(same.recording, frame_rate_hz=60.0)
    versions = [
        Work(job=job, animal=same, method=METHOD),
        Work(job=job, animal=same, method=replace(METHOD, seed=1)),
        Work(job=job, animal=same, method=Method(method="bauer_2026", skip=6)),
        Work(job=job, animal=Animal(same.recording, models[::-1], mask=same.mask), method=METHOD),
        Work(job=job, animal=Animal(same.recording, models, mask=mask), method=METHOD),
        Work(job=job, animal=Animal(same.recording, models), method=METHOD),
        Work(job=job, animal=Animal(other.recording, models, mask=same.mask), method=METHOD),
        Work(job=job, animal=Animal(faster, models, mask=same.mask), method=METHOD),
    ]
    assert len({work.hash for work in versions}) == len(versions)
    # where files lie, and how results are scored, decide no result
    again = Work(job=job, animal=open_mice(mice)[0], method=replace(METHOD, skip=4, smoothing=1.0))
    assert again.hash == versions[0].hash


def test_readouts_of_one_network_have_fingerprints_of_their_own(animals: list[Animal]) -> None:
    """In memory too: else the receptive fields of one mouse would be taken for those of another."""
    sizes: dict[str, Any] = {"core_features": (4, 4), "spatial_strides": (2, 2), "cortex_features": (8,)}
    network = DwiseNeuroNetwork(DwiseNeuroConfig(in_channels=1, readout_neurons=(NEURONS, NEURONS), **sizes))
    first, second = (DwiseNeuro(network, readout=number, video_size=(HEIGHT, WIDTH)) for number in (0, 1))
    both = [Animal(animal.recording, [model]) for animal, model in zip(animals, (first, second), strict=True)]
    job: dict[str, Any] = {"product": "fields", "settings": {"size_px": 4}}
    maps = {Work(job=Job(recording=each.name, **job), animal=each, method=METHOD).hash for each in both}
    assert len(maps) == 2


def test_mixed_results_are_refused(animals: list[Animal], tmp_path: Path) -> None:
    grid = small(movies=2)
    run_experiment("natural", animals[:1], out=tmp_path, grid=grid, method=METHOD)
    other = replace(METHOD, settings={"passes": 3})
    with pytest.raises(nr.InputError, match=r"cannot be compared: passes: \d \(1 jobs\), \d \(1 jobs\)"):
        run_experiment("natural", animals[:1], out=tmp_path, grid=grid, method=other, part="1/2")
    assert experiment_status(tmp_path / "natural") == {
        "asked": 2,
        "done": 1,
        "missing": [],
        "stale": ["mouse_a_t002"],
    }
    mixed = experiment_table(tmp_path / "natural", mixed=True)
    assert len(set(mixed["settings_hash"])) == 2
    table = run_experiment("natural", animals[:1], out=tmp_path, grid=grid, method=other)
    assert len(table) == 2 and "settings_hash" not in table


def test_results_of_other_models_are_not_mixed(animals: list[Animal], tmp_path: Path) -> None:
    run_experiment("natural", animals[:1], out=tmp_path, grid=small(movies=1), method=METHOD)
    swapped = Animal(animals[0].recording, animals[0]._models[::-1], mask=animals[0].mask)
    with pytest.raises(nr.InputError, match=r"model 0: .* of mouse_a"):
        run_experiment("natural", [swapped], out=tmp_path, grid=small(trials=(2,)), method=METHOD)


def test_an_experiment_of_ones_own(animals: list[Animal], tmp_path: Path) -> None:
    def longer_and_longer(animals: Sequence[Animal], grid: Grid) -> Iterator[Job]:
        for passes in (1, 3):
            yield Job(recording=animals[0].name, trial=grid.trials[0], settings={"passes": passes})

    table = run_experiment(longer_and_longer, animals, out=tmp_path, grid=small(trials=(1,)), method=METHOD)
    assert list(table["key"]) == ["mouse_a_t001_passes-1", "mouse_a_t001_passes-3"]
    assert list(table["passes"]) == [1, 3]
    assert table["video_correlation"].nunique() == 2


def test_a_result_without_its_record_is_not_done(animals: list[Animal], tmp_path: Path) -> None:
    """As if the process had been killed between the two."""
    grid = small(movies=1)
    first = run_experiment("natural", animals[:1], out=tmp_path, grid=grid, method=METHOD)
    store = Store(tmp_path)
    (work,) = expand(["natural"], animals[:1], grid=grid, method=METHOD)
    store.record_file(work.place).unlink()
    Path(first["file"][0]).write_bytes(b"half")
    assert state_of(work, store) == "missing"
    again = run_experiment("natural", animals[:1], out=tmp_path, grid=grid, method=METHOD)
    assert again["video_correlation"][0] == first["video_correlation"][0]
    store.record_file(work.place).write_text("{")
    with pytest.raises(nr.InputError, match="delete it, and its job runs again"):
        experiment_table(tmp_path / "natural")


def test_mask_that_leaves_next_to_nothing_to_score(animals: list[Animal], tmp_path: Path) -> None:
    whole, said, grid = animals[0], [], small(movies=1)
    mask = np.full(whole.recording.video_size, 0.5, np.float32)
    nothing = Animal(whole.recording, whole.models, mask=mask)
    with pytest.raises(nr.InputError, match="no pixel over the video is at least 1"):
        run_experiment("natural", [nothing], out=tmp_path, grid=grid, method=METHOD)
    mask[4, 4] = 1
    pixel = Animal(whole.recording, whole.models, mask=mask)
    run_experiment("natural", [pixel], out=tmp_path, grid=grid, method=METHOD, say=said.append)
    assert said[0].startswith(f"{whole.name}: 1 of {mask.size} pixels are scored")


def test_two_processes_do_not_do_one_job(animals: list[Animal], tmp_path: Path) -> None:
    (work,), store = expand(["natural"], animals[:1], grid=small(movies=1), method=METHOD), Store(tmp_path)
    with store.claim(work) as first:
        assert first
        with store.claim(work) as second:
            assert not second
        assert state_of(work, store) == "running"
    assert state_of(work, store) == "missing"


def test_a_job_of_another_process_is_waited_for_in_sight(
    animals: list[Animal], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (work,), store = expand(["natural"], animals[:1], grid=small(movies=1), method=METHOD), Store(tmp_path)
    monkeypatch.setattr(run, "REMIND_S", 0.0)
    monkeypatch.setattr(run, "WAIT_S", 0.0)
    said: list[str] = []

    def listen(line: str) -> None:
        said.append(line)
        if len(said) == 3:
            other.close()

    with ExitStack() as other:
        other.enter_context(store.claim(work))
        Runner(store, device="cpu", say=listen).run([work])
    who = rf"study, process {os.getpid()} on \S+, since 20\S+ \S+"
    waiting = re.compile(rf"waiting for natural/{work.job.key} \({who}\): if that process hangs, stop it")
    assert all(waiting.match(line) for line in said[:3])
    assert state_of(work, store) == "done"


BAD: dict[str, tuple[str, dict[str, Any], str]] = {
    "no neurons left": ("ablation", {"fractions": (1.0, 1e-9)}, "a fraction of 1e-09 leaves none of the"),
    "strict mask that is empty": ("masks", {"mask_thresholds": (5.0,)}, "no pixel of the mask of mouse_a reaches 5"),
    "grating too fine": ("gratings", {"spatial_frequencies": (0.5,)}, "spatial_frequency is 0.5"),
    "grating too fast": ("gratings", {"temporal_frequencies_hz": (20.0,)}, "temporal_frequency_hz is 20"),
    "noise too short": ("noise", {"stimulus_frames": 6}, "but the first 6 are not scored"),
    "a trial that is not there": ("natural", {"trials": (9,)}, "there is no trial 9 in mouse_a"),
    "a fold that is not there": ("natural", {"fold": "fold_5"}, "no trials in 'fold_5'"),
    "no such experiment": ("Natural", {}, "there is no experiment 'Natural'; there are natural, "),
}


@pytest.mark.parametrize("case", sorted(BAD))
def test_bad_jobs_are_refused_before_any_is_done(case: str, animals: list[Animal], tmp_path: Path) -> None:
    name, changes, message = BAD[case]
    with pytest.raises(nr.InputError, match=message):
        run_experiment(name, animals, out=tmp_path, grid=small(**changes), method=METHOD)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"fractions": (0.0, 1.0)}, "more than 0 and at most 1"),
        ({"fractions": (25,)}, "0.25 for a quarter"),
        ({"fractions": (0.5, 0.5)}, "each value may appear only once"),
        ({"movies": 0}, "movies is 0"),
        ({"spatial_px": ()}, "one or more numbers"),
        ({"temporal_frames": (float("nan"),)}, "one or more numbers"),
        ({"stimulus_target": "last"}, "must be 'ensemble' or 'first'"),
        ({"fractions": 0.5}, "a list of one or more numbers"),
        ({"trials": 3}, "a list of the numbers of trials"),
        ({"trials": (-1,)}, "the number of a trial is -1"),
        ({"field_step_px": 0}, "field_step_px is 0"),
        ({"fraction": (1.0,)}, "the grid has no fraction; it has .*fractions"),
    ],
)
def test_bad_grids(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(nr.InputError, match=message):
        GRID.changed(changes)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "ours"}, "there is no method 'ours'"),
        ({"settings": {"iterations": 3}}, "no setting of the posterior's search 'iterations'"),
        ({"settings": {"passes": 0}}, "passes is 0"),
        ({"settings": {"mask_threshold": 0.2}}, "mask_threshold cannot be set here"),
        ({"method": "bauer_2026", "settings": {"iterations": 0}}, "iterations is 0"),
        ({"skip": -1}, "skip is -1"),
        ({"skip": 30.5}, "skip is 30.5"),
        ({"skip": "30"}, "skip is '30'"),
        ({"seed": -1}, "seed is -1"),
        ({"smoothing": -1}, "smoothing is -1"),
        ({"evaluation_threshold": float("nan")}, "evaluation_threshold is nan"),
    ],
)
def test_bad_methods(options: dict[str, Any], message: str) -> None:
    with pytest.raises(nr.InputError, match=message):
        Method(**options)


@pytest.mark.parametrize(
    ("job", "message"),
    [
        ({}, "a trial or a stimulus"),
        ({"trial": 0, "product": "fields"}, "receptive fields need neither"),
        ({"stimulus": NoiseStimulus(spatial_px=0, temporal_frames=0)}, "its target must be 'predicted'"),
        ({"trial": 0, "members": ()}, "at least one encoding model"),
        ({"trial": 0, "mask": "none", "mask_threshold": 0.5}, "mask_threshold applies to the trained mask"),
    ],
)
def test_bad_jobs(job: dict[str, Any], message: str) -> None:
    with pytest.raises(nr.InputError, match=message):
        Job(recording="mouse_a", **job)


def test_what_is_missing_is_said(animals: list[Animal], tmp_path: Path) -> None:
    with pytest.raises(nr.InputError, match="has no finished jobs; run"):
        experiment_table(tmp_path / "natural")
    with pytest.raises(nr.InputError, match="is not the folder of an experiment"):
        experiment_status(tmp_path)
    bare = Animal(animals[0].recording, animals[0]._models[:1])
    with pytest.raises(nr.InputError, match="has no transparency mask"):
        run_experiment("masks", [bare], out=tmp_path, grid=GRID, method=METHOD)
    with pytest.raises(nr.InputError, match="it needs at least two"):
        run_experiment("gradient_ensembling", [bare], out=tmp_path, grid=GRID, method=METHOD)
    with pytest.raises(nr.InputError, match="with different names"):
        run_experiment("natural", [bare, bare], out=tmp_path, grid=GRID, method=METHOD)
    with pytest.raises(nr.InputError, match="has no encoding model"):
        Animal(animals[0].recording, [])
    table = run_experiment("natural", [bare], out=tmp_path, grid=small(movies=1), method=METHOD)
    assert table["mask"][0] == "none" and table["ensemble"][0] == "single"


def test_records_are_plain_json(animals: list[Animal], tmp_path: Path) -> None:
    run_experiment("natural", animals[:1], out=tmp_path, grid=small(movies=1), method=METHOD)
    record = json.loads((tmp_path / "natural" / "jobs" / "mouse_a_t001.json").read_text())
    assert record["settings"]["passes"] == 2 and record["versions"]["neuroreel"] == nr.__version__
    asked = json.loads((tmp_path / "natural" / "experiment.json").read_text())
    assert asked["jobs"] == {"mouse_a_t001": record["hash"]}
    assert isinstance(xr.load_dataset(tmp_path / "natural" / "jobs" / "mouse_a_t001.nc", engine="h5netcdf"), xr.Dataset)

"""``neuroreel experiment`` as a user types it."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import neuroreel as nr
from experiment_mice import CONFIG, SETTINGS, options
from neuroreel.cli import main
from neuroreel.commands.experiment import Experiment
from neuroreel.encoding.readout import ReadoutModel
from neuroreel.studies import EXPERIMENTS, experiment_table, open_animals


def typed(*words: object) -> list[str]:
    return ["experiment", *map(str, words)]


def listed(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    capsys.readouterr()
    main([*arguments, "--list", "--json"])
    rows: list[dict[str, Any]] = json.loads(capsys.readouterr().out)["jobs"]
    return rows


def test_listed_done_in_parts_and_kept(mice: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ablation = typed("ablation", *options(mice), "--out", tmp_path / "out", "--fractions", 1, 0.5, 0.25)
    main([*ablation, "--list"])
    shown = capsys.readouterr().out
    assert "mouse_b_t001_kept-0.25  missing" in shown and shown.endswith("6 jobs, 0 done, 6 to do\n")
    assert not (tmp_path / "out").exists()  # a list does nothing

    main([*ablation, "--part", "2/3"])
    assert "2 jobs done" in capsys.readouterr().out
    rows = listed(ablation, capsys)
    assert [row["state"] for row in rows] == ["missing", "done", "missing"] * 2
    assert [row["number"] for row in rows] == list(range(6)) and all(row["seconds"] > 0 for row in rows)
    main([*ablation, "--jobs", "mouse_a_t001", "3"])
    assert [row["state"] for row in listed(ablation, capsys)] == ["done", "done", "missing"] * 2
    assert len(listed([*ablation, "--jobs", "*_kept-*"], capsys)) == 4

    main(ablation)
    assert capsys.readouterr().out.count("already exists") == 4
    table = experiment_table(tmp_path / "out" / "ablation")
    assert list(table["fraction"]) == [1.0, 0.25, 0.5] * 2
    assert list(table["recording"]) == ["mouse_a"] * 3 + ["mouse_b"] * 3
    assert {file.name for file in (tmp_path / "out" / "ablation").iterdir()} == {"experiment.json", "jobs"}
    assert len(list((tmp_path / "out" / "ablation" / "jobs").iterdir())) == 12  # and no snapshot


def test_all_experiments(mice: Path, experiments_done: Path, capsys: pytest.CaptureFixture[str]) -> None:
    results = experiments_done / "results"
    said = (experiments_done / "printed").read_text()
    assert {folder.name for folder in results.iterdir()} == {*EXPERIMENTS, "posteriors", ".locks"}
    assert (
        said.count("is the same as natural/jobs/mouse_a_t001.nc") == 9
    )  # jobs of reference, and those that are only scored otherwise
    assert all(row["state"] == "done" for row in listed(typed("all", *options(mice), "--out", results), capsys))


@pytest.mark.slow
def test_a_killed_experiment_goes_on(mice: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = typed("ablation", *options(mice), "--fractions", 1, 0.5, 0.25, "--passes", 40)
    process = subprocess.Popen(
        [sys.executable, "-u", "-m", "neuroreel", *command, "--out", tmp_path / "killed"],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("ablation/mouse_a_t001_kept-0.5 ..."):
            break
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    jobs = tmp_path / "killed" / "ablation" / "jobs"
    first = (jobs / "mouse_a_t001.nc").stat().st_mtime_ns
    states = [row["state"] for row in listed([*command, "--out", str(tmp_path / "killed")], capsys)]
    assert states[0] == "done" and "missing" in states and "running" not in states

    for out in ("killed", "whole"):
        main([*command, "--out", str(tmp_path / out)])
    assert (jobs / "mouse_a_t001.nc").stat().st_mtime_ns == first
    tables = [experiment_table(tmp_path / out / "ablation") for out in ("killed", "whole")]
    assert len(tables[0]) == 6
    for one, other in zip(*(table["file"] for table in tables), strict=True):
        np.testing.assert_array_equal(nr.Reconstruction.load(one).video, nr.Reconstruction.load(other).video)


@pytest.mark.slow
def test_two_processes_share_the_work(mice: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-u", "-m", "neuroreel", *typed("ablation", *options(mice), "--out", tmp_path)]
    command += ["--fractions", "1", "0.5", "0.25", "--passes", "40"]
    both = [
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
        for _ in range(2)
    ]
    said = [process.communicate(timeout=120)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    started = [line for each in said for line in re.findall(r"^(\S+) \.\.\.$", each, re.MULTILINE)]
    assert len(started) == len(set(started)) == 6  # each job once
    assert len(experiment_table(tmp_path / "ablation")) == 6


@pytest.mark.slow
def test_an_experiment_on_simulated_mice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With nothing but --quick; the mice are smaller here."""
    from neuroreel.studies import quick

    tiny = replace(quick.SIZE, seconds=3.0, height=36, width=64, trials=21, neurons=30)
    monkeypatch.setattr(quick, "SIZE", tiny)
    monkeypatch.setattr(quick, "TRAINING", replace(quick.TRAINING, models=1, epochs=1, batches_per_epoch=2))
    monkeypatch.setattr(nr, "learn_mask", lambda *_, **__: np.ones((36, 64), np.float32))  # none is learned so soon
    main(typed("predicted_activity", "--quick", "--movies", 1, "--passes", 1, "--out", tmp_path))
    table = experiment_table(tmp_path / "predicted_activity")
    assert sorted(table["recording"].unique()) == ["mouse_a", "mouse_b"]
    assert len(table) == 4 and table["simulated"].all()


REFUSED: dict[str, tuple[list[str], str]] = {
    "unknown": (
        ["nature"],
        "there is no experiment 'nature'; did you mean 'natural'\\? It must be one of natural, .*, all",
    ),
    "no recordings": (["natural"], "no recording was given"),
    "models of no recording": (["natural", "--quick", "--encoders", "x.pth"], "no recording was given"),
    "json alone": (["natural", "--json"], "--json goes with --list"),
    "part": (["natural", "MICE", "--part", "0/3"], "the part is '0/3'; it must be I/N"),
    "part of nothing": (["natural", "MICE", "--part", "half"], "it must be I/N"),
    "job": (["natural", "MICE", "--jobs", "mouse_c*"], "no job is called 'mouse_c\\*'"),
    "stimuli": (["natural", "MICE", "--stimuli", "x.npz"], "--stimuli goes with the experiments noise and gratings"),
    "no stimuli": (["noise", "MICE", "--stimuli", "x.npz"], "x.npz"),
    "fraction": (["ablation", "MICE", "--fractions", "50"], "0.25 for a quarter"),
    "passes": (["natural", "MICE", "--passes", "0"], "passes is 0"),
    "trial": (["natural", "MICE", "--trials", "40"], "there is no trial 40"),
    "nyquist": (["gratings", "MICE", "--settings", "fine.json"], "spatial_frequency is 0.14"),
    "settings": (["natural", "MICE", "--settings", "bad.json"], "may have settings, grid, scoring"),
}


@pytest.mark.parametrize("case", sorted(REFUSED))
def test_bad_commands_are_refused_before_work(
    case: str, mice: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("fine.json").write_text(json.dumps({"scoring": {"skip": 6}}))
    Path("bad.json").write_text(json.dumps({"passes": 6}))
    words, message = REFUSED[case]
    at = words.index("MICE") if "MICE" in words else len(words)
    arguments = [*words[:at], *(options(mice) if at < len(words) else []), *words[at + 1 :]]
    with pytest.raises(SystemExit) as stopped:
        main(typed(*arguments))
    assert stopped.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith("neuroreel: ") and error.count("\n") == 1
    assert re.search(message, error), error
    assert not (tmp_path / "neuroreel-experiments").exists()


def test_files_are_matched_to_recordings_by_name(mice: Path, tmp_path: Path) -> None:
    recordings = [mice / "mouse_a", mice / "mouse_b"]
    encoders = sorted((mice / "models").rglob("*.safetensors"))
    masks = [mice / "mask_mouse_b.npy", mice / "mask_mouse_a.npy"]
    one, two = open_animals(recordings=recordings, encoders=encoders, masks=masks)
    assert [model.file.parent.name for model in (*one._models, *two._models)] == ["mouse_a"] * 2 + ["mouse_b"] * 2
    assert one._mask == masks[1] and two._mask == masks[0]

    with pytest.raises(nr.InputError, match="no encoding model was given for mouse_b"):
        open_animals(recordings=recordings, encoders=encoders[:2])
    with pytest.raises(nr.InputError, match="none of the masks has the name mouse_b"):
        open_animals(recordings=recordings, encoders=encoders, masks=masks[1:])
    nr.save_mask(tmp_path / "mouse_a.npy", np.ones((12, 16), np.float32))
    with pytest.raises(nr.InputError, match="mouse_a has 2 masks"):
        open_animals(recordings=recordings[:1], encoders=encoders[:2], masks=[masks[1], tmp_path / "mouse_a.npy"])
    with pytest.raises(nr.InputError, match="2 sessions for 1 recordings"):
        open_animals(recordings=recordings[:1], encoders=encoders[:2], sessions=[0, 1])
    with pytest.raises(nr.InputError, match="their folders must have different names"):
        open_animals(recordings=recordings[:1] * 2, encoders=encoders)
    with pytest.raises(nr.InputError, match="there is no file"):
        open_animals(recordings=recordings, encoders=[tmp_path / "encoder.pth"])

    nameless = nr.save_encoder(ReadoutModel(CONFIG), tmp_path / "encoder.safetensors")
    with pytest.raises(nr.InputError, match="has no session called 'mouse_a'"):
        open_animals(recordings=recordings, encoders=[nameless])
    (alone,) = open_animals(recordings=recordings[:1], encoders=[nameless])
    assert alone.models[0].neurons == CONFIG.neurons


def move(files: list[Path], folder: Path) -> list[Path]:
    """Models and their side-cars, copied."""
    folder.mkdir(parents=True)
    return [Path(shutil.copy(part, folder)) for file in files for part in (file, file.with_suffix(".json"))][::2]


def test_the_nearest_name_decides_whose_a_file_is(mice: Path, tmp_path: Path) -> None:
    """Above it may be the project's folder, which is named after one of them."""
    recordings = [mice / "mouse_a", mice / "mouse_b"]
    own = {name: sorted((mice / "models" / name).glob("*.safetensors")) for name in ("mouse_a", "mouse_b")}
    project = tmp_path / "mouse_a_and_others"
    moved = [file for name in own for file in move(own[name], project / "models" / name / "new")]
    one, two = open_animals(recordings=recordings, encoders=moved)
    assert [model.file for model in (*one._models, *two._models)] == moved

    masks = [project / "mask.npy", project / "mask_mouse_b.npy"]
    for mask in masks:
        nr.save_mask(mask, np.ones((12, 16), np.float32))
    assert [animal._mask for animal in open_animals(recordings=recordings, encoders=moved, masks=masks)] == masks

    unclear = move(own["mouse_b"], tmp_path / "mouse_b_like_mouse_a")
    with pytest.raises(nr.InputError, match="the names of several recordings, mouse_a and mouse_b"):
        open_animals(recordings=recordings, encoders=[*moved, *unclear])


def test_a_name_that_is_part_of_another(mice: Path, tmp_path: Path) -> None:
    recordings = [Path(shutil.copytree(mice / "mouse_a", tmp_path / name)) for name in ("mouse", "mouse_a")]
    own = sorted((mice / "models" / "mouse_a").glob("*.safetensors"))
    files = [*move(own[:1], tmp_path / "models" / "mouse"), *move(own[1:], tmp_path / "models" / "mouse_a")]
    animals = open_animals(recordings=recordings, encoders=files)
    assert [[model.file for model in animal._models] for animal in animals] == [files[:1], files[1:]]


def test_a_network_with_readouts_for_several_recordings(mice: Path, tmp_path: Path) -> None:
    from neuroreel.encoding.dwiseneuro.network import DwiseNeuro, DwiseNeuroConfig, DwiseNeuroNetwork

    config = DwiseNeuroConfig(
        readout_neurons=(7, 10), core_features=(4, 4), spatial_strides=(2, 2), cortex_features=(8,), expansion_ratio=1
    )
    names = ("mouse_b", "mouse_a")
    model = DwiseNeuro(DwiseNeuroNetwork(config), readout=0, video_size=(12, 16), readout_names=names)
    file = nr.save_encoder(model, tmp_path / "both.safetensors")
    animals = open_animals(recordings=[mice / "mouse_a", mice / "mouse_b"], encoders=[file])
    assert [animal.models[0].neurons for animal in animals] == [10, 7]
    networks = {id(animal.models[0].network) for animal in animals}  # type: ignore[attr-defined]
    assert len(networks) == 1  # loaded once
    assert animals[0].model_hashes != animals[1].model_hashes


def test_a_file_of_settings_gives_grid_and_method(tmp_path: Path) -> None:
    file = tmp_path / "settings.json"
    file.write_text(json.dumps(SETTINGS))
    command = Experiment(name="ablation", out=tmp_path, settings=file, fractions=(0.25,), passes=7)
    assert command.grid.fractions == (0.25,) and command.grid.field_size_px == 4
    assert command.how.settings == {"passes": 7} and command.how.skip == 6


def test_mice_may_be_moved(mice: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Where files lie decides no result: a finished experiment stays finished on another machine."""
    main(typed("natural", *options(mice), "--out", tmp_path / "out"))
    shutil.copytree(mice, tmp_path / "moved")
    shutil.move(tmp_path / "out", tmp_path / "there")
    capsys.readouterr()
    rows = listed(typed("natural", *options(tmp_path / "moved"), "--out", tmp_path / "there"), capsys)
    assert [row["state"] for row in rows] == ["done", "done"]

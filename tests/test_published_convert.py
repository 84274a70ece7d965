"""The authors' files in our formats: the same numbers, whole or not at all."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr

import neuroreel as nr
from neuroreel.cli import main
from published_files import write_result


def checkpoint(golden: Path, fold: int) -> Path:
    return next((golden / "checkpoints" / f"fold_{fold}").glob("*.pth"))


@pytest.mark.parametrize("fold", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_weights_predict_to_the_bit_what_they_did(golden: Path, tmp_path: Path, fold: int) -> None:
    """Every weight and two readouts, for clips and for a trial."""
    source = checkpoint(golden, fold)
    out = nr.convert_published(source, tmp_path / "model.safetensors")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.json", "model.safetensors"]
    clips = torch.from_numpy(np.load(golden / "clips.npz")["inputs"])
    for readout in (9, 1):
        published, converted = (nr.load_encoder(file, session=readout) for file in (source, out))
        with torch.no_grad():
            assert torch.equal(published(clips), converted(clips))
        assert (published.canvas, published.frame_rate_hz) == (converted.canvas, converted.frame_rate_hz)
    weights, converted_weights = published.state_dict(), converted.state_dict()  # of all readouts
    assert weights.keys() == converted_weights.keys()
    assert all(torch.equal(converted_weights[name], weight) for name, weight in weights.items())
    recording = next(each for each in (golden / "recordings").iterdir() if "29623" in each.name)
    trial = nr.open_recording(recording).trials[0]
    np.testing.assert_array_equal(nr.predict(published, trial), nr.predict(converted, trial))
    with pytest.raises(nr.InputError, match="there is no readout 10"):
        nr.load_encoder(out, session=10)
    told = json.loads((tmp_path / "model.json").read_text())["converted_from"]
    assert told == {"name": f"fold_{fold}/{source.name}", "sha256": sha256(source.read_bytes()).hexdigest()}


def test_results_and_stimuli_keep_every_number(golden: Path, tmp_path: Path) -> None:
    for file in [*golden.glob("published_files/*/*.npy"), *golden.glob("published_files/*.npz")]:
        out = nr.convert_published(file, tmp_path / f"{file.parent.name}_{file.stem}.nc")
        dataset = nr.read_published(file)
        with xr.open_dataset(out, engine="h5netcdf") as converted:
            xr.testing.assert_equal(converted.load(), dataset)
            assert json.loads(converted.attrs["converted_from"])["sha256"] == sha256(file.read_bytes()).hexdigest()
            assert converted.attrs["converted_by"] == f"neuroreel {nr.__version__}"
            assert dataset.attrs.keys() < converted.attrs.keys()


def test_a_folder_becomes_one_file(tmp_path: Path) -> None:
    for model in range(2):
        write_result(tmp_path / f"modelfold{model}_x", "m0_t0", model=model)
    out = nr.convert_published(tmp_path, tmp_path / "all.nc")
    with xr.open_dataset(out, engine="h5netcdf") as converted:
        xr.testing.assert_equal(converted.load(), nr.read_published_folder(tmp_path, progress=False))


def test_what_cannot_be_converted(golden: Path, tmp_path: Path) -> None:
    source = checkpoint(golden, 0)
    result = next(golden.glob("published_files/*/*.npy"))
    cases: list[tuple[Path, str, str]] = [
        (source, "model.nc", "must end in .safetensors"),
        (result, "result.safetensors", "must end in .nc"),
        (golden / "masks" / "mask_m1.npy", "mask.nc", "a mask and needs no conversion"),
        (tmp_path / "gone.pth", "model.safetensors", "there is no file"),
        (tmp_path / "gone.npy", "result.nc", "there is no file"),
        (golden / "published_files", "results.nc", "several runs"),
        (golden / "README.md", "readme.nc", "ends in '.md'"),
    ]
    for file, out, message in cases:
        with pytest.raises(nr.InputError, match=message):
            nr.convert_published(file, tmp_path / out)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("there", ["model.safetensors", "model.json"])
def test_nothing_is_overwritten_unasked(golden: Path, tmp_path: Path, there: str) -> None:
    (tmp_path / there).write_text("mine")
    with pytest.raises(nr.InputError, match=f"{there} already exists"):
        nr.convert_published(checkpoint(golden, 0), tmp_path / "model.safetensors")
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [(there, "mine")]
    nr.convert_published(checkpoint(golden, 0), tmp_path / "model.safetensors", overwrite=True)
    nr.load_encoder(tmp_path / "model.safetensors")


def test_a_crash_leaves_nothing(golden: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(*_: object, **__: object) -> Any:
        raise KeyboardInterrupt

    for file, out, method in (
        (checkpoint(golden, 0), "model.safetensors", "write_text"),
        (next(golden.glob("published_files/*/*.npy")), "result.nc", "write_bytes"),
    ):
        with monkeypatch.context() as crashing:
            crashing.setattr(Path, method, crash)
            with pytest.raises(KeyboardInterrupt):
                nr.convert_published(file, tmp_path / out)
        assert list(tmp_path.iterdir()) == []


# --- from the command line --------------------------------------------------------------------------------------------


def test_many_files_at_once(golden: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = [checkpoint(golden, 0), checkpoint(golden, 1), *golden.glob("published_files/*.npz")]
    command = ["convert", *map(str, files), "--out", str(tmp_path)]
    main(command)
    assert capsys.readouterr().out.count("wrote") == 4
    names = {path.name for path in tmp_path.iterdir()}
    weights = {"fold_0_model-017-0.292118", "fold_1_model-017-0.291708"}
    stimuli = {"gaussian_noise_movies.nc", "grating_movies.nc"}
    assert names == {f"{each}.{ending}" for each in weights for ending in ("safetensors", "json")} | stimuli
    before = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    main(command)
    assert capsys.readouterr().out.count("already exists") == 4
    assert {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == before


def test_runs_of_a_folder_are_named_after_the_run(golden: Path, tmp_path: Path) -> None:
    main(["convert", str(golden / "published_files"), "--run", "*_pop50_*", "--out", str(tmp_path)])
    assert [path.name for path in tmp_path.iterdir()] == ["datafold_0_pop50_hpc_round11_popreduc.nc"]

"""Reconstructions as NWB: valid, complete, and read back as they were; and the command that writes them."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import neuroreel as nr
from neuroreel.cli import main
from neuroreel.results.nwb import write_nwb
from test_results import build

pynwb = pytest.importorskip("pynwb", reason="pynwb comes with the nwb extra")


def read(file: Path) -> tuple[Any, Any]:
    """The reader, to be closed, and the file."""
    reader = pynwb.NWBHDF5IO(str(file), "r")
    return reader, reader.read()


def test_everything_comes_back_and_the_file_is_valid(tmp_path: Path) -> None:
    result = build(pixels_per_degree=3.4)
    file = result.to_nwb(tmp_path / "a.nwb")
    assert pynwb.validate(path=str(file)) == []
    reader, nwb = read(file)
    with reader:
        module = nwb.processing["neuroreel"]
        np.testing.assert_array_equal(module["reconstruction"].data[:], result.video)
        assert module["reconstruction"].rate == 30 and module["reconstruction"].starting_time == 0
        np.testing.assert_array_equal(module["start"].data[:], result.dataset["start"])
        for number in range(2):
            series = module[f"reconstruction_of_model_{number}"]
            np.testing.assert_array_equal(series.data[:], result.dataset["model_video"][number])
        np.testing.assert_array_equal(nwb.stimulus["true_movie"].data[:], result.truth)
        assert list(nwb.stimulus["true_movie"].dimension) == [result.truth.shape[2], result.truth.shape[1]]  # x, y
        np.testing.assert_array_equal(module["mask"]["transparency_mask"].data[:], result.mask)
        for name in ("responses", "predicted", "predicted_truth"):
            np.testing.assert_array_equal(module[name].data[:], result.dataset[name].values.T)
        np.testing.assert_array_equal(module["history"]["loss"].data[:], [3.0, 2.0, 1.5])
        np.testing.assert_array_equal(module["history"]["iteration"].data[:], [0, 10, 20])
        text = json.loads(nwb.scratch["provenance"].data)
        assert text["provenance"] == result.provenance
        assert text["neuron_ids"] == [11, 12, 15, 20, 21]
        assert text["trial"] == "trial 7" and text["pixels_per_degree"] == 3.4
        assert nwb.subject is None
        assert "trial 7 of test mouse" in nwb.session_description
        assert nwb.session_start_time == datetime.fromisoformat(result.provenance["date"])


def test_an_export_can_be_imported(tmp_path: Path) -> None:
    """The true movie as the stimulus, and the responses, one of three series."""
    result = build()
    file = result.to_nwb(tmp_path / "a.nwb")
    with pytest.raises(nr.InputError, match="3 series that could be its responses"):
        nr.import_nwb(file, tmp_path / "b")
    (trial,) = nr.import_nwb(file, tmp_path / "b", responses=["responses"]).trials
    np.testing.assert_array_equal(trial.video, result.truth)  # type: ignore[arg-type]
    np.testing.assert_array_equal(trial.responses, result.dataset["responses"])  # type: ignore[arg-type]


def test_what_is_known_of_the_session_is_written(tmp_path: Path) -> None:
    metadata = {
        "session_start_time": "2023-05-01T10:00:00",
        "lab": "a lab",
        "subject": {"subject_id": "M1", "species": "Mus musculus", "sex": "F", "age": "P90D"},
    }
    file = build(simulated=True).to_nwb(tmp_path / "a.nwb", metadata=metadata)
    assert pynwb.validate(path=str(file)) == []
    reader, nwb = read(file)
    with reader:
        assert nwb.lab == "a lab" and nwb.subject.subject_id == "M1"
        assert nwb.session_start_time == datetime(2023, 5, 1, 10, tzinfo=UTC)
        assert nwb.session_description.startswith("Simulated, no animal was recorded.")


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({"labor": "x"}, "metadata has unknown fields labor; there are session_description,"),
        ({"subject": {"name": "x"}}, "subject has unknown fields name; there are subject_id,"),
        ({"subject": "M1"}, "subject is 'M1'; it must be fields"),
        ({"session_start_time": "yesterday"}, "session_start_time is 'yesterday'; write it like"),
        ({"lab": 3}, "metadata cannot be written to NWB: .*lab"),
    ],
)
def test_bad_metadata_is_refused(tmp_path: Path, metadata: dict[str, Any], message: str) -> None:
    with pytest.raises(nr.InputError, match=message):
        build().to_nwb(tmp_path / "a.nwb", metadata=metadata)
    assert not list(tmp_path.iterdir())


def test_bad_names_are_refused_and_nothing_is_overwritten(tmp_path: Path) -> None:
    with pytest.raises(nr.InputError, match=r"must end in \.nwb"):
        build().to_nwb(tmp_path / "a.h5")
    with pytest.raises(nr.InputError, match="no reconstructions to write"):
        write_nwb(tmp_path / "a.nwb", {})
    (tmp_path / "a.nwb").write_text("mine")
    with pytest.raises(nr.InputError, match="already exists"):
        build().to_nwb(tmp_path / "a.nwb")
    assert (tmp_path / "a.nwb").read_text() == "mine"
    build().to_nwb(tmp_path / "a.nwb", overwrite=True)
    assert pynwb.validate(path=str(tmp_path / "a.nwb")) == []


def test_a_write_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pynwb.NWBHDF5IO, "write", fail)
    with pytest.raises(nr.ResourceError, match="no space left on the disk"):
        build().to_nwb(tmp_path / "a.nwb")
    assert not list(tmp_path.iterdir())


@pytest.fixture
def movies(tmp_path: Path) -> Path:
    """A folder of two results."""
    for number in (3, 4):
        build(seed=number).save(tmp_path / "movies" / f"trial_{number:03d}.nc")
    return tmp_path / "movies"


def test_the_command_writes_all_into_one_nwb(movies: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = movies / "all.nwb"
    (movies / "m.json").write_text('{"lab": "ours"}')
    main(["export", str(movies), "--to", str(file), "--metadata", str(movies / "m.json")])
    assert capsys.readouterr().out == f"wrote {file}\n"
    assert pynwb.validate(path=str(file)) == []
    reader, nwb = read(file)
    with reader:
        assert set(nwb.processing) == {"neuroreel_trial_003", "neuroreel_trial_004"}
        assert set(nwb.stimulus) == {"true_movie_trial_003", "true_movie_trial_004"}
        assert set(nwb.scratch) == {"provenance_trial_003", "provenance_trial_004"}
        assert nwb.lab == "ours"


@pytest.mark.parametrize("ending", ["nwb", "tif", "mp4"])
def test_the_command_writes_a_file_a_result(movies: Path, ending: str) -> None:
    main(["export", str(movies), "--to", str(movies / f"{{}}.{ending}")])
    for number in (3, 4):
        assert (movies / f"trial_{number:03d}.{ending}").stat().st_size > 1000


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--to", "a.avi"], "must end in .nwb, .tif, .mp4 or .gif"),
        (["--to", "a.mp4"], "one name for 2 movies; put {} where"),
        (["--to", "a.nwb", "--exact"], "--exact cannot be used for files that end in .nwb"),
        (["--to", "{}.tif", "--metadata", "m.json"], "--metadata cannot be used for files that end in .tif"),
        (["--to", "a.nwb", "--metadata", "gone.json"], "gone.json cannot be read as JSON"),
        (["--to", "a.nwb", "--metadata", "list.json"], "holds a JSON list; it must be an object"),
    ],
)
def test_the_command_refuses(
    movies: Path, options: list[str], message: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(movies)
    Path("list.json").write_text("[]")
    with pytest.raises(SystemExit) as stopped:
        main(["export", str(movies), *options])
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err

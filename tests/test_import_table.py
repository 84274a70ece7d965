"""A table that names the files of each trial becomes a recording."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import neuroreel as nr

HEADER = "video,responses,behavior,pupil_center,tier"


@pytest.fixture
def files(tmp_path: Path) -> dict[str, np.ndarray]:
    """Arrays of two trials, each in a file of its name."""
    random = np.random.default_rng(0)
    arrays = {}
    for trial in "ab":
        arrays[f"video_{trial}"] = random.integers(0, 256, (30, 4, 6)).astype(np.uint8)
        arrays[f"responses_{trial}"] = random.random((3, 30)).astype(np.float32)
        arrays[f"behavior_{trial}"] = random.random((2, 30))
        arrays[f"pupil_{trial}"] = random.random((2, 30))
    for name, array in arrays.items():
        np.save(tmp_path / f"{name}.npy", array)
    return arrays


def table(folder: Path, *rows: str, name: str = "trials.csv") -> Path:
    (folder / name).write_text("\n".join(rows) + "\n", encoding="utf-8")
    return folder / name


def row(trial: str, tier: str) -> str:
    return f"video_{trial}.npy,responses_{trial}.npy,behavior_{trial}.npy,pupil_{trial}.npy,{tier}"


def test_arrays_come_back_as_they_were(files: dict[str, np.ndarray], tmp_path: Path) -> None:
    file = table(tmp_path, HEADER, row("a", "train"), row("b", "oracle"))
    said: list[str] = []
    read = nr.import_table(file, tmp_path / "mouse", frame_rate_hz=25, unit_ids=[7, 8, 9], say=said.append)
    assert read.tiers == ("train", "oracle") and read.frame_rate_hz == 25 and said == [f"2 trials in {file}"]
    np.testing.assert_array_equal(read.unit_ids, [7, 8, 9])
    for trial, letter in zip(read.trials, "ab", strict=True):
        np.testing.assert_array_equal(trial.video, files[f"video_{letter}"])
        np.testing.assert_array_equal(trial.responses, files[f"responses_{letter}"])
        np.testing.assert_array_equal(trial.behavior, files[f"behavior_{letter}"])
        np.testing.assert_array_equal(trial.pupil_center, files[f"pupil_{letter}"])


def test_tabs_empty_cells_and_a_rate_a_row(files: dict[str, np.ndarray], tmp_path: Path) -> None:
    rows = (
        "\ufeffvideo\tresponses\ttier\tframe_rate_hz",
        "video_a.npy\tresponses_a.npy\t\t20",
        "video_b.npy\t\tnone\t20",
    )
    read = nr.import_table(table(tmp_path, *rows, name="t.tsv"), tmp_path / "mouse")
    assert read.tiers == ("train", "none") and read.frame_rate_hz == 20
    assert read.trials[1].responses is None and read.trials[0].behavior is None


def test_what_spreadsheets_leave_behind(files: dict[str, np.ndarray], tmp_path: Path) -> None:
    rows = (
        "video;responses;tier",
        "video_a.npy;responses_a.npy;train",
        ";;",
        " ; ;;;",
        "video_b.npy;responses_b.npy;oracle",
        ";;",
    )
    read = nr.import_table(table(tmp_path, *rows), tmp_path / "mouse", frame_rate_hz=30)
    assert read.tiers == ("train", "oracle")
    np.testing.assert_array_equal(read.trials[1].video, files["video_b"])


def test_folds_of_a_column(files: dict[str, np.ndarray], tmp_path: Path) -> None:
    rows = ("video,responses,tier,fold", "video_a.npy,responses_a.npy,,3", "video_b.npy,responses_b.npy,oracle,fold_12")
    rows = (*rows, "video_b.npy,responses_b.npy,oracle,")
    read = nr.import_table(table(tmp_path, *rows), tmp_path / "mouse", frame_rate_hz=30)
    assert read.folds() == nr.open_recording(tmp_path / "mouse").folds() == ["fold_3", "fold_12", "oracle"]
    empty = table(tmp_path, "video,responses,fold", "video_a.npy,responses_a.npy,", name="empty.csv")
    assert nr.import_table(empty, tmp_path / "other", frame_rate_hz=30).folds()[0].startswith("fold_")


def test_a_video_file_tells_its_rate(files: dict[str, np.ndarray], tmp_path: Path) -> None:
    pytest.importorskip("imageio_ffmpeg", reason="imageio-ffmpeg comes with the export extra")
    from neuroreel.results.export import write_mp4

    write_mp4(tmp_path / "a.mp4", files["video_a"], frame_rate_hz=24, exact=True)
    read = nr.import_table(table(tmp_path, "video,responses", "a.mp4,responses_a.npy"), tmp_path / "mouse")
    assert read.frame_rate_hz == 24
    np.testing.assert_array_equal(read.trials[0].video, files["video_a"])


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (
            ("video,respones", "video_a.npy,responses_a.npy"),
            r"unknown columns \['respones'\]; its columns may be video,",
        ),
        (("video,video,responses", "a,b,c"), r"\['video'\] twice"),
        (("responses", "responses_a.npy"), "no column 'video'"),
        (("video,responses",), "has no rows; give one per trial"),
        (("video,responses", "video_a.npy,responses_a.npy,more"), "trial 0 has more cells than there are columns"),
        (("video,responses,fold", "video_a.npy,responses_a.npy,test"), "trial 0 has the fold 'test'; it must be a num"),
        (("video,responses,fold", "video_a.npy,responses_a.npy,-1"), "trial 0 has the fold '-1'"),
        (("video,responses", ",", ","), "has no rows; give one per trial"),
        (("video;responses,tier", "a;b,c"), "unknown columns"),
        (("video,responses", "video_a.npy,"), "trial 0, of tier 'train', names no responses"),
        (("video,responses", "video_a.npy,gone.npy"), r"names .*gone\.npy as its responses, which does not exist"),
        (("video,responses", "trials.csv,responses_a.npy"), r"names .*trials\.csv as its video; it must end in \.npy"),
        (
            ("video,responses,frame_rate_hz", "video_a.npy,responses_a.npy,fast"),
            "frame_rate_hz 'fast'; it must be a pos",
        ),
        (("video,responses", "video_a.npy,responses_a.npy"), "has no frame rate; give frame_rate_hz="),
        (("video,responses", 'video_a.npy,"responses_a.npy'), r"cannot be read as a table .*; correct it"),
    ],
)
def test_bad_tables_are_refused(
    files: dict[str, np.ndarray], tmp_path: Path, rows: tuple[str, ...], message: str
) -> None:
    with pytest.raises(nr.InputError, match=message):
        nr.import_table(table(tmp_path, *rows), tmp_path / "mouse")
    assert not (tmp_path / "mouse").exists()


def test_what_is_no_table_is_refused(files: dict[str, np.ndarray], tmp_path: Path) -> None:
    with pytest.raises(nr.InputError, match=r"ends in '\.txt'; a table ends in \.csv or \.tsv"):
        nr.import_table(tmp_path / "t.txt", tmp_path / "mouse")
    with pytest.raises(nr.InputError, match="there is no file"):
        nr.import_table(tmp_path / "t.csv", tmp_path / "mouse")
    (tmp_path / "latin.csv").write_bytes("vidéo".encode("latin-1"))
    with pytest.raises(nr.InputError, match="is not text in UTF-8"):
        nr.import_table(tmp_path / "latin.csv", tmp_path / "mouse")
    with pytest.raises(nr.InputError, match="frame_rate_hz is 0"):
        nr.import_table(tmp_path / "t.csv", tmp_path / "mouse", frame_rate_hz=0)

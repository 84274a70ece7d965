"""Names of downloads, checksums in git-annex keys, and paths that must stay in their folder."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path, PurePosixPath, PureWindowsPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

import neuroreel as nr
from neuroreel.cli import main
from neuroreel.download.catalogue import FILE, choose, load_catalogue, parts_of
from neuroreel.download.checksums import annex_key, annex_pointer
from neuroreel.download.unpack import safe_path
from neuroreel.locks import folder_lock
from neuroreel.recordings.splits import OLD_MICE

CATALOGUE = load_catalogue()


def names(*asked: str, only: tuple[str, ...] = ()) -> list[str]:
    return [file.name for file in choose(CATALOGUE, asked, only)]


def test_the_catalogue_has_what_the_paper_uses() -> None:
    counts = {group.name: len(group.files) for group in CATALOGUE.groups}
    assert counts == {"new": 5, "old": 5, "weights": 7, "masks": 5, "stimuli": 2, "reconstructions": 0}
    asked: list[str] = []
    choose(CATALOGUE, ["all"], listing=lambda group: asked.append(group.name) or ())
    assert asked == ["reconstructions"]
    old = choose(CATALOGUE, ["old"])
    assert all(file.local.name.endswith(OLD_MICE) for file in old)
    assert CATALOGUE.url(old[0]) == (
        "https://gin.g-node.org/pollytur/Sensorium2023Data/raw/master/"
        "dynamic29156-11-10-Video-8744edeac3b4d1ce16b680916b5267ce.zip"
    )
    assert str(choose(CATALOGUE, ["weights/fold_6"])[0].local) == "weights/fold_6/model-017-0.291974.pth"


def test_names_and_parts() -> None:
    assert names("recordings") == names("new", "old")
    assert len(names("recordings")) == 10
    assert names("dynamic29515") == names("dynamic29515-10-12") == ["dynamic29515-10-12"]
    assert names("dynamic29515-10-12-Video-9b4f6a1a067fe51e15306b9628efea20", "new")[0] == "dynamic29515-10-12"
    assert len(names("new", "dynamic29515")) == 5
    assert names("weights", only=("fold_0", "fold_3")) == ["weights/fold_0", "weights/fold_3"]
    assert names("masks", only=("m[12]",)) == ["masks/m1", "masks/m2"]
    assert names("stimuli", only=("noise",)) == ["stimuli/noise"]
    both = choose(CATALOGUE, ["dynamic29515", "weights"], ["fold_0"])
    assert [file.name for file in both] == ["dynamic29515-10-12", "weights/fold_0"]
    assert parts_of(both, ["oracle", "fold_0", "oracle"]) == ("fold_0", "oracle")
    assert parts_of(choose(CATALOGUE, ["weights"], ["fold_0"]), ["fold_0"]) == ()


@pytest.mark.parametrize(
    ("asked", "only", "message"),
    [
        ((), (), "nothing was requested; name some of all, recordings, new"),
        (("wieghts",), (), "there is no 'wieghts'; what can be downloaded: all"),
        (("dynamic29",), (), "'dynamic29' fits dynamic29515-10-12, dynamic29623"),
        (("weights",), ("fold_9",), "weights has no part fold_9; its parts are fold_0, fold_1"),
        (("new", "masks"), ("fold_0",), "masks has no part fold_0; its parts are m0, m1"),
        (("new",), ("fold_x",), "a recording has no part 'fold_x'"),
        (("new",), ("../x",), "a recording has no part '../x'"),
    ],
)
def test_names_that_are_not_there(asked: tuple[str, ...], only: tuple[str, ...], message: str) -> None:
    with pytest.raises(nr.InputError) as refused:
        parts_of(choose(CATALOGUE, asked, only), only)
    assert message in str(refused.value)


@pytest.mark.parametrize("text", ["", "x = [", "[archive]\nurl = 1", '[archive]\nurl = ""\n[[group]]\nname = 1'])
def test_a_file_that_is_no_catalogue(tmp_path: Path, text: str) -> None:
    (tmp_path / "c.toml").write_text(text)
    with pytest.raises(nr.InputError, match="not a catalogue of downloads"):
        load_catalogue(tmp_path / "c.toml")


def test_list_names_everything(capsys: pytest.CaptureFixture[str]) -> None:
    main(["download", "--list"])
    said = capsys.readouterr().out
    for name in CATALOGUE.names:
        assert name in said
    assert tomllib.loads(FILE.read_text(encoding="utf-8"))["archive"]["url"] in said


@pytest.mark.parametrize(
    ("key", "size", "checksum"),
    [
        ("MD5-s5--5d41402abc4b2a76b9719d911017c592", 5, "md5:" + "5d41402abc4b2a76b9719d911017c592"),
        ("MD5E-s5--5d41402abc4b2a76b9719d911017c592.npy", 5, "md5:" + "5d41402abc4b2a76b9719d911017c592"),
        ("SHA256E-s7-m123--" + "a" * 64 + ".tar.gz", 7, "sha256:" + "a" * 64),
        ("SHA1-s9--" + "b" * 40, 9, "sha1:" + "b" * 40),
        ("SHA256-s7--" + "a" * 32, 7, None),  # too short a digest
        ("BLAKE2B256-s7--" + "a" * 64, 7, None),  # a backend that Python does not know by that name
        ("WORM-s7-m123--name.npy", 7, None),
    ],
)
def test_annex_keys(key: str, size: int, checksum: str | None) -> None:
    expected = annex_key(key)
    assert expected is not None
    assert (expected.size, expected.checksum) == (size, checksum)
    assert annex_pointer(f"/annex/objects/{key}\n".encode()) == expected
    assert annex_pointer(f"../../.git/annex/objects/aa/bb/{key}/{key}".encode()) == expected


@given(st.binary(max_size=200))
def test_content_is_rarely_taken_for_a_pointer(content: bytes) -> None:
    if b"annex/objects" not in content:
        assert annex_pointer(content) is None
        assert (
            annex_pointer(content + b"/annex/objects/MD5-s5--5d41402abc4b2a76b9719d911017c592") is None or not content
        )


@given(st.text(alphabet=st.sampled_from("ab./\\: \0\n~é"), max_size=20) | st.text(max_size=20))
def test_a_path_stays_in_its_folder_or_is_refused(name: str) -> None:
    try:
        path = safe_path(name, source="zip")
    except nr.RefusedError:
        return
    folder = Path("/somewhere/deep")
    assert os.path.normpath(folder / path).startswith("/somewhere/deep/")
    windows = PureWindowsPath(str(path))
    assert not windows.drive
    assert not windows.root
    assert ".." not in windows.parts
    assert path.as_posix() == name.rstrip("/") or name.endswith("//") is False


@pytest.mark.parametrize(
    "name", ["", "/", "..", "../a", "a/../b", "/a", "//a", "a//b", "./a", "C:a", "a\\b", "a\0b", "a\nb"]
)
def test_paths_that_are_refused(name: str) -> None:
    with pytest.raises(nr.RefusedError, match="nothing is unpacked"):
        safe_path(name, source="zip")


def test_a_plain_path_is_kept() -> None:
    assert safe_path("modelfold[0]_a b/é.npy", source="zip") == PurePosixPath("modelfold[0]_a b/é.npy")
    assert safe_path("a/b/", source="zip") == PurePosixPath("a/b")


def test_a_lock_opens_when_its_process_is_killed(tmp_path: Path) -> None:
    code = (
        "import sys, time\nfrom neuroreel.locks import folder_lock\n"
        f"with folder_lock({str(tmp_path)!r}, what='workflow'):\n    print('in', flush=True)\n    time.sleep(60)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    process.stdout.readline()
    with pytest.raises(nr.ResourceError, match=rf"\(workflow, process {process.pid} on "), folder_lock(tmp_path):
        pass
    process.kill()
    process.wait()
    process.stdout.close()
    with folder_lock(tmp_path, what="another"):
        pass
    (tmp_path / "file").touch()
    for taken in (tmp_path / "file", tmp_path / "file" / "inner"):
        with pytest.raises(nr.InputError, match="is a file, or inside one"), folder_lock(taken):
            pass
    with folder_lock(tmp_path / "new" / "folder"):
        assert (tmp_path / "new" / "folder").is_dir()

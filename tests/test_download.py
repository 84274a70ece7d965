"""Downloads against a server on this machine that does everything that servers do wrong."""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import neuroreel as nr
from download_server import Fault, Gin, serving, zipped
from mice import made_up_trial
from neuroreel.cli import main
from neuroreel.download.catalogue import load_catalogue
from neuroreel.download.checksums import Expected
from neuroreel.download.client import Client, part_file, patient, span_of
from neuroreel.download.ledger import WORKPLACE, check_downloads
from neuroreel.download.run import download
from neuroreel.errors import ExistsError

QUICK: dict[str, Any] = {"retries": patient(4, first_wait_s=0.005), "timeout_s": (2, 0.3)}
CONTENT = np.random.default_rng(0).bytes(300_000)
FILE = "models/fold_0/model.pth"


@pytest.fixture
def gin() -> Iterator[Gin]:
    with serving() as server:
        server.add(FILE, CONTENT)
        yield server


@pytest.fixture
def get(gin: Gin, tmp_path: Path) -> Callable[..., list[Path]]:
    """Downloads with the test's catalogue, and little patience."""

    def run(*names: str, **options: object) -> list[Path]:
        catalogue = load_catalogue(gin.catalogue(tmp_path))
        return download(*names, to=tmp_path / "to", catalogue=catalogue, **QUICK, **options)  # type: ignore[arg-type]

    return run


@pytest.fixture(scope="session")
def mouse(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A made-up mouse in the layout of the archive; three tiers, no folds stored with it."""
    folder = tmp_path_factory.mktemp("mouse") / "mouse_a-Video-1"
    trials = [made_up_trial("mouse_a", neurons=6, seed=seed) for seed in range(12)]
    tiers = ["train"] * 8 + ["oracle"] * 2 + ["final_test_main"] * 2
    extra = {"meta/trials/trial_idx.npy": np.arange(100, 112)}
    nr.write_recording(folder, trials, tiers=tiers, extra=extra)
    assert not (folder / "meta" / "trials" / "folds.json").exists()
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def finished(folder: Path) -> list[str]:
    """What the user sees in the folder: no hidden files."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.glob("[!.]*/**/*") if path.is_file())


# ---------------------------------------------------------------- one file, and what servers do to it


@pytest.mark.parametrize(
    "faults",
    [
        [Fault(cut=100_000)],
        [Fault(cut=0), Fault(cut=1), Fault(cut=70_000), Fault(cut=5)],
        [Fault(stall=90_000)],
        [Fault(status=429, headers={"Retry-After": "1"})],
        [Fault(status=429), Fault(status=503), Fault(status=500)],
        [Fault(status=503, headers={"Retry-After": "Thu, 01 Jan 2026 00:00:00 GMT"})],
        [Fault(trickle=True)],
        [Fault(wrong=True)],
        [Fault(announce=200_000)],
        [Fault(announce=400_000)],
        [Fault(page=True)],
        [Fault(cut=100_000), Fault(shift=7)],
        [Fault(cut=100_000), Fault(status=416)],
        [Fault(cut=100_000), Fault(stall=100), Fault(cut=50_000), Fault(status=502)],
    ],
    ids=lambda faults: "_".join(str(vars(fault))[:60] for fault in faults),
)
def test_what_goes_wrong_once_is_tried_again(gin: Gin, get: Callable[..., list[Path]], faults: list[Fault]) -> None:
    gin.faults[FILE] = faults
    (file,) = get("weights/fold_0")
    assert file.read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (Fault(status=404), "was not found"),
        (Fault(status=403), "is not accessible"),
        (Fault(status=503), "503; gave up after 4 tries"),
        (Fault(status=429, headers={"Retry-After": "7200"}), "come back in 120 minutes; run again then"),
        (Fault(wrong=True), "md5 checksum is .* instead of .* fetched twice"),
        (Fault(announce=200_000), "sends 200000 bytes, but 300000 are expected"),
        (Fault(announce=400_000), "sends 400000 bytes, but 300000 are expected"),
        (Fault(page=True), "web page"),
        (Fault(cut=0), "gave up"),
        (Fault(stall=0), "gave up"),
    ],
    ids=lambda value: str(vars(value))[:60] if isinstance(value, Fault) else "",
)
def test_what_stays_wrong_is_refused_and_leaves_nothing(
    gin: Gin, get: Callable[..., list[Path]], tmp_path: Path, fault: Fault, message: str
) -> None:
    gin.always[FILE] = fault
    with pytest.raises(nr.NeuroreelError, match=f"(?s){message}"):
        get("weights/fold_0")
    assert finished(tmp_path / "to") == []
    assert not (tmp_path / "to" / "checksums.json").exists()
    del gin.always[FILE]
    (file,) = get("weights/fold_0")
    assert file.read_bytes() == CONTENT


def test_no_byte_is_fetched_twice_when_connections_are_cut(gin: Gin, get: Callable[..., list[Path]]) -> None:
    gin.faults[FILE] = [Fault(cut=65_536), Fault(cut=100_000), Fault(stall=131_072)]
    get("weights/fold_0")
    asked = [each for each in gin.asked if each.path == FILE]
    assert [each.range for each in asked] == [None, "bytes=65536-", "bytes=165536-", "bytes=296608-"]
    assert gin.sent(FILE) == len(CONTENT)


def test_a_server_without_ranges_starts_over(gin: Gin, get: Callable[..., list[Path]]) -> None:
    gin.ranges = False
    gin.faults[FILE] = [Fault(cut=200_000), Fault(cut=100_000)]
    (file,) = get("weights/fold_0")
    assert file.read_bytes() == CONTENT
    assert gin.sent(FILE) == 600_000


@pytest.mark.parametrize("validators", [True, False])
def test_a_file_that_changes_between_two_runs_is_never_mixed(
    gin: Gin, get: Callable[..., list[Path]], validators: bool
) -> None:
    """With a validator the server says so; without one the checksum does."""
    gin.validators = validators
    gin.snapshots = not validators
    gin.faults[FILE] = [Fault()] * validators + [Fault(cut=100_000)]
    gin.always[FILE] = Fault(status=503)
    with pytest.raises(nr.ResourceError):
        get("weights/fold_0")
    del gin.always[FILE]
    other = CONTENT[::-1]
    gin.add(FILE, other)
    (file,) = get("weights/fold_0")
    assert file.read_bytes() == other
    assert not list(file.parents[2].rglob("*.part"))


def test_a_file_that_changes_while_it_is_fetched_is_never_mixed(gin: Gin, tmp_path: Path) -> None:
    client = Client(**QUICK)
    url = f"{gin.url}/lab/data/raw/master/{FILE}"
    expected = client.ask(url, Expected())
    assert (expected.size, expected.validator) == (len(CONTENT), f'"{hashlib.sha1(CONTENT).hexdigest()}"')
    part = part_file(tmp_path, "model.pth", expected)
    gin.faults[FILE] = [Fault(cut=100_000)]
    gin.always[FILE] = Fault(status=503)
    with pytest.raises(nr.ResourceError):
        client.fetch(url, part, expected)
    assert part.stat().st_size == 100_000
    del gin.always[FILE]
    gin.files[FILE] = CONTENT[::-1]
    assert client.fetch(url, part, expected) == hashlib.sha256(CONTENT[::-1]).hexdigest()
    assert part.read_bytes() == CONTENT[::-1]


@pytest.mark.parametrize(
    ("status", "headers", "span"),
    [
        (200, {"Content-Length": "5"}, (0, 5)),
        (206, {"Content-Length": "1", "Content-Range": "bytes 0-0/7"}, (0, 7)),
        (206, {"Content-Length": "1", "Content-Range": "bytes 3-5/*"}, (3, None)),
        (200, {}, (0, None)),
    ],
)
def test_what_an_answer_says_of_the_file(status: int, headers: dict[str, str], span: tuple[int, int | None]) -> None:
    answer = SimpleNamespace(status_code=status, headers=headers)
    assert span_of(answer) == span  # type: ignore[arg-type]


@pytest.mark.parametrize("snapshots", [True, False])
def test_an_answer_that_does_not_say_how_long_it_is(
    gin: Gin, get: Callable[..., list[Path]], tmp_path: Path, snapshots: bool
) -> None:
    """Where something else tells the length it does no harm; else nobody could tell whether the file is cut."""
    gin.snapshots = snapshots
    gin.always[FILE] = Fault(endless=True)
    if snapshots:
        assert get("weights/fold_0")[0].read_bytes() == CONTENT
    else:
        with pytest.raises(nr.ResourceError, match="does not say how long"):
            get("weights/fold_0")
        assert finished(tmp_path / "to") == []


def test_an_empty_file_and_one_without_any_checksum(gin: Gin, get: Callable[..., list[Path]]) -> None:
    gin.snapshots = False
    gin.add("models/fold_1/model.pth", b"")
    gin.add("models/fold_2/model.pth", b"abc", annex=None)
    empty, small = get("weights/fold_1", "weights/fold_2")
    assert (empty.read_bytes(), small.read_bytes()) == (b"", b"abc")


def test_a_pointer_in_place_of_the_content_is_refused(gin: Gin, get: Callable[..., list[Path]]) -> None:
    gin.snapshots = False
    gin.files[FILE] = b"/annex/objects/MD5-s300000--" + b"0" * 32 + b"\n"
    with pytest.raises(nr.InputError, match="only a git-annex pointer"):
        get("weights/fold_0")


def test_what_was_not_on_the_disk_when_the_power_went_is_fetched_again(
    gin: Gin, get: Callable[..., list[Path]], tmp_path: Path
) -> None:
    """Without a checksum nothing else would tell: a crash leaves the right length with zeros in it."""
    gin.snapshots = False
    gin.files[FILE] = large = np.random.default_rng(1).bytes(20_000_000)
    gin.faults[FILE] = [Fault(), Fault(cut=19_500_000)]
    gin.always[FILE] = Fault(status=503)
    with pytest.raises(nr.ResourceError):
        get("weights/fold_0")
    (part,) = (tmp_path / "to" / WORKPLACE).rglob("*.part")
    assert part.stat().st_size == 19_500_000
    with part.open("r+b") as stream:  # written after the last time that it was brought to the disk, each 16 MiB
        stream.seek(17_000_000)
        stream.write(bytes(1000))
    del gin.always[FILE]
    (file,) = get("weights/fold_0")
    assert file.read_bytes() == large
    assert gin.asked[-1].range == f"bytes={19_500_000 - 17 * 2**20}-"


# ---------------------------------------------------------------- checksums


@pytest.mark.parametrize("backend", ["MD5", "MD5E", "SHA256E", "SHA1"])
def test_checksums_of_the_archive_are_used(
    gin: Gin, get: Callable[..., list[Path]], tmp_path: Path, backend: str
) -> None:
    gin.add(FILE, CONTENT, annex=backend)
    get("weights/fold_0")
    ledger = json.loads((tmp_path / "to" / "checksums.json").read_text())[f"lab/data/{FILE}"]
    assert ledger["checked"].startswith(f"git-annex key {backend}-s300000--")
    assert ledger["sha256"] == hashlib.sha256(CONTENT).hexdigest()


@pytest.mark.parametrize(
    ("known", "message"),
    [
        ({"checksum": "md5:" + "0" * 32}, "md5 checksum is .* instead of 0* "),
        ({"checksum": "md5:" + "0" * 32, "size": 5}, "sends 300000 bytes, but 5 are expected"),
        ({"checksum": f"md5:{hashlib.md5(CONTENT).hexdigest()}"}, None),
        ({"checksum": f"sha256:{hashlib.sha256(CONTENT).hexdigest()}", "size": 300_000}, None),
    ],
)
def test_checksums_of_the_catalogue_are_used(
    gin: Gin, tmp_path: Path, known: dict[str, object], message: str | None
) -> None:
    gin.snapshots = False
    file = gin.catalogue(tmp_path)
    row = 'fold_0/model.pth"'
    more = "".join(f", {key} = {json.dumps(value)}" for key, value in known.items())
    file.write_text(file.read_text().replace(row, row + more))
    catalogue = load_catalogue(file)
    if message:
        with pytest.raises(nr.NeuroreelError, match=message):
            download("weights/fold_0", to=tmp_path / "to", catalogue=catalogue, **QUICK)
        return
    (got,) = download("weights/fold_0", to=tmp_path / "to", catalogue=catalogue, **QUICK)
    assert got.read_bytes() == CONTENT
    ledger = json.loads((tmp_path / "to" / "checksums.json").read_text())
    assert ledger[f"lab/data/{FILE}"]["checked"] == "catalogue.toml"


def test_small_files_in_git_are_checked_by_git(gin: Gin, get: Callable[..., list[Path]]) -> None:
    gin.add("models/fold_1/model.pth", CONTENT[:5000], annex=None)
    gin.always["models/fold_1/model.pth"] = Fault(wrong=True)
    with pytest.raises(nr.InputError, match=r"checksum is .* \(git\)"):
        get("weights/fold_1")


def test_the_first_download_is_what_later_ones_must_be(
    gin: Gin, get: Callable[..., list[Path]], tmp_path: Path
) -> None:
    gin.snapshots = False
    (file,) = get("weights/fold_0")
    file.unlink()
    gin.files[FILE] = CONTENT[::-1]
    with pytest.raises(nr.InputError, match=r"checksum is .* \(checksums.json\)"):
        get("weights/fold_0")
    gin.files[FILE] = CONTENT[:-1]
    with pytest.raises(nr.ResourceError, match="sends 299999 bytes, but 300000 are expected"):
        get("weights/fold_0")
    assert finished(tmp_path / "to") == []


def test_what_is_there_is_kept_and_checked_on_request(
    gin: Gin, get: Callable[..., list[Path]], tmp_path: Path, mouse: Path
) -> None:
    gin.add("mouse_a-Video-1.zip", zipped(mouse))
    first = get("weights/fold_0", "mouse_a")
    asked = len(gin.asked)
    assert get("weights/fold_0", "mouse_a") == first
    assert len(gin.asked) == asked
    assert check_downloads(tmp_path / "to") == []
    nr.open_recording(first[1]).folds()  # writes a file of ours into it
    assert check_downloads(tmp_path / "to") == []
    (first[1] / "data" / "videos" / "3.npy").write_bytes(b"other")
    (first[1] / "meta" / "neurons" / "unit_ids.npy").unlink()
    first[0].write_bytes(CONTENT[::-1])
    faults = check_downloads(tmp_path / "to")
    assert len(faults) == 3
    assert any("3.npy has changed" in fault for fault in faults)
    first[0].write_bytes(b"short")
    with pytest.raises(nr.InputError, match="has 5 bytes, and had 300000"):
        get("weights/fold_0")
    with pytest.raises(nr.InputError, match="contains no downloads"):
        check_downloads(tmp_path)


def test_a_file_of_the_user_is_not_overwritten(gin: Gin, get: Callable[..., list[Path]], tmp_path: Path) -> None:
    mine = tmp_path / "to" / "weights" / "fold_0" / "model.pth"
    mine.parent.mkdir(parents=True)
    mine.write_bytes(b"mine")
    with pytest.raises(nr.InputError, match="was not downloaded by neuroreel"):
        get("weights/fold_0")
    assert mine.read_bytes() == b"mine"


# ---------------------------------------------------------------- recordings


def test_a_recording_arrives_unpacked(gin: Gin, get: Callable[..., list[Path]], tmp_path: Path, mouse: Path) -> None:
    gin.add("mouse_a-Video-1.zip", zipped(mouse))
    gin.faults["mouse_a-Video-1.zip"] = [Fault(), Fault(cut=50_000)]
    (folder,) = get("mouse_a")
    assert folder.name == "mouse_a-Video-1"
    assert contents(folder) == contents(mouse)
    ours, theirs = nr.open_recording(folder), nr.open_recording(mouse)
    assert len(ours.trials) == 12
    np.testing.assert_array_equal(ours.trials[3].video, theirs.trials[3].video)
    assert not list((tmp_path / "to" / WORKPLACE / "arriving").iterdir())


@pytest.mark.parametrize("parts", [("fold_0",), ("oracle",), ("fold_1", "oracle")])
def test_a_part_is_the_trials_of_the_whole(
    gin: Gin,
    get: Callable[..., list[Path]],
    tmp_path: Path,
    mouse: Path,
    parts: tuple[str, ...],
) -> None:
    gin.add("mouse_a-Video-1.zip", zipped(mouse))
    copy = shutil.copytree(mouse, tmp_path / "whole" / mouse.name)
    whole = nr.open_recording(copy)
    words = whole.folds()
    chosen = [i for i, word in enumerate(words) if word in parts or whole.tiers[i] in parts]
    if not chosen:
        pytest.skip("the simulated movies have no such fold")
    (folder,) = get("mouse_a", only=parts)
    part = nr.open_recording(folder)
    assert folder == tmp_path / "to" / "_".join(parts) / "mouse_a-Video-1"
    assert part.folds() == [words[i] for i in chosen]
    assert list(part.tiers) == [whole.tiers[i] for i in chosen]
    for new, old in enumerate(chosen):
        np.testing.assert_array_equal(part.trials[new].video, whole.trials[old].video)
        np.testing.assert_array_equal(part.trials[new].responses, whole.trials[old].responses)
    assert json.loads((folder / "meta" / "part.json").read_text())["trials"] == chosen
    np.testing.assert_array_equal(np.load(folder / "meta" / "trials" / "trial_idx.npy"), np.arange(100, 112)[chosen])
    assert (folder / "meta" / "neurons" / "unit_ids.npy").read_bytes() == (
        mouse / "meta" / "neurons" / "unit_ids.npy"
    ).read_bytes()
    assert check_downloads(tmp_path / "to") == []


@pytest.mark.parametrize("only", [(), ("oracle",)])
def test_a_zip_that_the_user_has_put_there(
    gin: Gin, get: Callable[..., list[Path]], tmp_path: Path, mouse: Path, only: tuple[str, ...]
) -> None:
    gin.add("mouse_a-Video-1.zip", zipped(mouse))
    mine = tmp_path / "to" / "mouse_a-Video-1.zip"
    mine.parent.mkdir()
    for wrong, message in (
        (b"x", "has 1 bytes, but"),
        (bytes(len(zipped(mouse))), "its md5 checksum is .* instead of"),
    ):
        mine.write_bytes(wrong)
        with pytest.raises(nr.InputError, match=message):
            get("mouse_a", only=only)
    mine.write_bytes(gin.files["mouse_a-Video-1.zip"])
    said: list[str] = []
    (folder,) = get("mouse_a", only=only, say=said.append)
    assert len(nr.open_recording(folder).trials) == (2 if only else 12)
    assert mine.exists()
    assert gin.sent("mouse_a-Video-1.zip") == 0
    assert str(mine) in said[0]


def test_a_part_that_the_recording_lacks(gin: Gin, get: Callable[..., list[Path]], mouse: Path) -> None:
    """The zip that was fetched for it serves for another part."""
    gin.add("mouse_a-Video-1.zip", zipped(mouse))
    with pytest.raises(nr.InputError, match="has no trials of live_test_main; it has final_test_main, oracle, train"):
        get("mouse_a", only=["live_test_main"])
    sent = gin.sent("mouse_a-Video-1.zip")
    (folder,) = get("mouse_a", only=["oracle"])
    assert len(nr.open_recording(folder).trials) == 2
    assert gin.sent("mouse_a-Video-1.zip") == sent


def test_a_part_survives_bad_connections_and_a_change_is_seen(
    gin: Gin, get: Callable[..., list[Path]], mouse: Path
) -> None:
    name = "mouse_a-Video-1.zip"
    gin.add(name, zipped(mouse))
    gin.faults[name] = [Fault(), *[Fault(cut=10), Fault(), Fault(status=503), Fault(), Fault(shift=3)] * 4]
    (folder,) = get("mouse_a", only=["oracle"])
    assert len(nr.open_recording(folder).trials) == 2


def test_a_part_takes_what_has_arrived_of_the_whole(
    gin: Gin, get: Callable[..., list[Path]], mouse: Path, tmp_path: Path
) -> None:
    name = "mouse_a-Video-1.zip"
    gin.add(name, zipped(mouse))
    gin.faults[name] = [Fault(cut=50_000)]
    gin.always[name] = Fault(status=503)
    with pytest.raises(nr.ResourceError):
        get("mouse_a")
    del gin.always[name]
    get("mouse_a", only=["oracle"])
    assert gin.asked[-1].range == "bytes=50000-"
    assert not list((tmp_path / "to" / WORKPLACE).rglob("*.part"))


def with_link(mouse: Path) -> bytes:
    stream = io.BytesIO(zipped(mouse))
    with zipfile.ZipFile(stream, "a") as archive:
        info = zipfile.ZipInfo(f"{mouse.name}/data/link")
        info.external_attr = 0o120777 << 16
        archive.writestr(info, "/etc/passwd")
    return stream.getvalue()


def damaged(mouse: Path) -> bytes:
    whole = zipped(mouse)
    middle = len(whole) // 2
    return whole[:middle] + bytes(500) + whole[middle + 500 :]


HOSTILE: list[tuple[str, Callable[[Path], bytes]]] = [  # what is said of zips that must not be unpacked
    *(
        (
            r"written outside its folder; nothing is unpacked",
            lambda mouse, name=name: zipped(mouse, extra={name: b"evil"}),
        )
        for name in (
            "../evil.txt",
            "mouse_a-Video-1/data/../../evil.txt",
            "/tmp/evil.txt",
            "C:evil.txt",
            "..\\evil.txt",
        )
    ),
    ("is a link or a device", with_link),
    ("would become", lambda mouse: zipped(mouse, extra={"mouse_a-Video-1/data/bomb.npy": bytes(70_000_000)})),
    ("two files named", lambda mouse: zipped(mouse, extra={"mouse_a-Video-1/meta/trials/tiers.npy": b"again"})),
    ("files outside the recording", lambda mouse: zipped(mouse, extra={"elsewhere/a.npy": b"x"})),
    ("has 0 recordings", lambda mouse: zipped(mouse / "data")),
    ("is damaged", damaged),
    ("is damaged or not a readable zip", lambda mouse: b"no zip at all" * 100),
]


@pytest.mark.filterwarnings("ignore:Duplicate name:UserWarning")
@pytest.mark.parametrize(("message", "made"), HOSTILE)
def test_a_bad_zip_is_refused_and_nothing_of_it_is_kept(
    gin: Gin, get: Callable[..., list[Path]], tmp_path: Path, mouse: Path, message: str, made: Callable[[Path], bytes]
) -> None:
    """Also where its checksum is right: the archive itself may hold it."""
    gin.add("mouse_a-Video-1.zip", made(mouse))
    with pytest.raises(nr.InputError, match=message):
        get("mouse_a")
    assert finished(tmp_path / "to") == []
    assert not list(tmp_path.rglob("*evil*"))
    assert not (tmp_path / "to" / "checksums.json").exists()
    gin.add("mouse_a-Video-1.zip", zipped(mouse))
    (folder,) = get("mouse_a")
    assert contents(folder) == contents(mouse)


# ---------------------------------------------------------------- several files


def test_transfers_are_parallel_and_bounded(gin: Gin, get: Callable[..., list[Path]]) -> None:
    gin.pause_s = 0.02
    for number in range(3):
        gin.add(f"models/fold_{number}/model.pth", CONTENT)
    for number in range(9):
        gin.add(f"reconstructions/run_{number}/a.npy", CONTENT)
    gin.most_at_once = 0
    files = get("weights", "reconstructions", parallel=3)
    assert len(files) == 12
    assert gin.most_at_once == 3


@pytest.mark.parametrize("parallel", [0, 17])
def test_parallel_has_limits(get: Callable[..., list[Path]], parallel: int) -> None:
    with pytest.raises(nr.InputError, match="1 to 16"):
        get("weights", parallel=parallel)


def test_one_missing_file_does_not_keep_the_others_away(
    gin: Gin, get: Callable[..., list[Path]], tmp_path: Path
) -> None:
    gin.add("models/fold_2/model.pth", CONTENT)
    gin.always["models/fold_1/model.pth"] = Fault(status=404)
    gin.add("models/fold_1/model.pth", CONTENT)
    with pytest.raises(nr.InputError, match=r"fold_1/model\.pth was not found"):
        get("weights")
    assert finished(tmp_path / "to") == ["weights/fold_0/model.pth", "weights/fold_2/model.pth"]


def test_a_folder_that_only_the_archive_knows(gin: Gin, get: Callable[..., list[Path]], tmp_path: Path) -> None:
    for name in ("modelfold[0]_pop100/a.npy", "modelfold[1]_pop100/a.npy", "modelfold[0]_pop50/b.npy", "masks/m.npy"):
        gin.add(f"reconstructions/{name}", CONTENT)
    get("reconstructions", only=["*_pop100"])
    expected = ["reconstructions/modelfold[0]_pop100/a.npy", "reconstructions/modelfold[1]_pop100/a.npy"]
    assert finished(tmp_path / "to") == expected
    get("reconstructions")
    assert finished(tmp_path / "to") == sorted([*expected, "reconstructions/modelfold[0]_pop50/b.npy"])
    with pytest.raises(nr.InputError, match="no part nothing"):
        get("reconstructions", only=["nothing"])
    gin.snapshots = False
    with pytest.raises(nr.ResourceError, match="does not list lab/data/reconstructions"):
        get("reconstructions")


def test_many_files_are_summed_up(gin: Gin, get: Callable[..., list[Path]]) -> None:
    for number in range(30):
        gin.add(f"reconstructions/run_{number % 2}/{number}.npy", bytes(1000))
    said: list[str] = []
    get("reconstructions", say=said.append)
    assert said[:2] == ["    15 kB  reconstructions/run_0 (15 files)", "    15 kB  reconstructions/run_1 (15 files)"]
    assert said[-1] == "30 files are complete"
    get("reconstructions", say=said.append)
    assert said[-1] == "30 files already exist"


def test_a_listing_with_a_path_that_leaves_the_folder(gin: Gin, get: Callable[..., list[Path]], tmp_path: Path) -> None:
    gin.add("reconstructions/../../evil.npy", CONTENT)
    with pytest.raises(nr.NeuroreelError):
        get("reconstructions")
    assert finished(tmp_path / "to") == []


def test_two_runs_in_one_folder(gin: Gin, get: Callable[..., list[Path]]) -> None:
    gin.pause_s = 0.1
    first = threading.Thread(target=get, args=("weights/fold_0",))
    first.start()
    deadline = time.monotonic() + 5
    while not gin.asked and time.monotonic() < deadline:
        time.sleep(0.01)
    with pytest.raises(nr.ResourceError, match=rf"another run .* \(download, process {os.getpid()} on "):
        get("weights/fold_0")
    first.join()
    assert get("weights/fold_0")[0].read_bytes() == CONTENT


def test_without_the_library_that_speaks_http(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "requests", None)
    with pytest.raises(nr.ResourceError, match=r"requests is not installed; run pip install 'neuroreel\[download\]'"):
        download("weights", to=tmp_path)


def test_no_server_there(tmp_path: Path) -> None:
    with serving() as gin:
        catalogue = load_catalogue(gin.catalogue(tmp_path))
    with pytest.raises(nr.ResourceError, match="the connection failed"):
        download("weights/fold_0", to=tmp_path / "to", catalogue=catalogue, **QUICK)


# ---------------------------------------------------------------- disk


def test_a_disk_without_room_is_seen_before_anything_is_fetched(
    gin: Gin, get: Callable[..., list[Path]], monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage("/")._replace(free=299_999)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    with pytest.raises(nr.ResourceError, match=r"needs 300 kB of disk .* of which 300 kB are free"):
        get("weights/fold_0")
    assert gin.sent(FILE) == 0


def test_room_for_the_zip_but_not_for_what_is_in_it(
    gin: Gin, get: Callable[..., list[Path]], monkeypatch: pytest.MonkeyPatch, mouse: Path, tmp_path: Path
) -> None:
    zeros = {f"{mouse.name}/data/zeros.npy": bytes(10_000_000)}
    content = zipped(mouse, extra=zeros)
    gin.add("mouse_a-Video-1.zip", content)
    usage = shutil.disk_usage("/")._replace(free=2 * len(content))
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    with pytest.raises(nr.ResourceError, match="unpacking mouse_a needs"):
        get("mouse_a")
    assert finished(tmp_path / "to") == []
    monkeypatch.undo()
    sent = gin.sent("mouse_a-Video-1.zip")
    get("mouse_a")
    assert gin.sent("mouse_a-Video-1.zip") <= sent + 1, "the zip that had arrived was fetched again"


def test_a_disk_that_fills_up_in_the_middle(gin: Gin, tmp_path: Path) -> None:
    client, arrived = Client(**QUICK), 0
    large = np.random.default_rng(1).bytes(5_000_000)
    gin.add(FILE, large)
    url = f"{gin.url}/lab/data/raw/master/{FILE}"
    expected = client.ask(url, Expected())
    part = part_file(tmp_path, "model.pth", expected)

    def full(count: int) -> None:
        nonlocal arrived
        arrived += count
        if arrived > 100_000:
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(nr.ResourceError, match="no space left"):
        client.fetch(url, part, expected, advance=full)
    had = part.stat().st_size
    assert part.read_bytes() == large[:had]
    assert client.fetch(url, part, replace(expected, checksum=f"md5:{hashlib.md5(large).hexdigest()}"))
    assert part.read_bytes() == large
    assert gin.asked[-1].range == f"bytes={had}-"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_may_not_be_written(gin: Gin, get: Callable[..., list[Path]], tmp_path: Path) -> None:
    (tmp_path / "to").mkdir(mode=0o500)
    with pytest.raises(nr.ResourceError, match="is not writable"):
        get("weights/fold_0")


# ---------------------------------------------------------------- the command


def command(catalogue: Path, to: Path, *arguments: str) -> list[str]:
    code = "from neuroreel.cli import main; main()"
    return [sys.executable, "-c", code, "download", *arguments, "--to", str(to), "--catalogue", str(catalogue), "--yes"]


def test_kill_9_in_the_middle_loses_and_repeats_nothing(gin: Gin, tmp_path: Path, mouse: Path) -> None:
    large = np.random.default_rng(1).bytes(3_000_000)
    gin.add(FILE, large)
    gin.add("mouse_a-Video-1.zip", zipped(mouse))
    gin.pause_s = 0.02
    catalogue, to = gin.catalogue(tmp_path), tmp_path / "to"
    digest = hashlib.md5(large).hexdigest()
    arriving = to / WORKPLACE / "arriving" / "weights" / "fold_0" / "model.pth"
    part = part_file(arriving, "model.pth", Expected(len(large), f"md5:{digest}"))
    for round_ in range(3):
        process = subprocess.Popen(command(catalogue, to, "weights/fold_0", "mouse_a"), stdout=subprocess.DEVNULL)
        enough = 600_000 * (round_ + 1)
        while not (part.exists() and part.stat().st_size > enough):
            assert process.poll() is None, "it ended too early"
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        process.wait()
        had = part.stat().st_size
        assert part.read_bytes() == large[:had]
    gin.pause_s = 0
    asked = len(gin.asked)
    subprocess.run(command(catalogue, to, "weights/fold_0", "mouse_a"), check=True, capture_output=True)
    assert [each.range for each in gin.asked[asked:] if each.path == FILE] == [f"bytes={had}-"]
    assert (to / "weights" / "fold_0" / "model.pth").read_bytes() == large
    assert contents(to / "mouse_a-Video-1") == contents(mouse)


def test_ctrl_c_stops_and_goes_on(gin: Gin, tmp_path: Path) -> None:
    gin.pause_s = 0.1
    catalogue, to = gin.catalogue(tmp_path), tmp_path / "to"
    process = subprocess.Popen(command(catalogue, to, "weights/fold_0"), stderr=subprocess.PIPE, text=True)
    while gin.sent(FILE) < 65_536:
        time.sleep(0.005)
    time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=10)
    assert (process.returncode, "give the same command again to resume" in said) == (130, True)
    gin.pause_s = 0
    subprocess.run(command(catalogue, to, "weights/fold_0"), check=True, capture_output=True)
    assert gin.asked[-1].range is not None


def test_a_folder_that_appears_meanwhile_is_kept(
    gin: Gin, get: Callable[..., list[Path]], tmp_path: Path, mouse: Path
) -> None:
    gin.add("mouse_a-Video-1.zip", zipped(mouse))
    own = tmp_path / "to" / "mouse_a-Video-1" / "notes.txt"

    def somebody_comes(line: str) -> None:
        if line.startswith("unpacking"):
            own.parent.mkdir()
            own.write_text("mine")

    with pytest.raises(ExistsError, match="mouse_a-Video-1 already exists"):
        get("mouse_a", say=somebody_comes)
    assert [path.name for path in own.parent.iterdir()] == ["notes.txt"]
    assert list((tmp_path / "to").rglob("*.part"))  # what has arrived is not fetched again


def test_the_plan_is_shown_before_anything_is_fetched(
    gin: Gin, tmp_path: Path, mouse: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    gin.add("mouse_a-Video-1.zip", zipped(mouse))
    arguments = ["--to", str(tmp_path / "to"), "--catalogue", str(gin.catalogue(tmp_path))]
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", lambda question: "n")
    main(["download", "weights/fold_0", "mouse_a", *arguments])
    said = capsys.readouterr().out
    assert "300 kB  weights/fold_0" in said
    assert "to download" in said
    assert "of disk are free there" in said
    assert gin.sent(FILE) == 0
    main(["download", "weights/fold_0", "--yes", *arguments])
    assert "model.pth is complete" in capsys.readouterr().out
    main(["download", "weights/fold_0", "--yes", *arguments])
    assert "already exists" in capsys.readouterr().out
    monkeypatch.setattr("sys.stdin.isatty", lambda: False, raising=False)
    with pytest.raises(SystemExit):
        main(["download", "mouse_a", "--only", "fold_0", *arguments])
    assert "nobody is at a terminal to agree to this download; pass --yes" in capsys.readouterr().err
    assert not (tmp_path / "to" / "fold_0").exists()
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    main(["download", "mouse_a", "--only", "fold_0", *arguments])
    assert "mouse_a, all of it, to keep fold_0" in capsys.readouterr().out
    main(["download", "--check", *arguments])
    assert "as it was" in capsys.readouterr().out
    (tmp_path / "to" / "weights" / "fold_0" / "model.pth").write_bytes(b"x")
    with pytest.raises(SystemExit):
        main(["download", "--check", *arguments])
    assert "has changed since" in capsys.readouterr().err


@pytest.mark.parametrize("seed", range(6))
def test_whatever_goes_wrong_the_result_is_right_or_absent(
    gin: Gin, get: Callable[..., list[Path]], tmp_path: Path, mouse: Path, seed: int
) -> None:
    """Faults drawn at random; runs that give up are started again."""
    rng = np.random.default_rng(seed)
    gin.add("mouse_a-Video-1.zip", zipped(mouse))
    gin.ranges, gin.snapshots, gin.validators = (bool(rng.integers(2)) for _ in range(3))
    kinds: list[Callable[[], Fault]] = [
        Fault,
        lambda: Fault(cut=int(rng.integers(0, 130_000))),
        lambda: Fault(status=int(rng.choice([429, 500, 502, 503, 504]))),
        lambda: Fault(wrong=True),
        lambda: Fault(announce=int(rng.integers(1, 400_000))),
        lambda: Fault(shift=int(rng.integers(1, 100))),
        lambda: Fault(page=True),
        lambda: Fault(stall=int(rng.integers(0, 130_000))),
    ]
    for path in (FILE, "mouse_a-Video-1.zip"):
        gin.faults[path] = [kinds[rng.integers(len(kinds))]() for _ in range(25)]
    for _ in range(40):
        done = tmp_path / "to"
        try:
            get("weights/fold_0", "mouse_a")
            break
        except nr.NeuroreelError:
            if (done / "weights").exists():
                assert finished(done / "weights") in ([], ["fold_0/model.pth"])
            if (done / "mouse_a-Video-1").exists():
                assert contents(done / "mouse_a-Video-1") == contents(mouse)
    assert (done / "weights" / "fold_0" / "model.pth").read_bytes() == CONTENT
    assert contents(done / "mouse_a-Video-1") == contents(mouse)


@pytest.mark.parametrize(
    ("only", "pause_s", "longest_s"),
    [
        pytest.param((), 0.04, 0.15, id="whole", marks=pytest.mark.nightly),
        pytest.param(("--only", "fold_0"), 0.04, 0.3, id="part", marks=pytest.mark.slow),
    ],
)
def test_kill_9_at_random_moments(
    gin: Gin, tmp_path: Path, mouse: Path, only: tuple[str, ...], pause_s: float, longest_s: float
) -> None:
    """In the plan, the transfer, the unpacking and the renaming: what is visible is always whole."""
    rng = np.random.default_rng(5)
    gin.add("mouse_a-Video-1.zip", zipped(mouse))
    gin.add(FILE, CONTENT * 3)
    gin.pause_s = pause_s
    catalogue, to = gin.catalogue(tmp_path), tmp_path / "to"
    complete = subprocess.run(
        command(catalogue, tmp_path / "undisturbed", "weights/fold_0", "mouse_a", *only),
        capture_output=True,
        check=True,
    )
    assert complete.returncode == 0
    wanted = contents(tmp_path / "undisturbed" / ("fold_0" if only else ".") / "mouse_a-Video-1")
    folder = to / ("fold_0" if only else ".") / "mouse_a-Video-1"
    kills = 0
    for _ in range(30):
        process = subprocess.Popen(command(catalogue, to, "weights/fold_0", "mouse_a", *only), stdout=subprocess.PIPE)
        assert process.stdout is not None
        process.stdout.readline()  # the plan is made
        try:
            process.wait(timeout=float(rng.uniform(0, longest_s * min(1, (1 + kills) / 5))))  # later and later
            process.stdout.close()
            break
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            process.stdout.close()
            kills += 1
        if folder.exists():
            assert contents(folder) == wanted
    assert kills >= 3
    subprocess.run(command(catalogue, to, "weights/fold_0", "mouse_a", *only), capture_output=True, check=True)
    assert contents(folder) == wanted
    assert gin.sent(FILE) <= 2 * len(CONTENT * 3) + kills * 2 * 65_536, "more was fetched twice than was on its way"
    assert check_downloads(to) == []


def test_what_is_left_to_resume_is_said(gin: Gin, get: Callable[..., list[Path]]) -> None:
    gin.faults[FILE] = [Fault(cut=100_000)]
    gin.always[FILE] = Fault(status=503)
    with pytest.raises(nr.ResourceError):
        get("weights/fold_0")
    said: list[str] = []
    get("weights/fold_0", say=said.append, confirm=lambda: False)
    assert any("of which 100 kB are already downloaded" in line for line in said)

"""Files that are made to run code, to read beyond their numbers or to fill memory: refused, and nothing happens."""

from __future__ import annotations

import builtins
import ctypes
import functools
import io
import json
import operator
import os
import pickle
import runpy
import struct
import subprocess
import sys
import time
from collections import OrderedDict
from pathlib import Path, PosixPath
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import neuroreel as nr
from published_files import Payload, result_fields, write_pickled, write_raw

RECONSTRUCT = np._core.multiarray._reconstruct  # type: ignore[attr-defined]
SCALAR = np._core.multiarray.scalar  # type: ignore[attr-defined]
REBUILD, FROM_BYTES = torch._utils._rebuild_tensor_v2, torch.storage._load_from_bytes


def name(folder: Path) -> Path:
    return folder / "reconstruction_summary_m0_t0.npy"


def with_field(folder: Path, value: object) -> Path:
    """A result that is complete, with a hostile field."""
    return write_pickled(name(folder), result_fields() | {"extra": value})


def refused(file: Path) -> str:
    began = time.process_time()
    with pytest.raises(nr.InputError) as caught:
        nr.read_published(file)
    assert time.process_time() - began < 5
    message = str(caught.value)
    assert len(message) < 1000 and message.isascii()
    return message


# --- code ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("function", "arguments", "named"),
    [
        (os.system, ("touch {trace}",), "posix.system"),
        (eval, ("open({trace!r}, 'w')",), "builtins.eval"),
        (exec, ("open({trace!r}, 'w')",), "builtins.exec"),
        (io.open, ("{trace}", "w"), "io.open"),
        (builtins.__import__, ("os",), "builtins.__import__"),
        (getattr, ("a", "b"), "builtins.getattr"),
        (subprocess.Popen, (["touch", "{trace}"],), "subprocess.Popen"),
        (runpy.run_path, ("{trace}",), "runpy.run_path"),
        (ctypes.CDLL, ("{trace}",), "ctypes.CDLL"),
        (operator.attrgetter, ("system",), "operator.attrgetter"),
        (functools.partial, (print,), "functools.partial"),
        (torch.load, ("{trace}",), "torch.serialization.load"),
        (np.load, ("{trace}", None, True), "numpy.load"),
        (np.ndarray.tofile, (np.zeros(3), "{trace}"), "builtins.getattr"),
        (Path.touch, (PosixPath("{trace}"),), "pathlib.Path.touch"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_code_is_refused_by_its_name_and_does_not_run(
    tmp_path: Path, function: Any, arguments: tuple[Any, ...], named: str
) -> None:
    trace = tmp_path / "ran"
    filled = [each.format(trace=str(trace)) if isinstance(each, str) else each for each in arguments]
    hostile = {"video_pred": Payload(function, *filled), "video_gt": 1}
    for protocol in (2, 3, 4, 5):
        with pytest.raises(nr.RefusedError, match="Nothing was run"):
            nr.read_published(write_pickled(name(tmp_path), hostile, protocol=protocol))
    assert f"asks for {named}," in refused(write_pickled(name(tmp_path), hostile))
    assert not trace.exists()


@pytest.mark.parametrize(
    "instructions",
    [
        b"(S'touch {trace}'\nios\nsystem\n.",  # INST
        b"(cos\nsystem\nS'touch {trace}'\no.",  # OBJ
        b"cos\nsystem\n(S'touch {trace}'\ntR.",  # the oldest protocol
        b"\x80\x02cnumpy\nndarray\nK\x01\x85\x81.",  # NEWOBJ
        b"\x80\x04\x8c\x05numpy\x8c\x07ndarray\x93)}\x92.",  # NEWOBJ_EX
        b"\x80\x02\x82\x01.",  # EXT1
        b"Pos.system\n.",  # PERSID
        b"\x80\x02K\x01Q.",  # BINPERSID
        b"\x80\x05\x97.",  # NEXT_BUFFER
        b"\x80\x02}K\x01b.",  # BUILD of a dictionary
        b"\x80\x02cnumpy\nndarray\n)R.",  # what may be named, called
        b"\x80\x02K\x01)R.",  # a number, called
        b"\x80\x02ccollections\nOrderedDict\n}b.",  # the state of a type
    ],
    ids=lambda value: repr(value[:20]),
)
def test_instructions_that_no_result_has(tmp_path: Path, instructions: bytes) -> None:
    trace = tmp_path / "ran"
    file = write_raw(name(tmp_path), instructions.replace(b"{trace}", str(trace).encode()))
    with pytest.raises(nr.RefusedError, match="Nothing was run"):
        nr.read_published(file)
    assert not trace.exists()


def storage_bytes(values: torch.Tensor) -> bytes:
    stream = io.BytesIO()
    torch.save(values.untyped_storage(), stream, _use_new_zipfile_serialization=False)
    typed = torch.storage.TypedStorage(wrap_storage=values.untyped_storage(), dtype=values.dtype, _internal=True)
    return typed.__reduce__()[1][0]


def test_code_in_the_bytes_of_a_tensor(tmp_path: Path) -> None:
    """The storage of a tensor is five pickles of its own: a payload in any of them."""
    trace = tmp_path / "ran"
    payload = pickle.dumps(Payload(os.system, f"touch {trace}"), protocol=2)
    whole = storage_bytes(torch.ones(4))
    stream, ends = io.BytesIO(whole), [0]
    for _ in range(3):
        pickle.load(stream)
        ends.append(stream.tell())
    assert ends[3] > 50
    for end in ends:
        hostile = Payload(FROM_BYTES, whole[:end] + payload + whole[end:])
        message = refused(with_field(tmp_path, Payload(REBUILD, hostile, 0, (4,), (1,), False, OrderedDict())))
        assert "asks for posix.system" in message
    assert not trace.exists()


def test_an_archive_in_the_bytes_of_a_tensor(tmp_path: Path) -> None:
    """PyTorch would read this one; no published file has it."""
    stream = io.BytesIO()
    torch.save(torch.ones(4), stream)
    refused(with_field(tmp_path, Payload(FROM_BYTES, stream.getvalue())))


# --- memory that is not the file's ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("offset", "size", "stride"),
    [
        (0, (5,), (1,)),
        (4, (1,), (1,)),
        (1, (2, 2), (2, 1)),
        (0, (2,), (4,)),
        (0, (1, 2), (1, 10**15)),
        (10**18, (1,), (1,)),
        (0, (10**6, 10**6), (0, 0)),
        (3, (4,), (-1,)),
        (-1, (2,), (1,)),
        (0, (-2, -2), (1, 1)),
        (0, (2, 2), (2,)),
        (0, (10**20,), (1,)),
        (0, (1,) * 40, (1,) * 40),
        (0, (True,), (1,)),
        ("0", (1,), (1,)),
    ],
)
def test_tensors_beyond_their_storage(tmp_path: Path, offset: Any, size: Any, stride: Any) -> None:
    storage = Payload(FROM_BYTES, storage_bytes(torch.ones(4)))
    refused(with_field(tmp_path, Payload(REBUILD, storage, offset, size, stride, False, OrderedDict())))


def test_a_tensor_is_no_storage(tmp_path: Path) -> None:
    """A view with stride 0 at the end of a storage has the length of the storage, but not its memory."""
    storage = Payload(FROM_BYTES, storage_bytes(torch.ones(4)))
    last = Payload(REBUILD, storage, 3, (4,), (0,), False, OrderedDict())
    assert nr.read_published(with_field(tmp_path, last)).attrs["extra"] == [1.0] * 4
    refused(with_field(tmp_path, Payload(REBUILD, last, 0, (4,), (1,), False, OrderedDict())))
    refused(with_field(tmp_path, storage))


@pytest.mark.parametrize("change", [lambda b: b[:-1], lambda b: b + b"\0", lambda b: b[:-24] + struct.pack("<q", 9**9)])
def test_storages_that_contradict_themselves(tmp_path: Path, change: Any) -> None:
    changed = change(storage_bytes(torch.ones(4)))
    refused(with_field(tmp_path, Payload(REBUILD, Payload(FROM_BYTES, changed), 0, (4,), (1,), False, OrderedDict())))


def array(state: tuple[Any, ...], *, kind: object = np.ndarray) -> Payload:
    return Payload(RECONSTRUCT, kind, (0,), b"b", state=state)


def dtype(code: object, state: object = None) -> Payload:
    return Payload(np.dtype, code, False, True, state=state)


OBJECT_WITHOUT_FLAGS = (3, "|", None, None, None, -1, -1, 0)
FIELD_OUTSIDE = (3, "|", None, ("a",), {"a": (np.dtype("i8"), 1000)}, 8, 1, 0)


@pytest.mark.parametrize(
    "hostile",
    [
        array((1, (1,), dtype("O8", OBJECT_WITHOUT_FLAGS), False, b"\x41" * 8)),  # bytes as pointers to objects
        array((1, (2,), dtype("O8"), False, [1])),
        array((1, (10**12,), dtype("f8"), False, b"")),
        array((1, (-1, -8), dtype("f8"), False, b"\0" * 64)),
        array((1, (2,), dtype("f8"), False, b"\0" * 15)),
        array((1, (2,), dtype("f8"), False, [1.0, 2.0])),
        array((1, (1,), dtype("V8", FIELD_OUTSIDE), False, b"\0" * 8)),
        array((1, (1,), dtype("f8", FIELD_OUTSIDE), False, b"\0" * 8)),
        array((1, (1,), dtype("f8", (3, "<", None, None, None, 10**9, -1, 0)), False, b"\0" * 8)),
        array((1, (1,), dtype([("a", "O")]), False, b"\0" * 8)),
        array((1, (1,), dtype("i8,O"), False, b"\0" * 16)),
        array((1, (1,), dtype("U99999999"), False, b"")),
        array((1, (0,), dtype("f8"), False, b""), kind=np.memmap),
        Payload(SCALAR, dtype("O8"), b"\x41" * 8),
        Payload(SCALAR, dtype("f8"), b"\x41" * 4),
        Payload(np.ndarray, (10**12,)),
        Payload(np.dtype, "f8", False, True),  # a type is no value
        Payload(OrderedDict, [("a", 1)]),
        Payload(OrderedDict, state={"__class__": 1}),
        Payload(PosixPath, 3),
        Payload(torch.device, [[]]),
        {1: 2},
        {("a",): 2},
        {"a"},
        b"bytes",
        1j,
    ],
    ids=lambda value: repr(getattr(value, "call", value))[:60].replace("\\", ""),
)
def test_what_may_be_named_used_in_other_ways(tmp_path: Path, hostile: object) -> None:
    refused(with_field(tmp_path, hostile))


# --- time and memory --------------------------------------------------------------------------------------------------


def doubled(times: int) -> list[Any]:
    """A list that is tiny in a file, and 2**times long when it is written out."""
    twice: list[Any] = []
    for _ in range(times):
        twice = [twice, twice]
    return twice


def ring() -> list[Any]:
    whole: list[Any] = []
    whole.append(whole)
    return whole


@pytest.mark.parametrize(
    "instructions",
    [
        pickle.dumps({"video_pred": doubled(60), "video_gt": 1}),
        pickle.dumps({"video_pred": ring(), "video_gt": 1}),
        pickle.dumps({"video_pred": Payload(np.dtype, doubled(60)), "video_gt": 1}),
        pickle.dumps({"video_pred": Payload(torch.device, doubled(60)), "video_gt": 1}),
        b"\x80\x04}" + b")" + b"\x85" * 300_000 + b"K\x01s.",  # a key whose hash would overflow the interpreter's stack
        b"\x80\x04" + b")" + b"\x85" * 300_000 + b".",
        b"\x80\x04" + b"(" * 300_000 + b"t" * 300_000 + b".",
        b"\x80\x04\x8d" + struct.pack("<Q", 2**62) + b"a.",  # a text longer than any file
        b"\x80\x04\x8e" + struct.pack("<Q", 2**40) + b"a.",
        b"\x80\x04\x95" + struct.pack("<Q", 2**60) + b"K\x01.",
        b"\x80\x04K\x01r" + struct.pack("<I", 2**32 - 1) + b".",  # place 4,294,967,295 of the memo
        b"\x80\x04" + pickle.dumps(doubled(60))[2:-1] + b"\x8c\x06system\x93.",  # a module whose name is a giant
        b"",
        b".",
        b"\x80\x04t.",
        b"\x80\x04a.",
        b"\x80\x04e.",
        b"\x80\x04R.",
        b"\x80\x04b.",
        b"\x80\x04h\x05.",
        b"\x80\x04K\x01K\x02.",
    ],
    ids=lambda value: repr(value[:14]).replace("\\", ""),
)
def test_small_files_that_would_take_forever(tmp_path: Path, instructions: bytes) -> None:
    refused(write_raw(name(tmp_path), instructions))


def test_headers_that_ask_for_more_than_the_file_holds(tmp_path: Path) -> None:
    for shape in ((10**15, 10**3), (2**62, 2**62), (64, 65)):
        stream = io.BytesIO()
        np.lib.format.write_array_header_1_0(stream, {"descr": "<f4", "fortran_order": False, "shape": shape})
        file = tmp_path / "mask_m0.npy"
        file.write_bytes(stream.getvalue() + bytes(64 * 64 * 4))
        assert "bytes" in refused(file)
        with pytest.raises(nr.InputError, match="cannot be read as a mask"):
            nr.load_mask(file)


# --- what opening a file does -----------------------------------------------------------------------------------------


def test_opening_imports_and_calls_nothing_that_is_named(tmp_path: Path) -> None:
    """Python reports each name that its own unpickler looks up: there is none. Nor is PyTorch needed."""
    file = write_pickled(name(tmp_path), result_fields())
    code = f"""
import json, sys
events = []
watched = ("pickle.", "subprocess.", "os.system", "os.exec", "os.posix_spawn", "os.fork")
sys.addaudithook(lambda event, _: events.append(event) if event.startswith(watched) else None)
import neuroreel as nr
size = dict(nr.read_published({str(file)!r})["responses"].sizes)
print(json.dumps([size, "torch" in sys.modules, events]))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == [{"neuron": 3, "frame": 20}, False, []]


# --- damage at any byte -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    fields = {k: v for k, v in result_fields(frames=2).items() if not k.startswith("video_") or k == "video_itter"}
    fields |= {k: np.zeros((2, 2, 3), np.float32) for k in ("video_gt", "video_pred")} | {"mask": np.zeros((3, 3))}
    return write_pickled(name(tmp_path_factory.mktemp("small")), fields).read_bytes()


def readable_or_refused(file: Path) -> None:
    try:
        dataset = nr.read_published(file)
    except nr.InputError as error:
        message = str(error)
        assert len(message) < 1000
    else:
        assert all(each.dtype.kind in "biuf" for each in dataset.values())


quick = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@quick
@given(data=st.data())
def test_any_damage_is_an_error_or_other_numbers(tmp_path: Path, small: bytes, data: st.DataObject) -> None:
    damaged = bytearray(small)
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(small) - 1))] = data.draw(st.integers(0, 255))
    file = name(tmp_path)
    file.write_bytes(damaged)
    readable_or_refused(file)


@quick
@given(kept=st.floats(0, 1, exclude_max=True))
def test_any_truncation_is_an_error(tmp_path: Path, small: bytes, kept: float) -> None:
    file = name(tmp_path)
    file.write_bytes(small[: int(kept * len(small))])
    assert "truncated, damaged" in refused(file)


@quick
@given(instructions=st.binary(max_size=60))
def test_any_instructions(tmp_path: Path, instructions: bytes) -> None:
    file = write_raw(name(tmp_path), b"\x80\x04" + instructions + b".")
    with pytest.raises(nr.InputError):
        nr.read_published(file)


@quick
@given(data=st.data())
def test_damaged_published_files(tmp_path: Path, golden: Path, data: st.DataObject) -> None:
    files = [*sorted(golden.glob("published_files/*/*.npy")), golden / "masks" / "mask_m1.npy"]
    whole = bytearray(files[data.draw(st.integers(0, len(files) - 1))].read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):  # most of a file is numbers: look closer at its beginning and end
        place = data.draw(st.one_of(st.integers(0, 17_000), st.integers(-17_000, -1)))
        whole[place % len(whole)] = data.draw(st.integers(0, 255))
    file = tmp_path / "damaged.npy"
    file.write_bytes(whole)
    readable_or_refused(file)

"""The command line as a user types it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import typing
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import pytest

import neuroreel as nr
from neuroreel.cli import COMMANDS, as_typed, main
from neuroreel.commands.studies import Demo

WORDS = {
    "demo": ["--quick", "--out", "simulated mouse"],
    "simulate": ["--trials", "--neurons", "--seed", "Sensorium"],
    "train": ["--kind", "--seeds", "--epochs", "decoder"],
    "mask": ["--encoder", "--steps", ".npy"],
    "fit": ["--encoders", "--factors", "--out", "--validation-fold"],
    "reconstruct": ["--posterior", "--samples", "--method", "--mask", "--trials", "--passes", "--max-memory"],
    "predict": ["--encoders", "--videos", "--skip", "single-trial correlation"],
    "evaluate": ["--decoder", "--smooth", "baselines"],
    "report": ["--out", "HTML", "--title"],
    "experiment": ["--recordings", "--encoders", "--part", "--list", "--quick", "natural", "receptive_fields"],
    "benchmark": ["quality", "--recordings", "--seeds", "--methods", "--samples", "--quick"],
    "figures": ["--results", "--published", "--out"],
    "convert": [".pth", ".safetensors", "--out", "--run"],
    "download": ["recordings", "--to", "--only", "--parallel", "--yes", "--list", "--check"],
    "import": ["NWB", ".csv", "--out", "--list", "--responses", "--stimulus", "--trials", "--frame-rate-hz"],
    "export": ["--to", ".nwb", ".tif", ".mp4", "--metadata", "--with-truth"],
    "doctor": ["--json", "missing"],
    "workflow": ["--out", "--profile", "--dry-run", "quick", "paper"],
}


def test_help_of_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert set(WORDS) == set(COMMANDS)
    for command, words in WORDS.items():
        with pytest.raises(SystemExit) as stopped:
            main([command, "--help"])
        assert stopped.value.code == 0
        shown = capsys.readouterr().out
        for word in words:
            assert word in shown, (command, word)


def test_no_arguments_print_the_help(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["neuroreel"])
    main()
    shown = capsys.readouterr().out
    places = [shown.index(f"\n  {command} ") for command in COMMANDS]
    assert places == sorted(places) and all(len(line) <= 120 for line in shown.splitlines())


def test_help_neither_waits_for_pytorch_nor_speaks_of_nothing() -> None:
    """One process for the help of all commands: it is the import of a library that would take seconds."""
    code = (
        "import contextlib, sys\n"
        "from neuroreel.cli import COMMANDS, main\n"
        "main(['--help'])\n"
        "for command in COMMANDS:\n"
        "    with contextlib.suppress(SystemExit):\n"
        "        main([command, '--help'])\n"
        "print({'torch', 'scipy', 'pandas', 'lightning', 'pydantic'} & set(sys.modules), file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == "set()\n"
    assert "None" not in done.stdout and "(default: )" not in done.stdout and "STR" not in done.stdout
    described = re.findall(r"^│ (-\S+(?: [^ │]+)*) +│\n│ +│$", done.stdout, re.MULTILINE)
    assert not described, "options without a word of help"


def test_commands_that_write_can_overwrite() -> None:
    """All but those that find out by themselves what is finished and what has changed, and the one that only looks."""
    without = {name for name, command in COMMANDS.items() if "overwrite" not in {each.name for each in fields(command)}}
    assert without == {"demo", "benchmark", "experiment", "download", "workflow", "doctor"}


def test_every_option_is_explained() -> None:
    for command in COMMANDS.values():
        hints = typing.get_type_hints(command, include_extras=True)
        texts = "".join(kind.__doc__ or "" for kind in command.__mro__)
        for option in fields(command):
            shared = any(getattr(extra, "help", None) for extra in typing.get_args(hints[option.name])[1:])
            assert shared or re.search(rf"^ +{option.name}(:|$)", texts, re.MULTILINE), (command, option.name)


@pytest.mark.parametrize(
    ("message", "typed"),
    [
        ("skip is -1; it must be", "--skip is -1; it must be"),
        ("it exists; choose another name or pass overwrite=True", "it exists; choose another name or pass --overwrite"),
        ("give device='cpu', or validation_fold=", "give --device cpu, or --validation-fold"),
        ("say encoders=('a', 'b')", "say --encoders a b"),
        ("the skip is long, and unskip=3 or skip_frames=2 are others", None),
    ],
)
def test_messages_name_arguments_as_the_shell_does(message: str, typed: str | None) -> None:
    @dataclass
    class Command:
        skip: int
        overwrite: bool
        device: str
        validation_fold: str
        encoders: tuple[str, ...]

    assert as_typed(message, Command) == (typed or message)


def test_without_the_option_nobody_is_told_to_pass_it() -> None:
    assert as_typed("it exists; choose another name or pass overwrite=True", Demo) == (
        "it exists; choose another name, or delete it first"
    )


def test_ctrl_c_while_python_executes_a_string(tmp_path: Path) -> None:
    """As it does where an import makes a dataclass: of a module run with -m, Python then ends by the signal itself."""
    (tmp_path / "interrupted.py").write_text(
        "from neuroreel import cli\n"
        "from neuroreel.commands.studies import Demo\n"
        "Demo.__call__ = lambda self: exec('raise KeyboardInterrupt')\n"
        "cli.main(['demo'])\n"
    )
    command = [sys.executable, "-m", "interrupted"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 130 and done.stderr.startswith("neuroreel: stopped"), done


def test_output_that_nobody_reads_on() -> None:
    """As in ``neuroreel workflow --show | head -1``."""
    command = [sys.executable, "-m", "neuroreel", "workflow", "--show"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as shown:
        assert shown.stdout is not None and shown.stderr is not None
        shown.stdout.close()
        assert shown.stderr.read() == ""
    assert shown.returncode == 128 + signal.SIGPIPE


@pytest.mark.parametrize(("given", "then"), [(None, "PASSIVE"), ("ACTIVE", "ACTIVE")])
def test_threads_wait_without_spinning(given: str | None, then: str) -> None:
    """Asked of OpenMP before PyTorch is imported, unless the user asked for something else."""
    program = (
        "import os, sys, neuroreel.cli\n"
        "assert 'torch' not in sys.modules\n"
        "neuroreel.cli.main(['--version'])\n"
        "print(os.environ['OMP_WAIT_POLICY'])\n"
    )
    environment = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    environment |= {} if given is None else {"OMP_WAIT_POLICY": given}
    told = subprocess.run([sys.executable, "-c", program], env=environment, check=True, capture_output=True, text=True)
    assert told.stdout.splitlines()[-1] == then


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--version"])
    assert capsys.readouterr().out == f"neuroreel {nr.__version__}\n"


@pytest.mark.slow
def test_from_a_simulated_mouse_to_a_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    # so small a mouse has but a faint mask
    mouse, models, movies = tmp_path / "mouse", tmp_path / "models", tmp_path / "movies"
    commands = {
        "simulate": [mouse, "--trials", 21, "--seconds", 4, "--neurons", 30],
        "train": [mouse, "--out", models, "--epochs", 1, "--seeds", 0],
        "mask": [mouse, "--encoder", models / "encoder_0.safetensors", "--out", tmp_path / "mask.npy", "--steps", 20],
        "fit": [mouse, "--encoders", models / "encoder_0.safetensors", "--out", tmp_path / "posterior"],
        "reconstruct": [
            *[mouse, "--posterior", tmp_path / "posterior", "--out", movies],
            *["--samples", 2, "--passes", 3],
        ],
        "evaluate": [movies, "--out", tmp_path / "scores.json", "--mask-threshold", 0.0],
        "report": [
            *[movies, "--out", tmp_path / "report.html", "--title", "A mouse of zeros and ones"],
            *["--mask-threshold", 0.0],
        ],
    }
    said = {}
    for command, arguments in commands.items():
        main([command, *map(str, arguments)])
        said[command] = capsys.readouterr().out

    assert "21 trials" in said["simulate"] and "30 neurons" in said["simulate"]
    assert {file.name for file in models.iterdir()} == {
        "decoder.safetensors",
        "encoder_0.safetensors",
        "encoder_0.json",
    }
    assert "validation correlation" in said["train"]
    assert nr.load_mask(tmp_path / "mask.npy").shape == (36, 64)
    held_out = nr.open_recording(mouse).select("fold_0").indices
    assert {file.name for file in movies.iterdir()} == {f"trial_{number:03d}.nc" for number in held_out}
    assert "not a real one" in said["evaluate"]
    scores = json.loads((tmp_path / "scores.json").read_text())
    assert len(scores) == len(held_out)
    result = nr.Reconstruction.load(movies / f"trial_{held_out[0]:03d}.nc")
    assert result.simulated and result.settings["passes"] == 3 and result.dataset.sizes["sample"] == 2
    assert "is signal (on validation trials)" in said["fit"]
    assert "A mouse of zeros and ones" in (tmp_path / "report.html").read_text()

    # a second time: what is finished is kept, what a user may have made is not overwritten
    before = {file: file.stat().st_mtime_ns for file in tmp_path.rglob("*") if file.is_file()}
    for command in ("train", "reconstruct"):
        main([command, *map(str, commands[command])])
        assert "already exists" in capsys.readouterr().out
    for command in ("simulate", "mask", "fit", "evaluate", "report"):
        with pytest.raises(SystemExit) as stopped:
            main([command, *map(str, commands[command])])
        assert stopped.value.code == 2
        error = capsys.readouterr().err
        assert error.startswith("neuroreel: ") and error.count("\n") == 1 and "not overwritten" in error
    assert {file: file.stat().st_mtime_ns for file in tmp_path.rglob("*") if file.is_file()} == before

    for command in ("train", "mask", "fit", "reconstruct", "evaluate", "report"):
        main([command, *map(str, commands[command]), "--overwrite"])
    made_anew = [file for file in before if mouse not in file.parents]
    assert all(file.stat().st_mtime_ns > before[file] for file in made_anew)
    assert not list(tmp_path.rglob("*.partial")) and not list(models.glob("*.training"))


def command_line(*arguments: str | Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "neuroreel", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
    )


@pytest.mark.slow
def test_quick_demo_is_quick_and_goes_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "demo"
    began = time.process_time()
    main(["demo", "--quick", "--out", str(out)])
    first = time.process_time() - began
    said = capsys.readouterr().out
    assert first < 180  # a minute on two free cores
    assert "not a real" in said and "Scores inside the mask" in said
    report = Path(said.strip().splitlines()[-1])
    assert report == (out / "report.html").resolve()
    assert "<html" in report.read_text().lower()
    results = sorted(out.glob("reconstruction_*.nc"))
    assert len(results) == 2
    videos = [nr.Reconstruction.load(file).video for file in results]

    began = time.process_time()
    main(["demo", "--quick", "--out", str(out)])
    assert time.process_time() - began < first
    for file, video in zip(results, videos, strict=True):
        np.testing.assert_array_equal(nr.Reconstruction.load(file).video, video)
    assert not list(out.rglob("*.partial"))

    with pytest.raises(SystemExit) as stopped:
        main(["demo", "--out", str(out)])
    assert stopped.value.code == 2
    assert "choose another folder" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("step", ["Simulate", "Train encoding model"])
def test_ctrl_c_stops_cleanly(step: str, tmp_path: Path) -> None:
    process = command_line("demo", "--quick", "--out", tmp_path / "demo")
    assert process.stdout is not None
    try:
        for line in process.stdout:
            if line.startswith(step):
                break
        time.sleep(3 if step.startswith("Train") else 0.5)
        process.send_signal(signal.SIGINT)
        said, error = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130, (said, error)
    assert error.strip().splitlines()[-1].startswith("neuroreel: stopped")
    assert "Traceback" not in error
    assert not list(tmp_path.rglob("*.partial"))

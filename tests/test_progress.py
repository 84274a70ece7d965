"""Progress bars: shown where somebody looks, without a warning, and not in a log."""

from __future__ import annotations

import sys
import types
import warnings

import pytest

from neuroreel.progress import bar_of, note, progress


def work() -> None:
    with bar_of(3, description="Bytes", unit="B") as advance:
        for step in progress(range(3), description="Steps"):
            note(f"step {step}")
            advance()


def test_a_log_has_the_notes_alone(capsys: pytest.CaptureFixture[str]) -> None:
    work()
    assert list(progress(iter(range(2)), description="Steps", total=2)) == [0, 1]
    assert capsys.readouterr().err == "step 0\nstep 1\nstep 2\n"


def test_a_notebook_without_ipywidgets_has_bars_and_no_warning(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("ipykernel", "ipykernel.zmqshell"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    ipython = types.SimpleNamespace(get_ipython=lambda: None)
    monkeypatch.setitem(sys.modules, "IPython", ipython)  # type: ignore[arg-type]
    monkeypatch.setattr("neuroreel.progress.find_spec", lambda name: None)
    for name in [name for name in sys.modules if name in ("tqdm.auto", "tqdm.autonotebook")]:
        monkeypatch.delitem(sys.modules, name)  # it chooses, and warns, when it is imported
    with warnings.catch_warnings(record=True) as warned:  # tqdm would swallow one that is an error
        warnings.simplefilter("always")
        work()
    assert not warned
    shown = capsys.readouterr().err
    assert "Steps: 100%" in shown and "Bytes" in shown and "step 2" in shown


def test_who_wants_none_has_none(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ipykernel", types.ModuleType("ipykernel"))
    assert list(progress(range(2), description="Steps", enabled=False)) == [0, 1]
    note("nothing", enabled=False)
    assert capsys.readouterr().err == ""

"""The store and the runner of studies, with tasks that cost nothing: what is made, kept, replaced, read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from neuroreel.compute import Compute
from neuroreel.errors import InputError
from neuroreel.files import atomic_path
from neuroreel.studies.run import Runner
from neuroreel.studies.store import Store
from neuroreel.studies.task import Task


@dataclass(frozen=True, kw_only=True, eq=False)
class Sum(Task):
    """A number plus those of other tasks; ``log`` has what was done to which."""

    place: str
    number: int
    title: str = ""
    inputs: Mapping[str, Task] = field(default_factory=dict)
    factor: int = 1
    fails: bool = False
    log: list[str]

    @property
    def needs(self) -> Mapping[str, Task]:
        return self.inputs

    @property
    def decided_by(self) -> Mapping[str, Any]:
        return {"number": self.number, "needs": [task.hash for task in self.inputs.values()]}

    @property
    def scoring(self) -> Mapping[str, Any]:
        return {"factor": self.factor}

    def make(self, given: Mapping[str, Any], compute: Compute) -> int:
        self.log.append(f"make {self.place}")
        if self.fails:
            raise KeyboardInterrupt
        return self.number + sum(given.values())

    def write(self, result: int, file: Path) -> None:
        with atomic_path(file, overwrite=True) as partial:
            if file.suffix:
                partial.write_text(str(result))
            else:
                partial.mkdir()
                (partial / "number").write_text(str(result))

    def read(self, file: Path) -> int:
        self.log.append(f"read {self.place}")
        return int((file if file.suffix else file / "number").read_text())

    def scores(self, result: int, given: Mapping[str, Any], compute: Compute) -> dict[str, float]:
        return {"score": float(result * self.factor)}


def score(folder: Path, place: str) -> float:
    record = Store(folder).record(place)
    assert record is not None
    return float(record["scores"]["score"])


def test_what_is_needed_is_made_first_and_read_never(tmp_path: Path) -> None:
    log: list[str] = []
    fit = Sum(place="fit", number=1, log=log)
    movies = [Sum(place=f"movies/{n}.npy", number=n, inputs={"fit": fit}, log=log) for n in (10, 20)]
    total = Sum(place="movies/total.npy", number=0, inputs={str(n): each for n, each in enumerate(movies)}, log=log)
    Runner(Store(tmp_path)).run([*movies, total])
    assert log == ["make fit", "make movies/10.npy", "make movies/20.npy", "make movies/total.npy"]
    assert score(tmp_path, "movies/total.npy") == 32
    log.clear()
    Runner(Store(tmp_path)).run([*movies, total])
    assert log == []  # nor is anything read


def test_results_that_nobody_needs_any_more_leave_memory(tmp_path: Path) -> None:
    log: list[str] = []
    fit = Sum(place="fit", number=1, log=log)
    runner = Runner(Store(tmp_path))
    runner.run([Sum(place="a.npy", number=2, inputs={"fit": fit}, log=log)])
    assert runner.get(fit) == 1 and log[-1] == "read fit"


def test_a_stopped_run_resumes_to_the_same_results(tmp_path: Path) -> None:
    log: list[str] = []

    def tasks(*, stopped: bool) -> list[Sum]:
        fit = Sum(place="fit", number=1, log=log)
        return [
            Sum(place=f"{n}.npy", number=n, inputs={"fit": fit}, fails=stopped and n == 2, log=log) for n in range(4)
        ]

    with pytest.raises(KeyboardInterrupt):
        Runner(Store(tmp_path)).run(tasks(stopped=True))
    assert [Store(tmp_path).state(task.place, task.hash) for task in tasks(stopped=False)] == [
        *("done", "done", "missing", "missing")
    ]
    log.clear()
    Runner(Store(tmp_path)).run(tasks(stopped=False))
    assert log == ["read fit", "make 2.npy", "make 3.npy"]
    assert [score(tmp_path, f"{n}.npy") for n in range(4)] == [1, 2, 3, 4]


def test_a_kill_between_result_and_record(tmp_path: Path) -> None:
    log: list[str] = []
    task = Sum(place="jobs/a.nc", number=3, log=log)
    store = Store(tmp_path)
    Runner(store).run([task])
    store.record_file(task.place).unlink()
    store.file(task.place).write_text("half of it")
    assert store.state(task.place, task.hash) == "missing"
    Runner(store).run([task])
    assert store.file(task.place).read_text() == "3" and log == ["make jobs/a.nc"] * 2


def test_a_change_redoes_what_it_touches_and_keeps_what_was(tmp_path: Path) -> None:
    log: list[str] = []

    def run(number: int) -> None:
        log.clear()
        fit = Sum(place="mouse/fit.safetensors", number=number, log=log)
        used = Sum(place="mouse/movies/a.npy", number=1, inputs={"fit": fit}, log=log)
        Runner(Store(tmp_path)).run([used, Sum(place="mouse/movies/b.npy", number=2, log=log)])

    run(5)
    (tmp_path / "mouse" / "fit.json").write_text("the side-car of an encoding model")
    run(6)
    assert sorted(log) == ["make mouse/fit.safetensors", "make mouse/movies/a.npy"]
    kept = {file.name.rpartition("-")[0] + file.suffix for file in (tmp_path / "mouse" / "replaced").iterdir()}
    assert kept == {"fit.safetensors", "fit.json", "a.npy", "a.json"}
    assert score(tmp_path, "mouse/movies/a.npy") == 7
    run(5)
    assert log == ["read mouse/movies/a.npy"]  # it is among those replaced
    assert score(tmp_path, "mouse/movies/a.npy") == 6


def test_folders_are_replaced_too(tmp_path: Path) -> None:
    for number in (1, 2, 1, 2):
        Runner(Store(tmp_path)).run([Sum(place="posterior", number=number, log=[])])
        assert (tmp_path / "posterior" / "number").read_text() == str(number)
    assert len([path for path in (tmp_path / "replaced").iterdir() if path.is_dir()]) == 2


def test_other_scores_need_no_other_result(tmp_path: Path) -> None:
    log: list[str] = []
    for factor in (1, 3):
        Runner(Store(tmp_path)).run([Sum(place="a.npy", number=2, factor=factor, log=log)])
    assert log == ["make a.npy", "read a.npy"] and score(tmp_path, "a.npy") == 6


def test_equal_results_are_linked(tmp_path: Path) -> None:
    log: list[str] = []
    said: list[str] = []
    for place in ("one/jobs/a.nc", "two/jobs/a.nc"):
        Runner(Store(tmp_path), say=said.append).run([Sum(place=place, title=place, number=2, log=log)])
    assert said[-1] == "two/jobs/a.nc is the same as one/jobs/a.nc" and log[0] == "make one/jobs/a.nc"
    assert "make two/jobs/a.nc" not in log
    assert (tmp_path / "one/jobs/a.nc").stat().st_ino == (tmp_path / "two/jobs/a.nc").stat().st_ino


def test_what_a_result_cost_is_in_its_record(tmp_path: Path) -> None:
    Runner(Store(tmp_path)).run([Sum(place="a.npy", number=2, log=[])])
    record = json.loads((tmp_path / "a.json").read_text())
    assert record["seconds"] >= 0 and record["versions"]["neuroreel"]
    assert record["decided_by"] == {"number": 2, "needs": []}


def test_a_damaged_record(tmp_path: Path) -> None:
    task = Sum(place="a.npy", number=2, log=[])
    Runner(Store(tmp_path)).run([task])
    (tmp_path / "a.json").write_text("{}")
    with pytest.raises(InputError, match=r"a\.json is damaged .*delete it, and its job runs again"):
        Runner(Store(tmp_path)).run([task])

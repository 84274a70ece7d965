"""The runner: makes what is missing, in any order and in several processes, without doing anything twice."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from neuroreel.compute import Compute
from neuroreel.memory import extra_memory
from neuroreel.progress import bar_of
from neuroreel.results.provenance import plain
from neuroreel.studies.store import Store
from neuroreel.studies.task import Fit, Task

WAIT_S = 1.0  # before asking again whether another process has finished
REMIND_S = 300.0  # before repeating which process it waits for


@dataclass(eq=False)
class Runner:
    """Makes the tasks of a study, their inputs first.

    Attributes
    ----------
    store
        Where results are stored.
    device
        "auto", "cpu", "cuda", "cuda:1", "mps".
    say
        Called with a line of text about each task that has a title.
    """

    store: Store
    device: str = "auto"
    say: Callable[[str], object] = lambda _: None
    _wanted: Counter[str] = field(default_factory=Counter)  # how many tasks still need a result, by fingerprint
    _memory: dict[str, Any] = field(default_factory=dict)  # results that are still needed

    def run(self, tasks: Sequence[Task], *, description: str = "Jobs") -> None:
        """Make what is missing; wait for tasks of other processes, with regular reminders of which process that is."""
        for task in tasks:
            self._wanted.update(_needs(task))
        left, say_at = list(tasks), 0.0
        with bar_of(len(left), description=description) as advance:
            while left:
                busy = []
                for task in left:
                    with self.store.claim(task) as held:
                        if not held:
                            busy.append(task)
                            continue
                        self._settle(task)
                    advance()
                if len(busy) == len(left):
                    if time.monotonic() >= say_at:
                        self.say(self._waiting_for(busy))
                        say_at = time.monotonic() + REMIND_S
                    time.sleep(WAIT_S)
                left = busy

    def get(self, task: Task) -> Any:
        """The result of a task: from memory, from its file, or made now; waits if another process is making it."""
        if task.hash in self._memory:
            return self._memory[task.hash]
        self._wanted.update(_needs(task))
        with self.store.claim(task, wait=True):
            result = self._settle(task)
        if result is None:
            result = task.read(self.store.file(task.place))
            self._keep(task, result)
        return result

    def _settle(self, task: Task) -> Any:
        """Make a claimed task unless it or an equal one is done; returns its result if at hand, else None."""
        store, scoring = self.store, plain(task.scoring)
        record = store.record(task.place)
        if record is not None and record["hash"] == task.hash:
            self._say(task, " already exists")
            result = None
            if record["scoring"] != scoring:
                result = task.read(store.file(task.place))
                store.write_record(task, self._scored(task, result, record))
        elif (equal := store.equal(task)) is not None:
            self._say(task, f" is the same as {equal.file.relative_to(store.folder)}")
            result = task.read(equal.file)
            store.save(task, equal, self._scored(task, result, equal.record))
        else:
            self._say(task, " ...")
            result = self._make(task)
        self._wanted.subtract(_needs(task))
        for need in _needs(task):
            if self._wanted[need] <= 0:
                self._memory.pop(need, None)
        if result is not None:
            self._keep(task, result)
        return result

    def _make(self, task: Task) -> Any:
        given = {name: self.get(need) for name, need in task.needs.items()}
        snapshot = self.store.snapshot_file(task)
        snapshot.parent.mkdir(parents=True, exist_ok=True)
        if task.in_place:
            self.store.move_aside(task.place)
        compute = Compute(device=self.device, checkpoint=snapshot, progress=False)
        began = time.perf_counter()
        with extra_memory(compute.torch_device) as taken:
            result = task.make(given, compute)
        cost = {"seconds": round(time.perf_counter() - began, 3), "memory_bytes": taken.bytes}
        record = self._scored(task, result, cost)
        self.store.save(task, result, record)
        self._say(task, f": {_headline(record['scores'])}{record['seconds']:.1f} s")
        # summation order depends on the memory layout: read results back, so that a resumed run uses the same arrays
        return task.read(self.store.file(task.place)) if isinstance(task, Fit) else result

    def _scored(self, task: Task, result: Any, cost: Mapping[str, Any]) -> dict[str, Any]:
        """The record: scores, how they were made, and what the result cost."""
        given = {name: self.get(need) for name, need in task.needs_to_score.items()}
        compute = Compute(device=self.device, progress=False)
        known = {name: cost[name] for name in ("seconds", "memory_bytes") if cost.get(name) is not None}
        return {"scores": task.scores(result, given, compute), "scoring": task.scoring, **known}

    def _keep(self, task: Task, result: Any) -> None:
        if self._wanted[task.hash] > 0:
            self._memory[task.hash] = result

    def _say(self, task: Task, what: str) -> None:
        if task.title:
            self.say(task.title + what)

    def _waiting_for(self, busy: Sequence[Task]) -> str:
        first = f"{busy[0].title or busy[0].place} ({self.store.holder(busy[0])})"
        more = f" and {len(busy) - 1} more" if len(busy) > 1 else ""
        return f"waiting for {first}{more}: if that process hangs, stop it, and its jobs run here"


def _needs(task: Task) -> list[str]:
    """Fingerprints of all inputs of a task."""
    return [need.hash for need in (*task.needs.values(), *task.needs_to_score.values())]


def _headline(scores: Mapping[str, float]) -> str:
    value = scores.get("video_correlation")
    return "" if value is None else f"video correlation {value:.3f}, "

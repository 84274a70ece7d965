"""What is left to do and what it costs, before anything starts."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from neuroreel.files import free_bytes
from neuroreel.workflow.configuration import STEPS, Resources
from neuroreel.workflow.plan import Plan


@dataclass(frozen=True, kw_only=True)
class StepCost:
    """One line of the table: a step, or one experiment."""

    name: str
    jobs: int
    done: int
    resources: Resources

    @property
    def left(self) -> int:
        """Number of jobs that will start."""
        return self.jobs - self.done

    @property
    def gpu_hours(self) -> float:
        """GPU-hours of the remaining jobs."""
        return self.left * self.resources.gpus * self.resources.hours

    @property
    def cpu_hours(self) -> float:
        """Cores times hours of the remaining jobs."""
        return self.left * self.resources.cpus * self.resources.hours

    @property
    def disk_gb(self) -> float:
        """Disk space that the remaining jobs will need."""
        return self.left * self.resources.disk_gb


def costs(plan: Plan, folder: Path) -> list[StepCost]:
    """The cost of each step, without jobs that are done in ``folder``."""
    rows = []
    steps = plan.steps()
    for step in sorted(steps, key=STEPS.index):
        if step == "experiment":
            rows += [_cost(plan, step, plan.parts_done(name), folder, name) for name in plan.configuration.experiments]
        else:
            rows.append(_cost(plan, step, steps[step], folder))
    return rows


def _cost(plan: Plan, step: str, done: list[str], folder: Path, name: str | None = None) -> StepCost:
    finished = sum((folder / file).exists() for file in done)
    return StepCost(name=name or step, jobs=len(done), done=finished, resources=plan.resources(step, name))


def cost_table(rows: Iterable[StepCost]) -> str:
    """Jobs, GPU-hours, core-hours, memory and disk of each step, and in total."""
    rows = list(rows)
    head = f"{'step':<22}{'jobs':>6}{'done':>6}{'GPU-hours':>11}{'core-hours':>12}{'memory a job':>14}{'disk':>11}"
    lines = [head] + [
        f"{row.name:<22}{row.left:>6}{row.done:>6}{row.gpu_hours:>11.2f}{row.cpu_hours:>12.2f}"
        f"{row.resources.memory_gb:>11.1f} GB{row.disk_gb:>8.2f} GB"
        for row in rows
    ]
    most = max((row.resources.memory_gb for row in rows if row.left), default=0)
    sums = [
        sum(values)
        for values in zip(*((r.left, r.done, r.gpu_hours, r.cpu_hours, r.disk_gb) for r in rows), strict=True)
    ]
    total = f"{'in all':<22}{sums[0]:>6}{sums[1]:>6}{sums[2]:>11.2f}{sums[3]:>12.2f}{most:>11.1f} GB{sums[4]:>8.2f} GB"
    return "\n".join([*lines, total])


def disk_shortage(rows: Iterable[StepCost], folder: Path) -> str | None:
    """A message if the remaining jobs will write more than fits on the disk, else None."""
    needed = sum(row.disk_gb for row in rows)
    free = free_bytes(folder) / 1e9
    if needed <= free:
        return None
    return (
        f"the workflow will write about {needed:.1f} GB to {folder}, but {free:.1f} GB are free there; free some, "
        "or choose another disk with --out"
    )

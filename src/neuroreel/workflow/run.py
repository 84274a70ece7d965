"""What ``neuroreel workflow`` does: check all that can be checked, show the cost, and call Snakemake."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Sequence
from contextlib import ExitStack, chdir
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from neuroreel.errors import InputError, NeuroreelError, ResourceError
from neuroreel.extras import needs
from neuroreel.workflow.configuration import check_configuration, configuration_file, read_configuration
from neuroreel.workflow.cost import cost_table, costs, disk_shortage
from neuroreel.workflow.plan import Plan
from neuroreel.workflow.setup import RECORD, check_files, take_folder

HERE = Path(__file__).parent
SNAKEFILE = HERE / "Snakefile"
JOB_NAME = re.compile(r"neuroreel_[0-9a-f-]{36}")  # from the Slurm profile: its prefix, and an ID for each run
PROFILES = {"local": HERE / "profiles" / "default", "slurm": HERE / "profiles" / "slurm"}


class WorkflowError(NeuroreelError):
    """A step has failed."""


def run_workflow(
    configuration: str | Path,
    *,
    out: Path,
    profile: str = "local",
    dry_run: bool = False,
    cores: int | None = None,
    say: Callable[[str], object],
) -> None:
    """Do what is left of a workflow; a dry run only says what that is and what it takes.

    Raises
    ------
    InputError
        An error in the configuration; a folder of another configuration; a partition that Slurm does not have.
    ResourceError
        Another run is using the folder, the disk is too small, or Snakemake or Slurm is missing.
    WorkflowError
        A step has failed: its log is printed.
    """
    needs("snakemake", extra="workflow")
    raw = read_configuration(configuration)
    plan = Plan(check_configuration(raw, where=str(configuration)))
    check_files(plan)
    options = [*(slurm_options(plan) if profile == "slurm" else []), *plan.configuration.snakemake]
    rows = costs(plan, out)
    say(cost_table(rows))
    shortage = disk_shortage(rows, out)
    if shortage and not dry_run:
        raise ResourceError(shortage)
    if shortage:
        say(f"note: {shortage}")
    if not dry_run:
        take_folder(out, plan, raw)
        if profile == "slurm":
            cancel_orphans(out, say=say)
    _snakemake(raw, out=out, profile=profile, dry_run=dry_run, cores=cores, options=options)


def configuration_text(name: str | Path) -> str:
    """A configuration as it is written."""
    return configuration_file(name).read_text(encoding="utf-8")


def slurm_options(plan: Plan) -> list[str]:
    """Snakemake options that this Slurm needs: without accounting it can only be queried with ``squeue``.

    Raises
    ------
    ResourceError
        Slurm's commands are missing, or do not answer.
    InputError
        The configuration names a partition that this Slurm does not have.
    """
    if shutil.which("sbatch") is None or shutil.which("sinfo") is None:
        raise ResourceError("there is no sbatch here; run on a machine that submits to Slurm, or with --profile local")
    needs("snakemake_executor_plugin_slurm", extra="workflow")
    answer = _slurm("sinfo", "-h", "-o", "%R")
    there = sorted(set(answer.split()))
    for step, resources in plan.configuration.resources.items():
        if resources.partition is not None and resources.partition not in there:
            raise InputError(
                f"resources: {step}: partition is {resources.partition!r}; this Slurm has {', '.join(there) or 'none'}"
            )
    accounting = subprocess.run(["sacct", "-n", "-X"], capture_output=True, check=False).returncode == 0
    return [] if accounting else ["--slurm-no-account", "--slurm-status-command", "squeue"]


def cancel_orphans(out: Path, *, say: Callable[[str], object]) -> None:
    """Cancel jobs of an earlier run in this folder that outlived their Snakemake; finished work is kept.

    They are recognized by the profile's job names: other jobs in the folder are the user's own, and one of them may be
    the job in which this runs.
    """
    jobs = [line.split("|", 2) for line in _slurm("squeue", "--me", "-h", "-o", "%A|%j|%Z").splitlines()]
    orphans = sorted(
        {
            number
            for number, name, folder in jobs
            if JOB_NAME.fullmatch(name) and Path(folder) == out.resolve() and number != os.environ.get("SLURM_JOB_ID")
        }
    )
    if orphans:
        say(f"jobs of an earlier run are canceled, and continue in new ones: {', '.join(orphans)}")
        _slurm("scancel", *orphans)


def _slurm(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise ResourceError(f"Slurm does not answer: {command[0]} says {done.stderr.strip() or 'nothing'}")
    return done.stdout


def _snakemake(
    raw: dict[str, Any], *, out: Path, profile: str, dry_run: bool, cores: int | None, options: Sequence[str]
) -> None:
    """Run Snakemake in this process, so that only one needs to be killed; jobs are separate processes."""
    snakemake = needs("snakemake.cli", extra="workflow")
    with ExitStack() as stack:
        place = out if out.is_dir() else Path(stack.enter_context(TemporaryDirectory()))
        record = place / RECORD
        if dry_run:
            record = Path(stack.enter_context(TemporaryDirectory())) / RECORD
            record.write_text(json.dumps(raw))
        arguments = ["--snakefile", str(SNAKEFILE), "--configfile", str(record.resolve())]
        arguments += ["--workflow-profile", str(PROFILES[profile]), "--cores", "all" if cores is None else str(cores)]
        arguments += ["--dry-run", "--quiet", "rules"] if dry_run else []
        stack.enter_context(chdir(place))
        try:
            snakemake.main([*arguments, *options])
        except SystemExit as ended:
            if ended.code and dry_run:
                raise WorkflowError("Snakemake cannot plan this; its messages are above") from ended
            if ended.code:
                raise WorkflowError(
                    f"a step has failed; its messages are above, and in {out / 'logs'}. Fix what they say and give "
                    "the same command again: what is done is kept"
                ) from ended

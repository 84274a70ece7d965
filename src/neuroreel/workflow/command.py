"""``neuroreel workflow``: a whole study in one command."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from neuroreel.commands.files import say
from neuroreel.extras import needs


@dataclass(frozen=True, kw_only=True)
class Workflow:
    """Run a whole study, from recordings to figures, also on Slurm.

    Finished steps are kept; an interrupted study resumes.

    Args:
        config: A YAML file, or one that ships with neuroreel: quick (a simulated mouse, minutes) or paper.
        out: Folder for everything that is made; neuroreel-CONFIG by default.
        profile: One machine, or Slurm.
        dry_run: Only print the remaining jobs, their GPU-hours, memory and disk.
        cores: Most cores of this machine to use at once; by default all.
        show: Print the configuration, to start your own from.
        snakefile: Print where the Snakefile is, for plain Snakemake.
        table: Write table.md and table.csv in this workflow's folder, comparing its numbers with the published ones.
    """

    config: Annotated[str, Positional, arg(metavar="[CONFIG]")] = "quick"
    out: Path | None = None
    profile: Literal["local", "slurm"] = "local"
    dry_run: bool = False
    cores: int | None = None
    show: bool = False
    snakefile: bool = False
    table: Path | None = None

    def __call__(self) -> None:
        """Print what was requested, or run the rest of the study."""
        needs("pydantic", extra="workflow")  # it checks the configuration
        from neuroreel.workflow.run import SNAKEFILE, configuration_text, run_workflow

        if self.snakefile:
            say(str(SNAKEFILE))
        elif self.show:
            say(configuration_text(self.config))
        elif self.table is not None:
            from neuroreel.workflow.comparison import write_comparison

            say(write_comparison(self.table))
        else:
            folder = Path(f"neuroreel-{Path(self.config).stem}") if self.out is None else self.out
            run_workflow(self.config, out=folder, profile=self.profile, dry_run=self.dry_run, cores=self.cores, say=say)

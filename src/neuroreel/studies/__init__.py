"""Studies: the paper's experiments and your own as lists of jobs, and a comparison of all methods."""

from neuroreel.studies.animals import Animal, ModelFile
from neuroreel.studies.declarations import EXPERIMENTS
from neuroreel.studies.experiment import run_experiment
from neuroreel.studies.grid import FULL, QUICK, Grid
from neuroreel.studies.jobs import Job
from neuroreel.studies.matching import open_animals
from neuroreel.studies.method import Method
from neuroreel.studies.stimuli import GratingStimulus, NoiseStimulus
from neuroreel.studies.table import experiment_status, experiment_table

__all__ = [
    "EXPERIMENTS",
    "FULL",
    "QUICK",
    "Animal",
    "GratingStimulus",
    "Grid",
    "Job",
    "Method",
    "ModelFile",
    "NoiseStimulus",
    "experiment_status",
    "experiment_table",
    "open_animals",
    "run_experiment",
]

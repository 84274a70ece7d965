"""The paper's experiments, and one's own, as declarations over the one engine: lists of jobs, each a reconstruction."""

from neuroreel.experiments.animals import Animal, ModelFile
from neuroreel.experiments.declarations import EXPERIMENTS
from neuroreel.experiments.grid import FULL, QUICK, Grid
from neuroreel.experiments.jobs import Job
from neuroreel.experiments.matching import open_animals
from neuroreel.experiments.method import Method
from neuroreel.experiments.run import run_experiment
from neuroreel.experiments.stimuli import GratingStimulus, NoiseStimulus
from neuroreel.experiments.table import experiment_status, experiment_table

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

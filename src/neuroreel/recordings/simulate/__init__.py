"""A simulated mouse: natural-looking movies, neurons whose receptive fields are known, a recording like a real one."""

from neuroreel.recordings.simulate.mouse import simulate
from neuroreel.recordings.simulate.truth import SimulatedTruth, load_truth

__all__ = ["SimulatedTruth", "load_truth", "simulate"]

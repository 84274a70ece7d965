from .mouse import simulate as simulate
from .truth import SimulatedTruth as SimulatedTruth
from .truth import load_truth as load_truth

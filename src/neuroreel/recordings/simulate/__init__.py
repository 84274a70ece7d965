"""A simulated mouse: natural-looking movies, neurons with known receptive fields, a recording in the usual layout."""

from lazy_loader import attach_stub

# Names from __init__.pyi, imported on first use: the command line reads the settings without SciPy.
__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)

"""A simulated mouse: natural-looking movies, neurons whose receptive fields are known, a recording like a real one."""

from lazy_loader import attach_stub

# Names as in __init__.pyi, imported at first use: the command line reads the settings without SciPy.
__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)

"""neuroreel: reconstruct the movie an animal watched from the activity of its neurons."""

from importlib.metadata import PackageNotFoundError, version

from lazy_loader import attach_stub

# The names are listed in __init__.pyi and imported at first use: PyTorch and its dependencies take seconds to load, and
# `neuroreel --help` should not wait for them.
__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)

try:
    __version__ = version("neuroreel")
except PackageNotFoundError:  # run from its source tree
    __version__ = "0+source"

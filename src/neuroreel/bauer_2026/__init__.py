"""The published method, to the letter: Bauer, Margrie & Clopath, eLife 2026."""

from lazy_loader import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)

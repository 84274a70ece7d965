"""Lightning's own remarks, most of them about settings chosen on purpose here, kept out of the user's terminal."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager


def silence_lightning() -> None:
    """The same for a whole process: one that a training on several devices started."""
    for logger in _loggers():
        logger.setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="lightning")


@contextmanager
def quiet_lightning() -> Iterator[None]:
    """Silence Lightning's information lines and its advice on workers and logging within the block."""
    loggers = _loggers()
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="lightning")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _loggers() -> list[logging.Logger]:
    return [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric")]

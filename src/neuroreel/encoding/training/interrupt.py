"""Ctrl-C while Lightning trains."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import lightning


@contextmanager
def keyboard_interrupt_of(trainer: lightning.Trainer) -> Iterator[None]:
    """Ctrl-C within the block stays a KeyboardInterrupt, and works again afterwards.

    Lightning turns it into ``SystemExit`` and leaves the process deaf to Ctrl-C, which a notebook does not survive.
    """
    handler = signal.getsignal(signal.SIGINT)
    try:
        yield
    except SystemExit as stop:
        if trainer.interrupted:
            raise KeyboardInterrupt from stop
        raise
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, handler)

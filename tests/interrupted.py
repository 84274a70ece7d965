"""How a process ends that Ctrl-C has stopped."""

from __future__ import annotations

import signal

# A shell says 130 of both. Python itself ends by the signal, once the program's own exit is through, where the signal
# came while a string was being executed, as when a dataclass or a named tuple is made during an import.
INTERRUPTED = (130, -signal.SIGINT)

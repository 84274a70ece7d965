"""The errors that neuroreel raises on purpose.

Each message says what was passed, what is allowed and what to do, and spells arguments as Python does: "skip is -1",
"pass overwrite=True". The command line prints only the message, with options in place of arguments, and exits with a
nonzero status; in Python they are ordinary exceptions.
"""

from __future__ import annotations


class NeuroreelError(Exception):
    """Base class of all neuroreel errors; the message is written for the user."""


class InputError(NeuroreelError, ValueError):
    """Unusable data, file or argument."""


class ExistsError(InputError):
    """A file or folder exists and must not be replaced."""


class RefusedError(InputError):
    """A file contains something that no file of its kind needs and that could run code."""


class ResourceError(NeuroreelError, RuntimeError):
    """The machine lacks something: a device, memory, disk space, a permission."""

"""The errors that neuroreel raises on purpose.

Each message says what was got, what is allowed and what to do about it, and spells arguments as Python does: "skip is
-1", "pass overwrite=True". The command line prints the message alone, with its options in place of the arguments, and
exits with a status that is not zero; from Python they are ordinary exceptions.
"""

from __future__ import annotations


class NeuroreelError(Exception):
    """Anything that neuroreel refuses to do, with a message meant for the person at the keyboard."""


class InputError(NeuroreelError, ValueError):
    """Data, a file or an argument that cannot be used as it is."""


class ExistsError(InputError):
    """A file or folder exists and must not be replaced."""


class RefusedError(InputError):
    """A file asks for something that no file of its kind needs, and that could be made to run code."""


class ResourceError(NeuroreelError, RuntimeError):
    """The machine lacks something: a device, memory, disk space, a permission."""

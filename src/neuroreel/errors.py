"""The errors that neuroreel raises on purpose.

Each message says what was got, what is allowed and what to do about it. The command line prints the message alone and
exits with a status that is not zero; from Python they are ordinary exceptions.
"""

from __future__ import annotations


class NeuroreelError(Exception):
    """Anything that neuroreel refuses to do, with a message meant for the person at the keyboard."""


class InputError(NeuroreelError, ValueError):
    """Data, a file or an argument that cannot be used as it is."""


class ExistsError(InputError):
    """A file or folder exists and must not be replaced: (what is wrong, what to do in Python).

    The command line gives advice of its own in place of the second part.
    """

    def __str__(self) -> str:
        return "; ".join(map(str, self.args))


class RefusedError(InputError):
    """A file asks for something that no file of its kind needs, and that could be made to run code."""


class ResourceError(NeuroreelError, RuntimeError):
    """The machine lacks something: a device, memory, disk space, a permission."""

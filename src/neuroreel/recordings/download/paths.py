"""Names from elsewhere that must stay inside a folder."""

from __future__ import annotations

from pathlib import PurePosixPath

from neuroreel.errors import RefusedError


def safe_path(name: str, *, source: str) -> PurePosixPath:
    """A relative path that stays in the folder it is joined to, on any system.

    Raises
    ------
    RefusedError
        It is empty or absolute, has "..", a backslash, a drive or a control character in it.
    """
    parts = name.split("/")
    if parts[-1] == "" and len(parts) > 1:  # a folder's name ends in a slash
        parts.pop()
    wrong = (
        any(part in ("", ".", "..") for part in parts)
        or any(character in name for character in "\\:")
        or not name.isprintable()
    )
    if wrong:
        raise RefusedError(
            f"{source} has a file named {name!r}, which could be written outside its folder; nothing is unpacked"
        )
    return PurePosixPath(*parts)

"""What is known about a file before download: size and checksum, for instance from an archive's annex keys."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

_ANNEX_KEY = re.compile(r"([A-Z0-9]+?)E?-s(\d+)(?:-[a-zA-Z]\d+)*--([0-9a-f]+)(?:\.[^/\s]*)?")
_ANNEX_POINTER = re.compile(rb"(?:[./]*\.git)?/annex/objects/(?:[^\s]*/)?(?P<key>[^/\s]+)\s*(?:/annex/|\Z)")
_DIGITS = {"md5": 32, "sha1": 40, "sha224": 56, "sha256": 64, "sha384": 96, "sha512": 128}
_PIECE = 4 << 20
_POINTER_BYTES = 32_768  # the longest pointer file that git-annex writes


@dataclass(frozen=True)
class Expected:
    """What is known about a file; None for unknown fields.

    Attributes
    ----------
    size
        Size in bytes.
    checksum
        Algorithm and digest: "md5:5d41402abc4b2a76b9719d911017c592".
    source
        The source, for messages.
    validator
        The server's strong ETag or modification date, so that a server resumes a file only if it has not changed.
    """

    size: int | None = None
    checksum: str | None = None
    source: str = ""
    validator: str | None = None

    def __post_init__(self) -> None:
        algorithm, _, digest = (self.checksum or "").partition(":")
        if self.checksum and len(digest) != _DIGITS.get(algorithm):
            raise ValueError(f"{self.checksum!r} is not a checksum such as 'md5:5d41402abc4b2a76b9719d911017c592'")


def annex_key(key: str) -> Expected | None:
    """Size and checksum in a git-annex key ("MD5-s5--5d41…"); None if it is not one.

    The checksum is None for backends without one (WORM, URL), and for unknown algorithms.
    """
    source = f"git-annex key {key}"
    match = _ANNEX_KEY.fullmatch(key)
    if match and len(match[3]) == _DIGITS.get(match[1].lower()):
        return Expected(int(match[2]), f"{match[1].lower()}:{match[3]}", source)
    size_only = re.match(r"[A-Z0-9_]+-s(\d+)", key)
    return Expected(int(size_only[1]), None, source) if size_only else None


def annex_pointer(content: bytes) -> Expected | None:
    """The key in a file in git that points to content in git-annex; None if it is the content itself."""
    match = _ANNEX_POINTER.match(content) if len(content) <= _POINTER_BYTES else None
    return annex_key(match["key"].decode("utf-8", "replace")) if match else None


def pieces_of(file: Path, *, check_stopped: Callable[[], None] = lambda: None) -> Iterator[bytes]:
    """The content of a file in pieces; ``check_stopped`` raises if the work should end."""
    with file.open("rb") as stream:
        while piece := stream.read(_PIECE):
            check_stopped()
            yield piece


def problem_of(
    file: Path, expected: Expected, *, check_stopped: Callable[[], None] = lambda: None
) -> tuple[str, str | None]:
    """The SHA-256 of a file, which is read once, and what is wrong with it, or None."""
    algorithm, _, wanted = (expected.checksum or "sha256:").partition(":")
    digests = {name: hashlib.new(name, usedforsecurity=False) for name in ("sha256", algorithm)}
    for piece in pieces_of(file, check_stopped=check_stopped):
        for digest in digests.values():
            digest.update(piece)
    sha256, found = digests["sha256"].hexdigest(), digests[algorithm].hexdigest()
    size = file.stat().st_size
    if expected.size not in (None, size):
        return sha256, f"it has {size} bytes, but {expected.size} are expected ({expected.source})"
    if wanted not in ("", found):
        return sha256, f"its {algorithm} checksum is {found} instead of {wanted} ({expected.source})"
    if size <= _POINTER_BYTES and annex_pointer(file.read_bytes()):
        return sha256, "the archive has only a git-annex pointer, not the content"
    return sha256, None

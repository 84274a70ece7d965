"""Checksums: what the archive says of a file, and what was seen when it was first downloaded."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from neuroreel.errors import InputError
from neuroreel.files import atomic_path
from neuroreel.recordings.disk import read_json

GIT_BLOB = "git-blob"
_ANNEX_KEY = re.compile(
    r"(?P<backend>[A-Z0-9]+?)E?-s(?P<size>\d+)(?:-[a-zA-Z]\d+)*--(?P<digest>[0-9a-f]+)(?:\.[^/\s]*)?"
)
_ANNEX_POINTER = re.compile(rb"(?:[./]*\.git)?/annex/objects/(?:[^\s]*/)?(?P<key>[^/\s]+)\s*(?:/annex/|\Z)")
_BACKENDS = {
    "MD5": "md5",
    "SHA1": "sha1",
    "SHA224": "sha224",
    "SHA256": "sha256",
    "SHA384": "sha384",
    "SHA512": "sha512",
}
POINTER_BYTES = 32_768
"""Longest pointer file that git-annex writes."""


class Hasher(Protocol):
    """What hashlib gives."""

    def update(self, data: bytes, /) -> None:
        """Take in bytes."""

    def hexdigest(self) -> str:
        """The digest so far."""


@dataclass(frozen=True)
class Checksum:
    """A digest, and by which algorithm: one of hashlib's, or git's of a file of known size."""

    algorithm: str
    digest: str


@dataclass(frozen=True)
class Expected:
    """What is known of a file before it is downloaded; None where nothing is."""

    size: int | None = None
    checksum: Checksum | None = None
    source: str = ""


def annex_key(key: str) -> Expected | None:
    """Size and checksum in a git-annex key such as ``MD5E-s5--5d41402abc4b2a76b9719d911017c592.npy``.

    None where it is no key; without a checksum where its backend has none that Python knows.
    """
    match = _ANNEX_KEY.fullmatch(key)
    if match is None:
        size_only = re.match(r"[A-Z0-9]+-s(\d+)-", key)
        return Expected(int(size_only[1]), source=f"git-annex key {key}") if size_only else None
    algorithm = _BACKENDS.get(match["backend"])
    known = algorithm is not None and len(match["digest"]) == 2 * hashlib.new(algorithm).digest_size
    checksum = Checksum(algorithm, match["digest"]) if algorithm and known else None
    return Expected(int(match["size"]), checksum, f"git-annex key {key}")


def annex_pointer(content: bytes) -> Expected | None:
    """What a file in git says that only points to its content in git-annex; None if it is the content itself."""
    match = _ANNEX_POINTER.match(content) if len(content) <= POINTER_BYTES else None
    return annex_key(match["key"].decode("utf-8", "replace")) if match else None


def hasher(algorithm: str, *, size: int) -> Hasher:
    """Something that computes the checksum of a file of ``size`` bytes."""
    if algorithm == GIT_BLOB:
        return hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)
    return hashlib.new(algorithm, usedforsecurity=False)


def checksum_of(file: Path, algorithm: str) -> Checksum:
    """The checksum of a file on disk."""
    digest = hasher(algorithm, size=file.stat().st_size)
    with file.open("rb") as stream:
        while piece := stream.read(1 << 20):
            digest.update(piece)
    return Checksum(algorithm, digest.hexdigest())


class Ledger:
    """``checksums.json`` in the user's folder: size and SHA-256 of each file when it was first downloaded.

    What is downloaded again into the folder must be the same, also where the archive gives no checksums.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        self._lock = threading.Lock()
        self._entries: dict[str, Any] = read_json(file) if file.exists() else {}

    def expected(self, key: str) -> Expected | None:
        """What a file was when it was first downloaded; None if it never was."""
        if key not in self._entries:
            return None
        try:
            entry = self._entries[key]
            return Expected(int(entry["size"]), Checksum("sha256", str(entry["sha256"])), self.file.name)
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"{self.file}: the entry of {key} has no size and sha256; delete it") from error

    def files(self) -> list[tuple[str, str]]:
        """The files that are kept as they are: their keys, and where they lie in the folder."""
        return [(key, str(entry["local"])) for key, entry in self._entries.items() if "local" in entry]

    def record(self, key: str, *, size: int, sha256: str, checked: str, local: str | None = None) -> None:
        """Keep what a file was.

        Parameters
        ----------
        checked
            Against what, where the archive gave a checksum.
        local
            Where it lies in the folder; None for a zip, which is not kept.
        """
        entry: dict[str, Any] = {"size": size, "sha256": sha256, "checked": checked or "first download"}
        with self._lock:
            self._entries[key] = entry if local is None else {**entry, "local": local}
            with atomic_path(self.file, overwrite=True) as partial:
                partial.write_text(json.dumps(self._entries, indent=1, sort_keys=True) + "\n", encoding="utf-8")

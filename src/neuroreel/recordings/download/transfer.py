"""One file from the web to disk: resumed where it stopped, checked, and there only when it is whole and right."""

from __future__ import annotations

import errno
import json
import os
import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from neuroreel.errors import InputError
from neuroreel.files import atomic_path, explain_disk_errors, move_new
from neuroreel.recordings.download.checksums import POINTER_BYTES, Expected, Hasher, annex_pointer, hasher
from neuroreel.recordings.download.web import PassingError, Web

if TYPE_CHECKING:
    from requests import Response

_SYNC_EVERY = 64 * 1024**2
_CONTENT_RANGE = re.compile(r"bytes (?P<first>\d+)-(?P<last>\d+)/(?P<total>\d+)")


@dataclass(frozen=True)
class Offer:
    """What a server says of a file.

    Attributes
    ----------
    size
        Bytes of the whole file; None where it does not say.
    validator
        Strong ETag, or date of change: with it a server resumes a file only if it is still the same.
    ranges
        Whether it sends parts of files, which resuming needs.
    """

    size: int | None
    validator: str | None
    ranges: bool


@dataclass(frozen=True)
class Fetched:
    """A file that has arrived: its size in bytes and SHA-256."""

    size: int
    sha256: str


def probe(web: Web, url: str) -> Offer:
    """Size of a file and whether it can be resumed, for one byte of it (a server may know no HEAD)."""

    def attempt() -> Offer:
        for headers in ({"Range": "bytes=0-0"}, {}):
            with web.get(url, headers) as response:
                _refuse_page(response)
                offer = offer_of(response)
            if response.status_code != 416:  # an empty file has no first byte
                break
        return offer

    return web.persist(attempt, what=url)


def offer_of(response: Response) -> Offer:
    """What an answer says of the whole file."""
    headers = response.headers
    if response.status_code == 206:
        match = _CONTENT_RANGE.fullmatch(headers.get("Content-Range", ""))
        size = int(match["total"]) if match else None
    else:
        length = headers.get("Content-Length", "")
        size = int(length) if length.isdecimal() else None
    etag = headers.get("ETag", "")
    validator = etag if etag.startswith('"') else headers.get("Last-Modified")  # a weak ETag (W/"…") is no promise
    return Offer(size, validator, ranges=response.status_code == 206)


def fetch(
    web: Web,
    url: str,
    target: Path,
    *,
    workplace: Path,
    expected: Expected,
    advance: Callable[[int], object] = lambda count: None,
    checked: Callable[[Fetched], object] = lambda fetched: None,
) -> Fetched:
    """Download a file to ``target``; it appears there when all of it has arrived and its checksum fits.

    Parameters
    ----------
    web
        Retries, waits and stops.
    url
        The file's address.
    target
        Where to; it must not exist.
    workplace
        Folder on the same disk, for what has arrived so far (``….part``): it stays there for the next run.
    expected
        Size and checksum, as far as they are known.
    advance
        Called with how many bytes were gained, negative where they must be fetched again.
    checked
        Called when all is right, before the file gets its name: whoever is killed after it has a note of the file.

    Raises
    ------
    InputError
        The archive does not have the file, or sends another one than expected, twice.
    ResourceError
        The server cannot be reached or falls silent again and again; the disk is full.
    """
    part = _Part(workplace, target.name, algorithm=expected.checksum.algorithm if expected.checksum else None)
    problem: str | None = None
    with explain_disk_errors(target):
        for _ in range(2):
            web.persist(lambda: _request(web, url, part, expected, advance), what=url, gained=lambda: part.size)
            problem = part.problem(expected)
            if problem is None:
                checked(part.fetched())
                return part.finish(target)
            advance(-part.size)
            part.discard()
    raise InputError(f"{url}: {problem}; it was fetched twice and is not kept")


def _request(web: Web, url: str, part: _Part, expected: Expected, advance: Callable[[int], object]) -> None:
    """Ask for what is missing and append it."""
    if part.total is not None and part.size == part.total == (expected.size or part.total):
        part.hash_what_is_there()
        return
    headers = {}
    if part.size:
        headers["Range"] = f"bytes={part.size}-"
        if part.validator:
            headers["If-Range"] = part.validator
    with web.get(url, headers) as response:
        _refuse_page(response)
        offer = offer_of(response)
        if _must_start_over(response, offer, part):
            advance(-part.size)
            part.discard()
            if response.status_code != 200:
                raise PassingError("the server answers with another part of the file than was asked for")
        if offer.size is None:
            raise InputError(
                f"{url}: the server does not say how long the file is, so that no one can tell if it is cut"
            )
        if expected.size not in (None, offer.size):
            raise PassingError(
                f"the server sends {offer.size} bytes where {expected.size} are expected ({expected.source})"
            )
        part.start(url, offer)
        for piece in web.body(response):
            part.append(piece)
            advance(len(piece))
            if part.size > offer.size:
                advance(-part.size)
                part.discard()
                raise PassingError(f"the server sends more than the {offer.size} bytes that it announced")
    if part.size < offer.size:
        raise PassingError(f"the connection ended after {part.size} of {offer.size} bytes")


def _must_start_over(response: Response, offer: Offer, part: _Part) -> bool:
    if part.size == 0:
        return False
    if response.status_code != 206:  # 200: the file has changed, or the server knows no ranges; 416: it is shorter
        return True
    match = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
    return match is None or int(match["first"]) != part.size or offer.size != part.total


def _refuse_page(response: Response) -> None:
    """A login, a captcha or a notice of maintenance in place of the file."""
    if response.status_code != 416 and response.headers.get("Content-Type", "").startswith("text/html"):
        raise PassingError("the server sends a web page instead of the file; see with a browser what it says")


class _Part:
    """``NAME.part``, what has arrived so far, and ``NAME.part.json``, what it is a part of.

    It is written without a buffer: what was received survives a kill, and is not fetched again. A machine that loses
    power may lose what was not yet on the disk itself, and leave zeros there; so what was written since the last
    fsync is only trusted while the machine has not been started anew.
    """

    def __init__(self, workplace: Path, name: str, *, algorithm: str | None) -> None:
        self.file = workplace / f"{name}.part"
        self.note = workplace / f"{name}.part.json"
        self.algorithms = {"sha256", algorithm or "sha256"}
        self.hashers: dict[str, Hasher] = {}
        known = _read_note(self.note) if self.file.exists() else {}
        self.total: int | None = known.get("size")
        self.validator: str | None = known.get("validator")
        self.url = str(known.get("url", ""))
        self.synced = int(known.get("synced", 0))
        if self.total is None or self.size > self.total:
            self.discard()
        elif known.get("boot") != _boot() and self.synced < self.size:
            os.truncate(self.file, self.synced)

    @property
    def size(self) -> int:
        return self.file.stat().st_size if self.file.exists() else 0

    def start(self, url: str, offer: Offer) -> None:
        """Before the first byte of an answer is appended."""
        self.file.parent.mkdir(parents=True, exist_ok=True)
        if (self.total, self.validator) != (offer.size, offer.validator):
            self.total, self.validator, self.url = offer.size, offer.validator, url
            self._keep_note()
        self.hash_what_is_there()

    def _keep_note(self) -> None:
        note = {
            "url": self.url,
            "size": self.total,
            "validator": self.validator,
            "synced": self.synced,
            "boot": _boot(),
        }
        with atomic_path(self.note, overwrite=True) as partial:
            partial.write_text(json.dumps(note), encoding="utf-8")

    def hash_what_is_there(self) -> None:
        """Begin the checksums with what an earlier run has left."""
        if self.hashers or self.total is None:
            return
        self.hashers = {name: hasher(name, size=self.total) for name in self.algorithms}
        if self.size:
            with self.file.open("rb") as stream:
                while piece := stream.read(1 << 20):
                    self._hash(piece)

    def append(self, piece: bytes) -> None:
        with self.file.open("ab", buffering=0) as stream:
            written = stream.write(piece)
            due = stream.tell() >= self.synced + _SYNC_EVERY
            if due:
                os.fsync(stream.fileno())
        self._hash(piece[:written])
        if due:
            self.synced = self.size
            self._keep_note()
        if written != len(piece):
            raise OSError(errno.ENOSPC, "No space left on device")  # a short write; the next one would have said so

    def _hash(self, piece: bytes) -> None:
        for each in self.hashers.values():
            each.update(piece)

    def problem(self, expected: Expected) -> str | None:
        """What is wrong with the whole file; None if nothing is."""
        if expected.checksum:
            digest = self.hashers[expected.checksum.algorithm].hexdigest()
            if digest != expected.checksum.digest:
                wanted = f"{expected.checksum.digest} ({expected.source})"
                return f"its {expected.checksum.algorithm} checksum is {digest} instead of {wanted}"
        if 0 < self.size <= POINTER_BYTES and annex_pointer(self.file.read_bytes()):
            return "the archive has only a git-annex pointer, not the content"
        return None

    def fetched(self) -> Fetched:
        return Fetched(self.size, self.hashers["sha256"].hexdigest())

    def finish(self, target: Path) -> Fetched:
        fetched = self.fetched()
        if not self.file.exists():  # a file of no bytes
            self.file.touch()
        with self.file.open("rb") as stream:
            os.fsync(stream.fileno())
        target.parent.mkdir(parents=True, exist_ok=True)
        move_new(self.file, target)
        self.note.unlink(missing_ok=True)
        return fetched

    def discard(self) -> None:
        self.file.unlink(missing_ok=True)
        self.note.unlink(missing_ok=True)
        self.total = self.validator = None
        self.synced = 0
        self.hashers = {}


def _boot() -> str:
    """Which start of which machine this is; the same for all where the system does not tell (not Linux)."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""


def _read_note(file: Path) -> dict[str, Any]:
    with suppress(OSError, ValueError):
        content = json.loads(file.read_text(encoding="utf-8"))
        if isinstance(content, dict) and isinstance(content.get("size"), int):
            return content
    return {}

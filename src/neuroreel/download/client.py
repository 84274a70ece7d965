"""Download one file: with retries, resuming, and checks; it appears only when complete and correct."""

from __future__ import annotations

import hashlib
import os
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from neuroreel.download.checksums import Expected, problem_of
from neuroreel.errors import InputError, ResourceError
from neuroreel.extras import needs
from neuroreel.files import explain_disk_errors

if TYPE_CHECKING:
    from requests import Response, Session
    from urllib3 import Retry

Answer = TypeVar("Answer")

_CHUNK = 1 << 20
_SYNC_EVERY = 16 * _CHUNK
_SLOWEST = 1000  # bytes a second
_LONG_WAIT_S, _LONGEST_WAIT_S = 5.0, 900.0


class PassingError(Exception):
    """A problem that may pass, perhaps after the wait that the server asks for."""

    def __init__(self, reason: str, *, wait_s: float = 0.0) -> None:
        super().__init__(reason)
        self.wait_s = wait_s


class StoppedError(Exception):
    """Another transfer failed, or Ctrl-C: leave everything as is."""


@dataclass(frozen=True)
class Client:
    """HTTP for the transfers of one run, possibly in several threads.

    Parameters
    ----------
    retries
        How often to retry without receiving a byte, and how long to wait in between; see :func:`patient`.
    timeout_s
        How long a server may take to answer, or pause while it sends. Sending almost nothing for that long counts as a
        pause.
    notice
        Called with a line for the user before a long wait.
    """

    retries: Retry
    timeout_s: tuple[float, float] = (20.0, 60.0)
    notice: Callable[[str], object] = lambda line: None
    stopping: threading.Event = field(default_factory=threading.Event, init=False)
    session: Session = field(default_factory=lambda: needs("requests", extra="download").Session(), init=False)

    def check_stopped(self) -> None:
        """Raise StoppedError if the transfers should end because ``stopping`` is set."""
        if self.stopping.is_set():
            raise StoppedError

    @contextmanager
    def get(self, url: str, headers: Mapping[str, str] | None = None) -> Iterator[Response]:
        """The response to a GET, with its body still to be read: status 200, 206 or 416.

        Raises
        ------
        PassingError
            The server is busy, unreachable or silent, also while the block reads the body.
        InputError, ResourceError
            The server does not have the file, refuses it, or cannot be trusted.
        """
        import requests
        import urllib3

        passing = (requests.exceptions.RequestException, urllib3.exceptions.HTTPError, ConnectionError, TimeoutError)
        asked = {"Accept-Encoding": "identity", "User-Agent": "neuroreel", **(headers or {})}
        try:
            with self.session.get(url, headers=asked, stream=True, timeout=self.timeout_s) as response:
                _check_answer(response, url, self.retries)
                yield response
        except requests.exceptions.SSLError as error:
            raise ResourceError(f"{url}: no trusted connection ({error}); check the date and certificates") from error
        except (requests.exceptions.InvalidURL, requests.exceptions.MissingSchema) as error:
            raise InputError(f"{url} is not a web address ({error})") from error
        except passing as error:
            raise PassingError(f"the connection failed ({_cause(error)})") from error

    def body(self, response: Response) -> Iterator[bytes]:
        """The body as it arrives, so that nothing received is lost when the connection breaks."""
        since, gained = time.monotonic(), 0
        while piece := response.raw.read1(_CHUNK):
            self.check_stopped()
            yield piece
            gained += len(piece)
            seconds = time.monotonic() - since
            if seconds > self.timeout_s[1]:
                if gained < _SLOWEST * seconds:
                    raise PassingError(f"the server sent {gained} bytes in {seconds:.0f} s")
                since, gained = time.monotonic(), 0

    def persist(self, attempt: Callable[[], Answer], *, what: str, gained: Callable[[], int] = lambda: 0) -> Answer:
        """Call ``attempt`` until it succeeds without PassingError; while ``gained`` grows, failures do not count.

        Raises
        ------
        ResourceError
            More failures in a row than ``retries`` allows.
        """
        from urllib3.exceptions import MaxRetryError

        left, best = self.retries, gained()
        while True:
            self.check_stopped()
            try:
                return attempt()
            except PassingError as error:
                if (now := gained()) > best:
                    left, best = self.retries, now
                tries = len(left.history) + 1
                try:
                    left = left.increment("GET", what, error=error)
                except MaxRetryError:
                    raise ResourceError(
                        f"{what}: {error}; gave up after {tries} tries; the data received are kept: run the same "
                        "command again later"
                    ) from error
                wait_s = max(error.wait_s, left.get_backoff_time())
                if wait_s > _LONG_WAIT_S:
                    self.notice(f"{what}: {error}; next try in {wait_s:.0f} s")
                if self.stopping.wait(wait_s):
                    raise StoppedError from error

    def ask(self, url: str, expected: Expected) -> Expected:
        """Add the size of a file and its validator from the server, without downloading it."""

        def attempt() -> Expected:
            with self.get(url) as response:
                etag = response.headers.get("ETag", "")  # a weak one (W/"…") does not guarantee equal bytes
                validator = etag if etag.startswith('"') else response.headers.get("Last-Modified")
                return replace(expected, size=expected.size or span_of(response)[1], validator=validator)

        found = self.persist(attempt, what=url)
        if found.size is None:
            raise ResourceError(
                f"{url}: the server does not say how long the file is, so truncation could not be detected; try again "
                "later"
            )
        return found

    def fetch(
        self, url: str, part: Path, expected: Expected, *, advance: Callable[[int], object] = lambda count: None
    ) -> str:
        """Download a file until it is complete and its checksum matches.

        Parameters
        ----------
        part
            Where it goes; data from an earlier run are kept. Name it with :func:`part_file`.
        expected
            Its size must be known, see :meth:`ask`.
        advance
            Called with the number of bytes received, negative if they must be fetched again.

        Returns
        -------
        str
            Its SHA-256.

        Raises
        ------
        InputError
            The archive does not have the file, or twice sends a file other than expected.
        ResourceError
            The server is repeatedly unreachable or silent, or the disk is full.
        """
        with explain_disk_errors(part):
            part.parent.mkdir(parents=True, exist_ok=True)
            part.touch()
            size = part.stat().st_size
            if expected.checksum is None and size != expected.size:
                # only a checksum shows what a power cut has left unwritten
                _cut(part, size - _SYNC_EVERY - _CHUNK, advance)
            for _ in range(2):
                self.persist(
                    lambda: self._append(url, part, expected, advance), what=url, gained=lambda: part.stat().st_size
                )
                sha256, problem = problem_of(part, expected, check_stopped=self.check_stopped)
                if problem is None:
                    return sha256
                _cut(part, 0, advance)
        raise InputError(f"{url}: {problem}; it was fetched twice and is not kept")

    def _append(self, url: str, part: Path, expected: Expected, advance: Callable[[int], object]) -> None:
        """Request the missing rest of a file and append it."""
        assert expected.size is not None  # ask() made sure
        size = part.stat().st_size
        if size == expected.size > 0:
            return
        headers = {"Range": f"bytes={size}-"} if size else {}
        if size and expected.validator:
            headers["If-Range"] = expected.validator
        with self.get(url, headers) as response:
            first, whole = span_of(response)
            if first != size:  # 200: the file has changed, or the server does not support ranges; 416: it is shorter
                _cut(part, 0, advance)
            if response.status_code == 416 or first not in (0, size):
                raise PassingError("the server sends a different part of the file than requested")
            if whole not in (None, expected.size):
                raise PassingError(
                    f"the server sends {whole} bytes, but {expected.size} are expected ({expected.source})"
                )
            self._write(response, part, advance, most=expected.size)
        size = part.stat().st_size
        if size > expected.size:
            _cut(part, 0, advance)
            raise PassingError(f"the server sends more than {expected.size} bytes")
        if size < expected.size:
            raise PassingError(f"the connection ended after {size} of {expected.size} bytes")

    def _write(self, response: Response, part: Path, advance: Callable[[int], object], *, most: int) -> None:
        """Append the body; all but the last megabytes are flushed to disk, and survive a power cut."""
        with part.open("ab") as stream:
            synced = stream.tell()
            try:
                for piece in self.body(response):
                    stream.write(piece)
                    advance(len(piece))
                    if stream.tell() > most:
                        break
                    if stream.tell() - synced >= _SYNC_EVERY:
                        os.fsync(stream.fileno())
                        synced = stream.tell()
            finally:
                stream.flush()
                os.fsync(stream.fileno())


def patient(attempts: int = 8, *, first_wait_s: float = 1.0) -> Retry:
    """The urllib3 policy for that many attempts, with waits that double up to a minute.

    ResourceError if the HTTP libraries are not installed.
    """
    needs("requests", extra="download")
    from urllib3 import Retry

    return Retry(attempts - 1, backoff_factor=first_wait_s, backoff_max=60, backoff_jitter=first_wait_s / 2)


def part_file(folder: Path, name: str, expected: Expected) -> Path:
    """Where the partial data of a file are kept; the name depends on the version of the file."""
    state = f"{expected.size} {expected.checksum or expected.validator}"
    return folder / f"{name}.{hashlib.sha256(state.encode()).hexdigest()[:8]}.part"


def span_of(response: Response) -> tuple[int, int | None]:
    """Where the body of a response starts in the file, and the size of the whole file, or None if unknown."""
    if response.status_code == 206:
        match = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", ""))
        if match is None:
            raise PassingError("the server sends a part of the file without saying which")
        return int(match[1]), None if match[2] == "*" else int(match[2])
    length = response.headers.get("Content-Length", "")
    return 0, int(length) if length.isdecimal() else None


def _check_answer(response: Response, url: str, retries: Retry) -> None:
    status, headers = response.status_code, response.headers
    if url.startswith("https:") and not response.url.startswith("https:"):
        raise InputError(f"{url} leads to {response.url}, which is not encrypted; the link is not followed")
    if headers.get("Content-Encoding", "identity") != "identity":
        raise InputError(f"{url} is sent compressed, which was not requested; its length cannot be checked")
    if status in (408, 425, 429, 500, 502, 503, 504):
        asked_s = retries.parse_retry_after(headers.get("Retry-After", "0"))
        if asked_s > _LONGEST_WAIT_S:
            raise ResourceError(f"{url}: the server asks to come back in {asked_s / 60:.0f} minutes; run again then")
        raise PassingError(f"the server answers {status}", wait_s=asked_s)
    if status in (404, 410):
        raise InputError(f"{url} was not found ({status}); the archive may have moved it: look there with a browser")
    if status in (401, 403):
        raise InputError(f"{url} is not accessible ({status}); the archive may ask for a login: try it with a browser")
    if status not in (200, 206, 416):
        raise InputError(f"{url}: the server answers {status}")
    if status != 416 and headers.get("Content-Type", "").startswith("text/html"):  # a login, a captcha, maintenance
        raise PassingError("the server sends a web page instead of the file; see with a browser what it says")


def _cause(error: BaseException) -> str:
    """The root cause of the errors that libraries wrap around each other."""
    while (inner := error.__cause__ or error.__context__) is not None:
        error = inner
    return str(error) or type(error).__name__


def _cut(part: Path, size: int, advance: Callable[[int], object]) -> None:
    """Truncate the partial data to ``size`` bytes."""
    kept = max(0, size)
    advance(kept - part.stat().st_size)
    os.truncate(part, kept)

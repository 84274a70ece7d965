"""Asking a web server, patiently: what is worth a second try, how long to wait, and when to give up."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, TypeVar

from neuroreel.errors import InputError, ResourceError
from neuroreel.extras import needs

if TYPE_CHECKING:
    from requests import Response, Session

Answer = TypeVar("Answer")

CHUNK = 1 << 20
_PASSING = (408, 425, 429, 500, 502, 503, 504)
_FINE = (200, 206, 416)
_SLOWEST = 1000  # bytes a second
_LONG_WAIT_S = 5.0


@dataclass(frozen=True)
class Patience:
    """How long to try.

    Attributes
    ----------
    attempts
        Failures in a row, without a byte gained between them, after which to give up.
    first_wait_s, longest_wait_s
        The wait after the first failure, which doubles, and the longest. Each is shortened at random by up to half, so
        that several runs do not come back at once.
    connect_s, stall_s
        How long a server may take to answer, and be silent while it sends. One that sends next to nothing for so long
        counts as silent.
    longest_asked_wait_s
        How long a wait a server may ask for (Retry-After).
    """

    attempts: int = 8
    first_wait_s: float = 1.0
    longest_wait_s: float = 60.0
    connect_s: float = 20.0
    stall_s: float = 60.0
    longest_asked_wait_s: float = 900.0


class PassingError(Exception):
    """Something that may be over soon."""

    def __init__(self, reason: str, *, wait_s: float | None = None) -> None:
        super().__init__(reason)
        self.wait_s = wait_s


class StoppedError(Exception):
    """Another transfer failed, or Ctrl-C: leave everything as it is."""


class Web:
    """HTTP for the transfers of one run, which may be in several threads.

    Parameters
    ----------
    patience
        How long to try.
    notice
        Called with a line for the user before a long wait.
    """

    def __init__(
        self, patience: Patience | None = None, *, notice: Callable[[str], object] = lambda line: None
    ) -> None:
        needs("requests", extra="download")
        self.patience = patience or Patience()
        self.notice = notice
        self.stopping = threading.Event()
        self._local = threading.local()

    def stop(self) -> None:
        """Let every transfer end at its next byte."""
        self.stopping.set()

    def check_stopped(self) -> None:
        """Raise StoppedError if the transfers are to end."""
        if self.stopping.is_set():
            raise StoppedError

    @contextmanager
    def get(self, url: str, headers: Mapping[str, str] | None = None) -> Iterator[Response]:
        """The answer to a GET, with its body still to be read: status 200, 206 or 416.

        Raises
        ------
        PassingError
            The server is busy or out of reach, or falls silent, also while the block reads the body.
        InputError
            It has no such file, or does not give it out.
        """
        import requests
        import urllib3

        asked = {"Accept-Encoding": "identity", **(headers or {})}  # a compressed body has another length and no ranges
        timeout = (self.patience.connect_s, self.patience.stall_s)
        try:
            with self._session().get(url, headers=asked, stream=True, timeout=timeout) as response:
                _check_status(response, url)
                yield response
        except requests.exceptions.SSLError as error:
            raise ResourceError(
                f"{url}: no trustworthy connection ({error}); check the date and certificates"
            ) from error
        except (requests.exceptions.InvalidURL, requests.exceptions.MissingSchema) as error:
            raise InputError(f"{url} is no web address ({error})") from error
        except (
            requests.exceptions.RequestException,
            urllib3.exceptions.HTTPError,
            ConnectionError,
            TimeoutError,
        ) as error:
            raise PassingError(_in_short(error)) from error

    def body(self, response: Response) -> Iterator[bytes]:
        """The body as it arrives: nothing that was received is lost when the connection breaks."""
        since, gained = time.monotonic(), 0
        while piece := response.raw.read1(CHUNK):
            self.check_stopped()
            yield piece
            gained += len(piece)
            seconds = time.monotonic() - since
            if seconds > self.patience.stall_s:
                if gained < _SLOWEST * seconds:
                    raise PassingError(f"the server sent {gained} bytes in {seconds:.0f} s")
                since, gained = time.monotonic(), 0

    def persist(self, attempt: Callable[[], Answer], *, what: str, gained: Callable[[], int] | None = None) -> Answer:
        """Call ``attempt`` until it succeeds.

        Parameters
        ----------
        attempt
            Raises PassingError where it is worth another try.
        what
            Named in the error.
        gained
            How far the work is; while it grows, failures do not count.

        Raises
        ------
        ResourceError
            ``patience.attempts`` failures in a row.
        """
        failures, best = 0, gained() if gained else 0
        while True:
            self.check_stopped()
            try:
                return attempt()
            except PassingError as error:
                now = gained() if gained else 0
                failures = 1 if now > best else failures + 1
                best = max(best, now)
                if failures >= self.patience.attempts:
                    raise ResourceError(
                        f"{what}: {error}; gave up after {failures} tries; what has arrived is kept: run the same "
                        "command again later"
                    ) from error
                self._wait(failures, error, what=what)

    def _wait(self, failures: int, error: PassingError, *, what: str) -> None:
        asked_s = error.wait_s
        if asked_s is not None and asked_s > self.patience.longest_asked_wait_s:
            raise ResourceError(
                f"{what}: the archive asks to come back in {asked_s / 60:.0f} minutes; run the same command then"
            )
        longest = min(self.patience.first_wait_s * 2 ** (failures - 1), self.patience.longest_wait_s)
        wait_s = longest * random.uniform(0.5, 1) if asked_s is None else asked_s
        if wait_s > _LONG_WAIT_S:
            self.notice(f"{what}: {error}; next try in {wait_s:.0f} s")
        if self.stopping.wait(wait_s):
            raise StoppedError

    def _session(self) -> Session:
        """One a thread, with its own connections."""
        import requests

        from neuroreel import __version__

        session: Session | None = getattr(self._local, "session", None)
        if session is None:
            session = self._local.session = requests.Session()
            session.headers["User-Agent"] = f"neuroreel/{__version__}"
        return session

    def hurried(self, attempts: int) -> Web:
        """The same with fewer attempts: while somebody waits at the terminal, or for what one can do without."""
        other = Web(replace(self.patience, attempts=min(attempts, self.patience.attempts)), notice=self.notice)
        other.stopping = self.stopping
        return other


def _check_status(response: Response, url: str) -> None:
    status = response.status_code
    if url.startswith("https:") and not response.url.startswith("https:"):
        raise InputError(f"{url} leads to {response.url}, which is not encrypted; it is not followed")
    if response.headers.get("Content-Encoding", "identity") != "identity":
        raise InputError(f"{url} is sent compressed though that was not asked for; its length cannot be checked")
    if status in _FINE:
        return
    if status in _PASSING:
        raise PassingError(f"the server answers {status}", wait_s=_asked_wait_s(response.headers.get("Retry-After")))
    if status in (404, 410):
        raise InputError(f"{url} is not there ({status}); the archive may have moved it: look there with a browser")
    if status in (401, 403):
        raise InputError(f"{url} is not given out ({status}); the archive may ask for a login: try it with a browser")
    raise InputError(f"{url}: the server answers {status}")


def _asked_wait_s(header: str | None) -> float | None:
    """Seconds in a Retry-After header, which has a number or a date."""
    if header is None:
        return None
    if header.strip().isdecimal():
        return float(header)
    try:
        return max(0.0, parsedate_to_datetime(header).timestamp() - time.time())
    except ValueError:
        return None


def _in_short(error: BaseException) -> str:
    """One line: the cause at the bottom of what libraries wrap around each other."""
    while (inner := error.__cause__ or error.__context__) is not None:
        error = inner
    return f"the connection failed ({str(error) or type(error).__name__})"

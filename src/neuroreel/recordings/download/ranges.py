"""A file in the archive that is read in pieces, where they are needed, as if it lay on disk."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from neuroreel.errors import InputError
from neuroreel.recordings.download.transfer import Offer, offer_of
from neuroreel.recordings.download.web import PassingError, Web

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer


READ_AHEAD = 64 * 1024
"""Bytes that are fetched at least: small reads that follow each other are one request."""


def reading(
    web: Web, url: str, offer: Offer, *, advance: Callable[[int], object] = lambda count: None
) -> io.BufferedReader[Any]:
    """A file at an address, to be read from and sought in like one on disk; see :class:`RangeFile`."""
    return io.BufferedReader(RangeFile(web, url, offer, advance=advance), READ_AHEAD)


class RangeFile(io.RawIOBase):
    """A read-only file at an address whose server sends ranges, without a buffer.

    Parameters
    ----------
    web, url
        Where it is.
    offer
        What the server said of it. It must stay the same file as long as this object is used.
    advance
        Called with how many bytes were fetched.
    """

    def __init__(
        self, web: Web, url: str, offer: Offer, *, advance: Callable[[int], object] = lambda count: None
    ) -> None:
        if offer.size is None or not offer.ranges:
            raise InputError(f"{url}: the server does not send parts of the file")
        self.web, self.url, self.offer, self.advance = web, url, offer, advance
        self.length = offer.size
        self.position = 0

    def readable(self) -> bool:
        """True."""
        return True

    def seekable(self) -> bool:
        """True."""
        return True

    def tell(self) -> int:
        """The position."""
        return self.position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move the position; nothing is fetched."""
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self.position, io.SEEK_END: self.length}[whence]
        self.position = max(0, start + offset)
        return self.position

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        """Fetch as much as the buffer takes."""
        view = memoryview(buffer).cast("B")
        count = min(len(view), self.length - self.position)
        if count <= 0:
            return 0
        first = self.position
        view[:count] = self.web.persist(lambda: self._fetch(first, count), what=self.url)
        self.position += count
        self.advance(count)
        return count

    def _fetch(self, first: int, count: int) -> bytes:
        wanted = f"bytes {first}-{first + count - 1}/{self.length}"
        with self.web.get(self.url, {"Range": f"bytes={first}-{first + count - 1}"}) as response:
            got = response.headers.get("Content-Range", "")
            offer = offer_of(response)
            if offer.size not in (None, self.length) or offer.validator != self.offer.validator:
                raise InputError(f"{self.url} has changed while it was read; run the same command again")
            if response.status_code != 206 or got != wanted:
                raise PassingError(f"the server sends {got or 'something else'} instead of {wanted}")
            content = b"".join(self.web.body(response))
        if len(content) != count:
            raise PassingError(f"the connection ended after {len(content)} of {count} bytes")
        return content

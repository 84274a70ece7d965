"""What the archive says of its files before they are downloaded: which there are, their sizes, their checksums.

GIN is a Gogs server, whose repositories keep large files in git-annex: what lies in git is a link, or a small file,
with the annex key, and that holds size and checksum of the content. Two ways lead to the keys. The interface for
programs lists a folder, but by the server's published code it asks for a token. The snapshot of a repository, which its
"download" button gives to anyone, holds the keys of large files and the content of small ones.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import os
import stat
import tempfile
import zipfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, BinaryIO
from urllib.parse import urlsplit

from neuroreel.errors import InputError, ResourceError
from neuroreel.recordings.download.catalogue import Archive
from neuroreel.recordings.download.checksums import (
    GIT_BLOB,
    POINTER_BYTES,
    Checksum,
    Expected,
    annex_key,
    annex_pointer,
)
from neuroreel.recordings.download.paths import safe_path
from neuroreel.recordings.download.web import PassingError, Web

LARGEST_SNAPSHOT = 256 * 1024**2
"""Bytes of a snapshot that are read at most: one that is larger holds contents, not keys."""
_ATTEMPTS = 2
_LARGEST_ANSWER = 64 * 1024**2


def list_folder(web: Web, archive: Archive, *, repository: str, branch: str, folder: str) -> dict[str, Expected] | None:
    """Files below a folder, by their path in the repository, with what is known of each.

    None where the archive tells neither way. The checksums are those of git-annex, or of git for small files.
    """
    place = _Place(web.hurried(_ATTEMPTS), archive, repository, branch)
    return place.ask([folder], wanted=lambda path: not folder or path.startswith(f"{folder}/"), deeper=True)


def known_of(web: Web, archive: Archive, *, repository: str, branch: str, paths: Sequence[str]) -> dict[str, Expected]:
    """What the archive says of some files; those of which it says nothing are left out."""
    place = _Place(web.hurried(_ATTEMPTS), archive, repository, branch)
    folders = sorted({path.rpartition("/")[0] for path in paths})
    return place.ask(folders, wanted=lambda path: path in paths, deeper=False) or {}


@dataclass(frozen=True)
class _Place:
    """A repository in the archive."""

    web: Web
    archive: Archive
    repository: str
    branch: str

    def ask(self, folders: Sequence[str], *, wanted: Callable[[str], bool], deeper: bool) -> dict[str, Expected] | None:
        """Either way; None if neither leads anywhere: no token, no such folder, a web page instead."""
        ways: tuple[Callable[[], dict[str, Expected]], ...] = (
            lambda: self._contents(folders, deeper=deeper),
            self._snapshot,
        )
        for way in ways:
            with suppress(InputError, ResourceError, ValueError, KeyError, TypeError, zipfile.BadZipFile):
                return {path: expected for path, expected in way().items() if wanted(path)}
        return None

    def _contents(self, folders: Sequence[str], *, deeper: bool) -> dict[str, Expected]:
        """From the interface for programs, folder by folder."""
        found: dict[str, Expected] = {}
        waiting = list(folders)
        while waiting:
            url = self._address(self.archive.contents, waiting.pop())
            for entry in _json(self.web, self.archive, url):
                inner = safe_path(str(entry["path"]), source=url).as_posix()
                if entry["type"] != "dir":
                    found[inner] = _of_entry(entry)
                elif deeper:
                    waiting.append(inner)
        return found

    def _snapshot(self) -> dict[str, Expected]:
        """From the zip that the "download" button gives; its root is a folder named like the repository."""
        url = self._address(self.archive.snapshot)
        found: dict[str, Expected] = {}
        with tempfile.TemporaryFile() as stream:
            self.web.persist(lambda: _copy(self.web, url, stream), what=url)
            with zipfile.ZipFile(stream) as snapshot:
                for info in snapshot.infolist():
                    path = safe_path(info.filename, source=url)
                    if not info.is_dir():
                        found["/".join(path.parts[1:])] = _of_member(snapshot, info)
        return found

    def _address(self, pattern: str, path: str = "") -> str:
        return self.archive.address(pattern, repository=self.repository, branch=self.branch, path=path)


def _json(web: Web, archive: Archive, url: str) -> list[dict[str, Any]]:
    token = os.environ.get(archive.token_variable)
    # never to another server than the one that the token is for
    known = urlsplit(url).netloc == urlsplit(archive.url).netloc
    headers = {"Authorization": f"token {token}"} if token and known else {}

    def attempt() -> bytes:
        with web.get(url, headers) as response:
            content = bytearray()
            for piece in web.body(response):
                content += piece
                if len(content) > _LARGEST_ANSWER:
                    raise InputError(f"{url}: the answer is too long")
            return bytes(content)

    answer = json.loads(web.persist(attempt, what=url))
    return answer if isinstance(answer, list) else [answer]


def _of_entry(entry: dict[str, Any]) -> Expected:
    """What one entry says: the annex key that it holds, or git's own checksum."""
    target = str(entry.get("target") or "").rpartition("/")[2]
    pointed = annex_key(target)
    if pointed is None and entry.get("encoding") == "base64" and int(entry["size"]) <= POINTER_BYTES:
        try:
            pointed = annex_pointer(base64.b64decode(str(entry.get("content", ""))))
        except binascii.Error:
            pointed = None
    if pointed is not None:
        return pointed
    return Expected(int(entry["size"]), Checksum(GIT_BLOB, str(entry["sha"])), "git")


def _copy(web: Web, url: str, stream: BinaryIO) -> None:
    stream.seek(0)
    stream.truncate()
    with web.get(url) as response:
        for piece in web.body(response):
            stream.write(piece)
            if stream.tell() > LARGEST_SNAPSHOT:
                raise InputError(f"{url} is larger than a list of keys")
        length = response.headers.get("Content-Length", "")
    if length.isdecimal() and stream.tell() != int(length):
        raise PassingError("the connection ended early")


def _of_member(snapshot: zipfile.ZipFile, info: zipfile.ZipInfo) -> Expected:
    content = snapshot.read(info)
    if stat.S_ISLNK(info.external_attr >> 16):
        return annex_key(content.decode("utf-8", "replace").rpartition("/")[2]) or Expected()
    pointed = annex_pointer(content)
    return pointed or Expected(len(content), Checksum("sha256", hashlib.sha256(content).hexdigest()), "git")

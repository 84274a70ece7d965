"""What a repository's snapshot says of its files: which there are, their sizes, their checksums.

GIN is a Gogs server, whose repositories keep large files in git-annex: what lies in git is a link, or a small file,
with the annex key, and that holds size and checksum of the content. The snapshot, which the "download" button of a
repository gives to anyone, holds the keys of large files and the content of small ones.
"""

from __future__ import annotations

import hashlib
import stat
import tempfile
import zipfile
from pathlib import Path

from neuroreel.download.checksums import Expected, annex_key, annex_pointer
from neuroreel.download.client import Client
from neuroreel.download.unpack import safe_path
from neuroreel.errors import InputError, ResourceError

LARGEST = 256 * 1024**2
"""Bytes of a snapshot that are read at most: one that is larger holds contents, not keys."""


def read_snapshot(client: Client, url: str) -> dict[str, Expected] | None:
    """What is known of each file in a repository, by its path there; None if the archive does not tell."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "snapshot.zip")
        try:
            client.persist(lambda: _copy(client, url, file), what=url)
            with zipfile.ZipFile(file) as snapshot:
                files = [info for info in snapshot.infolist() if not info.is_dir()]
                # the root of the zip is a folder named like the repository
                inner = ["/".join(safe_path(info.filename, source=url).parts[1:]) for info in files]
                return {path: _of_member(snapshot, info) for path, info in zip(inner, files, strict=True)}
        except (InputError, ResourceError, zipfile.BadZipFile):  # no such address, or a web page
            return None


def _copy(client: Client, url: str, file: Path) -> None:
    """What is cut short is no zip that can be read."""
    with client.get(url) as response, file.open("wb") as stream:
        for piece in client.body(response):
            stream.write(piece)
            if stream.tell() > LARGEST:
                raise InputError(f"{url} is larger than a list of keys")


def _of_member(snapshot: zipfile.ZipFile, info: zipfile.ZipInfo) -> Expected:
    content = snapshot.read(info)
    if stat.S_ISLNK(info.external_attr >> 16):
        return annex_key(content.decode("utf-8", "replace").rpartition("/")[2]) or Expected()
    return annex_pointer(content) or Expected(len(content), f"sha256:{hashlib.sha256(content).hexdigest()}", "git")

"""What a repository's snapshot says about its files: names, sizes, checksums.

GIN is a Gogs server, whose repositories keep large files in git-annex: git itself has a link or small file with the
annex key, which contains size and checksum of the content. The snapshot behind a repository's "download" button has the
keys of large files and the content of small ones.
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
"""Most bytes of a snapshot to read: a larger one has contents, not keys."""


def read_snapshot(client: Client, url: str) -> dict[str, Expected] | None:
    """What is known about each file in a repository, by path; None if the archive does not say."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "snapshot.zip")
        try:
            client.persist(lambda: _copy(client, url, file), what=url)
            with zipfile.ZipFile(file) as snapshot:
                files = [info for info in snapshot.infolist() if not info.is_dir()]
                # the root of the zip is a folder named after the repository
                inner = ["/".join(safe_path(info.filename, source=url).parts[1:]) for info in files]
                return {path: _of_member(snapshot, info) for path, info in zip(inner, files, strict=True)}
        except (InputError, ResourceError, zipfile.BadZipFile):  # no such address, or a web page
            return None


def _copy(client: Client, url: str, file: Path) -> None:
    """Download the snapshot; a truncated one will not be readable as a zip."""
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

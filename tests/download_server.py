"""A web server like GIN's on this machine, which misbehaves as it is told; no test of downloads leaves the machine."""

from __future__ import annotations

import hashlib
import io
import re
import threading
import time
import zipfile
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

REPOSITORY = "[^/]+/[^/]+"  # whatever is asked for: all have the same files
CATALOGUE = """
[archive]
url = "{url}"
file = "{{archive}}/{{repository}}/raw/{{branch}}/{{path}}"
snapshot = "{{archive}}/{{repository}}/archive/{{branch}}.zip"

[[group]]
name = "new"
kind = "recording"
repository = "lab/data"
files = [
  {{ name = "mouse_a", path = "mouse_a-Video-1.zip", about = "the first" }},
  {{ name = "mouse_b", path = "mouse_b-Video-1.zip" }},
]

[[group]]
name = "weights"
repository = "lab/data"
folder = "models"
files = [
{weights}
]

[[group]]
name = "reconstructions"
repository = "lab/data"
folder = "reconstructions"
leave_out = ["masks/*"]
"""


@dataclass
class Fault:
    """What is done to one answer.

    status: this one, with ``headers``; cut: close after so many bytes; stall: fall silent after so many;
    wrong: the same length with other bytes; announce: say another Content-Length; shift: send another range than asked;
    page: a web page; endless: no length at all; trickle: some bytes now and then.
    """

    status: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    cut: int | None = None
    stall: int | None = None
    wrong: bool = False
    announce: int | None = None
    shift: int = 0
    page: bool = False
    endless: bool = False
    trickle: bool = False


@dataclass
class Asked:
    path: str
    range: str | None
    sent: int = 0


class Gin:
    """Files, what is done to the next answers, and what was asked."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}  # path in the repository: content
        self.pointers: dict[str, str] = {}  # path: annex key, for what lies in git-annex
        self.faults: dict[str, list[Fault]] = defaultdict(list)  # path: of the next answers, in turn
        self.always: dict[str, Fault] = {}
        self.asked: list[Asked] = []
        self.ranges = True
        self.validators = True
        self.snapshots = True
        self.pause_s = 0.0  # between pieces of 64 kB
        self.url = ""
        self.at_once = self.most_at_once = 0
        self.lock = threading.Lock()
        self.over = threading.Event()

    def add(self, path: str, content: bytes, *, annex: str | None = "MD5") -> None:
        """A file, in git-annex by the given backend or in git."""
        self.files[path] = content
        if annex:
            digest = hashlib.new(annex.rstrip("E").lower(), content).hexdigest()
            self.pointers[path] = f"{annex}-s{len(content)}--{digest}" + (".dat" if annex.endswith("E") else "")

    def sent(self, path: str) -> int:
        return sum(each.sent for each in self.asked if each.path == path)

    def catalogue(self, folder: Path, weights: int = 3) -> Path:
        rows = ",\n".join(f'  {{ name = "fold_{k}", path = "fold_{k}/model.pth" }}' for k in range(weights))
        file = folder / "catalogue.toml"
        file.write_text(CATALOGUE.format(url=self.url, weights=rows), encoding="utf-8")
        return file


class _Handler(BaseHTTPRequestHandler):
    gin: Gin
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # answers are written in pieces, which must not wait for each other

    def log_message(self, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        path = unquote(url.path)
        with self.gin.lock:
            self.gin.at_once += 1
            self.gin.most_at_once = max(self.gin.most_at_once, self.gin.at_once)
        try:
            if raw := re.fullmatch(rf"/{REPOSITORY}/raw/master/(.+)", path):
                self._raw(raw[1])
            elif re.fullmatch(f"/{REPOSITORY}/archive/master.zip", path) and self.gin.snapshots:
                self._plain(self._snapshot(), "application/zip")
            else:
                self._plain(b"not here", status=404)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True
        finally:
            with self.gin.lock:
                self.gin.at_once -= 1

    def _raw(self, path: str) -> None:
        asked = Asked(path, self.headers["Range"])
        with self.gin.lock:
            self.gin.asked.append(asked)
            fault = self.gin.faults[path].pop(0) if self.gin.faults[path] else self.gin.always.get(path, Fault())
        if fault.status:
            return self._plain(b"busy", status=fault.status, headers=fault.headers)
        if fault.page:
            return self._plain(b"<html>Are you a robot?</html>", "text/html; charset=utf-8")
        if path not in self.gin.files:
            return self._plain(b"not here", status=404)
        return self._send(asked, self.gin.files[path], fault)

    def _send(self, asked: Asked, content: bytes, fault: Fault) -> None:
        etag = f'"{hashlib.sha1(content).hexdigest()}"'
        first, last, status = 0, len(content) - 1, 200
        if_range = self.headers["If-Range"]
        if asked.range and self.gin.ranges and if_range in (None, etag):
            match = re.fullmatch(r"bytes=(\d+)-(\d*)", asked.range)
            assert match, asked.range
            first = int(match[1]) + fault.shift
            last = min(last, int(match[2])) if match[2] else last
            status = 206
            if first > last:
                return self._plain(b"", status=416)
        body = content[first : last + 1]
        if fault.wrong:
            body = bytes(255 - byte for byte in body[:100]) + body[100:]
        self.send_response(status)
        self.send_header("Content-Type", "application/octet-stream")
        if self.gin.validators:
            self.send_header("ETag", etag)
        if status == 206:
            self.send_header("Content-Range", f"bytes {first}-{last}/{len(content)}")
        if not fault.endless:
            self.send_header("Content-Length", str(len(body) if fault.announce is None else fault.announce))
        self.end_headers()
        self._write(asked, body, fault)
        if fault.announce is not None or fault.endless:
            self.close_connection = True
        return None

    def _write(self, asked: Asked, body: bytes, fault: Fault) -> None:
        stops = [count for count in (fault.cut, fault.stall) if count is not None]
        end = min([len(body), *stops])
        for start in range(0, len(body), 20) if fault.trickle else ():
            self.wfile.write(body[start : start + 20])
            asked.sent += 20
            if self.gin.over.wait(0.05):
                return
        for start in range(0, end, 65536):
            piece = body[start : min(end, start + 65536)]
            self.wfile.write(piece)
            asked.sent += len(piece)
            if self.gin.pause_s:
                time.sleep(self.gin.pause_s)
        if fault.stall is not None:
            self.gin.over.wait(20)
        if stops:
            self.close_connection = True

    def _snapshot(self) -> bytes:
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w") as archive:
            for path, content in self.gin.files.items():
                info = zipfile.ZipInfo(f"data/{path}")
                key = self.gin.pointers.get(path)
                if key:
                    info.external_attr = 0o120777 << 16
                archive.writestr(info, _link(key) if key else content)
        return stream.getvalue()

    def _plain(
        self, body: bytes, kind: str = "text/plain", *, status: int = 200, headers: dict[str, str] | None = None
    ) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


def _link(key: str) -> str:
    return f"../.git/annex/objects/aa/bb/{key}/{key}"


def zipped(folder: Path, *, root: str | None = None, extra: dict[str, bytes] | None = None) -> bytes:
    """A recording's folder as its zip in the archive, with what Macs leave in one."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"__MACOSX/._{folder.name}", b"litter")
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            archive.write(path, f"{folder.name if root is None else root}/{path.relative_to(folder).as_posix()}")
        for name, content in (extra or {}).items():
            archive.writestr(name, content)
    return stream.getvalue()


@contextmanager
def serving() -> Iterator[Gin]:
    """A server in threads of this process, until the block ends."""
    gin = Gin()
    handler = type("Handler", (_Handler,), {"gin": gin})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.handle_error = lambda *args: None  # type: ignore[method-assign]  # clients that hang up are what is tested
    server.daemon_threads = True
    gin.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=lambda: server.serve_forever(poll_interval=0.02), daemon=True)
    thread.start()
    try:
        yield gin
    finally:
        gin.over.set()
        server.shutdown()
        server.server_close()
        thread.join()

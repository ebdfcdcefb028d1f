"""A small S3 server on 127.0.0.1: one bucket in memory, with conditional writes and attributes."""

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

import pytest

BUCKET = "frogs"
SECRET = "a-secret-that-no-message-may-show"


@dataclass
class Stored:
    data: bytes
    attributes: dict[str, str]
    changed: datetime


@dataclass
class Bucket:
    """What is in the bucket, what was asked, and whether it is ``busy`` or ``closed``."""

    objects: dict[str, Stored] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)
    busy: int = 0
    closed: bool = False

    def pictures(self) -> dict[str, bytes]:
        return {name: one.data for name, one in self.objects.items() if "/." not in f"/{name}"}


@contextmanager
def s3_bucket(environment: pytest.MonkeyPatch) -> Iterator[Bucket]:
    """Serve an empty bucket, and let the environment name it, as people do."""
    bucket = Bucket()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("S3", (_S3,), {"bucket": bucket}))
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    for name, value in {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{server.server_port}",
        "AWS_ALLOW_HTTP": "true",
        "AWS_ACCESS_KEY_ID": "someone",
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_REGION": "us-east-1",
    }.items():
        environment.setenv(name, value)
    try:
        yield bucket
    finally:
        server.shutdown()
        server.server_close()


class _S3(BaseHTTPRequestHandler):
    bucket: Bucket
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        pass

    def _name(self) -> str:
        return unquote(urlsplit(self.path).path).removeprefix(f"/{BUCKET}").lstrip("/")

    def _turned_away(self) -> bool:
        with self.bucket.lock:
            self.bucket.asked.append(f"{self.command} {self._name()}")
            busy = self.bucket.busy > 0
            self.bucket.busy -= busy
        if busy:
            self._answer(503, b"<Error><Code>SlowDown</Code></Error>")
        elif self.bucket.closed:
            self._answer(403, f"<Error><Code>AccessDenied</Code>{SECRET}</Error>".encode())
        return busy or self.bucket.closed

    def _answer(self, code: int, data: bytes = b"", headers: dict[str, str] | None = None) -> None:
        self.send_response(code)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        if "Content-Length" not in (headers or {}):
            self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def do_PUT(self) -> None:
        data = self.rfile.read(int(self.headers["Content-Length"]))
        if self._turned_away():
            return
        kept = {name[11:]: value for name, value in self.headers.items()
                if name.lower().startswith("x-amz-meta-")}  # fmt: skip
        with self.bucket.lock:
            exists = self._name() in self.bucket.objects
            if not (exists and self.headers.get("If-None-Match") == "*"):
                now = datetime.now(UTC).replace(microsecond=0)
                self.bucket.objects[self._name()] = Stored(data, kept, now)
                exists = False
        self._answer(412 if exists else 200, headers={"ETag": '"1"'})

    def do_GET(self) -> None:
        if self._turned_away():
            return
        if not self._name():
            self._list(parse_qs(urlsplit(self.path).query))
            return
        found = self.bucket.objects.get(self._name())
        if found is None:
            self._answer(404)
            return
        headers = {f"x-amz-meta-{name}": value for name, value in found.attributes.items()}
        headers["Last-Modified"] = found.changed.strftime("%a, %d %b %Y %H:%M:%S GMT")
        headers |= {"ETag": '"1"', "Content-Length": str(len(found.data))}
        self._answer(200, found.data, headers)

    do_HEAD = do_GET

    def do_DELETE(self) -> None:
        if not self._turned_away():
            self.bucket.objects.pop(self._name(), None)
            self._answer(204)

    def do_POST(self) -> None:
        """``?delete``, which removes many objects at once."""
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        if self._turned_away():
            return
        names = re.findall("<Key>(.*?)</Key>", body)
        for name in names:
            self.bucket.objects.pop(name, None)
        gone = "".join(f"<Deleted><Key>{name}</Key></Deleted>" for name in names)
        self._answer(200, f"<DeleteResult>{gone}</DeleteResult>".encode())

    def _list(self, query: dict[str, list[str]]) -> None:
        prefix, level = query.get("prefix", [""])[0], "delimiter" in query
        folders, lines = set(), []
        for name, one in sorted(self.bucket.objects.items()):
            if not name.startswith(prefix):
                continue
            inner, slash, _ = name[len(prefix) :].partition("/")
            if level and slash:
                folders.add(f"{prefix}{inner}/")
                continue
            lines.append(
                f"<Contents><Key>{escape(name)}</Key><Size>{len(one.data)}</Size><ETag>1</ETag>"
                f"<LastModified>{one.changed:%Y-%m-%dT%H:%M:%S.000Z}</LastModified></Contents>"
            )
        lines += [f"<CommonPrefixes><Prefix>{one}</Prefix></CommonPrefixes>" for one in folders]
        body = f"<ListBucketResult><IsTruncated>false</IsTruncated>{''.join(lines)}"
        self._answer(200, f"{body}</ListBucketResult>".encode())

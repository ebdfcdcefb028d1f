"""A fake Hugging Face hub and a fake Civitai on localhost, and files in the hub's cache layout."""

import hashlib
import json
import re
import shutil
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub.utils.sha import git_hash

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def forge_cache(cache: Path, model: str, folder: Path) -> Path:
    """``folder`` as the cached snapshot of ``model``: links to blobs named by their hashes."""
    home = cache / f"models--{model.replace('/', '--')}"
    snapshot = home / "snapshots" / COMMIT
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        large = file.suffix == ".safetensors"
        blob = home / "blobs" / (digest if large else digest[:40])
        blob.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, blob)
        link = snapshot / file.relative_to(folder)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(blob)
    (home / "refs").mkdir(exist_ok=True)
    (home / "refs" / "main").write_text(COMMIT)
    return snapshot


@dataclass(kw_only=True)
class Server:
    """What the servers share: how they misbehave, and what they were asked for.

    refuse
        The beginning of a path → the status and the headers of the answer.
    cut
        The end of a file's name → after how many bytes the connection breaks, once.
    stall
        The end of a file's name → after how many bytes it waits for ``go``, once.
    """

    address: str = ""
    refuse: dict[str, tuple[int, dict[str, str]]] = field(default_factory=dict)
    cut: dict[str, int] = field(default_factory=dict)
    stall: dict[str, int] = field(default_factory=dict)
    go: threading.Event = field(default_factory=threading.Event)
    ranges: bool = True
    requests: list["Request"] = field(default_factory=list)

    def answer(self, handler: "Handler") -> None:
        raise NotImplementedError

    @property
    def asked(self) -> list[str]:
        """The names of the files that were downloaded, in order."""
        found = (re.match(r".*?/resolve/[^/]+/(.+)", request.path) for request in self.requests)
        gets = zip(self.requests, found, strict=True)
        return [match[1] for request, match in gets if match and request.method == "GET"]


@dataclass(frozen=True, kw_only=True)
class Request:
    method: str
    host: str
    path: str
    range: str | None
    key: str | None


class Handler(BaseHTTPRequestHandler):
    """Answers of a ``Server``."""

    protocol_version = "HTTP/1.1"
    behind: Server

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        told = self.headers
        self.behind.requests.append(
            Request(
                method=self.command,
                host=told["Host"],
                path=self.path,
                range=told["Range"],
                key=told["Authorization"],
            )
        )
        for start, (status, headers) in self.behind.refuse.items():
            if self.path.startswith(start):
                self.say(b"{}", status=status, **headers)
                return
        self.behind.answer(self)

    def say_json(self, values: object) -> None:
        self.say(json.dumps(values).encode(), **{"Content-Type": "application/json"})

    def say(self, data: bytes, *, status: int = 200, **headers: str) -> None:
        self.start(status, len(data), headers)
        if self.command == "GET":
            self.wfile.write(data)

    def start(self, status: int, length: int, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(length), **headers}.items():
            self.send_header(name, value)
        self.end_headers()

    def send(self, data: bytes, **headers: str) -> None:
        """A file, or the rest of it that was asked for."""
        size, told = len(data), re.fullmatch(r"bytes=(\d+)-", self.headers["Range"] or "")
        first = int(told[1]) if told and self.behind.ranges else 0
        if first >= size and first:
            self.say(b"", status=416, **{"Content-Range": f"bytes */{size}"})
            return
        if first:
            headers |= {"Content-Range": f"bytes {first}-{size - 1}/{size}"}
        self.start(206 if first else 200, size - first, headers)
        if self.command == "GET":
            self.pour(data[first:])

    def pour(self, data: bytes) -> None:
        for end in [end for end in self.behind.cut if self.path.endswith(end)]:
            self.wfile.write(data[: self.behind.cut.pop(end)])
            self.close_connection = True
            return
        for end in [end for end in self.behind.stall if self.path.endswith(end)]:
            count = self.behind.stall.pop(end)
            self.wfile.write(data[:count])
            self.wfile.flush()
            self.behind.go.wait(60)
            data = data[count:]
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:
        pass


@dataclass(kw_only=True)
class Hub(Server):
    """A hub with these repositories."""

    repositories: dict[str, Path]

    def answer(self, handler: Handler) -> None:
        path = handler.path.split("?")[0]
        for model, folder in self.repositories.items():
            names = sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())
            if path.startswith(f"/api/models/{model}/revision/"):
                if path.rpartition("/")[2] not in ("main", "v2", COMMIT):
                    break
                siblings = [{"rfilename": name} for name in names]
                handler.say_json({"id": model, "sha": COMMIT, "siblings": siblings})
                return
            name = path.removeprefix(f"/{model}/resolve/{COMMIT}/")
            if name in names:
                data = (folder / name).read_bytes()
                large = name.endswith((".safetensors", ".ckpt", ".bin"))
                etag = f'"{hashlib.sha256(data).hexdigest() if large else git_hash(data)}"'
                handler.send(data, **{"ETag": etag, "X-Repo-Commit": COMMIT})
                return
        code = "RevisionNotFound" if "/revision/" in path and self._knows(path) else "RepoNotFound"
        handler.say(b"{}", status=404, **{"X-Error-Code": code})

    def _knows(self, path: str) -> bool:
        return any(path.startswith(f"/api/models/{model}/") for model in self.repositories)


@dataclass(kw_only=True)
class Civitai(Server):
    """Versions of models → their files, which another host holds; ``key`` is of a user."""

    versions: dict[str, list[dict[str, Any]]]
    files: dict[str, bytes]
    key: str | None = None

    def answer(self, handler: Handler) -> None:
        path = handler.path.split("?")[0]
        version = path.rpartition("/")[2]
        if path.startswith("/store/"):
            handler.send(self.files[version])
        elif version not in self.versions:
            handler.say(b"{}", status=404)
        elif path.startswith("/api/v1/model-versions/"):
            handler.say_json({"id": int(version), "files": self.versions[version]})
        elif self.key is not None and handler.headers["Authorization"] != f"Bearer {self.key}":
            handler.say(b"{}", status=401)
        else:
            file = self.versions[version][0]["name"]
            store = self.address.replace("127.0.0.1", "localhost")
            handler.say(b"", status=307, Location=f"{store}/store/{file}?signature=abc")


@contextmanager
def serving(server: Server) -> Iterator[None]:
    """Let ``server`` answer at its address."""
    kind = type("Bound", (Handler,), {"behind": server})
    listener = ThreadingHTTPServer(("127.0.0.1", 0), kind)
    listener.daemon_threads = True
    listener.handle_error = lambda *_: None  # type: ignore[method-assign]  # of a broken connection
    server.address = f"http://127.0.0.1:{listener.server_port}"
    threading.Thread(target=listener.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield
    finally:
        server.go.set()
        listener.shutdown()
        listener.server_close()


@contextmanager
def serve(model: str, folder: Path, *, error: str | None = None) -> Iterator[Hub]:
    """A hub that has ``model`` alone, or answers with this ``error``."""
    hub = Hub(repositories={model: folder})
    if error is not None:
        hub.refuse["/"] = (403, {"X-Error-Code": error})
    with serving(hub):
        yield hub


def use_hub(address: str, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the hub's library ask the hub at ``address``, with its cache in this folder."""
    from huggingface_hub import constants

    files = address + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", address)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", files)

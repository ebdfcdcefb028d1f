"""A fake Hugging Face hub on localhost for downloads, and files in the layout of its cache."""

import hashlib
import json
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

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


@contextmanager
def serve(model: str, folder: Path, *, error: str | None = None) -> Iterator[tuple[str, list[str]]]:
    """A hub that has ``model`` alone; yields its address and the files that were asked for."""
    asked: list[str] = []

    class Hub(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.do_GET()

        def do_GET(self) -> None:
            path = self.path.split("?")[0]
            files = [str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()]
            if error is not None:
                self._answer(b"{}", status=403, **{"X-Error-Code": error})
            elif path == f"/api/models/{model}/revision/main":
                siblings = [{"rfilename": name} for name in files]
                self._json({"id": model, "sha": COMMIT, "siblings": siblings})
            elif path.startswith(f"/api/models/{model}/tree/"):
                self._json([_entry(folder, name) for name in files])
            elif path.startswith(f"/{model}/resolve/{COMMIT}/"):
                name = path.removeprefix(f"/{model}/resolve/{COMMIT}/")
                if self.command == "GET":
                    asked.append(name)
                data = (folder / name).read_bytes()
                etag = hashlib.sha256(data).hexdigest()
                self._answer(data, **{"ETag": f'"{etag}"', "X-Repo-Commit": COMMIT})
            elif "/revision/" in path and model in path:
                self._answer(b"{}", status=404, **{"X-Error-Code": "RevisionNotFound"})
            else:
                self._answer(b"{}", status=404, **{"X-Error-Code": "RepoNotFound"})

        def _json(self, values: object) -> None:
            self._answer(json.dumps(values).encode())

        def _answer(self, data: bytes, *, status: int = 200, **headers: str) -> None:
            self.send_response(status)
            for name, value in {"Content-Length": str(len(data)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(data)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        server.server_close()


def _entry(folder: Path, name: str) -> dict[str, object]:
    data = (folder / name).read_bytes()
    return {
        "type": "file",
        "path": name,
        "size": len(data),
        "oid": hashlib.sha1(data).hexdigest(),
    }

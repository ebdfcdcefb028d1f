"""Download files over HTTPS: resumed after an interruption, checked, ended by the first Ctrl-C.

The hub's own library starts an interrupted file again, because its temporary names are random, and
its threads finish their files before Ctrl-C is heard. Here the temporary name is stable, and what
it holds is continued with a Range request.
"""

import shutil
import sys
import threading
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sdloop.errors import ModelError
from sdloop.models.checkpoint.hash_cache import file_sha256

PART = ".incomplete"  # after the name of a file that is not whole yet

_TRIES = 4  # of a connection that breaks before it brings anything
_FILES = 4  # at the same time
_GIT = 40  # digits of git's hash

# A request for a file from one address: headers → a response that is read in pieces.
Ask = Callable[[Mapping[str, str]], AbstractContextManager[Any]]


class Stopped(Exception):
    """Raised in a thread when another one, or the user, has ended the download."""


@dataclass(kw_only=True)
class Watch:
    """What the threads of a download share: whether to stop, and the progress bar."""

    bar: Any
    stop: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def expect(self, size: int, done: int) -> None:
        """Another file of this size, of which a part is there already."""
        with self._lock:
            self.bar.total = (self.bar.total or 0) + size
            self.bar.update(done)

    def advance(self, size: int) -> None:
        """Count bytes; raises ``Stopped`` if the download has ended."""
        if self.stop.is_set():
            raise Stopped
        with self._lock:
            self.bar.update(size)


Job = Callable[[Watch], None]


def run_jobs(jobs: Sequence[Job], what: str) -> None:
    """Run downloads in threads; the first error, or Ctrl-C, ends all of them at once.

    The threads do not keep the process alive: one may be waiting for a server that is silent.
    """
    waiting, failures = list(reversed(jobs)), list[BaseException]()
    with _bar(what) as bar:
        watch = Watch(bar=bar)
        threads = [
            threading.Thread(target=_work, args=(waiting, watch, failures), daemon=True)
            for _ in range(min(_FILES, len(jobs)))
        ]
        try:
            for thread in threads:
                thread.start()
            while not failures and any(thread.is_alive() for thread in threads):
                threads[0].join(0.05)
                threads = [thread for thread in threads if thread.is_alive()] or threads
        except KeyboardInterrupt:
            message = f"{what} is not all here: the next start continues its download"
            warnings.warn(message, stacklevel=2)
            raise
        finally:
            watch.stop.set()
    if failures:
        raise failures[0]


def _work(waiting: list[Job], watch: Watch, failures: list[BaseException]) -> None:
    while waiting and not watch.stop.is_set():
        try:
            waiting.pop()(watch)
        except (Stopped, IndexError):
            return
        except BaseException as error:  # raised again in the main thread
            failures.append(error)
            return


def _bar(what: str) -> Any:
    """A progress bar, unless stderr is a file: then it would fill it."""
    from huggingface_hub.utils import tqdm  # type: ignore[attr-defined]

    seen = sys.stderr is not None and sys.stderr.isatty()
    of_bytes = {"unit": "B", "unit_scale": True}
    return tqdm(desc=what, total=0, disable=not seen, **of_bytes)  # type: ignore[no-untyped-call]


def receive(
    ask: Ask, file: Path, watch: Watch, *, size: int | None, digest: str | None, what: str
) -> None:
    """Download ``file`` with what is left of it, and check its size and hash.

    ``digest`` is its sha256 or, of 40 digits, git's hash of it. ``what`` names it in messages.
    Raises ``ModelError`` if it is not the file that was announced, ``OSError`` and the HTTP
    library's errors.
    """
    from huggingface_hub import errors

    part = file.with_name(file.name + PART)
    part.parent.mkdir(parents=True, exist_ok=True)
    start = part.stat().st_size if part.exists() else 0
    if size is not None:
        _check_room(part.parent, size - start, what)
        watch.expect(size, start)
    tries = 0
    while size is None or start != size:
        before, broken = start, None
        try:
            size = _continue(ask, part, watch, start, size)
        except errors.HfHubHTTPError:
            raise
        except errors.HTTPError as error:  # type: ignore[attr-defined]  # the connection broke
            broken = error
        start = _size(part)
        tries = 0 if start > before or start == size else tries + 1
        if tries == _TRIES:
            raise broken or ModelError(f"{what} ended after {start} of {size} bytes")
        if broken is not None:
            watch.stop.wait(1)
    _check_hash(part, digest, what)
    part.replace(file)


def _size(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0


def _continue(ask: Ask, part: Path, watch: Watch, start: int, size: int | None) -> int:
    """One request: append to ``part`` what it brings; returns the size of the whole file."""
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={start}-"} if start else {})
    with ask(headers) as response:
        if response.status_code == 416:  # the part is as long as the file, or longer
            total = response.headers.get("Content-Range", "").rpartition("/")[2]
            if total != str(start):
                part.unlink(missing_ok=True)
            return int(total) if total.isdigit() else start
        # A server that does not know ranges sends the file from its start.
        resumed = response.status_code == 206
        if size is None:
            size = _announced(response, start if resumed else 0)
            watch.expect(size or 0, start if resumed else 0)
        with part.open("ab" if resumed else "wb", buffering=0) as opened:
            for data in response.iter_bytes():
                watch.advance(len(data))  # not after: nothing may be written once it has stopped
                opened.write(data)
    return _size(part) if size is None else size


def _announced(response: Any, start: int) -> int | None:
    length = response.headers.get("Content-Length", "")
    return start + int(length) if length.isdigit() else None


def _check_room(folder: Path, needed: int, what: str) -> None:
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise ModelError(
            f"{what} needs {needed / 1e9:.1f} GB, but {folder} has only {free / 1e9:.1f} GB left"
        )


def _check_hash(part: Path, digest: str | None, what: str) -> None:
    from huggingface_hub.utils.sha import git_hash

    if digest is None:
        return
    by_git = len(digest) == _GIT
    found = git_hash(part.read_bytes()) if by_git else file_sha256(part)
    if found != digest:
        part.unlink()
        raise ModelError(
            f"{what} was damaged during the download: its {'git hash' if by_git else 'sha256'} is "
            f"{found[:10]}…, not {digest[:10]}…; it was deleted, so the next start downloads it "
            "again"
        )

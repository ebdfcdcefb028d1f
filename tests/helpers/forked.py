"""Processes that start in milliseconds, because torch is already imported.

``Nursery`` talks to a process that has imported everything and may have loaded a model: see
``forking.py``. That process forks a child for each command or script. For files, pipes, locks and
signals, the child is a separate process like any other.
"""

import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

PATIENCE = 300.0  # seconds
_FORKING = Path(__file__).with_name("forking.py")


class Nursery:
    """Each child runs ``sdloop`` with the arguments it is given.

    All of pytest's workers share the process that imports; ``place`` is a folder that they share.
    """

    def __init__(self, place: Path) -> None:
        self.command = [sys.executable, __file__, str(place)]  # a shell's ``sdloop``
        self._line = _connected(place)
        self._line.settimeout(PATIENCE)
        self._answers = self._line.makefile(encoding="utf-8")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self._answers.close()
        self._line.close()

    def keep(self, model: Path) -> None:
        """Load a model that no test changes once for all children."""
        self._ask({"keep": str(model)})

    def start(self, arguments: Sequence[str], folder: Path, log: Path) -> int:
        """The number of a new child, at work in ``folder``; it prints into files."""
        with ExitStack() as files:
            out, errors = (
                files.enter_context(path.open("ab"))
                for path in (log, log.with_name(f"{log.name}.err"))
            )
            return self.child({"run": [*arguments], "folder": str(folder)}, out, errors)

    def wait(self, child: int) -> int:
        """How it ended: its exit code, or minus the signal's number."""
        return int(self._ask({"wait": child}))

    def run(self, arguments: Sequence[str], folder: Path, log: Path) -> int:
        return self.wait(self.start(arguments, folder, log))

    def open(
        self, *arguments: str, stdin: str | int = "", folder: Path | None = None, **more: str
    ) -> "Child":
        """``sdloop arguments``, whose stdout is a pipe; ``stdin`` is its text or a descriptor.

        ``more`` are variables of its environment.
        """
        return self._open({"run": [*arguments], "more": more}, stdin, folder)

    def sdloop(
        self, *arguments: str, stdin: str | int = "", folder: Path | None = None, **more: str
    ) -> subprocess.CompletedProcess[str]:
        """The same, run to its end."""
        return self.open(*arguments, stdin=stdin, folder=folder, **more).end()

    def script(
        self, path: Path, arguments: Sequence[str], folder: Path
    ) -> subprocess.CompletedProcess[str]:
        """``python path arguments``, run to its end in ``folder``."""
        return self._open({"run": [*arguments], "script": str(path)}, "", folder).end()

    def _open(self, request: dict[str, Any], stdin: str | int, folder: Path | None) -> "Child":
        errors = tempfile.TemporaryFile("w+", encoding="utf-8")  # noqa: SIM115
        with tempfile.TemporaryFile("w+", encoding="utf-8") as typed:
            if isinstance(stdin, str):
                typed.write(stdin)
                typed.seek(0)
            ours, theirs = os.pipe()
            with os.fdopen(theirs, "wb") as out:
                pid = self.child(
                    request | {"folder": str(folder or Path.cwd())},
                    *(out, errors, typed if isinstance(stdin, str) else stdin),
                )
        return Child(nursery=self, pid=pid, stdout=os.fdopen(ours, encoding="utf-8"), stderr=errors)

    def child(
        self,
        request: dict[str, Any],
        out: IO[Any] | int,
        errors: IO[Any] | int,
        typed: IO[Any] | int | None = None,
    ) -> int:
        """The number of a child that has these as its streams."""
        with Path(os.devnull).open("rb") as nothing:
            streams = [nothing if typed is None else typed, out, errors]
            numbers = [one if isinstance(one, int) else one.fileno() for one in streams]
            environment = {**os.environ, **request.pop("more", {})}
            return int(self._ask(request | {"environment": environment}, numbers))

    def _ask(self, request: dict[str, Any], descriptors: Sequence[int] = ()) -> Any:
        self._line.sendall(json.dumps(request).encode() + b"\n")
        if descriptors:
            socket.send_fds(self._line, [b"."], descriptors)
        return json.loads(self._answers.readline())


@dataclass(frozen=True, kw_only=True)
class Child:
    """A running ``sdloop``, as ``subprocess.Popen`` has it."""

    nursery: Nursery
    pid: int
    stdout: IO[str]
    stderr: IO[str]

    def send_signal(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    def end(self) -> subprocess.CompletedProcess[str]:
        """Wait until it has ended; what it printed since ``stdout`` was read."""
        printed = "" if self.stdout.closed else self.stdout.read()
        code = self.nursery.wait(self.pid)
        self.stderr.seek(0)
        self.stdout.close()
        with self.stderr:
            return subprocess.CompletedProcess([], code, printed, self.stderr.read())


def _connected(place: Path) -> socket.socket:
    """A connection with the process that forks, which is started unless it is there."""
    path, line = str(place / "nursery"), socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    with (place / "nursery.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            line.connect(path)
        except (FileNotFoundError, ConnectionRefusedError):
            Path(path).unlink(missing_ok=True)
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
                listener.bind(path)
                listener.listen()
                subprocess.Popen(
                    [sys.executable, str(_FORKING), str(listener.fileno()), lock.name],
                    env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, _roots()))},
                    pass_fds=[listener.fileno()],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                )
            line.connect(path)
    return line


def _roots() -> tuple[Path, Path]:
    return _FORKING.parents[2], _FORKING.parents[1]


def main() -> int:
    """``forked.py PLACE ARGUMENTS``: a child that has the streams of this process."""
    with Nursery(Path(sys.argv[1])) as nursery:
        request = {"run": sys.argv[2:], "folder": str(Path.cwd())}
        code = nursery.wait(nursery.child(request, 1, 2, 0))
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main())

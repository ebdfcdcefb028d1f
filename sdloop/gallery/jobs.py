"""The queue that makes picked pictures larger, one after the other, while the page is open."""

import os
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from sdloop.gallery.commands import Command

_PROGRAM = (sys.executable, "-m", "sdloop")

State = Literal["waiting", "running", "done", "failed"]


@dataclass(kw_only=True, slots=True)
class Job:
    """``command`` for the picture at ``path``; ``told`` is the last line of its output.

    A job that is ``by_hand`` is never run from here.
    """

    path: str
    command: Command
    by_hand: bool = False
    state: State = "waiting"
    told: str = ""


class Jobs:
    """A queue of commands, each a separate process; one runs at a time.

    They run offline, and commands that would run code from a Recipe are not run: a Recipe comes
    from a file, and looking at pictures must not download or run anything that a file names.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._jobs: list[Job] = []
        self._waiting: deque[Job] = deque()
        self._process: subprocess.Popen[str] | None = None
        self._ended = False
        self._thread: threading.Thread | None = None

    def add(self, jobs: Sequence[Job]) -> None:
        with self._changed:
            wanted = [job for job in jobs if not job.by_hand]
            self._jobs += wanted
            self._waiting += wanted
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, daemon=True)
                self._thread.start()
            self._changed.notify()

    def all(self) -> list[dict[str, str]]:
        with self._changed:
            return [{"path": j.path, "state": j.state, "told": j.told} for j in self._jobs]

    def running(self) -> bool:
        """Whether a process is running."""
        with self._changed:
            return self._process is not None

    def end(self) -> None:
        """Stop the running command with SIGTERM, and drop the waiting ones."""
        with self._changed:
            self._ended = True
            self._waiting.clear()
            if self._process is not None:
                self._process.terminate()
            self._changed.notify()
        if self._thread is not None:
            self._thread.join(30)

    def _work(self) -> None:
        while (job := self._next()) is not None:
            try:
                code, last = self._run(job.command)
            except OSError as error:  # the process could not be started
                code, last = 1, str(error)
            with self._changed:
                job.state, job.told = ("failed" if code else "done"), last

    def _next(self) -> Job | None:
        with self._changed:
            self._changed.wait_for(lambda: self._ended or self._waiting)
            if self._ended:
                return None
            job = self._waiting.popleft()
            job.state = "running"
            return job

    def _run(self, command: Command) -> tuple[int, str]:
        """The command's exit code, and the last line of its output."""
        with self._changed:
            if self._ended:
                return 1, ""
            self._process = process = subprocess.Popen(
                [*_PROGRAM, *command.arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                # Ctrl-C in the terminal must only stop the page, which then stops this process.
                start_new_session=True,
                env={**os.environ, "HF_HUB_OFFLINE": "1"},
            )
        said, _ = process.communicate(command.stdin)
        with self._changed:
            self._process = None
        lines = [line for line in said.splitlines() if line.strip()]
        return process.returncode, lines[-1] if lines else ""

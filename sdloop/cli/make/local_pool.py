"""A ``batch.pool.Pool`` on this computer, with one process for each device.

Where nothing forbids it the processes are forked, before anything heavy is imported: each imports
torch for its own device.
"""

import os
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from typing import Any

from sdloop.batch.pool import Answer, Died, Job, Unit
from sdloop.cli.make.unit_runner import RunnerSettings, UnitRunner


@dataclass(kw_only=True, slots=True, eq=False)
class _Child:
    """A process; a question was ``asked`` that it has not answered."""

    process: Any
    line: Connection
    device: str
    asked: bool = False


class LocalPool:
    """The processes share the work with other calls of sdloop through claims."""

    def __init__(self, devices: Sequence[str], settings: RunnerSettings) -> None:
        self._free, self._settings = [*reversed(devices)], settings
        self._children: list[_Child] = []
        self._spare: list[_Child] = []
        self._early: list[tuple[Any, Answer | Died]] = []

    def places(self) -> int:
        return len(self._free) + len(self._children)

    def start(self) -> _Child:
        return self._spare.pop() if self._spare else self._new()

    def ask(self, process: _Child, units: Sequence[Unit], *, seconds: float, stop: bool) -> None:
        process.asked = True
        with suppress(OSError):  # it died: the answer will say so
            process.line.send(("step", units, seconds, stop))

    def answers(self, seconds: float) -> list[tuple[Any, Answer | Died]]:
        found, self._early = self._early, []
        asked: dict[Any, _Child] = {one.line: one for one in self._children if one.asked}
        if not asked and not found:
            time.sleep(seconds)
        for line in wait(asked, timeout=0 if found else seconds):
            found.append((asked[line], self._received(asked[line])))
            asked[line].asked = False
        return found

    def end(self, process: _Child) -> None:
        if process in self._children:
            self._children.remove(process)
            self._free.append(process.device)
        process.process.kill()
        process.process.join()
        process.line.close()

    def close(self) -> None:
        for child in list(self._children):
            self.end(child)

    def largest_batch(self, job: Job) -> int:
        """The batch size that fits on every device, so that it does not depend on who is first."""
        if "cpu" in (*self._free, *(one.device for one in self._children)):
            return 1
        while self._free:
            self._spare.append(self._new())
        for child in self._children:
            with suppress(OSError):
                child.line.send(("largest_batch", job.lines[0][0]))
        return min((self._size(child) for child in self._children), default=1)

    def _size(self, child: _Child) -> int:
        while not isinstance(found := self._received(child), int | Died):
            self._early.append((child, found))
            child.asked = False
        return found if isinstance(found, int) else 1

    def _received(self, child: _Child) -> Any:
        try:
            return child.line.recv()
        except (EOFError, OSError):
            child.process.join()
            code = child.process.exitcode
            how = f"was killed by signal {-code}" if code < 0 else "crashed"
            return Died(reason=f"the process on {child.device} {how}")

    def _new(self) -> _Child:
        # The threads of a store's client do not survive a fork.
        fork = hasattr(os, "fork") and "obstore" not in sys.modules
        context: Any = get_context("fork" if fork else "spawn")
        ours, theirs = context.Pipe()
        device = self._free.pop()
        settings = replace(self._settings, command=replace(self._settings.command, device=device))
        inherited = [ours, *(one.line for one in self._children)] if fork else []
        arguments = theirs, settings, inherited
        process = context.Process(target=_serve, args=arguments, daemon=True)
        process.start()
        theirs.close()
        child = _Child(process=process, line=ours, device=device)
        self._children.append(child)
        return child


def _serve(line: Connection, settings: RunnerSettings, inherited: Sequence[Connection]) -> None:
    """Answer until the driver is gone, which alone hears Ctrl-C and decides what stops."""
    for other in inherited:  # or the end of the driver would not be noticed
        other.close()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    runner = UnitRunner(settings)
    with suppress(EOFError, OSError):
        while True:
            method, *arguments = line.recv()
            line.send(getattr(runner, method)(*arguments))

"""The client: send a call to a worker, which uses our terminal. Standard library only.

Starting Python is much faster than importing torch, so a call to a worker that has loaded the
model costs little more than making the picture.
"""

import atexit
import os
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from sdloop.worker import recent
from sdloop.worker.inside import Unfinished
from sdloop.worker.messages import (
    Alive,
    BadMessage,
    Call,
    Carried,
    Done,
    Line,
    Signal,
    Streams,
    Waiting,
)
from sdloop.worker.options import WorkerOptions, worker_options
from sdloop.worker.place import folder, identity
from sdloop.worker.reach import connected

# A worker sends something every two seconds, whatever its model does; and one step of the loop, or
# loading a model, takes less than a quarter of an hour.
_FIRST_WORD = 10.0
_SILENCE = 60.0
_STANDSTILL = 900.0


def call(argv: Sequence[str]) -> int | Unfinished | None:
    """The exit code of the command line that a worker ran for us.

    ``None`` if no worker ran it, ``Unfinished`` if the worker died: then it must be run here.
    """
    wanted = worker_options(argv, os.environ)
    home = None if wanted is None else folder()
    if wanted is None or home is None:
        return None
    path = home / identity(os.environ)
    line = connected(path)
    if line is None and (wanted.mode == "always" or recent.noted(path, wanted.model)):
        line = _new(path, wanted)
    if line is None:
        atexit.register(recent.again, path, wanted.model)
        return None
    try:
        return _Conversation(line, wanted).end(argv)
    finally:
        line.close()


def _new(path: Path, wanted: WorkerOptions) -> Line | None:
    """Connect to a worker that was started just now, by us or by another client."""
    from sdloop.worker.start import started

    ours = started(path, wanted.keep_alive)
    line = connected(path)
    if ours and line is not None and wanted.mode == "auto" and not wanted.quiet:
        _say(
            "a background worker keeps the model loaded for the next calls (`sdloop worker stop` "
            "ends it, SDLOOP_WORKER=never prevents it)"
        )
    return line


class _Conversation:
    """One call and the worker's messages about it, until the worker is done or dead."""

    def __init__(self, line: Line, wanted: WorkerOptions) -> None:
        self._line = line
        self._wanted = wanted
        self._since = time.time()
        self._seed: int | None = None
        self._printed: set[str] = set()
        self._heard_of = False
        self._turns = -1
        self._moved = time.monotonic()

    def end(self, argv: Sequence[str]) -> int | Unfinished | None:
        """The exit code; ``None`` from a worker that takes no more calls."""
        with _streams() as streams, self._signals():
            try:
                self._line.set_patience(_FIRST_WORD)
                self._line.send(self._call(argv))
                code = self._heard(streams)
            except (OSError, BadMessage) as error:
                code = None
                why = "is not responding" if isinstance(error, TimeoutError) else "has ended"
            else:
                why = "has ended"
        if code is not None or not (self._heard_of or why == "is not responding"):
            return code
        if not self._wanted.quiet:
            _say(f"the worker {why}; continuing without it")
        seed, printed = self._seed, frozenset(self._printed)
        return Unfinished(since=self._since, seed=seed, printed=printed)

    def _call(self, argv: Sequence[str]) -> Call:
        umask = os.umask(0o077)
        os.umask(umask)
        return Call(
            argv=list(argv),
            environment=dict(os.environ),
            umask=umask,
            keep_alive=self._wanted.keep_alive,
        )

    def _heard(self, streams: tuple[int, ...]) -> int | None:
        """The exit code; None if the worker has ended. Raises ``TimeoutError`` if it hangs."""
        handed_over = False
        while (message := self._line.receive()) is not None:
            self._heard_of = True
            self._line.set_patience(_SILENCE)
            match message:
                case Done():
                    return message.code
                case Waiting(place=0):
                    # A worker may send this twice. It keeps the streams it gets open.
                    if not handed_over:
                        self._line.send(Streams(), streams)
                    handed_over = True
                case Waiting(place=place) if not self._wanted.quiet:
                    _say(f"waiting for the worker: {place} in the queue before this call")
                case Carried(seed=seed, path=path):
                    self._seed = seed if seed >= 0 else self._seed
                    self._printed |= {path} if path else set()
                case Alive(turns=turns):
                    self._check_moving(turns)
        return None

    def _check_moving(self, turns: int) -> None:
        if turns != self._turns:
            self._turns, self._moved = turns, time.monotonic()
        if time.monotonic() - self._moved > _STANDSTILL:
            raise TimeoutError

    @contextmanager
    def _signals(self) -> Iterator[None]:
        """Forward signals that ask us to stop: the worker then stops this call and sends its code.

        After the third signal the client exits without waiting.
        """
        signals = 0

        def forward(number: int, _: object) -> None:
            nonlocal signals
            signals += 1
            if signals > 2:
                os._exit(128 + number)
            self._line.send(Signal(number=number))

        before = {one: signal.signal(one, forward) for one in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for one, handler in before.items():
                signal.signal(one, handler)


@contextmanager
def _streams() -> Iterator[tuple[int, ...]]:
    """Our standard streams, closed ones replaced by the null device, and our current folder."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    here = os.open(".", os.O_RDONLY | getattr(os, "O_DIRECTORY", 0))
    try:
        yield (*(number if _is_open(number) else nowhere for number in range(3)), here)
    finally:
        os.close(nowhere)
        os.close(here)


def _is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True


def _say(line: str) -> None:
    if sys.stderr is not None:
        print("sdloop:", line, file=sys.stderr, flush=True)

"""The queue of calls: first come, first served, one at a time."""

import signal
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from queue import SimpleQueue

from sdloop.errors import INTERRUPTED
from sdloop.worker.messages import Call, Done, Line, Waiting


@dataclass(eq=False, kw_only=True, slots=True)
class Guest:
    """A client whose call waits or runs.

    ``streams`` gets the file descriptors of its standard streams and folder when its turn comes;
    whoever takes them must close them.
    """

    line: Line
    call: Call
    streams: "SimpleQueue[list[int]]" = field(default_factory=SimpleQueue)
    stopped: bool = False


@dataclass(eq=False, kw_only=True)
class Queue:
    """The calls in their order. Threads add calls, the main thread runs them.

    ``keep_alive`` is that of the last call; see ``messages.Call``.
    """

    keep_alive: float
    served: int = 0
    _waiting: deque[Guest] = field(default_factory=deque, init=False)
    _running: Guest | None = field(default=None, init=False)
    _open: bool = field(default=True, init=False)
    _idle_since: float = field(default_factory=time.monotonic, init=False)
    _changed: threading.Condition = field(default_factory=threading.Condition, init=False)

    def add(self, guest: Guest) -> bool:
        """Add a call. False if the worker is about to exit and takes no more calls."""
        with self._changed:
            if not self._open:
                return False
            self._waiting.append(guest)
            self.keep_alive = guest.call.keep_alive
            self._tell()
            self._changed.notify()
            return True

    def next(self) -> Guest | None:
        """Wait for the next call; None if the keep-alive time is over, or after a stop."""
        with self._changed:
            while self._open and not self._waiting:
                left = None if self.keep_alive < 0 else self.keep_alive - self.idle_seconds
                if left is not None and left <= 0:
                    self._open = False
                # With a timeout, because Python handles signals only while it runs.
                self._changed.wait(1.0 if left is None else min(max(left, 0.0), 1.0))
            if not self._open:
                return None
            self._running = self._waiting.popleft()
            self._tell()
            return self._running

    def finished(self) -> None:
        with self._changed:
            self._running = None
            self.served += 1
            self._idle_since = time.monotonic()

    def signal(self, guest: Guest, number: int) -> None:
        """Stop a call by SIGINT or SIGTERM: a running one gets it, a waiting one never starts."""
        if number not in (signal.SIGINT, signal.SIGTERM):
            return
        with self._changed:
            guest.stopped = True
            if guest is self._running:
                signal.pthread_kill(threading.main_thread().ident or 0, number)
            elif guest in self._waiting:
                self._waiting.remove(guest)
                guest.line.mention(Done(code=INTERRUPTED))
                self._tell()

    def leave(self, guest: Guest) -> None:
        """Remove a call whose client has disconnected."""
        self.signal(guest, signal.SIGTERM)

    def close(self) -> None:
        """Take no more calls after the running one, and send the waiting clients away."""
        with self._changed:
            self._open = False
            for guest in self._waiting:
                guest.line.end()
            self._waiting.clear()
            self._changed.notify()

    @property
    def idle_seconds(self) -> float:
        return 0.0 if self.busy else time.monotonic() - self._idle_since

    @property
    def busy(self) -> bool:
        return self._running is not None

    @property
    def guests(self) -> list[Guest]:
        """All clients that wait for an answer."""
        with self._changed:
            return [one for one in (self._running, *self._waiting) if one is not None]

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    def _tell(self) -> None:
        """Tell all clients their place in the queue. Lost connections are noticed elsewhere."""
        before = self.busy
        for place, guest in enumerate(self._waiting):
            guest.line.mention(Waiting(place=place + before))

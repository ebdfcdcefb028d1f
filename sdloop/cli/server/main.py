"""The worker's process; ``sdloop.worker.start`` starts it."""

import os
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from queue import Empty
from typing import Any

from sdloop.cli.server.queue import Guest, Queue
from sdloop.cli.server.stage import ignore_signals, run
from sdloop.models.components.cache import ModelCache
from sdloop.worker.inside import Host
from sdloop.worker.messages import (
    Alive,
    Ask,
    BadMessage,
    Call,
    Carried,
    Done,
    Line,
    Signal,
    Status,
    Streams,
    Waiting,
)
from sdloop.worker.reach import same_user

_BEAT = 2.0  # seconds
_STREAMS = 4
_PATIENCE = 10  # seconds until a client that sends or receives nothing times out
# The same as C's struct timeval.
_LIMIT, _FOR_EVER = struct.pack("ll", _PATIENCE, 0), struct.pack("ll", 0, 0)


class Worker:
    """``serve`` until there was no call for ``keep_alive`` seconds, or until told to stop."""

    def __init__(self, listener: socket.socket, keep_alive: float) -> None:
        self._listener = listener
        self._queue = Queue(keep_alive=keep_alive)
        self._cache = ModelCache()
        self._threads: int | None = None
        self._turns = 0

    def serve(self) -> None:
        """Run the calls, in the main thread: only there Python handles signals."""
        ignore_signals()
        for work in (self._accept, self._beat):
            threading.Thread(target=work, daemon=True).start()
        while (guest := self._queue.next()) is not None:
            try:
                self._run(guest)
            finally:
                self._queue.finished()

    def _run(self, guest: Guest) -> None:
        def tell(message: Waiting | Carried | Done) -> None:
            with suppress(OSError):  # the client has disconnected
                guest.line.send(message)

        tell(Waiting(place=0))
        try:
            descriptors = guest.streams.get(timeout=_PATIENCE)
        except Empty:
            return  # the client disconnected before it sent its streams
        host = Host(load=self._load, carry=tell, turn=self._turn)
        try:
            tell(Done(code=run(guest.call, descriptors, host, lambda: guest.stopped)))
        finally:
            _close(descriptors)
            self._cache.rest()

    def _load(self, load: Callable[[], Any], *asked: Any) -> Any:
        """The requested model: that of the last call, if it is the same."""
        return self._cache.load(partial(self._with_all_threads, load), *asked)

    def _with_all_threads(self, load: Callable[[], Any]) -> Any:
        """Load with all threads: a small model may have set torch to a single thread."""
        import torch

        self._threads = self._threads or torch.get_num_threads()
        torch.set_num_threads(self._threads)
        return load()

    def _turn(self) -> None:
        self._turns += 1

    def _beat(self) -> None:
        """Tell all waiting clients that this process is alive, and whether it makes progress."""
        while True:
            for guest in self._queue.guests:
                guest.line.mention(Alive(turns=self._turns))
            time.sleep(_BEAT)

    def _accept(self) -> None:
        while True:
            connection, _ = self._listener.accept()
            for limit in (socket.SO_SNDTIMEO, socket.SO_RCVTIMEO):
                connection.setsockopt(socket.SOL_SOCKET, limit, _LIMIT)
            threading.Thread(target=self._attend, args=(connection,), daemon=True).start()

    def _attend(self, connection: socket.socket) -> None:
        """Read one client's messages. An invalid one ends only this connection."""
        line = Line(connection)
        with suppress(OSError, BadMessage):
            if same_user(connection):
                message = line.receive()
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _FOR_EVER)
                self._answer(line, message)
        line.close()

    def _answer(self, line: Line, message: object) -> None:
        match message:
            case Call():
                guest = Guest(line=line, call=message)
                if self._queue.add(guest):
                    self._follow(guest)
            case Ask(what="status"):
                line.send(self._status())
            case Ask(what="stop"):
                line.send(self._status())
                self._queue.close()

    def _follow(self, guest: Guest) -> None:
        """Read what a client sends, until it disconnects. Its streams are accepted only once."""
        taken = False
        with suppress(OSError, BadMessage):
            while (heard := guest.line.receive_with(_STREAMS))[0] is not None:
                message, descriptors = heard
                if isinstance(message, Streams) and len(descriptors) == _STREAMS and not taken:
                    guest.streams.put(descriptors)
                    taken = True
                    continue
                _close(descriptors)
                if isinstance(message, Signal):
                    self._queue.signal(guest, message.number)
        self._queue.leave(guest)
        with suppress(Empty):  # streams that came too late
            _close(guest.streams.get_nowait())

    def _status(self) -> Status:
        queue = self._queue
        return Status(
            pid=os.getpid(),
            model=self._cache.name,
            calls=queue.served,
            waiting=queue.waiting,
            busy=queue.busy,
            idle_seconds=queue.idle_seconds,
            keep_alive=queue.keep_alive,
        )


def _close(descriptors: Sequence[int]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)


def listening(path: Path) -> socket.socket:
    """A socket at ``path`` for this user only; it replaces one that nobody listens at."""
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    os.umask(0o177)
    listener.bind(str(path))
    os.umask(0o077)
    listener.listen(128)
    return listener


def main() -> None:
    """``SOCKET READY KEEP_ALIVE``: listen, write a byte into the descriptor, and serve."""
    path, ready, keep_alive = Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
    listener = listening(path)
    ours = path.stat().st_ino
    os.write(ready, b"1")
    os.close(ready)
    try:
        Worker(listener, keep_alive).serve()
    finally:
        # A client that got no response may have put another worker's socket there.
        with suppress(FileNotFoundError):
            if path.stat().st_ino == ours:
                path.unlink()

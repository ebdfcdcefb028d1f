"""The worker's process; ``sdloop.worker.start`` starts it."""

import os
import socket
import struct
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

from sdloop.serve.kept import Kept
from sdloop.serve.queue import Guest, Queue
from sdloop.serve.stage import quiet, run
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
)
from sdloop.worker.reach import same_user

_BEAT = 2.0  # seconds
_STREAMS = 4
# As C's struct timeval: how long somebody may take to say something, or not to listen.
_PATIENCE, _FOR_EVER = struct.pack("ll", 10, 0), struct.pack("ll", 0, 0)


class Worker:
    """``serve`` until nobody comes for ``keep_alive`` seconds, or somebody says stop."""

    def __init__(self, listener: socket.socket, keep_alive: float) -> None:
        self._listener = listener
        self._queue = Queue(keep_alive=keep_alive)
        self._kept = Kept()
        self._turns = 0

    def serve(self) -> None:
        """Run the calls, in the main thread, where Python hears signals."""
        quiet()
        for work in (self._accept, self._beat):
            threading.Thread(target=work, daemon=True).start()
        while (guest := self._queue.next()) is not None:
            try:
                self._run(guest)
            finally:
                self._queue.finished()
                for descriptor in guest.descriptors:
                    os.close(descriptor)

    def _run(self, guest: Guest) -> None:
        def tell(message: Carried | Done) -> None:
            with suppress(OSError):  # its client is gone
                guest.line.send(message)

        host = Host(load=self._kept.load, carry=tell, turn=self._turn)
        tell(Done(code=run(guest.call, guest.descriptors, host, lambda: guest.stopped)))

    def _turn(self) -> None:
        self._turns += 1

    def _beat(self) -> None:
        """Let all who wait know that this process lives, and whether its work goes on."""
        while True:
            for guest in self._queue.guests:
                guest.line.mention(Alive(turns=self._turns))
            time.sleep(_BEAT)

    def _accept(self) -> None:
        while True:
            connection, _ = self._listener.accept()
            for limit in (socket.SO_SNDTIMEO, socket.SO_RCVTIMEO):
                connection.setsockopt(socket.SOL_SOCKET, limit, _PATIENCE)
            threading.Thread(target=self._attend, args=(connection,), daemon=True).start()

    def _attend(self, connection: socket.socket) -> None:
        """Hear one client out. Whatever it says that is no message ends its connection only."""
        line = Line(connection)
        with suppress(OSError, BadMessage):
            if same_user(connection):
                message, descriptors = line.receive_with(_STREAMS)
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _FOR_EVER)
                if not self._answer(line, message, descriptors):
                    for descriptor in descriptors:
                        os.close(descriptor)
        line.close()

    def _answer(self, line: Line, message: object, descriptors: list[int]) -> bool:
        """Whether a call was run, which closes its descriptors."""
        match message:
            case Call() if len(descriptors) == _STREAMS:
                guest = Guest(line=line, call=message, descriptors=descriptors)
                if self._queue.add(guest):
                    self._follow(guest)
                return guest.taken
            case Ask(what="status"):
                line.send(self._status())
            case Ask(what="stop"):
                line.send(self._status())
                self._queue.close()
        return False

    def _follow(self, guest: Guest) -> None:
        """Hear the signals of a client, until it has gone."""
        with suppress(OSError, BadMessage):
            while (message := guest.line.receive()) is not None:
                if isinstance(message, Signal):
                    self._queue.signal(guest, message.number)
        self._queue.leave(guest)

    def _status(self) -> Status:
        queue = self._queue
        return Status(
            pid=os.getpid(),
            model=self._kept.name,
            calls=queue.served,
            waiting=queue.waiting,
            busy=queue.busy,
            idle_seconds=queue.idle_seconds,
            keep_alive=queue.keep_alive,
        )


def listening(path: Path) -> socket.socket:
    """A socket at ``path`` for this user alone, in place of one that nobody listens at."""
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
        # A client that found this process stuck may have put another one's there.
        with suppress(FileNotFoundError):
            if path.stat().st_ino == ours:
                path.unlink()

"""The messages between client and worker: typed JSON of limited size, one per line."""

import dataclasses
import json
import socket
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, ClassVar, get_args, get_origin

# The longest command line that Linux accepts is 2 MiB, including the environment.
MAX_BYTES = 8 << 20


class BadMessage(Exception):
    """What was received is not a valid message: only this connection ends."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Call:
    """A client's command line.

    ``argv`` is without the name of the program. ``keep_alive`` is how many seconds the worker stays
    after the last call; negative means for ever.
    """

    kind: ClassVar = "call"
    argv: list[str]
    environment: dict[str, str]
    umask: int
    keep_alive: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Streams:
    """Sent with the file descriptors of the client's stdin, stdout, stderr and folder.

    Only when the call's turn has come: a worker that hangs would keep its output open for ever.
    """

    kind: ClassVar = "streams"


@dataclass(frozen=True, kw_only=True, slots=True)
class Signal:
    """The client got a signal to stop, with this number."""

    kind: ClassVar = "signal"
    number: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Ask:
    """A request of ``sdloop worker``: ``status`` or ``stop``."""

    kind: ClassVar = "ask"
    what: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Waiting:
    """The number of calls before this one; at 0 the worker waits for its ``Streams``."""

    kind: ClassVar = "waiting"
    place: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Alive:
    """Sent every few seconds. ``turns`` grows while the running call makes progress."""

    kind: ClassVar = "alive"
    turns: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Carried:
    """What must outlive the worker: the ``seed`` that was drawn, or a ``path`` that was printed.

    The unused one is -1 or empty.
    """

    kind: ClassVar = "carried"
    seed: int = -1
    path: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Done:
    """The command has ended, with this exit code."""

    kind: ClassVar = "done"
    code: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Status:
    """A worker's state; ``model`` is the one that it keeps loaded."""

    kind: ClassVar = "status"
    pid: int
    model: str
    calls: int
    waiting: int
    busy: bool
    idle_seconds: float
    keep_alive: float


Message = Call | Streams | Signal | Ask | Waiting | Alive | Carried | Done | Status
_KINDS: Mapping[str, type[Any]] = {one.kind: one for one in get_args(Message)}


def encoded(message: Message) -> bytes:
    """A line of ASCII. Bytes of file names that are not valid text become lone surrogates."""
    fields = {field.name: getattr(message, field.name) for field in dataclasses.fields(message)}
    line = json.dumps({"kind": message.kind, **fields}).encode() + b"\n"
    if len(line) > MAX_BYTES:
        raise BadMessage(f"a message must be at most {MAX_BYTES} bytes, got {len(line)}")
    return line


def decoded(line: bytes) -> Message:
    """The message in a line; raises ``BadMessage`` if there is none."""
    try:
        values = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise BadMessage("not JSON") from error
    if not isinstance(values, dict) or not isinstance(values.get("kind"), str):
        raise BadMessage("not an object with a kind")
    kind = _KINDS.get(values.pop("kind"))
    if kind is None:
        raise BadMessage("not a known kind")
    types = {field.name: field.type for field in dataclasses.fields(kind)}
    if values.keys() != types.keys():
        raise BadMessage(f"{kind.kind} takes {', '.join(types)}")
    for name, value in values.items():
        if not _fits(value, types[name]):
            raise BadMessage(f"{kind.kind}: {name} has the wrong type")
    message: Message = kind(**values)
    return message


def _fits(value: object, wanted: Any) -> bool:
    if get_origin(wanted) is list:
        return isinstance(value, list) and all(_fits(one, str) for one in value)
    if get_origin(wanted) is dict:
        return isinstance(value, dict) and all(_fits(one, str) for one in value.values())
    if wanted is float:
        return type(value) in (int, float)
    return type(value) is wanted


class Line:
    """A connection that sends and receives messages; several threads may send."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._read = b""
        self._sending = threading.Lock()

    def set_patience(self, seconds: float | None) -> None:
        """How long the other end may be silent before ``TimeoutError``; None for ever."""
        self._connection.settimeout(seconds)

    def send(self, message: Message, descriptors: tuple[int, ...] = ()) -> None:
        """Raises ``OSError`` if the other end is closed."""
        data = encoded(message)
        with self._sending:
            sent = socket.send_fds(self._connection, [data], descriptors) if descriptors else 0
            self._connection.sendall(data[sent:])

    def mention(self, message: Message) -> None:
        """Send a message that may be lost, without waiting: the client may be suspended or gone."""
        with self._sending, suppress(OSError):
            self._connection.send(encoded(message), socket.MSG_DONTWAIT)

    def receive(self) -> Message | None:
        """The next message; None if the other end is closed."""
        message, descriptors = self.receive_with(0)
        assert not descriptors
        return message

    def receive_with(self, count: int) -> tuple[Message | None, list[int]]:
        """The next message, and at most ``count`` file descriptors that came with it."""
        descriptors: list[int] = []
        while b"\n" not in self._read:
            if len(self._read) > MAX_BYTES:
                raise BadMessage(f"a message must be at most {MAX_BYTES} bytes")
            data, came, _, _ = socket.recv_fds(self._connection, 1 << 16, count)
            descriptors += came
            if not data:
                return None, descriptors
            self._read += data
        line, _, self._read = self._read.partition(b"\n")
        return decoded(line), descriptors

    def end(self) -> None:
        """Wake every thread that waits for a message: each gets None."""
        with suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._connection.close()

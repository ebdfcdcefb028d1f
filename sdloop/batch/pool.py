"""What a driver and a pool of processes send each other: units in, answers out.

Everything here can be sent to another computer. The ``driver`` decides what becomes of it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from sdloop.metadata.atomic import Exists

# What happened ("begun", "there", "made", "failed"), the picture's key, and the line to print.
Message = tuple[str, str, str]


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """A batch as text: the lines of its pictures, what to do if a file exists, and the wanted keys.

    It means the same in every process and on every computer. ``files`` are the names of all files
    that its Recipes name, and ``rows`` is what a compiled UNet pads to: see ``units.Task``.
    """

    lines: Sequence[tuple[str, Exists]]
    wanted: tuple[str, ...]
    files: frozenset[str] = frozenset()
    rows: int = 0

    def only(self, keys: Sequence[str]) -> "Job":
        return replace(self, wanted=tuple(keys))

    def of(self, key: str) -> list[tuple[str, Exists]]:
        """The lines of the picture with this key."""
        return [one for one in self.lines if f'"{key}"' in one[0]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Unit:
    """Jobs for one process. ``deaths`` counts the processes that died with it."""

    number: int
    jobs: Sequence[Job]
    deaths: int = 0

    def __len__(self) -> int:
        return sum(len(job.wanted) for job in self.jobs)


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """What happened to pictures, and the numbers of the units that are finished.

    ``error`` is why the process cannot make any more, if so.
    """

    messages: Sequence[Message] = ()
    done: Sequence[int] = ()
    error: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Died:
    """The process is gone. If its whole ``computer`` is, no picture is to blame."""

    reason: str
    computer: bool = False


class Pool(Protocol):
    """Processes that make units, wherever they are. A process is any object that can be a key."""

    def places(self) -> int:
        """For how many processes there is room now; it may grow and shrink."""

    def start(self) -> Any:
        """Start another process."""

    def ask(self, process: Any, units: Sequence[Unit], *, seconds: float, stop: bool) -> None:
        """Hand over units and ask for an answer, which may take ``seconds``, or until there is one.

        There is one question at a time; one without units is answered as soon as the process is
        ready. With ``stop`` the begun pictures are finished, and with them its units.
        """

    def answers(self, seconds: float) -> list[tuple[Any, Answer | Died]]:
        """The answers that have arrived; waits for one, but not longer than this."""

    def end(self, process: Any) -> None:
        """Stop a process at once, if it still exists."""

    def largest_batch(self, job: Job) -> int:
        """The largest batch of pictures like those of ``job`` that each process can make."""

    def close(self) -> None:
        """Stop all processes."""

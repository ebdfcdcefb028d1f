"""What a driver and the processes of a cluster say to each other: units in, answers out.

Everything here can be sent to another computer. See ``driver`` for what becomes of it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from sdloop.batch.gpu_processes import Message
from sdloop.metadata.atomic import Exists


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """A batch as text: the lines of its pictures, what to do if a file exists, and the wanted keys.

    It means the same in every process and on every computer.
    """

    lines: Sequence[tuple[str, Exists]]
    wanted: tuple[str, ...]

    def only(self, keys: Sequence[str]) -> "Job":
        return replace(self, wanted=tuple(keys))


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
    """What a process has to say: messages, and the numbers of the units that are finished.

    Neither means that it lives. ``error`` is why it cannot do any more.
    """

    messages: Sequence[Message] = ()
    done: Sequence[int] = ()
    error: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Died:
    """The process is gone. With its whole ``computer``, the pictures are not to blame."""

    reason: str
    computer: bool = False


class Crew(Protocol):
    """Processes that make units, wherever they are. A process is any object that can be a key."""

    def places(self) -> int:
        """For how many processes there is room now; it may grow and shrink."""

    def start(self) -> Any:
        """Start another process."""

    def ask(self, process: Any, units: Sequence[Unit], *, stop: bool) -> None:
        """Hand over units, and ask for an answer: there is one question at a time.

        With ``stop`` the begun pictures are finished, and its units are done then.
        """

    def answers(self, seconds: float) -> list[tuple[Any, Answer | Died]]:
        """The answers that have arrived; waits for one, but not longer than this."""

    def end(self, process: Any) -> None:
        """Stop a process at once, if it still exists."""

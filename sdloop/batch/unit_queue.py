"""The units of a plan, made only as they are needed, and those that came back."""

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import replace
from statistics import median

from sdloop.batch.finish import AlreadyThere
from sdloop.batch.lines import final_line
from sdloop.batch.planned import Planned
from sdloop.batch.pool import Job, Message, Unit
from sdloop.batch.units import Task
from sdloop.recipe.named_files import named_files

IN_HAND = 2  # units of a process
_UNIT = 40.0  # seconds of work
_MOST = 512  # pictures in a unit
_HELD = 200_000  # pictures in all units that are given out: a line takes about a kilobyte


class UnitQueue:
    """Units of about 40 seconds; the first ones are one batch each, until speed is known."""

    def __init__(self, tasks: Iterator[Task | AlreadyThere], stopping: Callable[[], bool]) -> None:
        self._tasks, self._stopping = tasks, stopping
        self._back: deque[Unit] = deque()
        self._numbers = 0
        self._read = False  # the whole plan
        self._seconds: deque[float] = deque(maxlen=50)  # for a picture
        self._unit_seconds: deque[float] = deque(maxlen=50)

    def __bool__(self) -> bool:
        """Whether there may be another unit."""
        return bool(self._back) or not self._read

    def next(
        self, processes: int, held: Sequence[Unit] = ()
    ) -> Generator[Message, None, Unit | None]:
        """The next unit for a process that holds these; None at the end, when nothing more is to
        begin, or if it holds enough.

        A unit whose process died is held alone: if that happens again, it is known with what.

        Yields a message for each picture of the plan that is there already.
        """
        if len(held) >= IN_HAND or any(unit.deaths for unit in held):
            return None
        if self._back:
            return None if held and self._back[0].deaths else self._back.popleft()
        jobs: list[Job] = []
        size, count = self._size(processes), 0
        while count < size and not self._read and not self._stopping():
            task = next(self._tasks, None)
            if task is None:
                self._read = True
            elif isinstance(task, AlreadyThere):
                yield "there", task.planned.key, ""
            else:
                jobs.append(job_of(task.batch, task.wanted, task.rows))
                count += len(task.wanted)
        return self._numbered(Unit(number=0, jobs=jobs)) if jobs else None

    def put_back(self, units: Iterable[Unit]) -> None:
        self._back += map(self._numbered, units)

    def measured(self, unit: Unit, seconds: float) -> None:
        """A process has made this unit."""
        self._unit_seconds.append(seconds)
        self._seconds.append(seconds / len(unit))

    def usual_seconds(self) -> float:
        """How long a unit usually takes; 0 if none is finished."""
        return median(self._unit_seconds) if self._unit_seconds else 0.0

    def _numbered(self, unit: Unit) -> Unit:
        self._numbers += 1
        return replace(unit, number=self._numbers)

    def _size(self, processes: int) -> int:
        """How many pictures take ``_UNIT`` seconds."""
        if not self._seconds:
            return 1
        most = min(_MOST, _HELD // (IN_HAND * processes))
        return max(1, min(most, int(_UNIT / max(1e-6, median(self._seconds)))))


def job_of(batch: Sequence[Planned], wanted: Sequence[Planned] = (), rows: int = 0) -> Job:
    """A batch as text, with the keys of its pictures to make."""
    return Job(
        lines=tuple((final_line(one), one.exists) for one in batch),
        wanted=tuple(one.key for one in wanted),
        files=frozenset(name for one in batch for name in named_files(one.recipe)),
        rows=rows,
    )

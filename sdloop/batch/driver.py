"""Give the tasks of a plan to a pool of processes that may die, and report what became of them.

A *unit* is so many tasks that they take about 40 seconds. Each process has two units, so that it
never waits for the next one, and the plan is read only as fast as units are given out: a plan of a
million pictures needs no more memory than one of a thousand.

What a process that died had not reported goes to another one. It may have been written all the
same: then it is there, because a picture is only written where there is none. See ``deaths`` for
pictures that kill their processes.
"""

import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from statistics import median
from typing import Any

from sdloop.batch.deaths import is_fatal, left_of, retries
from sdloop.batch.finish import AlreadyThere
from sdloop.batch.gpu_processes import Message
from sdloop.batch.lines import final_line
from sdloop.batch.planned import Planned
from sdloop.batch.pool import Answer, Died, Job, Pool, Unit
from sdloop.batch.units import Task
from sdloop.errors import BatchError
from sdloop.recipe.input_names import input_names

_UNIT = 40.0  # seconds of work
_MOST = 512  # pictures in a unit
_HELD = 200_000  # pictures in all units that are given out: a line takes about a kilobyte
_IN_HAND = 2  # units of a process
_STARTS = 20  # processes that die before there was news of a picture, one after the other
PATIENCE = 600.0  # seconds of silence, after which a process hangs
_LOADING = 6  # times that, while it loads its model, or waits for room
_LOOK = 0.5  # seconds between two looks at the room for processes
_ANSWERS = 200  # from all processes in a second: they are work for the driver


@dataclass(kw_only=True, slots=True)
class _Process:
    """A process: its units, oldest first, and when it last answered.

    It is ``ready`` after its first answer, and ``working`` after the first news of a picture.
    """

    units: deque[Unit] = field(default_factory=deque)
    reported: set[str] = field(default_factory=set)
    asked: bool = False
    ready: bool = False
    working: bool = False
    heard: float = field(default_factory=time.monotonic)
    since: float = field(default_factory=time.monotonic)


def make_all(
    tasks: Iterator[Task | AlreadyThere],
    pool: Pool,
    *,
    stopping: Callable[[], bool] = lambda: False,
) -> Iterator[Message]:
    """Make all tasks; yields a message for each picture, and ("processes", "", their number).

    When ``stopping`` returns True, the pictures in progress are finished. Raises ``BatchError`` if
    all processes give up, or if none can be started for an hour.
    """
    yield from _Driver(tasks, pool, stopping).work()


def job_of(batch: Sequence[Planned], wanted: Sequence[Planned] = (), rows: int = 0) -> Job:
    """A batch as text, with the keys of its pictures to make."""
    return Job(
        lines=tuple((final_line(one), one.exists) for one in batch),
        wanted=tuple(one.key for one in wanted),
        inputs=frozenset(name for one in batch for name in input_names(one.recipe)),
        rows=rows,
    )


class _Driver:
    """The state of one run."""

    def __init__(
        self,
        tasks: Iterator[Task | AlreadyThere],
        pool: Pool,
        stopping: Callable[[], bool],
    ) -> None:
        self._tasks, self._pool, self._stopping = tasks, pool, stopping
        self._processes: dict[Any, _Process] = {}
        self._back: deque[Unit] = deque()
        self._numbers = 0
        self._read = False  # the whole plan
        self._seconds: deque[float] = deque(maxlen=50)  # for a picture
        self._unit_seconds: deque[float] = deque(maxlen=50)
        self._bad_starts = self._given_up = 0
        self._reasons: dict[str, None] = {}
        self._looked = 0.0
        self._ready = time.monotonic()  # when a process was ready the last time

    def work(self) -> Iterator[Message]:
        before = -1
        first = yield from self._next_unit()  # before processes are started for nothing
        self._back += [] if first is None else [first]
        while True:
            yield from self._hand_out()
            if not any(one.units for one in self._processes.values()):
                if self._stopping() or (self._read and not self._back):
                    return
                self._check_hope()
            for process, answer in self._pool.answers(_LOOK):
                yield from self._heard(process, answer)
            yield from self._hanging()
            ready = sum(one.ready for one in self._processes.values())
            if ready != before:
                before = ready
                yield "processes", "", str(ready)

    def _hand_out(self) -> Iterator[Message]:
        """Start processes while there is room, give each two units, and ask for answers."""
        stop = self._stopping()
        if not stop:
            self._grow()
        seconds = max(0.5, len(self._processes) / _ANSWERS)
        for process, state in list(self._processes.items()):
            if state.asked:
                continue
            new: list[Unit] = []
            while state.ready and not stop and len(state.units) + len(new) < _IN_HAND:
                unit = self._back.popleft() if self._back else (yield from self._next_unit())
                if unit is None:
                    break
                new.append(unit)
            if not state.units:
                state.since = time.monotonic()
            state.units += new
            if state.units or not state.ready:
                state.asked, state.heard = True, time.monotonic()
                self._pool.ask(process, new, seconds=seconds, stop=stop)

    def _grow(self) -> None:
        now = time.monotonic()
        if self._bad_starts >= _STARTS or now - self._looked < _LOOK:
            return
        if self._read and not self._back:
            return
        self._looked = now
        for _ in range(self._pool.places() - self._given_up - len(self._processes)):
            self._processes[self._pool.start()] = _Process()

    def _check_hope(self) -> None:
        """Raise ``BatchError`` if nobody will make the rest."""
        now = time.monotonic()
        given_up = 0 < self._pool.places() <= self._given_up
        if any(one.ready for one in self._processes.values()):
            self._ready = now
        elif not self._processes and (given_up or self._bad_starts >= _STARTS):
            raise BatchError("; ".join(self._reasons))
        elif now - self._ready > PATIENCE * _LOADING:
            raise BatchError(f"no process could be started in {now - self._ready:.0f} s")

    def _next_unit(self) -> Generator[Message, None, Unit | None]:
        """The next unit of the plan, or None at its end; yields what is there already."""
        jobs: list[Job] = []
        size, count = self._size(), 0
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

    def _numbered(self, unit: Unit) -> Unit:
        self._numbers += 1
        return replace(unit, number=self._numbers)

    def _size(self) -> int:
        """How many pictures take ``_UNIT`` seconds; one batch, while that is not known."""
        if not self._seconds:
            return 1
        most = min(_MOST, _HELD // (_IN_HAND * len(self._processes)))
        return max(1, min(most, int(_UNIT / max(1e-6, median(self._seconds)))))

    def _heard(self, process: Any, answer: Answer | Died) -> Iterator[Message]:
        state = self._processes.get(process)
        if state is None:  # it was given up
            return
        if isinstance(answer, Died):
            yield from self._lost(process, answer)
            return
        state.asked, state.ready, state.heard = False, True, time.monotonic()
        if answer.messages:
            state.working, self._bad_starts = True, 0
        state.reported |= {key for _, key, _ in answer.messages if key}
        yield from answer.messages
        for number in answer.done:
            self._finished(state, number)
        if answer.error:
            self._given_up += 1  # the same error would come again
            self._reasons[answer.error] = None
            yield from self._lost(process, Died(reason=answer.error, computer=True))

    def _finished(self, state: _Process, number: int) -> None:
        now = time.monotonic()
        unit = next(unit for unit in state.units if unit.number == number)
        state.units.remove(unit)
        state.reported -= {key for job in unit.jobs for key in job.wanted}
        self._unit_seconds.append(now - state.since)
        self._seconds.append((now - state.since) / len(unit))
        state.since = now

    def _lost(self, process: Any, died: Died) -> Iterator[Message]:
        """A process is gone: its pictures that it did not report go to others."""
        state = self._processes.pop(process)
        with suppress(Exception):  # it is gone, most likely
            self._pool.end(process)
        if not state.working and not died.computer:
            self._bad_starts += 1
            self._reasons[died.reason] = None
        blamed = not died.computer
        for unit in state.units:
            left = left_of(unit, state.reported, blamed=blamed)
            blamed = False  # the others were not begun
            if is_fatal(left):
                yield _fatal(left, died.reason)
            else:
                self._back += map(self._numbered, retries(left))

    def _hanging(self) -> Iterator[Message]:
        """Stop the processes that have been silent for too long."""
        usual = 10 * median(self._unit_seconds) if self._unit_seconds else 0.0
        for process, state in list(self._processes.items()):
            limit = max(PATIENCE, usual) if state.working else PATIENCE * _LOADING
            if state.ready and state.asked and time.monotonic() - state.heard > limit:
                yield from self._lost(process, Died(reason=f"it was silent for {limit:.0f} s"))


def _fatal(unit: Unit, reason: str) -> Message:
    (key,) = unit.jobs[0].wanted
    ((line, _),) = unit.jobs[0].of(key)
    return "failed", key, f"its process died {unit.deaths} times: {reason}; {line}"

"""Give the units of a plan to a pool of processes that may die, and report what became of them.

Each process has two units of about 40 seconds, so that it never waits for the next one, and the
plan is read only as fast as units are given out: a plan of a million pictures needs no more memory
than one of a thousand.

What a process that died had not reported goes to another one. It may have been written all the
same: then it is there, because a picture is only written where there is none. See ``deaths`` for
pictures that kill their processes.
"""

import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from sdloop.batch.deaths import is_fatal, left_of, retries
from sdloop.batch.finish import AlreadyThere
from sdloop.batch.pool import Answer, Died, Message, Pool, Unit
from sdloop.batch.unit_queue import UnitQueue
from sdloop.batch.units import Task
from sdloop.errors import BatchError

PATIENCE = 600.0  # seconds of silence, after which a process hangs
_LOADING = 6  # times that, while it loads its model, or waits for room
_STARTS = 20  # processes that die before there was news of a picture, one after the other
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
    """Make all tasks; yields messages about pictures, and of two other kinds.

    ("processes", "", "3") is how many are at work; ("lost", "", why) means that one is gone.

    When ``stopping`` returns True, the pictures in progress are finished. Closes the pool.

    Raises ``BatchError`` if all processes give up, or if none can be started for an hour.
    """
    try:
        yield from _Driver(UnitQueue(tasks, stopping), pool, stopping).work()
    finally:
        pool.close()


class _Driver:
    """The state of one run."""

    def __init__(self, queue: UnitQueue, pool: Pool, stopping: Callable[[], bool]) -> None:
        self._queue, self._pool, self._stopping = queue, pool, stopping
        self._processes: dict[Any, _Process] = {}
        self._bad_starts = self._given_up = 0
        self._reasons: dict[str, None] = {}
        self._looked = 0.0
        self._answered = time.monotonic()  # when the last answer came

    def work(self) -> Iterator[Message]:
        before = -1
        first = yield from self._queue.next(1)  # before processes are started for nothing
        self._queue.put_back([] if first is None else [first])
        while True:
            yield from self._hand_out()
            if not any(one.units for one in self._processes.values()):
                if self._stopping() or not self._queue:
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
            while state.ready and not stop:
                held = [*state.units, *new]
                unit = yield from self._queue.next(len(self._processes), held)
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
        if not self._queue or self._bad_starts >= _STARTS or now - self._looked < _LOOK:
            return
        self._looked = now
        for _ in range(self._pool.places() - self._given_up - len(self._processes)):
            self._processes[self._pool.start()] = _Process()

    def _check_hope(self) -> None:
        """Raise ``BatchError`` if nobody will make the rest."""
        now = time.monotonic()
        given_up = 0 < self._pool.places() <= self._given_up
        if not self._processes and (given_up or self._bad_starts >= _STARTS):
            raise BatchError("; ".join(self._reasons))
        if now - self._answered > PATIENCE * _LOADING:
            raise BatchError(f"no process could be started in {now - self._answered:.0f} s")

    def _heard(self, process: Any, answer: Answer | Died) -> Iterator[Message]:
        state = self._processes.get(process)
        if state is None:  # it was given up
            return
        if isinstance(answer, Died):
            yield from self._lost(process, answer)
            return
        state.asked, state.ready = False, True
        state.heard = self._answered = time.monotonic()
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
        self._queue.measured(unit, now - state.since)
        state.since = now

    def _lost(self, process: Any, died: Died) -> Iterator[Message]:
        """A process is gone: its pictures that it did not report go to others."""
        state = self._processes.pop(process)
        self._pool.end(process)
        if not self._stopping():
            yield "lost", "", died.reason
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
                self._queue.put_back(retries(left))

    def _hanging(self) -> Iterator[Message]:
        """Stop the processes that have been silent for too long."""
        usual = 10 * self._queue.usual_seconds()
        for process, state in list(self._processes.items()):
            limit = max(PATIENCE, usual) if state.working else PATIENCE * _LOADING
            if state.ready and state.asked and time.monotonic() - state.heard > limit:
                yield from self._lost(process, Died(reason=f"it was silent for {limit:.0f} s"))


def _fatal(unit: Unit, reason: str) -> Message:
    (key,) = unit.jobs[0].wanted
    ((line, _),) = unit.jobs[0].of(key)
    return "failed", key, f"its process died {unit.deaths} times: {reason}; {line}"

"""Give the tasks of a plan to a crew of processes that may die, and hear what became of them.

A *unit* is so many tasks that they take about 40 seconds. Each process has two units, so that it
never waits for the next one, and the plan is read only as fast as units are given out: a plan of a
million pictures needs no more memory than one of a thousand.

What a process that died had not reported goes to another one. It may have been written all the
same: then it is there, because a picture is only written where there is none. After the third death
a unit is halved; a picture that kills its process twice alone is failed, and the rest is made.
"""

import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from sdloop.batch.crew import Answer, Crew, Died, Job, Unit
from sdloop.batch.finish import AlreadyThere
from sdloop.batch.gpu_processes import Message
from sdloop.batch.lines import final_line
from sdloop.batch.units import Task
from sdloop.errors import BatchError

_UNIT = 40.0  # seconds of work
_MOST = 512  # pictures in a unit
_IN_HAND = 2
_DEATHS = 3  # of a unit's processes, before it is halved
_ALONE = 2  # of a single picture's, before it is failed
_STARTS = 3  # of processes that die before they make anything, one after the other
# Seconds of silence after which a process hangs; one that loads its model may take longer.
PATIENCE, LOADING = 600.0, 3600.0
_LOOK = 0.5


@dataclass(kw_only=True, slots=True)
class _Hand:
    """What the driver knows of a process: its units, oldest first, and when it last spoke."""

    units: deque[Unit] = field(default_factory=deque)
    told: set[str] = field(default_factory=set)
    asked: bool = False
    spoke: bool = False
    heard: float = field(default_factory=time.monotonic)
    since: float = field(default_factory=time.monotonic)


def make_all(
    tasks: Iterator[Task | AlreadyThere],
    crew: Crew,
    *,
    stopping: Callable[[], bool] = lambda: False,
    patience: float = PATIENCE,
) -> Iterator[Message]:
    """Make all tasks; yields a message for each picture, and ("alive", "", number) now and then.

    When ``stopping`` returns True, the units in progress are finished. Raises ``BatchError`` if no
    process can be started or all of them give up.
    """
    driver = _Driver(tasks, crew, stopping, patience)
    try:
        yield from driver.work()
    finally:
        for process in driver.hands:
            with suppress(Exception):  # the cluster may be gone
                crew.end(process)


class _Driver:
    """The state of one run."""

    def __init__(
        self,
        tasks: Iterator[Task | AlreadyThere],
        crew: Crew,
        stopping: Callable[[], bool],
        patience: float,
    ) -> None:
        self._tasks, self._crew, self._stopping = tasks, crew, stopping
        self._patience = patience
        self.hands: dict[Any, _Hand] = {}
        self._back: deque[Unit] = deque()
        self._numbers = 0
        self._read = False  # the whole plan
        self._seconds: deque[float] = deque(maxlen=50)  # for a picture
        self._unit_seconds: deque[float] = deque(maxlen=50)
        self._bad_starts = self._given_up = 0
        self._reasons: dict[str, None] = {}
        self._counted = 0.0

    def work(self) -> Iterator[Message]:
        alive = -1
        while True:
            yield from self._hand_out()
            if not any(hand.units for hand in self.hands.values()):
                if self._stopping() or (self._read and not self._back):
                    return
                if not self.hands:
                    raise BatchError("; ".join(self._reasons) or "no process could be started")
            for process, answer in self._crew.answers(_LOOK):
                yield from self._heard(process, answer)
            yield from self._hanging()
            if alive != len(self.hands):
                alive = len(self.hands)
                yield "alive", "", str(alive)

    def _hand_out(self) -> Iterator[Message]:
        """Start processes while there is room; give each two units, and ask for an answer."""
        stop = self._stopping()
        if not stop:
            self._grow()
        for process, hand in list(self.hands.items()):
            if hand.asked:
                continue
            new: list[Unit] = []
            while not stop and len(hand.units) + len(new) < _IN_HAND:
                unit = self._back.popleft() if self._back else (yield from self._next_unit())
                if unit is None:
                    break
                new.append(unit)
            if not hand.units:
                hand.since = time.monotonic()
            hand.units += new
            if hand.units:
                hand.asked, hand.heard = True, time.monotonic()
                self._crew.ask(process, new, stop=stop)

    def _grow(self) -> None:
        now = time.monotonic()
        if self._bad_starts >= _STARTS or now - self._counted < _LOOK:
            return
        if self._read and not self._back:
            return
        self._counted = now
        for _ in range(self._crew.places() - self._given_up - len(self.hands)):
            self.hands[self._crew.start()] = _Hand()

    def _next_unit(self) -> Generator[Message, None, Unit | None]:
        """The next unit of the plan, or None at its end; yields what is there already."""
        jobs: list[Job] = []
        size = self._size()
        count = 0
        while count < size and not self._read and not self._stopping():
            task = next(self._tasks, None)
            if task is None:
                self._read = True
            elif isinstance(task, AlreadyThere):
                yield "there", task.planned.key, ""
            else:
                jobs.append(_job(task))
                count += len(task.wanted)
        return self._unit(jobs) if jobs else None

    def _unit(self, jobs: Sequence[Job], deaths: int = 0) -> Unit:
        self._numbers += 1
        return Unit(number=self._numbers, jobs=jobs, deaths=deaths)

    def _size(self) -> int:
        """How many pictures take ``_UNIT`` seconds; one batch, while that is not known."""
        if not self._seconds:
            return 1
        return max(1, min(_MOST, int(_UNIT / max(1e-6, median(self._seconds)))))

    def _heard(self, process: Any, answer: Answer | Died) -> Iterator[Message]:
        hand = self.hands.get(process)
        if hand is None:  # it was given up
            return
        if isinstance(answer, Died):
            yield from self._lost(process, answer)
            return
        if not hand.spoke and not answer.error:
            self._bad_starts = 0
        hand.asked, hand.spoke, hand.heard = False, True, time.monotonic()
        for message in answer.messages:
            if message[1]:
                hand.told.add(message[1])
            yield message
        for number in answer.done:
            self._finished(hand, number)
        if answer.error:
            self._reasons[answer.error] = None
            self._given_up += 1  # the same error would come again
            yield from self._lost(process, Died(reason=answer.error, computer=True))

    def _finished(self, hand: _Hand, number: int) -> None:
        now = time.monotonic()
        unit = next((unit for unit in hand.units if unit.number == number), None)
        if unit is None:
            return
        hand.units.remove(unit)
        hand.told -= {key for job in unit.jobs for key in job.wanted}
        self._unit_seconds.append(now - hand.since)
        self._seconds.append((now - hand.since) / max(1, len(unit)))
        hand.since = now

    def _lost(self, process: Any, died: Died) -> Iterator[Message]:
        """A process is gone: its pictures that it did not report go to others."""
        hand = self.hands.pop(process)
        with suppress(Exception):  # it is gone, most likely
            self._crew.end(process)
        if not hand.spoke and not died.computer:
            self._bad_starts += 1
            self._reasons[died.reason] = None
        blamed = hand.spoke and not died.computer
        for place, unit in enumerate(hand.units):
            left = [_left(job, hand.told) for job in unit.jobs]
            jobs = [job for job in left if job.wanted]
            if jobs:
                deaths = unit.deaths + (blamed and place == 0)
                yield from self._again(self._unit(jobs, deaths), died.reason)

    def _again(self, unit: Unit, reason: str) -> Iterator[Message]:
        """Give a unit back, in halves if it was the end of several processes."""
        if len(unit) == 1:
            if unit.deaths >= _ALONE:
                (key,) = unit.jobs[0].wanted
                line = next(line for line, _ in unit.jobs[0].lines if f'"{key}"' in line)
                yield "failed", key, f"its process died {unit.deaths} times: {reason}; {line}"
                return
        elif unit.deaths >= _DEATHS:
            # One more death halves them again; a single picture has two.
            for half in _halves(unit.jobs):
                single = sum(len(job.wanted) for job in half) == 1
                self._back.append(self._unit(half, 0 if single else _DEATHS - 1))
            return
        self._back.append(unit)

    def _hanging(self) -> Iterator[Message]:
        """Stop the processes that have been silent for too long."""
        usual = 10 * median(self._unit_seconds) if self._unit_seconds else 0.0
        for process, hand in list(self.hands.items()):
            limit = max(self._patience, usual)
            if not hand.spoke:
                limit = max(limit, self._patience * LOADING / PATIENCE)
            if hand.asked and time.monotonic() - hand.heard > limit:
                yield from self._lost(process, Died(reason=f"it was silent for {limit:.0f} s"))


def _job(task: Task) -> Job:
    return Job(
        lines=tuple((final_line(one), one.exists) for one in task.batch),
        wanted=tuple(one.key for one in task.wanted),
    )


def _left(job: Job, told: set[str]) -> Job:
    return job.only([key for key in job.wanted if key not in told])


def _halves(jobs: Sequence[Job]) -> list[list[Job]]:
    """Two halves of the jobs; of a single one, its pictures each in a batch of its own."""
    if len(jobs) > 1:
        middle = len(jobs) // 2
        return [list(jobs[:middle]), list(jobs[middle:])]
    (job,) = jobs
    own = {key: [one for one in job.lines if f'"{key}"' in one[0]] for key in job.wanted}
    return [[Job(lines=lines, wanted=(key,))] for key, lines in own.items()]

"""Pools of processes that are none."""

from collections.abc import Sequence
from typing import Any

from sdloop.batch.pool import Answer, Died, Job, Unit
from sdloop.cli.make.unit_runner import UnitRunner


class Here:
    """Of one process, which is this one. It dies when it is asked for the ``last`` time."""

    last = -1
    asked = 0

    def __init__(self, where: object, settings: Any) -> None:
        self._settings = settings
        self._answers: list[tuple[Any, Answer | Died]] = []

    def places(self) -> int:
        return 1

    def start(self) -> UnitRunner:
        return UnitRunner(self._settings)

    def ask(
        self, process: UnitRunner, units: Sequence[Unit], *, seconds: float, stop: bool
    ) -> None:
        type(self).asked += 1
        answer = process.step(units, seconds, stop)
        dies = type(self).asked == type(self).last
        self._answers.append((process, Died(reason="killed") if dies else answer))

    def answers(self, seconds: float) -> list[tuple[Any, Answer | Died]]:
        found, self._answers = self._answers, []
        return found

    def largest_batch(self, job: Job) -> int:
        return 2

    def end(self, process: UnitRunner) -> None:
        process.close()

    def close(self) -> None:
        pass

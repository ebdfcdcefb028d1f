"""The driver's time for each picture of a batch on Ray, with actors that paint nothing.

python tests/benchmarks/ray_driver.py 1 4 16

It prints the processor time of the driver, without that for reading the plan.
"""

import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import sdloop.cli.make.ray_pool as ray_pool
from sdloop.batch.command_settings import CommandSettings
from sdloop.batch.driver import make_all
from sdloop.batch.pool import Answer, Unit
from sdloop.batch.units import Task
from sdloop.cli.make.unit_runner import RunnerSettings
from sdloop.recipe.recipe import Recipe

COUNT = 200_000
RECIPE = Recipe(prompt="a frog", seed=4)


class PaintsNothing:
    """Takes a millisecond for each picture, so that its units become large."""

    def __init__(self, settings: RunnerSettings) -> None:
        self._units: list[Unit] = []

    def step(self, units: Sequence[Unit], seconds: float, stop: bool, *_: Any) -> Answer:
        self._units += units
        if not self._units:
            return Answer()
        unit = self._units.pop(0)
        keys = [key for job in unit.jobs for key in job.wanted]
        time.sleep(0.001 * len(keys))
        return Answer(messages=[("made", key, f"{key}.png") for key in keys], done=[unit.number])


def tasks() -> Iterator[Any]:
    for number in range(COUNT):
        one: Any = SimpleNamespace(
            recipe=RECIPE, path=Path(f"{number}.png"), key=f"{number:064x}", exists="fail"
        )
        yield Task(batch=[one], wanted=[one])


class Pool(ray_pool.RayPool):
    count = 1

    def places(self) -> int:
        return self.count

    def _new(self) -> Any:
        actor = self._actor.options(num_cpus=0).remote(self._settings)
        self._actors.append(actor)
        return actor


def main() -> None:
    for count in map(int, sys.argv[1:]):
        ray_pool.UnitRunner = PaintsNothing
        settings = RunnerSettings(command=CommandSettings(), folder=".", json_lines=False)
        pool = Pool("ray", settings)
        pool.count = count
        began, clock = time.process_time(), time.monotonic()
        made = sum(kind == "made" for kind, _, _ in make_all(tasks(), pool))
        each = (time.process_time() - began) / made * 1e6
        print(f"{count} actors: {each:.0f} µs, {made / (time.monotonic() - clock):.0f} a second")
        pool.close()


if __name__ == "__main__":
    main()

"""What the driver of a batch on Ray needs, with processes that paint nothing.

python tests/benchmarks/ray_driver.py 1000000 10

The first number is how many pictures (above 100,000 a multiple of it: that many seeds of several
prompts), the second how many processes. The whole command runs: it
plans the pictures, hands them out through Ray and hears of them. Up to 100 of the processes share
one of Ray's actors, because a thousand Pythons do not fit on one computer; each is asked, and
answers, as if it had its own.
"""

import resource
import sys
import tempfile
import time
from collections import defaultdict, deque
from collections.abc import Sequence
from contextlib import redirect_stdout
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import sdloop.cli.make.batch_run as batch_run
from sdloop.batch.pool import Answer, Unit
from sdloop.batch.seeds import MAX_PICTURES
from sdloop.cli import app
from sdloop.cli.make.ray_pool import RayPool

SHARED = 100


class Host:
    """An actor that is up to 100 processes, each in a thread; a picture takes them 10 ms."""

    def __init__(self) -> None:
        self._units: defaultdict[int, deque[Unit]] = defaultdict(deque)

    def step(
        self, number: int, units: Sequence[Unit], seconds: float, stop: bool, *_: Any
    ) -> Answer:
        mine = self._units[number]
        mine += units
        until, messages, done = time.monotonic() + seconds, [], []
        while mine and (not done or time.monotonic() < until):
            unit = mine.popleft()
            time.sleep(0.01 * len(unit))
            keys = [key for job in unit.jobs for key in job.wanted]
            messages += [("made", key, f"out/{key}.png") for key in keys]
            done.append(unit.number)
        return Answer(messages=messages, done=done)


class Process:
    """What the driver asks."""

    def __init__(self, host: Any, number: int) -> None:
        self.step = SimpleNamespace(remote=partial(host.step.remote, number))


class Pool(RayPool):
    count = 1

    def places(self) -> int:
        return self.count

    def _new(self) -> Any:
        number = len(self._actors)
        if number % SHARED == 0:
            self._host = self._ray.remote(num_cpus=0, max_concurrency=SHARED)(Host).remote()
        self._actors.append(Process(self._host, number))
        return self._actors[-1]

    def close(self) -> None:
        self._actors.clear()


def main() -> None:
    import ray

    pictures, Pool.count = map(int, sys.argv[1:])
    batch_run.RayPool = Pool  # type: ignore[misc]
    ray.init(num_cpus=2, object_store_memory=100 * 2**20, include_dashboard=False)
    before, began = time.process_time(), time.monotonic()
    seeds = min(pictures, MAX_PICTURES)
    prompts = [f"a frog, {number}" for number in range(pictures // seeds)]
    with tempfile.TemporaryDirectory() as folder, Path(folder, "told").open("w+") as told:
        plan = (*prompts, "--seed", f"1..{seeds}", "--outdir", f"{folder}/out", "-q")
        with redirect_stdout(told):
            app(["batch", *plan, "--on", "ray"], standalone_mode=False)
        used, seconds = time.process_time() - before, time.monotonic() - began
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        told.seek(0)
        assert len(set(told)) == pictures
    print(
        f"{pictures} pictures, {Pool.count} processes: {seconds:.0f} s, of which the driver worked "
        f"{used:.0f} s, {used / pictures * 1e6:.0f} µs for each picture; {memory:.0f} MB"
    )
    ray.shutdown()


if __name__ == "__main__":
    main()

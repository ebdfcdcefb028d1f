"""``--gpus``: the processes on this computer, with runners that only pretend to make pictures."""

import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

import sdloop.batch.driver
import sdloop.batch.unit_queue
import sdloop.cli.make.local_pool
from sdloop.batch.command_settings import CommandSettings
from sdloop.batch.devices import devices_of
from sdloop.batch.driver import make_all
from sdloop.batch.pool import Answer, Job, Unit
from sdloop.cli.make.local_pool import LocalPool
from sdloop.cli.make.unit_runner import RunnerSettings
from sdloop.errors import SettingError

_UP_TO_THE_FORK = """
import sys
from sdloop.cli.make.local_pool import LocalPool

def new(self):
    print(self._free, sorted({"torch", "numpy", "diffusers"} & set(sys.modules)), file=sys.stderr)
    sys.exit(7)

LocalPool._new = new
from sdloop.__main__ import main
main()
"""


def test_nothing_heavy_is_imported_before_the_fork(tmp_path: Path, tiny_model: Path) -> None:
    """CUDA cannot be used in a process that was forked after torch had begun to use it."""
    arguments = ["batch", "a cat", "--seed", "1..2", "--gpus", "0,1", "-m", str(tiny_model)]
    done = subprocess.run(
        [sys.executable, "-c", _UP_TO_THE_FORK, *arguments],
        cwd=tmp_path, capture_output=True, text=True, env=os.environ,
    )  # fmt: skip
    assert done.returncode == 7, done.stderr
    assert "['cuda:1', 'cuda:0'] []" in done.stderr.splitlines()


def test_a_system_that_cannot_fork_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "fork")
    with pytest.raises(SettingError, match="gpus needs Linux or macOS, got all"):
        devices_of("all")


class Pretended:
    """Makes a unit per question; the picture 13 kills it, and once the picture 7 crashes it."""

    def __init__(self, settings: RunnerSettings) -> None:
        self._device = settings.command.device
        self._units: list[Unit] = []

    def step(self, units: Sequence[Unit], seconds: float, stop: bool) -> Answer:
        self._units += units
        if not self._units:
            return Answer()
        keys = [key for job in self._units[0].jobs for key in job.wanted]
        if "13" in keys:
            os.kill(os.getpid(), signal.SIGKILL)
        if "7" in keys and not Path("crashed").exists():
            Path("crashed").touch()
            sys.exit(3)
        made = [("made", key, self._device) for key in keys]
        return Answer(messages=made, done=[self._units.pop(0).number])

    def largest_batch(self, line: str) -> int:
        return {"cuda:0": 8, "cuda:1": 4}[self._device]


@pytest.fixture
def pool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LocalPool:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "obstore", raising=False)  # another test's
    monkeypatch.setattr(sdloop.cli.make.local_pool, "UnitRunner", Pretended)
    monkeypatch.setattr(sdloop.batch.driver, "_LOOK", 0.01)
    monkeypatch.setattr(sdloop.batch.unit_queue, "_MOST", 1)
    settings = RunnerSettings(
        command=CommandSettings(),
        folder=".",
        json_lines=False,
        redo=False,
        shared=True,
        demanding=Job(lines=(), wanted=()),
    )
    return LocalPool(["cuda:0", "cuda:1"], settings)


def test_processes_that_die_are_replaced(pool: LocalPool, plan: Any) -> None:
    found = list(make_all(plan(40), pool))
    kinds = Counter(kind for kind, about, _ in found if about)
    assert kinds == {"made": 39, "failed": 1}
    lost = [why for kind, _, why in found if kind == "lost"]
    assert sum("was killed by signal 9" in why for why in lost) == 2
    assert sum("crashed" in why for why in lost) == 1
    (failed,) = (line for kind, _, line in found if kind == "failed")
    assert failed.startswith("its process died 2 times: the process on cuda:")


def test_the_batch_size_is_the_least(pool: LocalPool, plan: Any) -> None:
    assert pool.largest_batch(Job(lines=[("{}", "fail")], wanted=())) == 4
    children = [pool.start() for _ in range(pool.places())]
    assert {child.device for child in children} == {"cuda:0", "cuda:1"}
    # An answer that comes before that of the next measurement is kept.
    pool.ask(children[0], [], seconds=1, stop=False)
    assert pool.largest_batch(Job(lines=[("{}", "fail")], wanted=())) == 4
    assert pool.answers(1) == [(children[0], Answer())]
    pool.close()


def test_they_end_with_the_driver(pool: LocalPool) -> None:
    child = pool.start()
    pool.ask(child, [], seconds=1, stop=False)
    assert pool.answers(60) == [(child, Answer())]
    child.line.close()
    child.process.join(60)
    assert child.process.exitcode == 0


@pytest.fixture
def plan() -> Any:
    from types import SimpleNamespace

    from sdloop.batch.units import Task
    from sdloop.recipe.recipe import Recipe

    recipe = Recipe(prompt="a frog", seed=4)

    def tasks(count: int) -> Any:
        for number in range(count):
            one: Any = SimpleNamespace(
                recipe=recipe, path=Path(f"{number}.png"), key=str(number), exists="fail"
            )
            yield Task(batch=[one], wanted=[one])

    return tasks

"""The driver of a cluster's batch, with processes that only pretend to make pictures, and die."""

import random
import time
import tracemalloc
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import sdloop.batch.driver
import sdloop.batch.unit_queue
from sdloop.batch.driver import make_all
from sdloop.batch.finish import AlreadyThere
from sdloop.batch.pool import Answer, Died, Job, Unit
from sdloop.batch.units import Task
from sdloop.errors import BatchError
from sdloop.recipe.recipe import Recipe

RECIPE = Recipe(prompt="a frog", seed=4)


def key(number: int) -> str:
    return f"{number:064x}"


def planned(number: int) -> Any:
    return SimpleNamespace(
        recipe=RECIPE, path=Path(f"{number}.png"), key=key(number), exists="fail"
    )


def tasks(count: int, *, size: int = 1) -> Iterator[Any]:
    for start in range(0, count, size):
        batch = [planned(number) for number in range(start, min(start + size, count))]
        yield Task(batch=batch, wanted=batch)


class Pretended:
    """Processes that make a unit per answer; ``fate`` decides what becomes of each picture.

    It returns None for a picture that is made, or what the process does in its place.
    """

    def __init__(self, places: int, fate: Callable[[int, str], Any] = lambda *_: None) -> None:
        self._places, self._fate = places, fate
        self._units: dict[int, deque[Unit]] = {}
        self._answers: deque[tuple[int, Answer | Died]] = deque()
        self.started, self.most, self.written = 0, 0, Counter[str]()
        self.ended: list[int] = []

    def places(self) -> int:
        return self._places

    def start(self) -> int:
        self.started += 1
        self._units[self.started] = deque()
        return self.started

    def ask(self, process: int, units: Sequence[Unit], *, seconds: float, stop: bool) -> None:
        mine = self._units[process]
        mine += units
        self.most = max(self.most, sum(map(len, self._units.values())))
        if stop:
            self._answers.append((process, Answer(done=[one.number for one in mine])))
            mine.clear()
            return
        if not mine:
            self._answers.append((process, Answer()))
            return
        messages = []
        for job in mine[0].jobs:
            for one in job.wanted:
                fate = self._fate(process, one)
                if fate == "silent":
                    return
                if fate is not None:
                    # What it had told of is heard first, as from a real process.
                    self._answers += [(process, Answer(messages=messages)), (process, fate)]
                    return
                messages.append(("made" if not self.written[one] else "there", one, one))
                self.written[one] += 1
        self._answers.append((process, Answer(messages=messages, done=[mine.popleft().number])))

    def answers(self, seconds: float) -> list[tuple[int, Answer | Died]]:
        found = list(self._answers)
        self._answers.clear()
        return found

    def end(self, process: int) -> None:
        self.ended.append(process)

    def largest_batch(self, job: Job) -> int:
        return 1

    def close(self) -> None:
        pass


def told(messages: Iterator[Any]) -> dict[str, str]:
    """What was told of each picture; each is told of once."""
    found: dict[str, str] = {}
    for kind, about, _ in messages:
        if about:
            assert about not in found
            found[about] = kind
    return found


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sdloop.batch.driver, "_LOOK", 0.0)


def test_each_picture_is_told_of_once() -> None:
    pool = Pretended(3)
    plan = iter([AlreadyThere(planned=planned(1000)), *tasks(100, size=4)])
    found = told(make_all(plan, pool))
    assert Counter(found.values()) == {"made": 100, "there": 1}
    assert pool.started == 3


def test_random_deaths_lose_nothing() -> None:
    dice = random.Random(4)
    fate = lambda *_: Died(reason="killed") if dice.random() < 0.02 else None  # noqa: E731
    pool = Pretended(4, fate)
    found = told(make_all(tasks(200, size=2), pool))
    assert len(found) == 200 and "failed" not in found.values()
    assert pool.started > 4
    assert set(pool.written) == set(found)


def test_a_picture_that_kills_its_process_is_failed_and_no_other() -> None:
    poison = {key(13), key(77)}
    pool = Pretended(2, lambda _, one: Died(reason="signal 9") if one in poison else None)
    lines = {about: (kind, line) for kind, about, line in make_all(tasks(200, size=8), pool)}
    lines.pop("")
    assert {about for about, (kind, _) in lines.items() if kind == "failed"} == poison
    assert len(lines) == 200
    _, line = lines[key(13)]
    assert line.startswith("its process died 2 times: signal 9; {")
    assert pool.started < 40


def test_a_picture_made_just_before_another_kills_the_process_is_not_failed() -> None:
    """The process dies with the second of its two units before anybody heard of the first."""

    class Hasty(Pretended):
        def ask(self, process: int, units: Sequence[Unit], *, seconds: float, stop: bool) -> None:
            wanted = [one for unit in units for job in unit.jobs for one in job.wanted]
            if key(1) not in wanted:
                super().ask(process, units, seconds=seconds, stop=stop)
                return
            self.written.update(wanted[: wanted.index(key(1))])
            self._answers.append((process, Died(reason="its process died")))

    found = told(make_all(tasks(6), Hasty(1)))
    assert set(found) == {key(number) for number in range(6)}
    assert [one for one, kind in found.items() if kind == "failed"] == [key(1)]


def test_a_computer_that_is_taken_away_is_nobodys_fault() -> None:
    taken = Counter[str]()

    def fate(_: int, one: str) -> Any:
        taken[one] += 1
        return Died(reason="gone", computer=True) if taken[one] < 6 and one == key(7) else None

    assert set(told(make_all(tasks(20), Pretended(2, fate))).values()) == {"made"}


def test_after_a_long_time_new_computers_are_waited_for_as_at_the_start(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sdloop.batch.driver, "PATIENCE", 0.02)
    gone = Died(reason="gone", computer=True)

    def fate(process: int, one: str) -> Any:
        time.sleep(0.02)
        return gone if process == 1 and one == key(12) else None

    assert len(told(make_all(tasks(20), Pretended(1, fate)))) == 20


def test_a_process_that_hangs_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sdloop.batch.driver, "PATIENCE", 0.05)
    pool = Pretended(2, lambda process, one: "silent" if process == 1 and one == key(5) else None)
    found = told(make_all(tasks(40), pool))
    # What it had made and not told of is there.
    assert set(found.values()) == {"made", "there"} and len(found) == 40
    assert 1 in pool.ended[:1]


def test_processes_that_die_at_their_start() -> None:
    class Stillborn(Pretended):
        def ask(self, process: int, units: Sequence[Unit], *, seconds: float, stop: bool) -> None:
            self._answers.append((process, Died(reason="no torch there")))

    pool = Stillborn(2)
    with pytest.raises(BatchError, match=r"^no torch there$"):
        told(make_all(tasks(40), pool))
    assert pool.started <= 22


def test_a_computer_that_cannot_do_it_leaves_it_to_the_others() -> None:
    error = Answer(error="weights differ")
    pool = Pretended(2, lambda process, _: error if process == 1 else None)
    assert set(told(make_all(tasks(40), pool)).values()) == {"made"}
    assert pool.started == 2
    with pytest.raises(BatchError, match=r"^weights differ$"):
        told(make_all(tasks(40), Pretended(2, lambda *_: error)))


def test_stopping_gives_out_no_more() -> None:
    pool = Pretended(2)
    stop: list[bool] = []
    heard = 0
    for kind, _, _ in make_all(tasks(10_000), pool, stopping=lambda: bool(stop)):
        heard += kind == "made"
        if heard == 5:
            stop.append(True)
    assert 5 <= heard < 3000


def million(count: int, places: int) -> tuple[float, int, Pretended]:
    """Seconds for each picture, peak memory, and the pool."""
    pool = Pretended(places)
    pool.written = _Nothing()
    began = time.process_time()
    heard = sum(kind == "made" for kind, _, _ in make_all(tasks(count), pool))
    assert heard == count
    return (time.process_time() - began) / count, pool.most, pool


class _Nothing(Counter[str]):
    """Keeps nothing, to measure the driver alone."""

    def __setitem__(self, name: str, value: int) -> None:
        pass


def test_memory_does_not_grow_with_the_plan(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sdloop.batch.unit_queue, "_MOST", 16)
    peaks = []
    for count in (500, 2_000):
        tracemalloc.start()
        million(count, 4)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.3 * peaks[0], peaks


def peak_since(*, forget: bool = False) -> float:
    """The most MB that this process took, since it was last told to ``forget`` earlier tests."""
    if forget:
        Path("/proc/self/clear_refs").write_text("5")
    status = dict(line.split(":") for line in Path("/proc/self/status").read_text().splitlines())
    return int(status["VmHWM"].split()[0]) / 1024


@pytest.mark.slow
def test_a_million_pictures() -> None:
    """Within 200 MB and 5 minutes, and the driver's time for each does not depend on the pool."""
    for places in (10, 100, 1000):
        each, _, _ = million(100_000, places)
        print(f"{places} processes: {each * 1e6:.0f} µs of the driver for each picture")
    before = peak_since(forget=True)
    each, most, _ = million(1_000_000, 100)
    peak = peak_since() - before
    print(f"a million: {each * 1e6:.0f} µs each, {peak:.0f} MB, at most {most} given out")
    assert each * 1e6 < 300 and peak < 200 and most <= 100 * 2 * 512


def test_what_a_compiled_unet_pads_to_goes_along(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sdloop.batch.unit_queue, "final_line", lambda one: one.key)
    assert sdloop.batch.unit_queue.job_of([planned(1)], [planned(1)], 4).rows == 4

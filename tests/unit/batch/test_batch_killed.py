"""``sdloop batch``, killed or run in parallel: no partial, missing or duplicate files."""

import itertools
import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from helpers.forked import Nursery

from sdloop.batch.claims import NAME
from sdloop.metadata.picture import read_record

# Two shapes of seven seeds: batches of four and of three.
PLAN = ["batch", "--from-file", "prompts.txt", "--seed", "1..7", "--steps", "2"]
NAMED = ["-o", "out/{prompt:.20}/{seed}.png"]
PROMPTS = "a red house\na dark cat --w 48\n"


_known: dict[int, tuple[dict[str, bytes], float]] = {}


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_model: Path) -> Path:
    (tmp_path / "prompts.txt").write_text(PROMPTS)
    (tmp_path / "undisturbed").mkdir()
    (tmp_path / "undisturbed" / "prompts.txt").write_text(PROMPTS)
    return tmp_path


def command(model: Path, size: int) -> list[str]:
    return [*PLAN, *NAMED, "-m", str(model), "--batch-size", str(size)]


def files(folder: Path) -> dict[str, bytes]:
    """All that is in a folder, hidden files too."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def undisturbed(
    nursery: Nursery, model: Path, size: int, work: Path
) -> tuple[dict[str, bytes], float]:
    """The files of a run that nobody disturbs, and how long it takes; made once for all tests."""
    if size in _known:
        return _known[size]
    place = work / "undisturbed"
    started = time.monotonic()
    assert nursery.run(command(model, size), place, work / "undisturbed.log") == 0
    seconds = time.monotonic() - started
    made = files(place / "out")
    assert len(made) == 14
    _known[size] = made, seconds
    return made, seconds


def whole(folder: Path) -> None:
    """Every picture that is there is a whole one."""
    for path in folder.rglob("*.png"):
        assert read_record(path).recipe is not None


@pytest.mark.parametrize(
    "kills", [4, pytest.param(100, marks=pytest.mark.slow)], ids=["few", "many"]
)
@pytest.mark.parametrize("size", [pytest.param(1, marks=pytest.mark.slow), 4])
def test_killed_at_any_moment_and_run_again_it_makes_the_same_files(
    nursery: Nursery, work: Path, tiny_model: Path, size: int, kills: int
) -> None:
    expected, seconds = undisturbed(nursery, tiny_model, size, work)
    moments = random.Random(4)
    killed = 0
    for place in (work / f"place-{number}" for number in itertools.count()):
        place.mkdir()
        (place / "prompts.txt").write_text(PROMPTS)
        for attempt in itertools.count():
            child = nursery.start(command(tiny_model, size), place, place / "log")
            if attempt < 12:
                time.sleep(moments.uniform(0, seconds * 0.7))
                os.kill(child, signal.SIGKILL)
            code = nursery.wait(child)
            whole(place)
            if code == 0:
                break
            assert code == -signal.SIGKILL
            killed += 1
        assert files(place / "out") == expected
        if killed >= kills:
            break
    assert killed >= kills


def test_processes_on_one_folder_make_each_picture_once(
    nursery: Nursery, work: Path, tiny_model: Path
) -> None:
    expected, _ = undisturbed(nursery, tiny_model, 1, work)
    children = [
        nursery.start(command(tiny_model, 1), work, work / f"log-{number}") for number in range(3)
    ]
    assert [nursery.wait(child) for child in children] == [0, 0, 0]
    told = [(work / f"log-{number}").read_text().splitlines() for number in range(3)]
    assert sorted(itertools.chain(*told)) == sorted(f"out/{name}" for name in expected)
    assert all(told), "one process made everything"
    assert files(work / "out") == expected


def test_a_claim_dies_with_its_owner(nursery: Nursery, work: Path, tiny_model: Path) -> None:
    """Of two processes one is killed in the middle: the other makes what it had begun."""
    expected, seconds = undisturbed(nursery, tiny_model, 4, work)
    children = [
        nursery.start(command(tiny_model, 4), work, work / f"log-{number}") for number in range(2)
    ]
    time.sleep(seconds / 4)
    os.kill(children[0], signal.SIGKILL)
    assert [nursery.wait(child) for child in children] == [-signal.SIGKILL, 0]
    assert files(work / "out") == expected


def test_a_process_for_each_gpu(nursery: Nursery, work: Path, tiny_model: Path) -> None:
    """Two of the CPU here: the same files as one makes, each told once."""
    expected, _ = undisturbed(nursery, tiny_model, 4, work)
    spread = [*command(tiny_model, 4), "--gpus", "cpu,cpu"]
    assert nursery.run(spread, work, work / "log") == 0
    told = (work / "log").read_text().splitlines()
    assert sorted(told) == sorted(f"out/{name}" for name in expected)
    assert files(work / "out") == expected
    assert (work / "log.err").read_text().count("14 done, 0 left, 0 failed") == 1


def test_one_of_them_that_dies_leaves_its_part_to_the_others(
    nursery: Nursery, work: Path, tiny_model: Path
) -> None:
    expected, _ = undisturbed(nursery, tiny_model, 4, work)
    child = nursery.start([*command(tiny_model, 4), "--gpus", "cpu,cpu"], work, work / "log")
    children = Path(f"/proc/{child}/task/{child}/children")
    _wait_for(lambda: (work / "out").exists() and len(children.read_text().split()) == 2)
    first, _ = children.read_text().split()
    os.kill(int(first), signal.SIGKILL)
    assert nursery.wait(child) == 0
    assert files(work / "out") == expected
    told = "warning: the process on cpu was killed by signal 9; others make its pictures"
    assert told in (work / "log.err").read_text()


def test_where_there_is_no_gpu_all_are_refused(
    nursery: Nursery, work: Path, tiny_model: Path
) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is one")
    assert nursery.run([*command(tiny_model, 4), "--gpus", "all"], work, work / "log") == 2
    assert "torch sees none" in (work / "log.err").read_text()


def test_interrupts_are_handed_on_to_them(nursery: Nursery, work: Path, tiny_model: Path) -> None:
    long = [*command(tiny_model, 4), "--steps", "20", "--gpus", "cpu,cpu"]
    child = nursery.start(long, work, work / "log")
    _wait_for(lambda: (work / "out").exists())
    os.kill(child, signal.SIGINT)
    assert nursery.wait(child) == 130
    told = (work / "log").read_text().splitlines()
    assert sorted(told) == sorted(f"out/{name}" for name in files(work / "out"))
    assert 3 <= len(told) <= 8  # a batch of each, of four or three
    assert (work / "log.err").read_text().count("stopping") == 1


def test_shards_are_parts_of_the_plan(nursery: Nursery, work: Path, tiny_model: Path) -> None:
    expected, _ = undisturbed(nursery, tiny_model, 4, work)
    seen: set[str] = set()
    for part in ("1/3", "2/3", "3/3"):
        shard = [*command(tiny_model, 4), "--shard", part]
        assert nursery.run(shard, work, work / "log") == 0
        now = set(files(work / "out"))
        assert seen < now
        seen = now
    assert files(work / "out") == expected


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_finishes_and_the_second_stops(
    nursery: Nursery, work: Path, tiny_model: Path, number: signal.Signals
) -> None:
    """Once: whole batches. Twice: at once, and no half file."""
    long = [*command(tiny_model, 4), "--steps", "20"]
    child = nursery.start(long, work, work / "log")
    told = work / "log.err"
    _wait_for(lambda: (work / "out").exists())
    os.kill(child, number)
    assert nursery.wait(child) == 130
    assert len((work / "log").read_text().splitlines()) == 4
    assert "stopping after the pictures that are in work" in told.read_text()
    before = files(work / "out")
    child = nursery.start(long, work, work / "log")
    _wait_for(lambda: (work / "out" / NAME).exists())
    os.kill(child, number)
    _wait_for(lambda: told.read_text().count("stopping") == 2)
    os.kill(child, number)
    assert nursery.wait(child) == 130
    assert told.read_text().endswith("the pictures that were finished are kept\n")
    assert files(work / "out") == before


def _wait_for(condition: Callable[[], bool]) -> None:
    for _ in range(3000):
        if condition():
            return
        time.sleep(0.02)
    raise AssertionError("it never happened")

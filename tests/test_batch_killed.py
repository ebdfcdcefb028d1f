"""``sdloop batch`` killed at any moment, and shared by processes: no half file, no gap, no twin."""

import itertools
import os
import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from forked import Nursery

from sdloop.png import read_record

# Two prompts of ten seeds, of two shapes: batches of four, of two, of one.
PLAN = ["batch", "--from-file", "prompts.txt", "--seed", "1..9", "--steps", "3"]
NAMED = ["-o", "out/{prompt:.20}/{seed}.png"]
PROMPTS = "a red house\na dark cat --w 48\n"


@pytest.fixture(scope="module")
def nursery(tiny_model: Path) -> Iterator[Nursery]:
    with Nursery(tiny_model) as nursery:
        yield nursery


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


def undisturbed(X
    """The files of a run that nobody disturbs, and how long it takes."""
    place = work / "undisturbed"
    started = time.monotonic()
    assert nursery.run(command(model, size), place, work / "undisturbed.log") == 0
    seconds = time.monotonic() - started
    made = files(place / "out")
    assert len(made) == 18
    return made, seconds


def whole(folder: Path) -> None:
    """Every picture that is there is a whole one."""
    for path in folder.rglob("*.png"):
        assert read_record(path).recipe is not None


@pytest.mark.parametrize(
    "kills", [6, pytest.param(100, marks=pytest.mark.slow)], ids=["few", "many"]
)
@pytest.mark.parametrize("size", [1, 4])
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

"""``--on ray`` with Ray's own processes and a model: see ``test_ray_disturbed.py``, too."""

import os
import signal
from collections import Counter
from pathlib import Path

import pytest
from helpers.commands import Command, work_in
from helpers.computers import Computers, content, wait_for
from helpers.forked import Nursery
from helpers.s3_server import BUCKET, Bucket
from PIL import Image

from sdloop.batch.found import found_in
from sdloop.places.path import location

pytestmark = pytest.mark.slow

BATCH = Command("batch")
PLAN = ("a {red|green} house", "--seed", "1..10", "--batch-size", "2", "--outdir")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_model: Path) -> Path:
    return work_in(tmp_path / "work", monkeypatch, tiny_model)


def test_the_files_are_those_of_one_process(place: Path, computers: Computers) -> None:
    """From a picture, too, which travels through Ray."""
    Image.new("RGB", (32, 32), "red").save("in.png")
    for more in ((), ("-i", "in.png", "--strength", "0.5")):
        plan = (*PLAN[:-1], *more, "--outdir")
        alone = BATCH.make(*plan, "alone")
        made = BATCH.make(*plan, "out", "--on", "ray")
        assert sorted(made) == sorted(one.replace("alone", "out") for one in alone)
        assert content("out") == content("alone")
        assert BATCH.make(*plan, "out", "--on", "ray") == []


def test_in_a_bucket(
    nursery: Nursery, place: Path, computers: Computers, store: Bucket, tiny_model: Path
) -> None:
    """Beside a process that works on it without Ray: each picture is made once."""
    out, log = f"s3://{BUCKET}/both", place / "log"
    other = nursery.start(["batch", *PLAN, out, "--steps", "2", "-m", str(tiny_model)], place, log)
    told = BATCH.make(*PLAN, out, "--on", "ray")
    assert nursery.wait(other) == 0
    told += log.read_text().splitlines()
    assert Counter(told) == Counter(set(told)) and len(told) == 20
    BATCH.make(*PLAN, "alone")
    assert {name.removeprefix("both/"): one for name, one in store.pictures().items()} == content(
        "alone"
    )
    assert found_in(location(out)).opened == 0  # the index knows them all


def test_killed(nursery: Nursery, place: Path, computers: Computers) -> None:
    """A process, a computer and the driver, in the middle of it."""
    command = ["batch", *PLAN, "out", "--steps", "2", "--on", computers.address]
    child = nursery.start(command, place, place / "log")
    for goal, harm in ((2, computers.kill_a_process), (6, computers.lose_one)):
        wait_for(lambda: len(content("out")) >= goal)  # noqa: B023
        harm()
    wait_for(lambda: len(content("out")) >= 10)
    os.kill(child, signal.SIGKILL)
    assert nursery.wait(child) == -signal.SIGKILL
    assert nursery.run(command, place, place / "log") == 0
    told = (place / "log").read_text().splitlines()
    assert len(told) == len(set(told))
    BATCH.make(*PLAN, "alone")
    assert content("out") == content("alone") and len(content("out")) == 20

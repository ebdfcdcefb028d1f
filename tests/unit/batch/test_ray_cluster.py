"""``--on ray`` with Ray's own processes: a cluster of several computers, all of them this one."""

import json
import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from helpers.commands import Command, work_in
from helpers.forked import Nursery
from helpers.s3_server import BUCKET, Bucket, s3_bucket
from PIL import Image

import sdloop.batch.driver
from sdloop.batch.found import found_in
from sdloop.places.path import location

pytestmark = pytest.mark.slow

BATCH = Command("batch")
PLAN = ("a {red|green} house", "--seed", "1..10", "--batch-size", "2", "--outdir")

# Losses of a user's own, which do to their process what no picture may do to a batch.
FATES = """
import os, signal, time
from pathlib import Path

def kills(image):
    os.kill(os.getpid(), signal.SIGKILL)

def hangs_once(image):
    if not Path("hung").exists():
        Path("hung").touch()
        time.sleep(10_000)
    return image.mean() * 0
"""


@dataclass
class Computers:
    """A cluster, and what can happen to it."""

    cluster: Any
    nodes: list[Any] = field(default_factory=list)

    @property
    def address(self) -> str:
        return str(self.cluster.address)

    def lose_one(self) -> None:
        """A computer is taken away, and another one comes."""
        self.cluster.remove_node(self.nodes.pop(0), allow_graceful=False)
        self.nodes.append(self.cluster.add_node(num_cpus=1))

    def kill_a_process(self) -> None:
        for process in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                if "ray::UnitRunner" in (process / "cmdline").read_text():
                    os.kill(int(process.name), signal.SIGKILL)
                    return


@pytest.fixture(scope="module")
def store() -> Iterator[Bucket]:
    with pytest.MonkeyPatch.context() as patch, s3_bucket(patch) as bucket:
        yield bucket


@pytest.fixture(scope="module")
def computers(store: Bucket) -> Iterator[Computers]:
    """Two computers with a processor each; they ask for a token."""
    with pytest.MonkeyPatch.context() as patch:
        # Ray reads these when it is imported.
        patch.setenv("RAY_AUTH_MODE", "token")
        patch.setenv("RAY_AUTH_TOKEN", "f" * 64)
        patch.setenv("RAY_worker_niceness", "0")  # or they wait for everything else here
        pytest.importorskip("ray", reason="Ray is in the extra sdloop[cluster]")
        import ray
        from ray.cluster_utils import Cluster

        cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
        found = Computers(cluster, [cluster.add_node(num_cpus=1) for _ in range(2)])
        ray.init(address=cluster.address, log_to_driver=False, logging_level="error")
        yield found
        ray.shutdown()
        cluster.shutdown()


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_model: Path) -> Path:
    place = work_in(tmp_path / "work", monkeypatch, tiny_model)
    Path("fates.py").write_text(FATES)
    return place


def content(folder: str) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in Path(folder).glob("*.png")}


@contextmanager
def meanwhile(work: Callable[[], None]) -> Iterator[None]:
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    yield
    thread.join(60)


def wait_for(condition: Callable[[], bool]) -> None:
    while not condition():
        time.sleep(0.1)


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


def test_a_picture_that_kills_and_one_that_hangs(
    place: Path, computers: Computers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sdloop.batch.driver, "PATIENCE", 60.0)
    lines = [{"prompt": "a frog", "seed": seed} for seed in range(20)]
    fate = {"loss_every": 1, "losses": ["fates:kills"]}
    lines[3] |= fate
    lines[9] |= fate | {"losses": ["fates:hangs_once"]}
    Path("plan.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    plan = ("--from-file", "plan.jsonl", "--steps", "2", "--batch-size", "4", "--outdir", "out")
    told = BATCH.run(*plan, "--on", "ray")
    assert told.exit_code == 5, told.stderr
    assert len(told.stdout.splitlines()) == len(content("out")) == 19
    assert told.stderr.count("its process died 2 times") == 1
    assert not Path("out", "a-frog-3.png").exists() and Path("hung").exists()


@pytest.mark.parametrize("kills", [4, 20])
def test_killed_at_random(
    nursery: Nursery, place: Path, computers: Computers, tiny_model: Path, kills: int
) -> None:
    """Nodes, processes and drivers: nothing is lost, nothing is told of twice."""
    plan = ["batch", "a frog", "--seed", "1..200", "--batch-size", "4", "--steps", "2"]
    command = [*plan, "-m", str(tiny_model), "--outdir", "out", "--on", computers.address]
    dice, left, log = random.Random(4), kills, place / "log"
    harm = (computers.lose_one, computers.kill_a_process, None)
    while True:
        child = nursery.start(command, place, log)
        if left:
            before = len(content("out"))
            wait_for(lambda: len(content("out")) >= min(196, before + 3))  # noqa: B023
            what = dice.choice(harm)
            left -= 1
            if what is not None:
                what()
            else:
                os.kill(child, signal.SIGKILL)
                nursery.wait(child)
                continue
        code = nursery.wait(child)
        if code == 0 and not left:
            break
        assert code == 0, log.with_name("log.err").read_text()
        for path in sorted(Path("out").glob("*.png"))[::2]:
            path.unlink()
    told = Counter(log.read_text().splitlines())
    assert len(content("out")) == 200
    BATCH.make(*plan[1:6], "--outdir", "alone")
    assert content("out") == content("alone")
    assert told

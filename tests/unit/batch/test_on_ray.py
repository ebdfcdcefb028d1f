"""``--on ray``: the whole command, with one process that is this one, and with Ray's own."""

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from helpers.commands import Command, work_in
from PIL import Image

import sdloop.cli.make.on_ray
from sdloop.batch.crew import Answer, Died, Unit
from sdloop.batch.found import found_in
from sdloop.cli.make.unit_maker import UnitMaker

BATCH = Command("batch")
PLAN = ("a {red|green} house", "--seed", "1..4", "--batch-size", "2", "--outdir")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_model: Path) -> Path:
    return work_in(tmp_path / "work", monkeypatch, tiny_model)


class Here:
    """A crew of one process, which is this one. It dies when it is asked for the ``last`` time."""

    last = -1
    asked = 0

    def __init__(self, where: str, settings: Any) -> None:
        self._settings = settings
        self._answers: list[tuple[Any, Answer | Died]] = []

    def places(self) -> int:
        return 1

    def start(self) -> UnitMaker:
        return UnitMaker(self._settings)

    def ask(self, process: UnitMaker, units: Sequence[Unit], *, stop: bool) -> None:
        type(self).asked += 1
        answer = process.step(units, {}, stop)
        dies = type(self).asked == type(self).last
        self._answers.append((process, Died(reason="killed") if dies else answer))

    def answers(self, seconds: float) -> list[tuple[Any, Answer | Died]]:
        found, self._answers = self._answers, []
        return found

    def largest_batch(self, line: str) -> int:
        return 2

    def end(self, process: UnitMaker) -> None:
        process.close()

    def close(self) -> None:
        pass


@pytest.fixture
def here(place: Path, monkeypatch: pytest.MonkeyPatch) -> type[Here]:
    crew = type("Crew", (Here,), {})
    monkeypatch.setattr(sdloop.cli.make.on_ray, "RayCrew", crew)
    return crew


def content(folder: str) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in Path(folder).glob("*.png")}


def test_the_files_are_those_of_one_process(here: type[Here]) -> None:
    alone = BATCH.make(*PLAN, "alone")
    assert BATCH.make(*PLAN, "out", "--on", "ray") == [one.replace("alone", "out") for one in alone]
    assert content("out") == content("alone")
    assert found_in(Path("out")).opened == 0  # the index knows them all
    asked = here.asked
    assert BATCH.make(*PLAN, "out", "--on", "ray") == []
    assert here.asked == asked
    Path(alone[0].replace("alone", "out")).unlink()
    lines = BATCH.make(*PLAN, "out", "--on", "ray", "--json", "--batch-size", "auto")
    assert [json.loads(line)["path"] for line in lines] == [alone[0].replace("alone", "out")]
    assert content("out") == content("alone")


def test_what_a_dead_process_had_written_is_there(here: type[Here]) -> None:
    """It was not reported, so it is given out again; the file that exists is left alone."""
    here.last = 2
    made = BATCH.run(*PLAN, "out", "--on", "ray", "--steps", "2")
    assert made.exit_code == 0, made.stderr
    assert len(content("out")) == 8
    assert "were there" in made.stderr
    assert content("out") == (BATCH.make(*PLAN, "alone") and content("alone"))


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (("--on", "head"), "on must be ray, or an address like ray://head:10001, got 'head'"),
        (("--on", "ray", "--gpus", "all"), "on cannot be combined with gpus, got ray and all"),
        (("--on", "ray", "--device", "cpu"), "on cannot be combined with a device, got cpu"),
        (
            ("--rescan", "--redo"),
            "rescan cannot be combined with redo, which makes all pictures again",
        ),
    ],
)
def test_it_is_refused(place: Path, flags: tuple[str, ...], told: str) -> None:
    assert BATCH.refused(*PLAN, "out", *flags) == told


def test_without_the_extra(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    told = "on needs Ray: pip install 'sdloop[cluster]'"
    assert BATCH.refused(*PLAN, "out", "--on", "ray") == told


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Three computers, each with one process, which the first one's driver shares."""
    pytest.importorskip("ray", reason="Ray is in the extra sdloop[cluster]")
    import ray
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    ray.init(address=cluster.address, log_to_driver=False, logging_level="error")
    yield cluster
    ray.shutdown()
    cluster.shutdown()


@pytest.mark.slow
def test_ray_makes_the_same_files(place: Path, cluster: Any) -> None:
    """From a picture, too, which travels through Ray."""
    Image.new("RGB", (32, 32), "red").save("in.png")
    for more in ((), ("-i", "in.png", "--strength", "0.5", "--steps", "4")):
        plan = (*PLAN[:-1], *more, "--outdir")
        alone = BATCH.run(*plan, "alone").stdout.splitlines()
        made = BATCH.run(*plan, "out", "--on", "ray").stdout.splitlines()
        assert sorted(made) == sorted(one.replace("alone", "out") for one in alone)
        assert content("out") == content("alone")
        assert BATCH.run(*plan, "out", "--on", "ray").stdout == ""


@pytest.mark.slow
def test_a_computer_that_disappears(place: Path, cluster: Any) -> None:
    """Kill a node, then a process, while 200 pictures are made; none is lost or told of twice."""
    nodes = [cluster.add_node(num_cpus=1)]
    plan = ("a frog", "--seed", "1..200", "--batch-size", "4", "--outdir")

    def harm() -> None:
        while len(content("out")) < 20:
            time.sleep(0.1)
        cluster.remove_node(nodes[0], allow_graceful=False)
        while len(content("out")) < 60:
            time.sleep(0.1)
        for process in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                if "ray::_RayMaker" in (process / "cmdline").read_text():
                    os.kill(int(process.name), signal.SIGKILL)

    killer = threading.Thread(target=harm, daemon=True)
    killer.start()
    told = BATCH.run(*plan, "out", "--on", "ray", "--steps", "2")
    killer.join(60)
    assert told.exit_code == 0, told.stderr
    lines = told.stdout.splitlines()
    assert len(lines) == len(set(lines)) and len(content("out")) == 200
    assert not BATCH.make(*plan, "out")
    BATCH.make(*plan, "alone")
    assert content("out") == content("alone")

"""``--on ray``: the whole command, with one process that is this one, and with Ray's own."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from helpers.commands import Command, work_in

import sdloop.cli.make.batch_run
from sdloop.batch.pool import Answer, Died, Job, Unit
from sdloop.cli.make.unit_runner import UnitRunner

BATCH = Command("batch")
PLAN = ("a {red|green} house", "--seed", "1..4", "--batch-size", "2", "--outdir")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_model: Path) -> Path:
    return work_in(tmp_path / "work", monkeypatch, tiny_model)


class Here:
    """A pool of one process, which is this one. It dies when it is asked for the ``last`` time."""

    last = -1
    asked = 0

    def __init__(self, where: str, settings: Any) -> None:
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


@pytest.fixture
def here(place: Path, monkeypatch: pytest.MonkeyPatch) -> type[Here]:
    pool = type("Pool", (Here,), {})
    monkeypatch.setattr(sdloop.cli.make.batch_run, "RayPool", pool)
    return pool


def content(folder: str) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in Path(folder).glob("*.png")}


def test_the_files_are_those_of_one_process(here: type[Here]) -> None:
    alone = BATCH.make(*PLAN, "alone")
    assert BATCH.make(*PLAN, "out", "--on", "ray") == [one.replace("alone", "out") for one in alone]
    assert content("out") == content("alone")
    asked = here.asked
    assert BATCH.make(*PLAN, "out", "--on", "ray") == []
    assert here.asked == asked
    Path(alone[0].replace("alone", "out")).unlink()
    lines = BATCH.make(*PLAN, "out", "--on", "ray", "--json", "--batch-size", "auto")
    assert [json.loads(line)["path"] for line in lines] == [alone[0].replace("alone", "out")]
    assert content("out") == content("alone")


def test_what_a_dead_process_had_written_is_there(here: type[Here]) -> None:
    """It was not reported, so it is given out again; the file that exists is left alone."""
    here.last = 3
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
        (
            ("--on", "ray", "--device", "cuda:1"),
            "device must be auto, cuda or cpu with on, got cuda:1",
        ),
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

"""A ``crew.Crew`` whose processes are Ray's actors."""

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sdloop.batch.crew import Answer, Died, Unit
from sdloop.cli.make.unit_maker import MakerSettings, UnitMaker
from sdloop.errors import SettingError
from sdloop.places.path import StorePath, location

_CARRIED = 100 * 2**20  # bytes: larger input pictures must be on every computer
_INPUTS = ("image", "mask", "depth_map")


class RayCrew:
    """Ray's actors as a ``crew.Crew``. Raises ``SettingError`` without ray, or without a cluster.

    Ray restarts none of them: the driver does, because Ray's reports of an actor that restarts do
    not tell whether a task has run.
    """

    def __init__(self, where: str, settings: MakerSettings) -> None:
        self._ray, self._own = connected(where)
        self._actor = self._ray.remote(max_restarts=0, max_task_retries=0)(_RayMaker)
        self._settings = self._ray.put(settings)
        self._questions: dict[Any, Any] = {}
        self._actors: list[Any] = []
        self._pictures: dict[str, Any] = {}

    def places(self) -> int:
        return self._gpus() or len(self._computers())

    def start(self) -> Any:
        gpus = self._gpus()
        cpus = min((int(one["Resources"].get("CPU", 1)) for one in self._computers()), default=1)
        needs = {"num_gpus": 1, "num_cpus": 1} if gpus else {"num_cpus": max(1, cpus)}
        actor = self._actor.options(scheduling_strategy="SPREAD", **needs).remote(self._settings)
        self._actors.append(actor)
        return actor

    def ask(self, process: Any, units: Sequence[Unit], *, stop: bool) -> None:
        names = [line for unit in units for job in unit.jobs for line, _ in job.lines]
        question = process.step.remote(list(units), self._carried(names), stop)
        self._questions[question] = process

    def answers(self, seconds: float) -> list[tuple[Any, Answer | Died]]:
        if not self._questions:
            return []
        every = list(self._questions)
        ready, _ = self._ray.wait(every, num_returns=len(every), timeout=0)
        if not ready:
            ready, _ = self._ray.wait(every, num_returns=1, timeout=seconds)
        return [(self._questions.pop(one), self._answer(one)) for one in ready]

    def end(self, process: Any) -> None:
        self._questions = {one: who for one, who in self._questions.items() if who is not process}
        if process in self._actors:
            self._actors.remove(process)
            self._ray.kill(process)

    def close(self) -> None:
        for actor in self._actors:
            self._ray.kill(actor)
        if self._own:
            self._ray.shutdown()

    def largest_batch(self, line: str) -> int:
        """The batch size that fits on every GPU of the cluster; 1 without GPUs."""
        if not self._gpus():
            return 1
        asked = [one.largest_batch.remote(line, self._carried([line])) for one in self._actors]
        return min(self._ray.get(asked), default=1)

    def _answer(self, question: Any) -> Answer | Died:
        from ray import exceptions

        try:
            return self._ray.get(question)  # type: ignore[no-any-return]
        except exceptions.RayActorError as error:
            text = str(error)
            return Died(reason="its process died", computer="node has died" in text)
        except exceptions.RayError as error:
            return Died(reason=str(error).strip().splitlines()[-1])

    def _computers(self) -> list[Mapping[str, Any]]:
        return [one for one in self._ray.nodes() if one["Alive"] and one["Resources"].get("CPU")]

    def _gpus(self) -> int:
        return int(sum(one["Resources"].get("GPU", 0) for one in self._computers()))

    def _carried(self, lines: Sequence[str]) -> dict[str, Any]:
        """The input pictures of these lines, each stored once in Ray, by its sha256."""
        named = (
            json.loads(line) for line in lines if any(f'"{one}": "' in line for one in _INPUTS)
        )
        names = {values[one] for values in named for one in _INPUTS if values.get(one) is not None}
        return {name: ref for name in names if (ref := self._stored(location(name))) is not None}

    def _stored(self, path: Path) -> Any:
        if isinstance(path, StorePath) or not path.is_file() or path.stat().st_size > _CARRIED:
            return None
        data = path.read_bytes()
        sha256 = hashlib.sha256(data).hexdigest()
        if sha256 not in self._pictures:
            self._pictures[sha256] = self._ray.put(data)
        return self._pictures[sha256]


class _RayMaker(UnitMaker):
    """A ``UnitMaker`` as Ray's actor, which fetches the pictures that it does not have."""

    def step(self, units: Sequence[Unit], pictures: Mapping[str, Any], stop: bool) -> Answer:
        return super().step(units, self._fetched(pictures), stop)

    def largest_batch(self, line: str, pictures: Mapping[str, Any]) -> int:
        return super().largest_batch(line, self._fetched(pictures))

    def _fetched(self, pictures: Mapping[str, Any]) -> dict[str, bytes]:
        import ray

        return {name: ray.get(ref) for name, ref in pictures.items() if not self.has(name)}


def connected(where: str) -> tuple[Any, bool]:
    """Ray, and whether it was connected here; "ray" is the cluster of RAY_ADDRESS, or a new one.

    A program that has connected Ray already keeps its cluster.
    """
    try:
        import ray
    except ImportError as error:
        raise SettingError("on needs Ray: pip install 'sdloop[cluster]'") from error
    if ray.is_initialized():
        return ray, False
    here = where == "ray" and "RAY_ADDRESS" not in os.environ
    # On this computer nothing needs to listen on a port for browsers.
    how = {"include_dashboard": False} if here else {"address": None if where == "ray" else where}
    try:
        ray.init(log_to_driver=False, logging_level="error", **how)
    except Exception as error:  # Ray has no class for a cluster that does not answer
        raise SettingError(f"on must name a Ray cluster that answers, got {where!r}") from error
    return ray, True

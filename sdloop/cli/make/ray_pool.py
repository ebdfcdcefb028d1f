"""A ``batch.pool.Pool`` whose processes are Ray's actors."""

import os
import signal
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import lru_cache
from typing import Any

from sdloop.batch.carried import carried_file
from sdloop.batch.pool import Answer, Died, Job, Unit
from sdloop.batch.unit_queue import job_of
from sdloop.cli.make.unit_runner import RunnerSettings, UnitRunner
from sdloop.errors import BatchError, SettingError

_KEPT = 256  # files in Ray's memory
_MEASURING = 600.0  # seconds


@contextmanager
def _answering() -> Iterator[None]:
    """Turn what Ray raises when the cluster is gone into a ``BatchError``."""
    from grpc import RpcError
    from ray.exceptions import RayError

    try:
        yield
    except (OSError, RuntimeError, RpcError, RayError) as error:
        raise BatchError(
            f"the Ray cluster does not answer any more ({_line(error)}); run the same command again"
            " to make the rest"
        ) from error


class RayPool:
    """Raises ``SettingError`` without Ray, or without a cluster; ``BatchError`` if it is lost.

    Ray restarts no actor: the driver does, because Ray's report of an actor that restarts does not
    say whether its task has run.
    """

    def __init__(self, where: str, settings: RunnerSettings) -> None:
        wish = settings.command.device
        if wish not in ("auto", "cuda", "cpu"):
            raise SettingError(f"device must be auto, cuda or cpu with on, got {wish}")
        self._ray, self._own = connected(where)
        self._actor = self._ray.remote(max_restarts=0, max_task_retries=0)(UnitRunner)
        self._questions: dict[Any, Any] = {}
        self._actors: list[Any] = []
        self._spare: list[Any] = []
        self._stored = lru_cache(maxsize=_KEPT)(self._put)
        self._on_gpus = wish == "cuda" or (wish == "auto" and self._count("GPU") > 0)
        self._first = [settings.demanding] if self._on_gpus else []
        if not self._on_gpus:
            settings = replace(settings, demanding=job_of(()))
        self._settings = self._ray.put(settings)

    @_answering()
    def places(self) -> int:
        return self._count("GPU") if self._on_gpus else len(self._computers())

    @_answering()
    def start(self) -> Any:
        return self._spare.pop() if self._spare else self._new()

    def _new(self) -> Any:
        # Without GPUs, an actor takes a computer for itself: torch uses all of its cores.
        cpus = min((int(one["Resources"]["CPU"]) for one in self._computers()), default=1)
        needs = {"num_gpus": 1, "num_cpus": 0} if self._on_gpus else {"num_cpus": cpus}
        start = self._actor.options(scheduling_strategy="SPREAD", **needs)
        files, data = self._files(self._first)
        actor = start.remote(self._settings, files, *data)
        self._actors.append(actor)
        return actor

    @_answering()
    def ask(self, process: Any, units: Sequence[Unit], *, seconds: float, stop: bool) -> None:
        files, data = self._files(job for unit in units for job in unit.jobs)
        question = process.step.remote(list(units), seconds, stop, files, *data)
        self._questions[question] = process

    @_answering()
    def answers(self, seconds: float) -> list[tuple[Any, Answer | Died]]:
        if not self._questions:
            time.sleep(seconds)
            return []
        every = list(self._questions)
        ready, _ = self._ray.wait(every, num_returns=len(every), timeout=0)
        if not ready:
            ready, _ = self._ray.wait(every, num_returns=1, timeout=seconds)
        return [(self._questions.pop(one), self._answer(one)) for one in ready]

    @_answering()
    def end(self, process: Any) -> None:
        self._questions = {one: who for one, who in self._questions.items() if who is not process}
        if process in self._actors:
            self._actors.remove(process)
            self._ray.kill(process)

    def close(self) -> None:
        actors, self._actors = self._actors, []
        with suppress(BatchError), _answering():  # that it is lost was told before
            for actor in actors:
                self._ray.kill(actor)
        if self._own:
            self._ray.shutdown()

    @_answering()
    def largest_batch(self, job: Job) -> int:
        """The batch size that fits on every GPU of the cluster; 1 without GPUs."""
        if not self._on_gpus:
            return 1
        if not self._actors:
            self._spare = [self._new() for _ in range(self.places())]
        ((line, _), *_), (files, data) = job.lines, self._files([job])
        asked = [one.largest_batch.remote(line, files, *data) for one in self._actors]
        ready, _ = self._ray.wait(asked, num_returns=len(asked), timeout=_MEASURING)
        sizes = [size for size in map(self._answer, ready) if isinstance(size, int)]
        return min(sizes, default=1)

    def _answer(self, question: Any) -> Any:
        from ray import exceptions

        try:
            return self._ray.get(question)
        except exceptions.RayActorError as error:
            told = str(error)
            at_start = "in its creation task" in told  # it ends with the error that was raised
            reason = told.strip().splitlines()[-1] if at_start else "its process died"
            return Died(reason=reason, computer="node has died" in told)
        except exceptions.RayError as error:
            return Died(reason=str(error).strip().splitlines()[-1])

    def _computers(self) -> list[Any]:
        return [one for one in self._ray.nodes() if one["Alive"] and one["Resources"].get("CPU")]

    def _count(self, resource: str) -> int:
        alive = (one for one in self._ray.nodes() if one["Alive"])
        return int(sum(one["Resources"].get(resource, 0) for one in alive))

    def _files(self, jobs: Iterable[Job]) -> tuple[list[tuple[str, str]], list[Any]]:
        """The files of these jobs, as ``UnitRunner.step`` takes them."""
        stored = {name: self._stored(name) for job in jobs for name in job.files}
        found = [(name, *one) for name, one in stored.items() if one is not None]
        return [(name, called) for name, called, _ in found], [data for _, _, data in found]

    def _put(self, name: str) -> tuple[str, Any] | None:
        """What to call the copies of a file, and its content, stored once in Ray's memory."""
        found = carried_file(name)
        return None if found is None else (found[0], self._ray.put(found[1]))


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
    how: dict[str, Any] = {"address": None if where == "ray" else where}
    if where == "ray" and "RAY_ADDRESS" not in os.environ:
        how = {"include_dashboard": False}  # nothing needs to listen for browsers
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        with _own_signals():
            ray.init(log_to_driver=False, logging_level="critical", **how)
        ray._private.worker._worker_logs_enabled = False  # it prints them to stdout
    except Exception as error:  # nothing less, if a node has not started within 30 seconds
        raise SettingError(
            f"on must name a Ray cluster that answers, got {where!r}: {_line(error)}"
        ) from error
    return ray, True


@contextmanager
def _own_signals() -> Iterator[None]:
    """Undo what Ray does to SIGTERM, which asks a batch to stop."""
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _line(error: Exception) -> str:
    told = error.details() if hasattr(error, "details") else str(error)
    return next(iter(told.strip().splitlines()), type(error).__name__)

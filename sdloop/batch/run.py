"""Run a plan: make each picture exactly once, even after interruptions and with other processes.

A batch is sampled in this thread; another thread decodes it and writes its files while the next one
is sampled. If some pictures of a batch already exist, the whole batch is sampled anyway, so that
the missing ones have the same neighbours as always; only the missing ones are written.
"""

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from sdloop.batch.claims import Claims, place_for
from sdloop.batch.finish import AlreadyThere, Failed, Outcome, RunTools, Written, failures, finish
from sdloop.batch.found import Found, is_there
from sdloop.batch.index import Entry, IndexWriter, is_kept
from sdloop.batch.planned import Planned
from sdloop.batch.units import RunOptions, Task, chosen
from sdloop.errors import SdloopError
from sdloop.metadata.atomic import check_writable
from sdloop.models.checkpoint.value import ModelNames
from sdloop.pipeline.model_names import model_of

if TYPE_CHECKING:
    from sdloop.loop import Step
    from sdloop.pipeline.loaded_model import LoadedModel
    from sdloop.pipeline.picture import Picture, SampledBatch

# How long to wait for a picture that another process makes, before checking again.
_PATIENCE = 0.2


def run(
    plan: Iterable[Planned],
    options: RunOptions,
    tools: RunTools,
    *,
    stopping: Callable[[], bool] = lambda: False,
) -> "Iterator[Step | Outcome]":
    """Make the missing pictures of ``plan``, and yield an outcome for each picture.

    The plan is read as needed. When ``stopping`` returns True, the begun pictures are finished.
    Ends when every picture exists (maybe made by another process) or has failed twice.

    Raises ``ModelError`` for a model that cannot be loaded, ``FileError`` for a folder that cannot
    be written to, and what ``plan`` raises.
    """
    with chosen(plan, options, stopping) as (tasks, found):
        yield from run_tasks(tasks, options, tools, found, stopping=stopping)


def run_tasks(
    tasks: Iterable[Task | AlreadyThere],
    options: RunOptions,
    tools: RunTools,
    found: Found,
    *,
    stopping: Callable[[], bool] = lambda: False,
) -> "Iterator[Step | Outcome]":
    """The same for chosen tasks; ``found`` is what was in the folder when they were chosen."""
    with ExitStack() as stack:
        runner = _Runner(options, tools, stopping, stack, found)
        yield from runner.first_pass(tasks)
        yield from runner.second_pass()


class _Runner:
    """The state of one run."""

    def __init__(
        self,
        options: RunOptions,
        tools: RunTools,
        stopping: Callable[[], bool],
        stack: ExitStack,
        found: Found,
    ) -> None:
        self._options, self._tools, self._stopping = options, tools, stopping
        self._since = 0.0 if options.redo_since is None else options.redo_since
        self._stack = stack
        self._claims: Claims | None = None
        self._thread: ThreadPoolExecutor | None = None
        self._flying: deque[tuple[Task, Future[list[Outcome]]]] = deque()
        self._later: deque[Task] = deque()
        self._model: tuple[ModelNames, LoadedModel] | None = None
        self._found = found
        self._index = IndexWriter(options.folder) if is_kept(options.folder) else None

    def first_pass(self, tasks: Iterable[Task | AlreadyThere]) -> "Iterator[Step | Outcome]":
        """Every batch, in order; batches claimed by other processes come later."""
        for task in tasks:
            if isinstance(task, AlreadyThere):
                yield task
            else:
                yield from self._attempt(task)

    def second_pass(self) -> "Iterator[Step | Outcome]":
        """Finish what is being decoded, what others had claimed, and what failed once."""
        yield from self._landed(0)
        while self._later and not self._stopping():
            busy = len(self._later)
            for _ in range(busy):
                yield from self._attempt(self._later.popleft())
            if len(self._later) >= busy and not self._flying:
                time.sleep(_PATIENCE)
            yield from self._landed(0)

    def _open(self) -> Claims:
        """The claims, created when the first picture must be made and released at the end."""
        if self._claims is None:
            place = place_for(self._options.folder) if self._options.shared else None
            self._claims = self._stack.enter_context(Claims(place))
            if self._index is not None:
                self._stack.callback(self._index.flush)
            self._thread = ThreadPoolExecutor(1)
            self._stack.callback(self._thread.shutdown, cancel_futures=True)
        return self._claims

    def _attempt(self, task: Task) -> "Iterator[Step | Outcome]":
        """Claim the wanted pictures, check whether some were made meanwhile, and make the rest."""
        claims, wanted = self._open(), list(task.wanted)
        if not claims.take([one.key for one in wanted]):
            self._later.append(task)
            return
        for one in task.wanted:
            try:
                if is_there(one.path, one.key, since=self._since):
                    wanted.remove(one)
                    yield AlreadyThere(planned=one)
                    continue
                check_writable(one.path, exists=one.exists)
            except (SdloopError, OSError) as error:
                wanted.remove(one)
                self._found.discard(one.key)
                yield Failed(planned=one, error=error)
        kept = {one.key for one in wanted}
        claims.release([one.key for one in task.wanted if one.key not in kept])
        if wanted:
            yield from self._make(replace(task, wanted=wanted))

    def _make(self, task: Task) -> "Iterator[Step | Outcome]":
        """Sample the batch; an error in the loop ends only this batch."""
        from sdloop.pipeline.picture import Picture, SampledBatch
        from sdloop.pipeline.sample import sampled

        recipes = [one.recipe for one in task.batch]
        model, done = self._loaded(task.batch[0]), 0
        size, opened = len(recipes), self._tools.open_image
        try:
            for event in sampled(model, recipes, size, opened, rows=task.rows):
                if isinstance(event, SampledBatch | Picture):
                    rows = len(event.batch) if isinstance(event, SampledBatch) else 1
                    self._fly(task, event, task.batch[done : done + rows])
                    done += rows
                else:
                    yield event
                yield from self._landed(None)
        except (SdloopError, RuntimeError, OSError) as error:
            left = {one.key for one in task.batch[done:]}
            rest = [one for one in task.wanted if one.key in left]
            yield from self._failed(task, failures(rest, error, together=len(task.batch) > 1))
        # One batch is decoded while the next is sampled, unless weights take turns on the device.
        yield from self._landed(1 if model.components.memory == "full" else 0)

    def _loaded(self, planned: Planned) -> "LoadedModel":
        """Its model, loaded; one at a time."""
        from sdloop.pipeline.loaded_model import loaded_model

        names = model_of(planned.recipe)
        if self._model is None or self._model[0] != names:
            self._model = None  # free its memory before the next one is loaded
            self._model = names, loaded_model(self._tools.load(planned))
        return self._model[1]

    def _fly(self, task: Task, event: "SampledBatch | Picture", batch: Sequence[Planned]) -> None:
        """Let the other thread decode and write these."""
        assert self._thread is not None
        wanted = [one if one in task.wanted else None for one in batch]
        future = self._thread.submit(finish, event, wanted, self._tools)
        self._flying.append((task, future))

    def _landed(self, leave: int | None) -> Iterator[Outcome]:
        """The outcomes of the other thread; waits until at most ``leave`` batches are left."""
        while self._flying:
            task, future = self._flying[0]
            if not future.done() and (leave is None or len(self._flying) <= leave):
                return
            outcomes = future.result()
            self._flying.popleft()
            assert self._claims is not None
            done = [one for one in outcomes if not isinstance(one, Failed)]
            self._claims.release([one.planned.key for one in done])
            for one in done:
                if self._index is not None and isinstance(one, Written):
                    self._index.add(_entry(one, self._options.folder))
            yield from done
            yield from self._failed(task, [one for one in outcomes if isinstance(one, Failed)])

    def _failed(self, task: Task, failed: Sequence[Failed]) -> Iterator[Failed]:
        """Retry failures that may pass; in a failed batch, one picture may be the only cause."""
        assert self._claims is not None
        keys = {one.planned.key for one in failed}
        self._claims.release(keys)
        items = [one for one in task.wanted if one.key in keys]
        for one in failed:
            self._found.discard(one.planned.key)
        alone = any(one.together for one in failed)
        if alone:
            self._later += [Task(batch=[one], wanted=[one]) for one in items]
        elif not task.again and failed and all(one.may_pass for one in failed):
            self._later.append(replace(task, wanted=items, again=True))
        else:
            yield from failed


def _entry(written: Written, folder: Path) -> Entry:
    name = str(written.path)[len(str(folder)) + 1 :] if str(folder) != "." else str(written.path)
    return Entry(key=written.planned.key, name=name, size=written.size, sha256=written.sha256)

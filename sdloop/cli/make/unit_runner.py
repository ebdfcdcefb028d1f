"""Make the units of a batch: what runs in each process of a ``pool``."""

import os
import time
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from sdloop.batch.carried import forget_copies, keep_copy
from sdloop.batch.command_settings import CommandSettings
from sdloop.batch.finish import RunTools
from sdloop.batch.found import Found
from sdloop.batch.names import Naming
from sdloop.batch.planned import Planned
from sdloop.batch.planning import Planner
from sdloop.batch.pool import Answer, Job, Message, Unit
from sdloop.batch.prompt_file import prompts_in
from sdloop.batch.requests import final
from sdloop.batch.run import run_tasks
from sdloop.batch.units import RunOptions, Task
from sdloop.cli.make.events import folder_of, keeping, message_of
from sdloop.cli.make.image_files import image_opener
from sdloop.cli.make.model import loaded, with_memory
from sdloop.errors import SdloopError
from sdloop.models.checkpoint.value import ModelNames
from sdloop.pipeline.resolve import Resolver
from sdloop.places.path import location

if TYPE_CHECKING:
    from sdloop.models.components.load import Components

# Seconds without news after which a process says that it is alive.
_ALIVE = 10.0


@dataclass(frozen=True, kw_only=True, slots=True)
class RunnerSettings:
    """What each process gets at its start: the command, and the driver's current folder.

    ``shared`` is that of ``RunOptions``, and ``demanding`` are the pictures of the plan's beginning
    that need the most memory: they decide what ``--memory auto`` means on the process's GPU.
    """

    command: CommandSettings
    folder: str
    json_lines: bool
    redo: bool
    shared: bool
    demanding: Job


class UnitRunner:
    """Makes units, one after the other, and keeps the model between them.

    The files that Recipes name come with the units, and need not be on this computer.
    """

    def __init__(
        self, settings: RunnerSettings, files: Sequence[tuple[str, str]] = (), *data: bytes
    ) -> None:
        """``files`` and ``data`` are those of the ``demanding``, as ``step`` takes them."""
        with suppress(OSError):  # a plan for a bucket may need no folder
            os.chdir(settings.folder)
        self._settings = settings
        self._open_image = image_opener()
        self._tools = RunTools(load=keeping(self._load), open_image=self._open_image)
        self._planner = Planner(Resolver(self._open_image), Naming(), exists=lambda _: "number")
        self._units: deque[Unit] = deque()
        self._events: Iterator[Any] | None = None
        self._stop = False
        with suppress(SdloopError):  # a picture that needs them will fail, and say why
            _keep_copies(files, data)
        self._chosen = self._choices()
        forget_copies(())

    def step(
        self,
        units: Sequence[Unit],
        seconds: float,
        stop: bool,
        files: Sequence[tuple[str, str]] = (),
        *data: bytes,
    ) -> Answer:
        """Work for ``seconds``, or until there is something to report.

        ``files`` are the names of files for these units, and what to call their copies; ``data``
        is their content.
        """
        self._units += units
        self._stop |= stop
        messages: list[Message] = []
        done: list[int] = []
        began, json_lines = time.monotonic(), self._settings.json_lines
        try:
            _keep_copies(files, data)
            while self._units and (time.monotonic() - began < seconds or not (messages or done)):
                event = self._next()
                message = None if event is None else message_of(event, json_lines=json_lines)
                if event is None:
                    done.append(self._finished())
                elif message is not None:
                    messages.append(message)
                elif time.monotonic() - began > _ALIVE:
                    break
        except SdloopError as error:
            return Answer(messages=messages, done=done, error=str(error))
        return Answer(messages=messages, done=done)

    def largest_batch(self, line: str, files: Sequence[tuple[str, str]] = (), *data: bytes) -> int:
        """The largest batch of pictures like this one that fits on this GPU.

        1 if they cannot be made at all: ``step`` will say why.
        """
        from sdloop.batch.fitting import largest_batch
        from sdloop.pipeline.loaded_model import loaded_model

        try:
            _keep_copies(files, data)
            planned = self._planned(line)
            model = loaded_model(self._tools.load(planned))
            return largest_batch(model, planned.recipe, self._open_image)
        except SdloopError:
            return 1

    def close(self) -> None:
        """Finish what is being decoded, and forget the rest."""
        if isinstance(self._events, Generator):
            self._events.close()

    def _choices(self) -> dict[ModelNames, CommandSettings]:
        """The command for each model of the ``demanding``, with a ``memory`` that suits these.

        It is chosen at the start, because only then their files are here.
        """
        command, alike = self._settings.command, dict[ModelNames, list[Planned]]()
        for line, _ in self._settings.demanding.lines if command.device != "cpu" else ():
            with suppress(SdloopError):  # the picture itself will say why
                one = self._planned(line)
                alike.setdefault(one.checkpoint.names, []).append(one)
        chosen = {}
        for names, several in alike.items():
            with suppress(SdloopError):
                recipes = [one.recipe for one in several]
                chosen[names] = with_memory(several[0].checkpoint, command, recipes)
        return chosen

    def _load(self, one: Planned) -> "Components":
        if chosen := self._chosen.get(one.checkpoint.names):
            return loaded(one.checkpoint, chosen)
        return loaded(one.checkpoint, self._settings.command, [one.recipe])

    def _next(self) -> Any:
        """The next event of the oldest unit; None when it is finished."""
        if self._events is None:
            folder, depth = folder_of(self._settings.command)
            redo_since = float("inf") if self._settings.redo else None
            options = RunOptions(
                folder=folder, depth=depth, redo_since=redo_since, shared=self._settings.shared
            )
            tasks = self._tasks(self._units[0])
            self._events = run_tasks(
                tasks, options, self._tools, Found(), stopping=lambda: self._stop
            )
        return next(self._events, None)

    def _finished(self) -> int:
        """Forget the oldest unit and its files; returns its number."""
        number = self._units.popleft().number
        self._events = None
        forget_copies({name for unit in self._units for job in unit.jobs for name in job.files})
        return number

    def _tasks(self, unit: Unit) -> Iterator[Task]:
        for job in unit.jobs:
            if self._stop:
                return
            yield self._task(job)

    def _task(self, job: Job) -> Task:
        batch = [replace(self._planned(line), exists=exists) for line, exists in job.lines]
        wanted = [one for one in batch if one.key in job.wanted]
        return Task(batch=batch, wanted=wanted, rows=job.rows)

    def _planned(self, line: str) -> Planned:
        """The plan of a line; raises ``SettingError`` if the weights on this computer differ."""
        (prompt,) = prompts_in([line], "a unit")
        request = final(replace(prompt, output=None))
        planned = self._planner.planned(request, self._planner.base(request), 0)
        return replace(planned, path=location(str(prompt.output)))


def _keep_copies(files: Sequence[tuple[str, str]], data: Sequence[bytes]) -> None:
    for (name, called), content in zip(files, data, strict=True):
        keep_copy(name, called, content)

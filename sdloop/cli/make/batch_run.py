"""Run the plan of ``sdloop batch``: make the missing pictures."""

import itertools
import os
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from sdloop.batch.command_settings import CommandSettings
from sdloop.batch.devices import devices_of, local_device
from sdloop.batch.driver import make_all
from sdloop.batch.finish import RunTools
from sdloop.batch.fitting import largest_batch
from sdloop.batch.grouping import WINDOW, kind_of
from sdloop.batch.planned import Planned
from sdloop.batch.pool import Message, Pool
from sdloop.batch.run import run
from sdloop.batch.shards import parse_shard
from sdloop.batch.unit_queue import job_of
from sdloop.batch.units import RunOptions, chosen
from sdloop.cli.make.events import folder_of, keeping, message_of
from sdloop.cli.make.local_pool import LocalPool
from sdloop.cli.make.model import loaded
from sdloop.cli.make.ray_pool import RayPool
from sdloop.cli.make.unit_runner import RunnerSettings
from sdloop.cli.options.running import RunningOptions, parse_batch_size
from sdloop.cli.terminal.batch_progress import Counts, ProgressLine
from sdloop.cli.terminal.interrupts import Stopping
from sdloop.cli.terminal.notices import tell_staying
from sdloop.cli.terminal.output import emit, say
from sdloop.errors import INTERRUPTED, BatchError, SettingError
from sdloop.images.input.read import OpenImage
from sdloop.pipeline.demanding import most_demanding

if TYPE_CHECKING:
    from sdloop.models.components.load import Components


def run_plan(
    plan: Iterable[Planned],
    command: CommandSettings,
    running: RunningOptions,
    open_image: OpenImage,
    *,
    total: int | None,
    json_lines: bool = False,
    quiet: bool = False,
    show: Callable[[str], None] = emit,
) -> None:
    """Make the missing pictures of the plan, which is read step by step; print each new file.

    ``total`` is the number of pictures in the plan, if that is known; ``show`` prints a line.

    Raises ``BatchError`` if some failed; exits with 130 after an interrupt.
    """
    if command.metadata != "full":
        raise SettingError(
            "metadata must be full for a batch, because finished pictures are found by a key in "
            f"their metadata, got {command.metadata}"
        )
    progress = ProgressLine(
        counts=Counts(total=total if running.shard is None else None), quiet=quiet
    )
    job = _Job(
        plan=iter(plan), running=running, open_image=open_image, json_lines=json_lines, quiet=quiet
    )
    # Closed even after an error, or its claims on pictures would stay until Python ends.
    with Stopping(quiet=quiet) as stopping, closing(job.events(command, stopping)) as events:
        for kind, _, line in events:
            _hear(kind, line, progress, show)
    if not stopping():
        progress.counts.finish()
    progress.end()
    if stopping():
        say("interrupted; run the same command again to make the rest")
        raise typer.Exit(INTERRUPTED)
    if progress.counts.failed:
        raise BatchError(
            f"{progress.counts.failed} of the pictures failed; run the same command again to retry "
            "them"
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class _Job:
    """A plan and how to run it."""

    plan: Iterator[Planned]
    running: RunningOptions
    open_image: OpenImage
    json_lines: bool
    quiet: bool
    began: float = field(default_factory=time.time)

    def events(
        self, command: CommandSettings, stopping: Stopping
    ) -> Generator[Message, None, None]:
        """Run the plan, here or in other processes; yields a message for each event."""
        first = list(itertools.islice(self.plan, WINDOW))  # which is read at once anyway
        if not self.quiet and self.running.has_other_computers(os.environ):
            tell_staying(first)
        if self.running.on is None and self.running.gpus is None:
            command = replace(command, device=local_device(command.device))
            return self._here(command, first, stopping)
        return self._in_pool(command, first, self._pool(command, first), stopping)

    def _here(
        self, command: CommandSettings, first: Sequence[Planned], stopping: Stopping
    ) -> Generator[Message, None, None]:
        def load(one: Planned) -> "Components":
            alike = [p.recipe for p in first if p.checkpoint.names == one.checkpoint.names]
            return loaded(one.checkpoint, command, alike or [one.recipe])

        tools = RunTools(load=keeping(load), open_image=self.open_image)
        options = self._options(command, partial(_largest_here, command, tools))
        for event in run(itertools.chain(first, self.plan), options, tools, stopping=stopping):
            message = message_of(event, json_lines=self.json_lines)
            if message is not None:
                yield message

    def _in_pool(
        self, command: CommandSettings, first: Sequence[Planned], pool: Pool, stopping: Stopping
    ) -> Generator[Message, None, None]:
        options = self._options(command, lambda planned: pool.largest_batch(job_of([planned])))
        plan = itertools.chain(first, self.plan)
        with closing(pool), chosen(plan, options, stopping) as (tasks, _):
            yield from make_all(tasks, pool, stopping=stopping)

    def _pool(self, command: CommandSettings, first: Sequence[Planned]) -> Pool:
        choosing = first if command.memory == "auto" else ()
        settings = RunnerSettings(
            command=command,
            folder=str(Path.cwd()),
            json_lines=self.json_lines,
            redo=self.running.redo,
            shared=self.running.on is None,
            demanding=job_of(most_demanding(choosing, lambda one: one.recipe)),
        )
        if self.running.on is None:
            return LocalPool(devices_of(str(self.running.gpus)), settings)
        return RayPool(self.running.on, settings)

    def _options(self, command: CommandSettings, largest: Callable[[Planned], int]) -> RunOptions:
        folder, depth = folder_of(command)
        return RunOptions(
            folder=folder,
            depth=depth,
            size_for=_sizes(self.running.batch_size, largest),
            shard=parse_shard(self.running.shard, os.environ),
            rescan=self.running.rescan,
            redo_since=self.began if self.running.redo else None,
        )


def _hear(kind: str, line: str, progress: ProgressLine, show: Callable[[str], None]) -> None:
    """Count an event, and print its line if it has one."""
    progress.clear()
    if kind == "begun":
        progress.begin()
    elif kind == "processes":
        progress.counts.processes = int(line)
    elif kind == "lost":
        say(f"warning: {line}; others make its pictures")
    else:
        progress.counts.add(kind)
    if kind == "made":
        show(line)
    elif kind == "failed":
        say(f"error: {line}")
    progress.tell()


def _sizes(asked: str | None, largest: Callable[[Planned], int]) -> Callable[[Planned], int]:
    """The batch size for a planned picture: as asked for, or the ``largest``, measured once."""
    size = parse_batch_size("auto" if asked is None else asked)
    known: dict[object, int] = {}

    def measured(planned: Planned) -> int:
        alike = kind_of(planned)
        if alike not in known:
            known[alike] = largest(planned)
        return known[alike]

    return measured if size is None else lambda planned: size


def _largest_here(command: CommandSettings, tools: RunTools, planned: Planned) -> int:
    """The largest batch on this process's device; see ``batch.fitting``."""
    from sdloop.models.components.device import pick_device
    from sdloop.pipeline.loaded_model import loaded_model

    if pick_device(command.device).type != "cuda":
        return 1
    model = loaded_model(tools.load(planned))
    return largest_batch(model, planned.recipe, tools.open_image)

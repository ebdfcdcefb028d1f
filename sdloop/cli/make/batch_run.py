"""Run the plan of ``sdloop batch``: make the missing pictures."""

import itertools
import os
import time
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import typer

from sdloop.batch.command_settings import CommandSettings
from sdloop.batch.driver import job_of
from sdloop.batch.finish import RunTools
from sdloop.batch.fitting import check_equal_cards, largest_batch
from sdloop.batch.gpu_processes import Message, devices_of, local_device, spread
from sdloop.batch.planned import Planned
from sdloop.batch.run import RunOptions, run
from sdloop.batch.shards import parse_shard
from sdloop.cli.make.events import folder_of, keeping, message_of
from sdloop.cli.make.model import loaded
from sdloop.cli.options.running import RunningOptions, parse_batch_size
from sdloop.cli.terminal.batch_progress import Counts, ProgressLine
from sdloop.cli.terminal.interrupts import Stopping
from sdloop.cli.terminal.output import emit, say
from sdloop.errors import INTERRUPTED, BatchError, SettingError
from sdloop.images.input.read import OpenImage
from sdloop.pipeline.model_names import model_of
from sdloop.recipe.batchable import shape_of


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
    job = _Job(plan=plan, running=running, open_image=open_image, json_lines=json_lines)
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
    """A plan and how to run it: in this process, in one for each of the ``devices``, or on Ray."""

    plan: Iterable[Planned]
    running: RunningOptions
    open_image: OpenImage
    json_lines: bool
    devices: tuple[str, ...] = ()
    began: float = field(default_factory=time.time)

    def events(
        self, command: CommandSettings, stopping: Stopping
    ) -> Generator[Message, None, None]:
        """Run the plan, wherever that is; yields a message for each event."""
        if self.running.on is not None:
            return self._on_ray(command, self.running.on, stopping)
        if self.running.gpus is None:
            device = local_device(command.device)
            return self.messages(replace(command, device=device), stopping)
        rest = iter(self.plan)
        first = list(itertools.islice(rest, 1))  # prints the plan's notices once, not per process
        devices = devices_of(self.running.gpus)
        job = replace(self, plan=itertools.chain(first, rest), devices=tuple(devices))
        return spread(
            devices,
            lambda device: job.messages(replace(command, device=device), stopping),
            stopping,
        )

    def messages(
        self, command: CommandSettings, stopping: Stopping
    ) -> Generator[Message, None, None]:
        """Make the missing pictures in this process; yields a message for each event."""
        load = keeping(lambda checkpoint: loaded(checkpoint, command))
        tools = RunTools(load=load, open_image=self.open_image)
        options = self._options(command, partial(_largest_here, command, tools, self.devices))
        for event in run(self.plan, options, tools, stopping=stopping):
            message = message_of(event, json_lines=self.json_lines)
            if message is not None:
                yield message

    def _on_ray(
        self, command: CommandSettings, where: str, stopping: Stopping
    ) -> Generator[Message, None, None]:
        from sdloop.cli.make.pooled import messages_of
        from sdloop.cli.make.ray_pool import RayPool
        from sdloop.cli.make.unit_runner import RunnerSettings

        settings = RunnerSettings(
            command=command,
            folder=str(Path.cwd()),
            json_lines=self.json_lines,
            redo=self.running.redo,
        )
        pool = RayPool(where, settings)
        options = self._options(command, lambda one: pool.largest_batch(job_of([one])))
        return messages_of(self.plan, options, pool, stopping)

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
    elif kind == "taken back":
        progress.counts.add(line, times=-1)
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
        embeds = planned.checkpoint.embeds_guidance
        alike = model_of(planned.recipe), shape_of(planned.recipe, embeds_guidance=embeds)
        if alike not in known:
            known[alike] = largest(planned)
        return known[alike]

    return measured if size is None else lambda planned: size


def _largest_here(
    command: CommandSettings, tools: RunTools, devices: Sequence[str], planned: Planned
) -> int:
    """The largest batch on this process's device; see ``batch.fitting``."""
    from sdloop.models.components.device import pick_device
    from sdloop.pipeline.loaded_model import loaded_model

    if pick_device(command.device).type != "cuda":
        return 1
    check_equal_cards([name for name in devices if name != "cpu"])
    model = loaded_model(tools.load(planned.checkpoint))
    return largest_batch(model, planned.recipe, tools.open_image)

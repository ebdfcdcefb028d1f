"""Run a batch on Ray: a process for each GPU of the cluster, or for each computer without one."""

import os
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from sdloop.batch.claims import remove_leftovers
from sdloop.batch.command_settings import CommandSettings
from sdloop.batch.driver import make_all
from sdloop.batch.finish import AlreadyThere
from sdloop.batch.found import Found, found_in
from sdloop.batch.gpu_processes import Message
from sdloop.batch.lines import final_line
from sdloop.batch.planned import Planned
from sdloop.batch.shards import parse_shard
from sdloop.batch.units import Task, missing
from sdloop.cli.make.events import folder_of
from sdloop.cli.make.ray_crew import RayCrew
from sdloop.cli.make.unit_maker import MakerSettings
from sdloop.cli.options.running import RunningOptions, parse_batch_size
from sdloop.pipeline.model_names import model_of
from sdloop.recipe.batchable import shape_of


def messages_of(
    plan: Iterable[Planned],
    command: CommandSettings,
    running: RunningOptions,
    json_lines: bool,
    stopping: Callable[[], bool],
) -> Generator[Message, None, None]:
    """Make the missing pictures of the plan; yields a message for each event.

    Only this process looks for the finished pictures.
    """
    # Ray shows each process only its own GPU.
    command = replace(command, device="cpu" if command.device == "cpu" else "auto")
    settings = MakerSettings(
        command=command, folder=str(Path.cwd()), json_lines=json_lines, redo=running.redo
    )
    folder, depth = folder_of(command)
    crew = RayCrew("ray" if running.on is None else running.on, settings)
    try:
        found = Found() if running.redo else found_in(folder, depth=depth, rescan=running.rescan)
        tasks = missing(
            plan,
            found,
            size_for=_sizes(running, crew),
            shard=parse_shard(running.shard, os.environ),
            stopping=stopping,
        )
        yield from make_all(_noted(tasks, found), crew, stopping=stopping)
        remove_leftovers(path for path in found.leftovers if path.suffix == ".part")
    finally:
        crew.close()


def _noted(tasks: Iterable[Task | AlreadyThere], found: Found) -> Iterator[Task | AlreadyThere]:
    """The tasks; their pictures count as found, if the plan has them under another name too."""
    for task in tasks:
        for one in task.wanted if isinstance(task, Task) else ():
            found.add(one.key)
        yield task


def _sizes(running: RunningOptions, crew: RayCrew) -> Callable[[Planned], int]:
    """The batch size for a planned picture: as given, or as much as fits on every GPU."""
    asked = running.batch_size
    size = parse_batch_size("auto" if asked is None else asked)
    known: dict[object, int] = {}

    def measured(planned: Planned) -> int:
        embeds = planned.checkpoint.embeds_guidance
        alike = model_of(planned.recipe), shape_of(planned.recipe, embeds_guidance=embeds)
        if alike not in known:
            known[alike] = crew.largest_batch(final_line(planned))
        return known[alike]

    return measured if size is None else lambda planned: size

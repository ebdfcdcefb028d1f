"""From a plan to its pictures: what ``sdloop batch`` does when all is planned."""

import hashlib
import itertools
import json
import time
from collections.abc import Callable, Generator, Iterable
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from sdloop.batch.command_settings import CommandSettings
from sdloop.batch.finish import AlreadyThere, Failed, RunTools, Written
from sdloop.batch.fitting import largest_batch
from sdloop.batch.gpu_processes import Message, devices_of, local_device, spread
from sdloop.batch.planned import Planned
from sdloop.batch.run import RunOptions, run
from sdloop.batch.text_input import home
from sdloop.cli.make.json_line import line_of
from sdloop.cli.make.model import loaded
from sdloop.cli.options.running import RunningOptions, parse_batch_size, parse_shard
from sdloop.cli.terminal.batch_progress import Counts, Tally
from sdloop.cli.terminal.interrupts import Stopping
from sdloop.cli.terminal.output import emit, say
from sdloop.errors import INTERRUPTED, BatchError, SettingError
from sdloop.images.input.read import OpenImage
from sdloop.pipeline.model_names import model_of
from sdloop.recipe.batchable import shape_of

if TYPE_CHECKING:
    from sdloop.models.checkpoint.value import Checkpoint
    from sdloop.models.components.load import Components

    Load = Callable[[Checkpoint], Components]


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
    """Make what is missing of the plan, which is read as it is needed; print what is made.

    ``total`` is how many pictures the plan has, if that is known; ``show`` prints a line.

    Raises ``BatchError`` when some failed, and ends with 130 when it was interrupted.
    """
    if command.metadata != "full":
        raise SettingError(
            "metadata must be full for a batch, whose pictures are known by the key in their "
            f"files, got {command.metadata}"
        )
    tally = Tally(counts=Counts(total=total if running.shard is None else None), quiet=quiet)
    job = _Job(plan=plan, running=running, open_image=open_image, json_lines=json_lines)
    # Closed, or an error in here would leave claims behind until Python ends.
    with Stopping(quiet=quiet) as stopping, closing(job.events(command, stopping)) as events:
        for kind, _, line in events:
            _hear(kind, line, tally, show)
    if not stopping():
        tally.counts.finish()
    tally.end()
    if stopping():
        say("interrupted; run the same command again to make the rest")
        raise typer.Exit(INTERRUPTED)
    if tally.counts.failed:
        raise BatchError(
            f"{tally.counts.failed} of the pictures could not be made; run the same command to "
            "try them again"
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class _Job:
    """A plan and how it is run, wherever that is."""

    plan: Iterable[Planned]
    running: RunningOptions
    open_image: OpenImage
    json_lines: bool
    began: float = field(default_factory=time.time)

    def events(
        self, command: CommandSettings, stopping: Stopping
    ) -> Generator[Message, None, None]:
        """What happens to each picture, here or in a process for each GPU."""
        if self.running.gpus is None:
            device = local_device(command.device)
            return self.messages(replace(command, device=device), stopping)
        rest = iter(self.plan)
        first = list(itertools.islice(rest, 1))  # what people are events of a plan is events once
        job = replace(self, plan=itertools.chain(first, rest))
        return spread(
            devices_of(self.running.gpus),
            lambda device: job.messages(replace(command, device=device), stopping),
            stopping,
        )

    def messages(
        self, command: CommandSettings, stopping: Stopping
    ) -> Generator[Message, None, None]:
        """Make what is missing, in this process; tell of each picture what there is to print."""
        load = _keeping(lambda checkpoint: loaded(checkpoint, command))
        tools = RunTools(load=load, open_image=self.open_image)
        folder, depth = folder_of(command)
        options = RunOptions(
            folder=folder,
            depth=depth,
            size_for=_sizes(command, self.running, tools),
            shard=parse_shard(self.running.shard),
            redo_since=self.began if self.running.redo else None,
        )
        for event in run(self.plan, options, tools, stopping=stopping):
            if isinstance(event, AlreadyThere):
                yield "there", event.key, ""
            elif isinstance(event, Failed):
                recipe = json.dumps(event.planned.recipe.to_dict(), ensure_ascii=False)
                yield "failed", event.key, f"{event.error}; its recipe: {recipe}"
            elif isinstance(event, Written):
                line = _json_line(event) if self.json_lines else str(event.path)
                yield "made", event.key, line
            elif event.index == 0:
                yield "begun", "", ""


def _hear(kind: str, line: str, tally: Tally, show: Callable[[str], None]) -> None:
    """Count what happened, and print what there is to print of it."""
    tally.clear()
    if kind == "begun":
        tally.begin()
    elif kind == "taken back":
        tally.counts.add(line, times=-1)
    else:
        tally.counts.add(kind)
    if kind == "made":
        show(line)
    elif kind == "failed":
        say(f"error: {line}")
    tally.tell()


def _keeping(load: "Load") -> "Load":
    """``load`` that keeps the last model: who asks how many fit has it loaded already."""
    last: dict[tuple[str, Path], Components] = {}

    def kept(checkpoint: "Checkpoint") -> "Components":
        names = checkpoint.name, checkpoint.path
        if names not in last:
            last.clear()  # gone before the next one needs its room
            last[names] = load(checkpoint)
        return last[names]

    return kept


def _sizes(
    command: CommandSettings, running: RunningOptions, tools: RunTools
) -> Callable[[Planned], int]:
    """How many pictures like a planned one are made at once; see ``batch.fitting``."""
    asked = running.batch_size
    size = parse_batch_size("auto" if asked is None else asked)
    known: dict[object, int] = {}

    def measured(planned: Planned) -> int:
        from sdloop.models.components.device import pick_device
        from sdloop.pipeline.loaded_model import loaded_model

        if pick_device(command.device).type != "cuda":
            return 1
        names = model_of(planned.recipe), shape_of(planned.recipe)
        if names not in known:
            model = loaded_model(tools.load(planned.checkpoint))
            known[names] = largest_batch(model, planned.recipe, tools.open_image)
        return known[names]

    return measured if size is None else lambda planned: size


def folder_of(command: CommandSettings) -> tuple[Path, int | None]:
    """The folder that all pictures go to, and how many folders below it are looked into.

    Where nobody named a folder it is the one that we are in, as deep as the names go: there may be
    half a disk below it.
    """
    if command.outdir is not None:
        return home(command.outdir), None
    name = "" if command.output is None else command.output
    fixed = name.partition("{")[0].rpartition("/")[0]
    return (home(f"{fixed}/"), None) if fixed else (Path(), name.count("/"))


def _json_line(written: Written) -> str:
    picture = written.picture
    with written.path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    line = line_of(picture, written.path)
    line["seconds_per_step"] = round(picture.seconds / max(1, len(picture.sigmas)), 4)
    return json.dumps({**line, "sha256": sha256}, ensure_ascii=False)

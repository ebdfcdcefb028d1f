"""From a plan to its pictures: what ``sdloop batch`` does when all is planned."""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

import typer

from sdloop.batch import (
    Failed,
    Keys,
    Means,
    Outcome,
    Planned,
    RunOptions,
    There,
    Written,
    run,
)
from sdloop.cli.batch_options import RunningOptions, parse_batch_size, parse_shard
from sdloop.cli.files import home
from sdloop.cli.loading import loaded
from sdloop.cli.made import circumstances, line_of
from sdloop.cli.screen import INTERRUPTED, emit, say
from sdloop.cli.settings import CommandSettings
from sdloop.cli.stopping import Stopping
from sdloop.cli.tally import Counts, Tally
from sdloop.errors import BatchError, SettingError
from sdloop.inputs import OpenImage


def run_plan(
    plan: Iterable[Planned],
    command: CommandSettings,
    running: RunningOptions,
    open_image: OpenImage,
    *,
    total: int | None,
    keys: Keys | None = None,
    json_lines: bool = False,
    quiet: bool = False,
) -> None:
    """Make what is missing of the plan, which is read as it is needed; print what is made.

    ``total`` is how many pictures the plan has, if that is known; ``keys`` are those of the plan,
    where somebody has hashed its models already.

    Raises ``BatchError`` when some failed, and ends with 130 when it was interrupted.
    """
    if command.metadata != "full":
        raise SettingError(
            "metadata must be full for a batch, whose pictures are known by the key in their "
            f"files, got {command.metadata}"
        )
    tally = Tally(counts=Counts(total=total), quiet=quiet)
    means = Means(
        load=lambda checkpoint: loaded(checkpoint, command),
        circumstances=circumstances,
        open_image=open_image,
    )
    options = run_options(command, running, means)
    with Stopping(quiet=quiet) as stopping:
        for event in run(plan, options, means, keys=keys, stopping=stopping):
            if isinstance(event, There | Written | Failed):
                tally.clear()
                _tell(event, tally.counts, json_lines=json_lines)
            else:
                tally.begin()
            tally.tell()
    tally.end()
    if stopping():
        say("interrupted; the same command makes the rest")
        raise typer.Exit(INTERRUPTED)
    if tally.counts.failed:
        raise BatchError(
            f"{tally.counts.failed} of the pictures could not be made; the same command tries "
            "them again"
        )


def run_options(command: CommandSettings, running: RunningOptions, means: Means) -> RunOptions:
    """How to run it; raises ``SettingError`` for what cannot be meant."""
    text = running.batch_size
    size = parse_batch_size("auto" if text is None else text)
    folder, depth = folder_of(command)
    return RunOptions(
        folder=folder,
        depth=depth,
        size_for=lambda planned: 1 if size is None else size,
        shard=parse_shard(running.shard),
        redo=running.redo,
    )


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


def _tell(outcome: Outcome, counts: Counts, *, json_lines: bool) -> None:
    """Count it, and say what is there of it."""
    if isinstance(outcome, There):
        counts.there += 1
    elif isinstance(outcome, Failed):
        counts.failed += 1
        recipe = json.dumps(outcome.planned.recipe.to_dict(), ensure_ascii=False)
        say(f"error: {outcome.error}; its recipe: {recipe}")
    else:
        counts.made += 1
        emit(_json_line(outcome) if json_lines else str(outcome.path))


def _json_line(written: Written) -> str:
    picture = written.picture
    with written.path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    line = line_of(picture, written.path, written.made)
    line["seconds_per_step"] = round(picture.seconds / max(1, len(picture.sigmas)), 4)
    return json.dumps({**line, "sha256": sha256}, ensure_ascii=False)

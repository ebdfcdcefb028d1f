"""Plan and make the pictures of ``sdloop batch``."""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from sdloop.batch.command_settings import CommandSettings
from sdloop.batch.counts import token_counter
from sdloop.batch.lines import line_of
from sdloop.batch.planned import Planned
from sdloop.cli.make.batch_plan import plan_of
from sdloop.cli.make.batch_run import run_plan
from sdloop.cli.make.image_files import image_opener
from sdloop.cli.make.run import given_settings
from sdloop.cli.options.batch import PlanOptions, StartOptions
from sdloop.cli.options.groups import given
from sdloop.cli.options.image import MaskOptions
from sdloop.cli.options.model import WarmOptions
from sdloop.cli.options.output import OutputOptions
from sdloop.cli.options.ranking import OrderOptions
from sdloop.cli.options.recipe import RecipeOptions, SeedOptions
from sdloop.cli.options.recipe_fields import recipe_settings
from sdloop.cli.options.running import RunningOptions
from sdloop.cli.read.ranking import check_rank, ranked
from sdloop.cli.terminal.output import emit
from sdloop.errors import BatchError, SettingError


def make_batch(
    prompts: Sequence[str] | None,
    *,
    planning: PlanOptions,
    start: StartOptions,
    mask: MaskOptions,
    recipe: RecipeOptions,
    seeds: SeedOptions,
    running: RunningOptions,
    model: WarmOptions,
    output: OutputOptions,
    order: OrderOptions,
) -> None:
    """Make the missing pictures of a plan, or print it."""
    check_rank(order)
    if output.save_steps is not None or output.preview:
        raise SettingError("save_steps and preview are not for batch: use txt2img")
    if running.gpus is not None and model.device is not None:
        raise SettingError("gpus starts one process per GPU, and these cannot share a device")
    flags = {**given(model, output, start, mask), **recipe_settings(recipe)}
    if (running.gpus or running.on) and "-" in (start.images or ()):
        raise SettingError("image must be a file with gpus or on, got -")
    settings = given_settings(flags, seeds)
    command, open_image = CommandSettings(**settings.command), image_opener()
    if running.batch_size is None and "batch_size" in settings.command:
        running = replace(running, batch_size=str(settings.command["batch_size"]))
    output = replace(output, overwrite=output.overwrite or running.redo)
    plan, total = plan_of(prompts, flags, settings, command, planning, seeds, output, open_image)
    if output.dry_run:
        count_tokens = token_counter()
        for planned in plan:
            emit(line_of(planned, count_tokens))
        return
    make = partial(run_plan, command=command, running=running, open_image=open_image, total=total)
    if order.rank is None:
        make(plan, json_lines=output.json, quiet=output.quiet)
    else:
        _ranked(plan, make, order, output, device=command.device)


def _ranked(
    plan: Iterable[Planned],
    make: Callable[..., None],
    order: OrderOptions,
    output: OutputOptions,
    *,
    device: str,
) -> None:
    """Make the pictures, and print the paths of all existing ones in the chosen order."""
    paths: list[Path] = []
    failed: BatchError | None = None
    try:
        make(_noted(plan, paths), quiet=output.quiet, show=lambda line: None)
    except BatchError as error:  # raised again after the others are printed
        failed = error
    names = [str(path) for path in paths if path.exists()]
    for one in ranked(names, order, quiet=output.quiet, device=device) if names else []:
        line = {"path": one.name, "score": round(one.score, 4), "words": one.words}
        emit(json.dumps(line, ensure_ascii=False) if output.json else one.name)
    if failed is not None:
        raise failed


def _noted(plan: Iterable[Planned], paths: list[Path]) -> Iterator[Planned]:
    for one in plan:
        paths.append(one.path)
        yield one

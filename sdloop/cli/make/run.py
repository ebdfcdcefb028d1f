"""Shared by all commands that make pictures: from the flags to the plan and the pictures."""

import dataclasses
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from sdloop.batch.command_settings import CommandSettings
from sdloop.batch.names import Naming
from sdloop.batch.planned import Planned
from sdloop.batch.planning import Planner
from sdloop.batch.prompt_file import read_prompts
from sdloop.batch.prompts import Prompt, blaming
from sdloop.batch.requests import Request, requests_of
from sdloop.batch.seeds import seeds_of
from sdloop.batch.settings import Settings, merged
from sdloop.batch.text_input import given_prompt
from sdloop.batch.unfinished import made_before
from sdloop.cli.make.image_files import image_opener
from sdloop.cli.make.pictures import make_pictures
from sdloop.cli.options.output import OutputOptions
from sdloop.cli.options.recipe import SeedOptions
from sdloop.cli.terminal.few_steps import tell_few_steps, tell_presets
from sdloop.cli.terminal.notices import (
    tell_choices,
    tell_steps,
    tell_unknown,
    tell_unlabelled,
    tell_unseen,
    tell_variants,
)
from sdloop.cli.terminal.output import emit, say
from sdloop.cli.user_settings import standing_settings
from sdloop.errors import SettingError
from sdloop.images.input.read import OpenImage
from sdloop.metadata.picture import check_output
from sdloop.pipeline.resolve import Resolver


def given_settings(flags: Mapping[str, Any], seeds: SeedOptions) -> Settings:
    """The flags that were given; they override the settings files."""
    count = {} if seeds.count is None else {"count": seeds.count}
    return Settings.of({**flags, **count}).over(standing_settings(seeds.config))


def given_prompts(
    argument: str | None, from_file: str | None, settings: Settings, *, example: str
) -> list[Prompt]:
    """The prompts, from exactly one source; ``example`` is a command with a prompt, for errors."""
    if argument is not None and from_file is not None:
        raise SettingError(f"prompt must come from one place, got {argument!r} and a prompt file")
    if from_file is not None:
        return read_prompts(from_file)
    if argument is not None:
        return [Prompt(settings={"prompt": given_prompt(argument)})]
    if "prompt" in settings.recipe:
        return [Prompt(settings={})]
    raise SettingError(f"prompt must be given, as in: {example}")


def make_from_prompts(
    prompts: Sequence[Prompt], settings: Settings, seeds: SeedOptions, output: OutputOptions
) -> list[Path]:
    """Make each prompt with every seed, or with ``--dry-run`` print the Recipes.

    Returns the paths of the pictures.
    """
    numbers = seeds_of(prompts, settings, seed=seeds.seed, count=seeds.count)
    command = CommandSettings(**settings.command)
    open_image = image_opener()
    plan = planned(prompts, settings, seeds.seed, numbers, command, output, open_image)
    if output.dry_run:
        print_recipes(plan)
        return []
    return make_pictures(plan, command, output, open_image)


def planned(
    prompts: Sequence[Prompt],
    settings: Settings,
    seed: str | None,
    numbers: Sequence[int] | None,
    command: CommandSettings,
    output: OutputOptions,
    open_image: OpenImage,
) -> list[Planned]:
    """The plan of all pictures; prints notices, such as the chosen seed.

    ``seed`` is the text of the flag; ``numbers`` are the seeds from it, or random ones.
    """
    plan = plan_for(requests_of(prompts, settings, numbers), command, output, open_image)
    if not output.quiet:
        tell_choices(prompts, settings, seed, numbers)
        tell_unlabelled(command)
        tell_presets(merged(prompts, settings))
        tell_few_steps(plan)
        tell_steps(plan)
        tell_unknown(plan)
        tell_variants(plan)
        tell_unseen(plan)
    return plan


def plan_for(
    requests: Iterable[Request],
    command: CommandSettings,
    options: OutputOptions,
    open_image: OpenImage,
    *,
    check: bool = True,
) -> list[Planned]:
    """The plan of a command, without keys, for which all weights would have to be read.

    All errors that can be found early are raised here, before torch is imported. ``check`` also
    checks that each file can be written.
    """
    naming = Naming.of(command, distinct=True)
    exists = partial(naming.exists, overwrite=options.overwrite)
    planner = Planner(resolver(options, open_image), naming, exists=exists, keyed=False)
    plan = planner.all(requests)
    return [_ready(one, command) for one in plan] if check and not options.dry_run else plan


def _ready(planned: Planned, command: CommandSettings) -> Planned:
    """With the file that a worker made of it for this call, if any; else its file is checked."""
    path, recipe = planned.path, planned.recipe
    made = made_before(path, recipe)
    if made is None:
        with blaming(planned.prompt.where):
            check_output(path, recipe, metadata=command.metadata, exists=planned.exists)
    return dataclasses.replace(planned, made=made)


def resolver(options: OutputOptions, open_image: OpenImage) -> Resolver:
    """The Resolver for the Recipes of a command; a dry run downloads nothing."""
    if options.quiet:
        os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"  # read when the hub's library is imported
    tell = (lambda _: None) if options.quiet else say
    return Resolver(open_image, may_fetch=not options.dry_run, tell=tell)


def print_recipes(plan: Sequence[Planned]) -> None:
    """Print the plan in the format of ``--from-file``: one Recipe in JSON per line."""
    for one in plan:
        output = one.prompt.output
        values = one.recipe.to_dict() | ({} if output is None else {"output": output})
        emit(json.dumps(values, ensure_ascii=False))

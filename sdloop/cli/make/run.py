"""Shared by all commands that make pictures: from the flags to the plan and the pictures."""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sdloop.batch.command_settings import CommandSettings
from sdloop.batch.plan_all import plan_pictures
from sdloop.batch.planned import Planned
from sdloop.batch.prompt_file import read_prompts
from sdloop.batch.prompts import Prompt
from sdloop.batch.seeds import seeds_of
from sdloop.batch.settings import Settings, merged
from sdloop.batch.text_input import read_text
from sdloop.batch.wanted import Wanted, recipes_of
from sdloop.cli.make.image_files import image_opener
from sdloop.cli.make.pictures import make_pictures
from sdloop.cli.options.output import OutputOptions
from sdloop.cli.options.recipe import SeedOptions
from sdloop.cli.terminal.few_steps import tell_few_steps, tell_presets
from sdloop.cli.terminal.notices import (
    tell_choices,
    tell_steps,
    tell_unknown,
    tell_unseen,
    tell_variants,
)
from sdloop.cli.terminal.output import emit, say
from sdloop.cli.user_settings import standing_settings
from sdloop.errors import SettingError
from sdloop.images.input.read import OpenImage
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
        text = read_text("-").rstrip("\r\n") if argument == "-" else argument
        return [Prompt(settings={"prompt": text})]
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
    wanted = recipes_of(prompts, settings, numbers)
    plan = plan_for(wanted, command, output, open_image)
    if not output.quiet:
        tell_choices(prompts, settings, seed, numbers)
        tell_presets(merged(prompts, settings))
        tell_few_steps(plan)
        tell_steps(plan)
        tell_unknown(plan)
        tell_variants(plan)
        tell_unseen(plan)
    return plan


def plan_for(
    wanted: Sequence[Wanted],
    command: CommandSettings,
    options: OutputOptions,
    open_image: OpenImage,
    *,
    check: bool = True,
) -> list[Planned]:
    """The plan of a command: see ``plan_pictures``."""
    return plan_pictures(
        wanted,
        resolver(options, open_image),
        command,
        overwrite=options.overwrite,
        check=check and not options.dry_run,
    )


def resolver(options: OutputOptions, open_image: OpenImage) -> Resolver:
    """The Resolver for the Recipes of a command; a dry run downloads nothing."""
    if options.quiet:
        os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"  # read when the hub's library is imported
    tell = (lambda _: None) if options.quiet else say
    return Resolver(open_image, may_fetch=not options.dry_run, tell=tell)


def print_recipes(plan: Sequence[Planned]) -> None:
    """Print the plan in the format of ``--from-file``: one Recipe in JSON per line."""
    for one in plan:
        values = one.recipe.to_dict() | ({} if one.output is None else {"output": one.output})
        emit(json.dumps(values, ensure_ascii=False))

"""What every command making pictures shares: from its flags to the pictures that it makes."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sdloop.batch.command_settings import CommandSettings
from sdloop.batch.planned import Planned
from sdloop.batch.prompt_file import read_prompts
from sdloop.batch.prompts import Prompt
from sdloop.batch.settings import Settings
from sdloop.batch.text_input import read_text
from sdloop.cli.make.image_files import image_opener
from sdloop.cli.make.pictures import make_pictures
from sdloop.cli.make.plan import plan_pictures, print_recipes
from sdloop.cli.make.recipes import recipes_of, seeds_of
from sdloop.cli.options.output import OutputOptions
from sdloop.cli.options.recipe import SeedOptions
from sdloop.cli.terminal.notices import (
    tell_choices,
    tell_steps,
    tell_unknown,
    tell_unseen,
    tell_variants,
)
from sdloop.cli.user_settings import standing_settings
from sdloop.errors import SettingError
from sdloop.images.input.read import OpenImage


def asked_settings(flags: Mapping[str, Any], seeds: SeedOptions) -> Settings:
    """The flags that were given, over all that stands in settings files."""
    count = {} if seeds.count is None else {"count": seeds.count}
    return Settings.of({**flags, **count}).over(standing_settings(seeds.config))


def asked_prompts(
    argument: str | None, from_file: str | None, settings: Settings, *, example: str
) -> list[Prompt]:
    """The prompts, from the one place that names them; ``example`` is a command that has one."""
    if argument is not None and from_file is not None:
        raise SettingError(f"prompt must come from one place, got {argument!r} and a file of them")
    if from_file is not None:
        return read_prompts(from_file)
    if argument is not None:
        text = read_text("-").rstrip("\r\n") if argument == "-" else argument
        return [Prompt(settings={"prompt": text})]
    if "prompt" in settings.recipe:
        return [Prompt(settings={})]
    raise SettingError(f"prompt must be given, as in: {example}")


def fulfil(
    prompts: Sequence[Prompt], settings: Settings, seeds: SeedOptions, output: OutputOptions
) -> list[Path]:
    """Make every picture that is asked for, or with ``--dry-run`` print its Recipe.

    Returns the files: each prompt with every seed.
    """
    numbers = seeds_of(prompts, settings, seeds)
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
    """The plan of all that is asked for; what was decided for people is told to them.

    ``seed`` is the flag, and ``numbers`` what it came to, or what was chosen.
    """
    wanted = recipes_of(prompts, settings, numbers)
    plan = plan_pictures(wanted, command, output, open_image)
    if not output.quiet:
        tell_choices(prompts, settings, seed, numbers)
        tell_steps(plan)
        tell_unknown(plan)
        tell_variants(plan)
        tell_unseen(plan)
    return plan

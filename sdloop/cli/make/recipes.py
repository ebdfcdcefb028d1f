"""Prompts × seeds → the Recipes of one command."""

import re
from collections.abc import Iterable, Sequence
from typing import Any

from sdloop.batch.learned_words import fields_of
from sdloop.batch.loras import with_loras
from sdloop.batch.prompts import Prompt, blaming
from sdloop.batch.seeds import MAX_PICTURES, count_from, parse_seeds, random_seed
from sdloop.batch.settings import Settings
from sdloop.batch.text_input import read_text
from sdloop.batch.wanted import Wanted
from sdloop.cli.options.groups import given
from sdloop.cli.options.recipe import RecipeOptions, SeedOptions
from sdloop.errors import SettingError
from sdloop.recipe.fields import parse_value
from sdloop.recipe.parse import parse_pair
from sdloop.recipe.recipe import Recipe


def recipe_settings(options: RecipeOptions) -> dict[str, Any]:
    """The flags that were given, as fields of a Recipe: texts parsed, ``--size`` in its parts."""
    values = given(options)
    size = values.pop("size", None)
    values = {name: _value(name, flag) for name, flag in values.items()}
    if "guidance_schedule" in values:
        values["guidance_schedule"] = schedule_text(values["guidance_schedule"])
    if size is not None:
        for name, number in zip(("width", "height"), parse_pair("size", size), strict=True):
            if values.setdefault(name, number) != number:
                raise SettingError(f"{name} must agree with size {size}, got {values[name]}")
    return values


def _value(name: str, flag: Any) -> Any:
    """What a flag means: typer has read numbers and lists already, and other text is ours."""
    if isinstance(flag, list):
        return tuple(flag)
    return parse_value(name, flag) if isinstance(flag, str) else flag


def schedule_text(text: str) -> str:
    """A schedule of guidance as a Recipe has it: a file gives way to the scales in it.

    They stand one a line, or with commas or spaces between them.
    """
    if re.fullmatch(r"(linear|cosine):.*|[0-9.,\s]+", text):
        return text
    return ",".join(re.split(r"[,\s]+", read_text(text).strip()))


def seeds_of(
    prompts: Sequence[Prompt], settings: Settings, options: SeedOptions
) -> list[int] | None:
    """The seeds for all prompts that bring none; None where all bring their own.

    Where nobody names a seed it is random.
    """
    count = settings.command.get("count", 1)
    if all("seed" in prompt.settings for prompt in prompts):
        if options.seed is not None or options.count is not None:
            raise SettingError("seed and count mean nothing here: every prompt has its own seed")
        return None
    if options.seed is not None:
        seeds = parse_seeds(options.seed)
        # Several seeds say how many: that is not left to a settings file's count.
        several = len(seeds) > 1 and options.count is None
        return seeds if several else count_from(seeds, count)
    return count_from([settings.recipe.get("seed", random_seed(count))], count)


def recipes_of(
    prompts: Iterable[Prompt], settings: Settings, seeds: Sequence[int] | None
) -> list[Wanted]:
    """For each prompt every seed, unless it has its own; the prompt's settings win.

    Raises ``SettingError``, naming the line of the prompt, for what no Recipe can be.
    """
    wanted: list[Wanted] = []
    prompts = list(prompts)
    for prompt, fields in zip(prompts, fields_of(prompts, settings), strict=True):
        own = [fields["seed"]] if "seed" in prompt.settings else seeds or []
        if len(wanted) + len(own) > MAX_PICTURES:
            raise SettingError(f"one command makes at most {MAX_PICTURES} pictures")
        with blaming(prompt.where):
            fields = with_loras(fields, settings.command.get("lora_dir"))
            recipes = [Recipe.from_dict({**fields, "seed": seed}) for seed in own]
        wanted += [
            Wanted(recipe=recipe, where=prompt.where, output=prompt.output, name=prompt.name)
            for recipe in recipes
        ]
    return wanted

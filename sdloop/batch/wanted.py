"""Combine prompts × seeds to requested pictures, before their models are found."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sdloop.batch.learned_words import fields_of
from sdloop.batch.loras import with_loras, without_other_tags
from sdloop.batch.prompts import Prompt, blaming
from sdloop.batch.seeds import MAX_PICTURES
from sdloop.batch.settings import Settings
from sdloop.errors import SettingError
from sdloop.recipe.recipe import Recipe


@dataclass(frozen=True, kw_only=True, slots=True)
class Wanted:
    """One requested picture; ``where`` and ``output`` come from its ``Prompt``.

    ``name`` is the default template for its file, and ``file`` the picture that it remakes, if any.
    """

    recipe: Recipe
    where: str = ""
    output: str | None = None
    name: str | None = None
    file: str | None = None


def recipes_of(
    prompts: Iterable[Prompt], settings: Settings, seeds: Sequence[int] | None
) -> list[Wanted]:
    """Each prompt with every seed, unless it has its own; the prompt's settings win.

    Raises ``SettingError``, which names the prompt's line, for an invalid Recipe.
    """
    wanted: list[Wanted] = []
    prompts = list(prompts)
    for prompt, fields in zip(prompts, fields_of(prompts, settings), strict=True):
        own = [fields["seed"]] if "seed" in prompt.settings else seeds or []
        if len(wanted) + len(own) > MAX_PICTURES:
            raise SettingError(f"one command makes at most {MAX_PICTURES} pictures")
        with blaming(prompt.where):
            called = without_other_tags(fields)
            fields = with_loras(called, settings.command.get("lora_dir"))
            recipes = [Recipe.from_dict({**fields, "seed": seed}) for seed in own]
        wanted += [
            Wanted(recipe=recipe, where=prompt.where, output=prompt.output, name=prompt.name)
            for recipe in recipes
        ]
    return wanted

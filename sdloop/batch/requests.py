"""Requests: the pictures that a command is asked for, before their models are found."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sdloop.batch.learned_words import texts_in, words_for
from sdloop.batch.loras import with_loras, without_other_tags
from sdloop.batch.prompts import Prompt, blaming
from sdloop.batch.seeds import MAX_PICTURES
from sdloop.batch.settings import Settings
from sdloop.errors import SettingError
from sdloop.recipe.recipe import Recipe

# The fields of a prompt's Recipe: its own, those of a combination of axes, and the command's.
Fill = Callable[[Prompt, Mapping[str, Any]], dict[str, Any]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """One requested picture: its prompt, the fields of its Recipe without the seed, and its seed.

    Consecutive requests that differ only in the seed share the same ``fields`` object.
    """

    prompt: Prompt
    fields: Mapping[str, Any]
    seed: int

    @property
    def recipe(self) -> Recipe:
        """Its Recipe, not resolved; raises ``SettingError`` for invalid settings."""
        return Recipe.from_dict({**self.fields, "seed": self.seed})


# The fields of a Recipe with what had to wait for the final text of its prompt.
Complete = Callable[[Request], Mapping[str, Any]]


def final(prompt: Prompt) -> Request:
    """The request for a prompt whose settings are a complete Recipe, unchanged."""
    fields = dict(prompt.settings)
    return Request(prompt=prompt, seed=fields.pop("seed"), fields=fields)


def filler(settings: Settings, flags: Settings | None = None) -> Fill:
    """A function that adds the command's settings, except the seed, to those of a prompt.

    A preset that is swept takes the place of settings in files, but not of ``flags``.
    """
    below = Settings(recipe={n: v for n, v in settings.recipe.items() if n != "seed"})

    def fill(prompt: Prompt, combination: Mapping[str, Any]) -> dict[str, Any]:
        if "preset" in combination and flags is not None:
            combination = {**flags.recipe, **combination}
        swept = Settings(recipe=combination).over(below)
        return dict(Settings(recipe=prompt.settings).over(swept).recipe)

    return fill


def completer(settings: Settings, texts: Iterable[str] | None) -> Complete:
    """A function that gives each Recipe the embeddings and the LoRAs that its prompts use.

    ``texts`` are all prompts, if they are known; see ``words_for``.
    """
    take = words_for(settings, texts)

    def complete(one: Request) -> dict[str, Any]:
        fields = without_other_tags(take(one.fields, own=one.prompt.settings))
        return with_loras(fields, settings.command.get("lora_dir"))

    return complete


def requests_of(
    prompts: Sequence[Prompt], settings: Settings, seeds: Sequence[int] | None
) -> Iterator[Request]:
    """Each prompt with every seed, unless it has its own; the prompt's settings win.

    Nothing varies here, and a line of a printed plan is like any other: its key is not used.
    """
    fill, pictures = filler(settings), 0
    filled = [fill(prompt, {}) for prompt in prompts]
    complete = completer(settings, (text for fields in filled for text in texts_in(fields)))
    for prompt, fields in zip(prompts, filled, strict=True):
        own = (fields.pop("seed"),) if "seed" in fields else seeds or ()
        pictures += len(own)
        if pictures > MAX_PICTURES:
            raise SettingError(f"one command makes at most {MAX_PICTURES} pictures")
        request = Request(prompt=replace(prompt, key=None), fields=fields, seed=0)
        with blaming(prompt.where):
            request = replace(request, fields=complete(request))
        yield from (replace(request, seed=seed) for seed in own)

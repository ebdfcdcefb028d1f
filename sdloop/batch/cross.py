"""Combine prompts × axes × variants × seeds to requests, one picture after the other.

Only the prompts, axes and seeds are in memory, so that a plan of millions starts at once.
"""

import hashlib
import itertools
import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from sdloop.batch.prompts import Prompt, blaming
from sdloop.batch.requests import Fill, Request, final
from sdloop.batch.sweep import Axis, combinations
from sdloop.batch.templates import Template
from sdloop.batch.variants import Lookup, no_wildcards, parsed, varies
from sdloop.errors import PromptError, SettingError
from sdloop.recipe.check import PROMPTS


@dataclass(frozen=True, kw_only=True, slots=True)
class Crossing:
    """What the prompts of a plan are combined with; each call iterates over the whole plan.

    ``fill`` adds the command's settings to those of a prompt and the axes. Seeds are for prompts
    that have none. With the pick "all" every variant of a prompt is used, with "random" one that is
    drawn with the picture's seed.
    """

    fill: Fill
    seeds: Collection[int] = ()
    axes: Sequence[Axis] = ()
    zipped: bool = False
    lookup: Lookup = no_wildcards
    pick: str = "all"
    _parsed: Callable[[str, Lookup], Template] = field(
        default_factory=lambda: lru_cache(maxsize=1000)(parsed)
    )

    def __call__(self, prompts: Iterable[Prompt]) -> Iterator[Request]:
        """Every picture of each prompt: for each combination its variants, for each the seeds.

        Raises ``SettingError`` for a field that an axis and the prompt's own line both set, and
        ``PromptError`` for variants that cannot be parsed; both name the line.
        """
        for prompt in prompts:
            if prompt.key is not None:
                yield final(prompt)
                continue
            for combination in combinations(self.axes, zipped=self.zipped):
                fields, templates = self._filled(prompt, combination)
                own = "seed" in fields
                seeds = (fields.pop("seed"),) if own else self.seeds
                for chosen, some in self._chosen(fields, templates, seeds):
                    for seed in some:
                        yield Request(prompt=prompt, fields=chosen, seed=seed)

    def count(self, prompt: Prompt) -> int:
        """The number of pictures for a prompt."""
        if prompt.key is not None:
            return 1
        first = next(combinations(self.axes, zipped=self.zipped))
        fields, templates = self._filled(prompt, first)
        lengths = [len(axis) for axis in self.axes]
        combined = lengths[0] if self.zipped else math.prod(lengths)
        seeds = 1 if "seed" in fields else len(self.seeds)
        variants = 1 if self.pick == "random" else _count(templates)
        return combined * variants * seeds

    def _filled(
        self, prompt: Prompt, combination: Mapping[str, Any]
    ) -> tuple[dict[str, Any], dict[str, Template]]:
        with blaming(prompt.where):
            for name in combination:
                if name in prompt.settings:
                    own = prompt.settings[name]
                    raise SettingError(f"{name} is swept, but this prompt sets its own, {own!r}")
            fields = self.fill(prompt, combination)
            return fields, {
                name: self._template(name, fields[name])
                for name in PROMPTS
                if isinstance(fields.get(name), str) and varies(fields[name])
            }

    def _template(self, name: str, text: str) -> Template:
        try:
            return self._parsed(text, self.lookup)
        except PromptError as error:
            raise PromptError(f"{name}: {error}", field=name) from error

    def _chosen(
        self, fields: dict[str, Any], templates: Mapping[str, Template], seeds: Collection[int]
    ) -> Iterator[tuple[dict[str, Any], Collection[int]]]:
        """The fields with one variant of each text, and the seeds for them."""
        if not templates:
            yield fields, seeds
        elif self.pick == "random":
            for seed in seeds:
                drawn = {
                    name: template.drawn(_draws(seed, name, fields[name]))
                    for name, template in templates.items()
                }
                yield fields | drawn, (seed,)
        else:
            for index in range(_count(templates)):
                yield fields | dict(_texts(templates, index)), seeds


def _count(templates: Mapping[str, Template]) -> int:
    return math.prod(template.count for template in templates.values())


def _texts(templates: Mapping[str, Template], index: int) -> Iterator[tuple[str, str]]:
    for name, template in reversed(list(templates.items())):
        index, place = divmod(index, template.count)
        yield name, template.text(place)


def _draws(seed: int, name: str, text: str) -> Callable[[int], int]:
    """Random numbers that depend only on the picture's seed and the template, on any machine."""
    numbers = itertools.count()

    def draw(below: int) -> int:
        said = f"{seed} {next(numbers)} {name} {text}".encode()
        return int.from_bytes(hashlib.sha256(said).digest()[:16]) % below

    return draw

"""Which Recipes can share a forward pass."""

import itertools
from collections.abc import Iterable, Iterator
from operator import attrgetter
from typing import Any

from sdloop.recipe.check import PROMPTS
from sdloop.recipe.recipe import FIELDS, Recipe
from sdloop.recipe.resolve_words import WORD_FIELDS

# What Recipes that share a forward pass may differ in: words, seeds, and which picture and mask.
_FREE = frozenset(
    {
        *PROMPTS,
        *WORD_FIELDS,
        *("seed", "variation_seed", "variation_strength"),
        *("image", "image_sha256", "mask", "mask_sha256"),
        *("mix_prompts", "mix_weights", "slerp"),
    }
)
_shaping = attrgetter(*(name for name in FIELDS if name not in _FREE))


def shape_of(recipe: Recipe) -> tuple[Any, ...]:
    """What is equal of Recipes that can share a forward pass."""
    return (*_shaping(recipe), recipe.image is None, recipe.mask is None)


def batches(recipes: Iterable[Recipe], batch_size: int) -> Iterator[list[Recipe]]:
    """Neighbours that can share a forward pass: equal but for words, seeds and input picture."""
    for _, alike in itertools.groupby(recipes, key=shape_of):
        while batch := list(itertools.islice(alike, batch_size)):
            yield batch

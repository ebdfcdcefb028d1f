"""Which Recipes can share a forward pass."""

import itertools
from collections.abc import Iterable, Iterator
from operator import attrgetter
from typing import Any

from sdloop.recipe.fields import ROWS
from sdloop.recipe.recipe import FIELDS, Recipe

_shaping = attrgetter(*(name for name in FIELDS if not ROWS[name].per_picture))


def shape_of(recipe: Recipe) -> tuple[Any, ...]:
    """The values that must be equal for Recipes to share a forward pass."""
    return (*_shaping(recipe), recipe.image is None, recipe.mask is None)


def batches(recipes: Iterable[Recipe], batch_size: int) -> Iterator[list[Recipe]]:
    """Group neighbours that can share a forward pass: only words, seed and image may differ."""
    for _, alike in itertools.groupby(recipes, key=shape_of):
        while batch := list(itertools.islice(alike, batch_size)):
            yield batch

"""Which Recipes can share a forward pass."""

import itertools
from collections.abc import Iterable, Iterator
from functools import partial
from operator import attrgetter
from typing import Any

from sdloop.recipe.fields import ROWS
from sdloop.recipe.recipe import FIELDS, Recipe
from sdloop.recipe.resolve_image_prompts import shown_in

_SHAPING = tuple(name for name in FIELDS if not ROWS[name].per_picture)
_shaping = attrgetter(*_SHAPING)
# A UNet that takes the guidance scale as an input takes one for each picture.
_shaping_embedded = attrgetter(*(name for name in _SHAPING if name != "guidance_scale"))


def shape_of(recipe: Recipe, *, embeds_guidance: bool = False) -> tuple[Any, ...]:
    """The values that must be equal for Recipes to share a forward pass.

    ``embeds_guidance`` is that of their model: see ``Defaults``.
    """
    shaping = _shaping_embedded if embeds_guidance else _shaping
    followed = tuple(one.shape for one in recipe.followed)
    same = (*shaping(recipe), recipe.image is None, recipe.mask is None, followed)
    if shown := shown_in(recipe):
        counts = tuple((one.seer, one.prompt.scale, one.prompt.placed) for one in shown)
        return (*same, recipe.image_encoder, counts)
    return same


def batches(
    recipes: Iterable[Recipe], batch_size: int, *, embeds_guidance: bool = False
) -> Iterator[list[Recipe]]:
    """Group neighbours that can share a forward pass: only words, seed and image may differ.

    Where the model ``embeds_guidance``, their guidance scales may differ too.
    """
    shape = partial(shape_of, embeds_guidance=embeds_guidance)
    for _, alike in itertools.groupby(recipes, key=shape):
        while batch := list(itertools.islice(alike, batch_size)):
            yield batch

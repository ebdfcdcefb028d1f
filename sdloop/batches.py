"""Which Recipes can share a forward pass."""

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

from sdloop.recipe import PROMPTS, WORD_FIELDS, Recipe


def batches(recipes: Iterable[Recipe], batch_size: int) -> Iterator[list[Recipe]]:
    """Neighbours that can share a forward pass: those of one ``shape_of``."""
    for _, alike in itertools.groupby(recipes, key=shape_of):
        while batch := list(itertools.islice(alike, batch_size)):
            yield batch


def shape_of(recipe: Recipe) -> Recipe:
    """What those who share a forward pass agree in: all but words, seeds and input picture."""
    words: dict[str, Any] = {**dict.fromkeys((*PROMPTS, *WORD_FIELDS)), "prompt": ""}
    return replace(
        recipe,
        seed=0,
        image=recipe.image and "any",
        image_sha256=None,
        mask=recipe.mask and "any",
        mask_sha256=None,
        mix_prompts=None,
        mix_weights=None,
        slerp=False,
        variation_seed=None,
        variation_strength=None,
        **words,
    )

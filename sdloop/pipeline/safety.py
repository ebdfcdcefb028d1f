"""Let a model's safety checker look at finished pictures."""

import warnings
from collections.abc import Sequence

from PIL.Image import Image

from sdloop.models.components.load import Components
from sdloop.recipe.recipe import Recipe


def flags_of(
    components: Components, images: Sequence[Image], batch: Sequence[Recipe]
) -> list[bool | None]:
    """Whether the safety checker flags each picture, with a warning; None without a checker."""
    if components.safety_checker is None:
        return [None] * len(images)
    flags = components.safety_checker.flags(images)
    for recipe, flagged in zip(batch, flags, strict=True):
        if flagged:
            warnings.warn(
                f"seed {recipe.seed}: the model's safety checker flags this picture",
                RuntimeWarning,
                stacklevel=2,
            )
    return list(flags)

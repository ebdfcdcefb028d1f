"""The stages of a picture: each is one run of the loop."""

import dataclasses

from sdloop.recipe.recipe import Recipe


def stages(recipe: Recipe) -> tuple[Recipe, ...]:
    """The stages of a resolved Recipe: one run of the loop, or two with ``hires``.

    The second stage cannot run alone: it starts from the result of the first.
    """
    if recipe.hires is None:
        return (recipe,)
    width, height = recipe.final_size
    first = dataclasses.replace(
        recipe,
        hires=None,
        enlarge=None,
        upscaler=None,
        upscaler_sha256=None,
        tile=None,
        strength=None,
        exact_steps=False,
        start_step=None,
    )
    second = dataclasses.replace(
        recipe, hires=None, factor=recipe.hires, width=width, height=height
    )
    return first, second

"""The runs of the loop that one picture takes."""

import dataclasses

from sdloop.recipe.recipe import Recipe


def stages(recipe: Recipe) -> tuple[Recipe, ...]:
    """The runs of the loop that a resolved Recipe asks for: one, or with ``hires`` two.

    The second is no Recipe by itself: it starts from what the first one made.
    """
    if recipe.hires is None:
        return (recipe,)
    width, height = recipe.final_size
    first = dataclasses.replace(
        recipe,
        hires=None,
        enlarge=None,
        tile=None,
        strength=None,
        exact_steps=False,
        start_step=None,
    )
    second = dataclasses.replace(
        recipe, hires=None, factor=recipe.hires, width=width, height=height
    )
    return first, second

"""The names of the input pictures that a Recipe is made from."""

from collections.abc import Iterator

from sdloop.recipe.recipe import Recipe


def input_names(recipe: Recipe) -> Iterator[str]:
    """Those of img2img and inpaint, and of ControlNets and T2I-Adapters.

    >>> list(input_names(Recipe(prompt="a frog", seed=4, image="a.png", strength=0.5)))
    ['a.png']
    """
    yield from (one for one in (recipe.image, recipe.mask, recipe.depth_map) if one is not None)
    yield from (one.image for one in (*recipe.controls, *recipe.t2i_adapters))

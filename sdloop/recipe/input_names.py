"""The names of the input pictures that a Recipe is made from."""

from collections.abc import Iterator

from sdloop.recipe.recipe import Recipe
from sdloop.recipe.resolve_image_prompts import image_prompts_of


def input_names(recipe: Recipe) -> Iterator[str]:
    """Those of img2img and inpaint, of ControlNets and T2I-Adapters, and of image prompts.

    >>> list(input_names(Recipe(prompt="a frog", seed=4, image="a.png", strength=0.5)))
    ['a.png']
    """
    yield from (one for one in (recipe.image, recipe.mask, recipe.depth_map) if one is not None)
    yield from (one.image for one in (*recipe.controls, *recipe.t2i_adapters))
    yield from (one.prompt.image for one in image_prompts_of(recipe))

"""The names of the input pictures that a Recipe is made from."""

from collections.abc import Iterator

from sdloop.recipe.image_prompts import parse_image_prompt
from sdloop.recipe.recipe import Recipe


def input_names(recipe: Recipe) -> Iterator[str]:
    """Those of img2img, inpaint, ControlNets, T2I-Adapters and image prompts.

    >>> list(input_names(Recipe(prompt="a frog", seed=4, image="a.png", strength=0.5)))
    ['a.png']
    """
    yield from (one for one in (recipe.image, recipe.mask, recipe.depth_map) if one is not None)
    yield from (one.image for one in (*recipe.controls, *recipe.t2i_adapters))
    yield from (parse_image_prompt(text).image for text in recipe.image_prompts or ())

"""The names of the files that a picture is made from, besides the model's own."""

from collections.abc import Iterator

from sdloop.images.input.mask import mask_file
from sdloop.prompt.learned.grammar import parse_embedding, parse_replacement
from sdloop.recipe.image_prompts import parse_image_prompt
from sdloop.recipe.loss_grammar import parse_loss
from sdloop.recipe.recipe import Recipe
from sdloop.recipe.regions import parse_region


def named_files(recipe: Recipe) -> Iterator[str]:
    """Pictures, masks, LoRAs, embeddings, ControlNets …: some are on the web, or in a store.

    An IP-Adapter is only among them with a named image encoder, which is looked for near it
    otherwise.

    >>> recipe = Recipe(prompt="a frog", seed=4, regions=("ink=a.png",), losses=("like=b.png:1",))
    >>> list(named_files(recipe))
    ['a.png', 'b.png']
    """
    return (name for name in _named(recipe) if name is not None)


def _named(recipe: Recipe) -> Iterator[str | None]:
    yield from (recipe.image, mask_file(recipe.mask), recipe.depth_map, recipe.upscaler)
    for one in (*recipe.controls, *recipe.t2i_adapters):
        yield from (one.image, one.model)
    yield from (lora.name for lora in recipe.loras)
    yield from (parse_embedding(text).file for text in recipe.embeddings or ())
    for text in recipe.replace_tokens or ():
        yield from parse_replacement(text).files
    for shown in map(parse_image_prompt, recipe.image_prompts or ()):
        yield from (shown.image, shown.file)
    yield recipe.ip_adapter if recipe.image_encoder is not None else None
    yield from (parse_region(text).file for text in recipe.regions or ())
    for text in recipe.losses or ():
        yield from parse_loss(text).files

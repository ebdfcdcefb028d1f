"""Run the largest forward pass of a batch once, so that its memory can be measured."""

from collections.abc import Sequence

from sdloop.images.input.read import OpenImage
from sdloop.pipeline.conditioned import conditioned, stacked
from sdloop.pipeline.loaded_model import LoadedModel
from sdloop.pipeline.outpaint import growing_from, window_recipes
from sdloop.pipeline.passes import first_steps
from sdloop.pipeline.readers import readers_for
from sdloop.pipeline.stage import stages_of
from sdloop.recipe.recipe import Recipe
from sdloop.recipe.resolve_outpaint import passes_of


def run_largest_forward(model: LoadedModel, batch: Sequence[Recipe], open_image: OpenImage) -> None:
    """The UNet on all pictures of ``batch``, where it needs the most memory.

    This is a first step of each stage: the second stage of ``hires`` is larger than the first, and
    guidance that begins later doubles the rows. For outpainting it is the largest window. The
    Recipes are resolved, and equal except for their seeds.

    Nothing is halved if memory runs out: raises torch's own error.
    """
    if batch[0].growth is not None:
        batch, open_image = _largest_windows(model, batch, open_image)
    readers = readers_for(model, open_image)
    components, rows = conditioned(model, batch, readers.embed_images)
    stages = stages_of(components, batch, model.own)
    first_steps(components, stages, stacked(rows), readers=readers, own=model.own)


def _largest_windows(
    model: LoadedModel, batch: Sequence[Recipe], open_image: OpenImage
) -> tuple[list[Recipe], OpenImage]:
    """The largest pass of outpainting, as Recipes of inpainting."""
    growing = [growing_from(recipe, open_image) for recipe in batch]
    passes = passes_of(batch[0], model.components)

    def area(number: int) -> int:
        left, top, right, bottom = passes[number].box
        return (right - left) * (bottom - top)

    number = max(range(len(passes)), key=area)
    windows, opened = window_recipes(
        batch, growing, passes[number], number, model.components, open_image
    )
    return [model.resolved(window, opened) for window in windows], opened

"""Recipes and Components in, pictures out. Every command ends here."""

from collections.abc import Generator, Iterable

from sdloop.images.input.read import OpenImage, open_image
from sdloop.loop import Step
from sdloop.models.components.load import Components
from sdloop.pipeline.loaded_model import loaded_model
from sdloop.pipeline.picture import Picture, Sampled
from sdloop.pipeline.sample import sampled
from sdloop.recipe.recipe import Recipe
from sdloop.rules import check_whole

MAX_BATCH = 4096


def generate(
    components: Components,
    recipes: Recipe | Iterable[Recipe],
    *,
    batch_size: int = 1,
    open_image: OpenImage = open_image,
) -> list[Picture]:
    """Make the picture of each Recipe, in their order; see ``stream`` to watch it happen."""
    events = stream(components, recipes, batch_size=batch_size, open_image=open_image)
    return [event for event in events if isinstance(event, Picture)]


def stream(
    components: Components,
    recipes: Recipe | Iterable[Recipe],
    *,
    batch_size: int = 1,
    open_image: OpenImage = open_image,
) -> Generator[Step | Picture, None, None]:
    """The same, as it happens: a batch's ``Step``s, then its finished ``Picture``s, batch by batch.

    Up to ``batch_size`` neighbouring Recipes that differ in words, seed and the picture they
    start from alone share a batch: faster on a GPU, and the same noise bit for bit. Memory does
    not grow with the number of Recipes, and closing the iterator stops between two steps.
    ``open_image`` reads the picture that a Recipe names: without it, the file of that name.

    Raises ``SettingError`` for a Recipe that does not suit the model, ``FileError`` for a picture
    that cannot be read, ``ModelError`` for a LoRA that does not fit, ``NonFiniteError`` naming the
    step at which numbers ceased to be finite, ``OutOfMemory`` where not even one fits.
    """
    check_whole("batch_size", batch_size, 1, MAX_BATCH)
    if isinstance(recipes, Recipe):
        recipes = [recipes]
    for event in sampled(loaded_model(components), recipes, batch_size, open_image):
        if isinstance(event, Sampled):
            yield from event.pictures()
        else:
            yield event

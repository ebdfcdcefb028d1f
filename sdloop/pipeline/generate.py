"""From a prompt, or Recipes and Components, to pictures. Every command ends here."""

import random
from collections.abc import Generator, Iterable, Mapping
from functools import lru_cache, partial
from typing import Any, overload

from sdloop.errors import SettingError
from sdloop.images.input.read import OpenImage, open_image
from sdloop.loop import Step
from sdloop.models.checkpoint.value import Checkpoint
from sdloop.models.components.cache import ModelCache
from sdloop.models.components.device import threads_for
from sdloop.models.components.load import Components, load_components
from sdloop.pipeline.loaded_model import LoadedModel, loaded_model
from sdloop.pipeline.memory import memory_for
from sdloop.pipeline.own_code import Denoise, OwnCode
from sdloop.pipeline.picture import Picture, SampledBatch
from sdloop.pipeline.resolve import Resolver
from sdloop.pipeline.sample import sampled
from sdloop.recipe.limits import MAX_SEED
from sdloop.recipe.presets import PRESET_FIELDS
from sdloop.recipe.recipe import Recipe
from sdloop.rules import check_whole
from sdloop.schedulers.schedule import Scheduler

MAX_BATCH = 4096

_CACHE = ModelCache()


@overload
def generate(
    prompt: str | Recipe,
    /,
    *,
    device: str = ...,
    dtype: str = ...,
    memory: str = ...,
    compile: str = ...,
    open_image: OpenImage = ...,
    denoise: Denoise | None = ...,
    scheduler: str | Scheduler | None = ...,
    **settings: Any,
) -> Picture: ...


@overload
def generate(
    components: Components,
    recipes: Recipe | Iterable[Recipe],
    /,
    *,
    batch_size: int = ...,
    open_image: OpenImage = ...,
    denoise: Denoise | None = ...,
    scheduler: Scheduler | None = ...,
) -> list[Picture]: ...


def generate(
    prompt: str | Recipe | Components,
    recipes: Recipe | Iterable[Recipe] | None = None,
    /,
    *,
    batch_size: int = 1,
    open_image: OpenImage = open_image,
    device: str = "auto",
    dtype: str = "auto",
    memory: str = "auto",
    compile: str = "off",
    denoise: Denoise | None = None,
    scheduler: str | Scheduler | None = None,
    **settings: Any,
) -> Picture | list[Picture]:
    """Make one picture from a prompt, or many from Recipes and a model that is loaded.

    ``generate(prompt, seed=4, steps=30, model="mini", ...)`` takes the fields of a ``Recipe`` as
    keyword arguments. Without a seed, a random one is used: see ``picture.recipe.seed``. A Recipe
    can be passed instead of the prompt. The model is loaded to ``device`` ("auto", "cpu", "cuda",
    …) in ``dtype`` ("auto", "fp32", …) with ``memory`` and ``compile``, as ``load_components``
    takes them, and kept for the next call.

    ``generate(components, recipes)`` makes the picture of each Recipe, in order, with a model from
    ``load_components``; ``batch_size`` of them share a forward pass. ``stream`` does the same and
    yields every step.

    ``denoise`` and ``scheduler`` may be your own code: see ``stream``.

    Raises what ``stream`` and ``load_components`` raise, and ``SettingError`` for an unknown
    setting.
    """
    how = {"device": device, "dtype": dtype, "memory": memory, "compile": compile}
    if isinstance(prompt, Components):
        _refuse(settings, how)
        if recipes is None:
            raise TypeError("generate(components, recipes) needs Recipes, got components alone")
        events = stream(
            prompt,
            recipes,
            batch_size=batch_size,
            open_image=open_image,
            denoise=denoise,
            scheduler=scheduler,
        )
        return [event for event in events if isinstance(event, Picture)]
    if recipes is not None or batch_size != 1:
        raise TypeError("generate(prompt) makes one picture; for more, pass components and Recipes")
    if isinstance(scheduler, str):  # a Recipe's field, not an object
        settings, scheduler = {**settings, "scheduler": scheduler}, None
    recipe, own = _recipe(prompt, settings), OwnCode(denoise=denoise, scheduler=scheduler)
    own.check(recipe)
    last_opened = lru_cache(maxsize=2)(open_image)
    found = Resolver(last_opened)(own.unsettled(recipe))  # loads nothing: bad settings end here
    components = _loaded(found.checkpoint, found.recipe, how)
    resolved = own.settled(found.recipe, recipe)
    with threads_for(components.unet):
        model = loaded_model(components, own)
        events = stream_resolved(model, [resolved], open_image=last_opened)
        return next(event for event in events if isinstance(event, Picture))


def _refuse(settings: Mapping[str, Any], how: Mapping[str, str]) -> None:
    """Refuse arguments that are not allowed together with components and Recipes."""
    for name in settings:
        raise TypeError(f"generate(components, recipes) takes no {name}: set it in the Recipes")
    for name, value in how.items():
        if value not in ("auto", "off"):
            raise TypeError(f"{name} must be given to load_components() if components are passed")


def _recipe(prompt: str | Recipe, settings: Mapping[str, Any]) -> Recipe:
    """The Recipe of one picture; without a seed it gets a random one."""
    if isinstance(prompt, Recipe):
        dropped = PRESET_FIELDS if "preset" in settings else ()
        own = {name: value for name, value in prompt.to_dict().items() if name not in dropped}
        return Recipe.from_dict({**own, **settings}) if settings else prompt
    fields = {"prompt": prompt, **settings}
    if fields.get("seed") is None:
        fields["seed"] = random.randint(0, MAX_SEED)
    return Recipe.from_dict(fields)


def _loaded(checkpoint: Checkpoint, recipe: Recipe, how: Mapping[str, str]) -> Components:
    """This model; the one of the last call is reused if it is the same."""
    placed = {name: how[name] for name in ("device", "dtype", "memory")}
    how = {**how, "memory": memory_for(checkpoint, [recipe], **placed)}
    return _CACHE.load(partial(load_components, checkpoint, **how), checkpoint, *how.values())


def stream(
    components: Components,
    recipes: Recipe | Iterable[Recipe],
    *,
    batch_size: int = 1,
    open_image: OpenImage = open_image,
    denoise: Denoise | None = None,
    scheduler: Scheduler | None = None,
) -> Generator[Step | Picture, None, None]:
    """The same, as it happens: a batch's ``Step``s, then its finished ``Picture``s, batch by batch.

    Up to ``batch_size`` consecutive Recipes share a batch, if they differ only in words, seed and
    input picture: this is faster on a GPU, and the noise is the same bit for bit. Memory does not
    grow with the number of Recipes, and closing the iterator stops between two steps.
    ``open_image`` reads the input picture that a Recipe names; by default it opens the file.

    ``denoise`` takes the place of ``sdloop.denoise``, and ``scheduler`` that of the Recipe's
    scheduler: see ``sdloop.pipeline.own_code``. The files of such pictures name both, and say that
    the Recipe alone does not make them again.

    Raises ``SettingError`` for a Recipe that does not suit the model, ``FileError`` for a picture
    that cannot be read, ``ModelError`` for a LoRA that does not fit, ``NonFiniteError`` with the
    step at which NaN or infinity appeared, ``OutOfMemory`` if not even one picture fits.
    """
    check_whole("batch_size", batch_size, 1, MAX_BATCH)
    if isinstance(recipes, Recipe):
        recipes = [recipes]
    if isinstance(scheduler, str):
        raise SettingError(
            f"scheduler must be an object here, got {scheduler!r}; name it in the Recipe"
        )
    model = loaded_model(components, OwnCode(denoise=denoise, scheduler=scheduler))
    last_opened = lru_cache(maxsize=2)(open_image)  # a picture and its mask
    resolved = (model.resolved(recipe, last_opened) for recipe in recipes)
    yield from stream_resolved(model, resolved, batch_size=batch_size, open_image=last_opened)


def stream_resolved(
    model: LoadedModel,
    recipes: Iterable[Recipe],
    *,
    batch_size: int = 1,
    open_image: OpenImage = open_image,
) -> Generator[Step | Picture, None, None]:
    """``stream`` for Recipes that are already resolved, like those of a plan."""
    for event in sampled(model, recipes, batch_size, open_image):
        if isinstance(event, SampledBatch):
            yield from event.pictures()
        else:
            yield event

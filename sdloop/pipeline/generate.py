"""The conductor: Recipes and Components in, pictures out. Every command ends here."""

import itertools
import warnings
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import lru_cache

from sdloop.conditioning.encode import condition
from sdloop.conditioning.value import Conditioning, stack
from sdloop.conditioning.words import words_of
from sdloop.errors import OutOfMemory
from sdloop.images.input.read import OpenImage, open_image
from sdloop.loop import Step
from sdloop.models.components.device import reset_peak_memory
from sdloop.models.components.load import Components
from sdloop.models.memory import Stopwatch, free_memory, memory_errors
from sdloop.pipeline.input_images import Look, looking
from sdloop.pipeline.loaded_model import Kit, kit_of
from sdloop.pipeline.outpaint import growing_from, window_recipes
from sdloop.pipeline.passes import looked_at, run, stages_of
from sdloop.pipeline.picture import Picture, Sampled
from sdloop.recipe.batchable import batches
from sdloop.recipe.recipe import Recipe
from sdloop.recipe.resolve_outpaint import passes_of
from sdloop.rules import check_whole

__all__ = ["MAX_BATCH", "Event", "Picture", "Sampled", "batches", "generate", "sampled", "stream"]

MAX_BATCH = 4096
Event = Step | Sampled | Picture


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
    for event in sampled(kit_of(components), recipes, batch_size, open_image):
        if isinstance(event, Sampled):
            yield from event.pictures()
        else:
            yield event


def sampled(
    kit: Kit, recipes: Iterable[Recipe], batch_size: int, open_image: OpenImage
) -> Iterator[Event]:
    """``stream`` for who decodes elsewhere: the latents of each batch, once its steps are done.

    Pictures that grow are decoded on their way. With one ``kit`` for many calls each prompt is
    encoded once. Recipes are resolved one after the other, and each batch made when it is full.
    """
    last_opened = lru_cache(maxsize=2)(open_image)  # a picture and its mask
    look = looking(kit.components, last_opened)
    resolved = (kit.resolved(recipe, last_opened) for recipe in recipes)
    for batch in batches(resolved, batch_size):
        if batch[0].growth is None:
            yield from _fitting(batch, lambda part: _make(kit, part, look))
        else:
            yield from _fitting(batch, lambda part: _grow(kit, part, last_opened))


def _fitting(
    batch: Sequence[Recipe], make: Callable[[Sequence[Recipe]], Iterator[Event]]
) -> Iterator[Event]:
    """Make a batch, or where the memory does not suffice its halves, one after the other."""
    done = 0
    try:
        with memory_errors(batch[0], len(batch)):
            for event in make(batch):
                if not isinstance(event, Step):
                    done += len(event.batch) if isinstance(event, Sampled) else 1
                yield event
            return
    except OutOfMemory:
        if len(batch) == 1:
            raise
    # Not within the handler, whose traceback holds what has to be given back first.
    free_memory()
    rest = batch[done:]
    half = (len(rest) + 1) // 2
    warnings.warn(
        f"the memory does not suffice for a batch of {len(batch)}: going on with {half}",
        RuntimeWarning,
        stacklevel=2,
    )
    yield from _fitting(rest[:half], make)
    if rest[half:]:
        yield from _fitting(rest[half:], make)


def _grow(kit: Kit, batch: Sequence[Recipe], open_image: OpenImage) -> Iterator[Step | Picture]:
    """One batch of pictures that grow: each pass is a batch of windows, painted within a mask."""
    watch = Stopwatch()
    growing = [growing_from(recipe, open_image) for recipe in batch]
    passes = passes_of(batch[0], kit.components)
    made: list[Picture] = []
    turns = 0  # of a pass, of which a scheduler may take fewer
    for number, one in enumerate(passes):
        windows, open_window = window_recipes(batch, growing, one, number, kit.components)
        made = []
        for event in sampled(kit, windows, len(batch), open_window):
            if isinstance(event, Sampled):
                made += event.pictures()
            elif isinstance(event, Picture):
                made.append(event)
            else:
                with watch.stopped():
                    turns = max(turns, event.total)
                    left_out = turns - event.total if one is passes[-1] else 0
                    index, total = number * turns + event.index, len(passes) * turns - left_out
                    yield replace(event, index=index, total=total)
        for picture, window in zip(growing, made, strict=True):
            picture.paint(one, window.image)
    seconds = watch.seconds() / len(batch)
    for recipe, picture, window in zip(batch, growing, made, strict=True):
        yield replace(window, image=picture.image, recipe=recipe, seconds=seconds)


def _make(kit: Kit, batch: Sequence[Recipe], look: Look) -> Iterator[Step | Sampled]:
    """One batch, from the prompts to the latents; what the UNet cannot see at once goes apart.

    That are prompts of more chunks than others, or that AND makes more of.
    """
    watch = Stopwatch()
    components, encoder = kit.prepare(batch[0].loras)
    rows = [condition(components, recipe, encode=encoder(words_of(recipe))) for recipe in batch]
    reading = watch.seconds() / len(batch)
    pairs = zip(rows, batch, strict=True)
    # Not padded to one length: a picture must not depend on its neighbours.
    for _, alike in itertools.groupby(pairs, key=lambda pair: pair[0].shapes):
        group = list(alike)
        conditioning = stack([row for row, _ in group])
        recipes = [recipe for _, recipe in group]
        yield from _sample(components, recipes, conditioning, look, reading)


def _sample(
    components: Components,
    batch: Sequence[Recipe],
    conditioning: Conditioning,
    look: Look,
    reading: float,
) -> Iterator[Step | Sampled]:
    """From the conditioning to the latents; ``reading`` is each picture's time until then."""
    watch = Stopwatch()
    reset_peak_memory(components.device)
    planned = stages_of(components, batch)
    for step in run(components, planned, conditioning, look=look):
        latents = step.latents
        with watch.stopped():
            yield step
    yield Sampled(
        components=components,
        batch=tuple(batch),
        latents=latents,
        sigmas=tuple(looked_at(planned, row) for row in range(len(batch))),
        seconds=reading + watch.seconds() / len(batch),
        look=look,
    )

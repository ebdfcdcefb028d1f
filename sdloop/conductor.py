"""The conductor: Recipes and Components in, pictures out. Every command ends here."""

import itertools
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from PIL.Image import Image
from torch import Tensor

from sdloop.batches import batches
from sdloop.components import Components, peak_memory, reset_peak_memory
from sdloop.conditioning import Conditioning, condition, stack, words_of
from sdloop.image import decode, to_images
from sdloop.inputs import OpenImage, open_image
from sdloop.kit import Kit, kit_of
from sdloop.looking import Look, looking
from sdloop.loop import Step
from sdloop.measures import Stopwatch, memory_errors
from sdloop.outpaint import growing_from, window_recipes
from sdloop.recipe import Recipe
from sdloop.rules import check_whole
from sdloop.stages import looked_at, run, stages_of

MAX_BATCH = 4096


@dataclass(frozen=True, kw_only=True, slots=True)
class Picture:
    """One finished picture and how it came about.

    ``recipe`` is resolved: with it and the model's weights the picture can be made again.
    ``latents`` (channels, height, width), float32, CPU, are what the VAE decoded. ``sigmas`` are
    the noise levels that the UNet looked at. ``seconds`` is this picture's share of its batch's
    time, from the prompt to the pixels, less what the consumer of the steps took. ``peak_memory``
    is what the batch took at most: see ``components.peak_memory``. Of a picture that
    has grown, latents, sigmas and memory are those of the last window.
    """

    image: Image
    recipe: Recipe
    latents: Tensor
    sigmas: tuple[float, ...]
    seconds: float
    peak_memory: int | None


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
    step at which numbers ceased to be finite, ``OutOfMemory``.
    """
    check_whole("batch_size", batch_size, 1, MAX_BATCH)
    if isinstance(recipes, Recipe):
        recipes = [recipes]
    yield from _stream(kit_of(components), recipes, batch_size, open_image)


def _stream(
    kit: Kit, recipes: Iterable[Recipe], batch_size: int, open_image: OpenImage
) -> Iterator[Step | Picture]:
    """Resolve the Recipes one after the other, and make each batch as soon as it is full."""
    last_opened = lru_cache(maxsize=2)(open_image)  # a picture and its mask
    look = looking(kit.components, last_opened)
    resolved = (kit.resolved(recipe, last_opened) for recipe in recipes)
    for batch in batches(resolved, batch_size):
        with memory_errors(batch[0], len(batch)):
            if batch[0].growth is None:
                yield from _make(kit, batch, look)
            else:
                yield from _grow(kit, batch, last_opened)


def _grow(kit: Kit, batch: Sequence[Recipe], open_image: OpenImage) -> Iterator[Step | Picture]:
    """One batch of pictures that grow: each pass is a batch of windows, painted within a mask."""
    watch = Stopwatch()
    growing = [growing_from(recipe, open_image) for recipe in batch]
    passes = batch[0].passes(kit.components)
    made: list[Picture] = []
    turns = 0  # of a pass, of which a scheduler may take fewer
    for number, one in enumerate(passes):
        windows, open_window = window_recipes(batch, growing, one, number, kit.components)
        made = []
        for event in _stream(kit, windows, len(batch), open_window):
            if isinstance(event, Picture):
                made.append(event)
                continue
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


def _make(kit: Kit, batch: Sequence[Recipe], look: Look) -> Iterator[Step | Picture]:
    """One batch, from the prompts to the pixels; what the UNet cannot see at once goes apart.

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
        yield from _picture(components, recipes, conditioning, look, reading)


def _picture(
    components: Components,
    batch: Sequence[Recipe],
    conditioning: Conditioning,
    look: Look,
    reading: float,
) -> Iterator[Step | Picture]:
    """From the conditioning to the pixels; ``reading`` is each picture's time until then."""
    watch = Stopwatch()
    reset_peak_memory(components.device)
    planned = stages_of(components, batch)
    for step in run(components, planned, conditioning, look=look):
        latents = step.latents
        with watch.stopped():
            yield step
    images = to_images(decode(components.vae, latents))
    if batch[0].mask is not None and not batch[0].no_keep:
        pairs = zip(images, batch, strict=True)
        images = [look(recipe).canvas.finished(image) for image, recipe in pairs]
    seconds = reading + watch.seconds() / len(batch)
    peak = peak_memory(components.device)
    for row, (image, recipe, one) in enumerate(zip(images, batch, latents.cpu(), strict=True)):
        yield Picture(
            image=image,
            recipe=recipe,
            latents=one,
            sigmas=looked_at(planned, row),
            seconds=seconds,
            peak_memory=peak,
        )

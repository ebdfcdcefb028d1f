"""The conductor: Recipes and Components in, pictures out. Every command ends here."""

import itertools
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import Any

import torch
from PIL.Image import Image
from torch import Tensor

from sdloop.components import Components, peak_memory, reset_peak_memory
from sdloop.conditioning import Conditioning, Encode, condition, encode_prompt, stack
from sdloop.errors import OutOfMemory
from sdloop.image import decode, to_images
from sdloop.inputs import OpenImage, open_image
from sdloop.loop import Step
from sdloop.recipe import PROMPTS, Recipe, facts_of
from sdloop.rules import check_whole
from sdloop.stages import run, stages_of
from sdloop.start import Look, looking

MAX_BATCH = 4096


@dataclass(frozen=True, kw_only=True, slots=True)
class Picture:
    """One finished picture and how it came about.

    ``recipe`` is resolved: with it and the model's weights the picture can be made again.
    ``latents`` (channels, height, width), float32, CPU, are what the VAE decoded. ``sigmas`` are
    the noise levels that the UNet looked at. ``seconds`` is this picture's share of its batch's
    time, from the prompt to the pixels, less what the consumer of the steps took. ``peak_memory``
    is what the batch took at most: see ``components.peak_memory``.
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
) -> Iterator[Step | Picture]:
    """The same, as it happens: a batch's ``Step``s, then its finished ``Picture``s, batch by batch.

    Up to ``batch_size`` neighbouring Recipes that differ in prompts, seed and the picture they
    start from alone share a batch: faster on a GPU, and the same noise bit for bit. Memory does
    not grow with the number of Recipes, and closing the iterator stops between two steps.
    ``open_image`` reads the picture that a Recipe names: without it, the file of that name.

    Raises ``SettingError`` for a Recipe that does not suit the model, ``FileError`` for a picture
    that cannot be read, ``NonFiniteError`` naming the step at which numbers ceased to be finite,
    ``OutOfMemory``.
    """
    check_whole("batch_size", batch_size, 1, MAX_BATCH)
    if isinstance(recipes, Recipe):
        recipes = [recipes]
    # Equal texts are encoded once, however many pictures they are for.
    encode = lru_cache(maxsize=64)(partial(encode_prompt, components))
    last_opened = lru_cache(maxsize=2)(open_image)  # a picture and its mask
    resolved = (recipe.resolved(components, facts_of(recipe, last_opened)) for recipe in recipes)
    looked_at = looking(components, last_opened)
    for batch in batches(resolved, batch_size):
        with _memory_errors(batch[0], len(batch)):
            yield from _make(components, batch, encode, looked_at)


def _make(
    components: Components, batch: Sequence[Recipe], encode: Encode, look: Look
) -> Iterator[Step | Picture]:
    """One batch, from the prompts to the pixels; prompts of more chunks than others go apart."""
    watch = Stopwatch()
    rows = [condition(components, recipe, encode=encode) for recipe in batch]
    reading = watch.seconds() / len(batch)
    pairs = zip(rows, batch, strict=True)
    # Not padded to one length: a picture must not depend on its neighbours.
    for _, alike in itertools.groupby(pairs, key=lambda pair: pair[0].prompt_embeds.shape):
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
    sigmas = tuple(sigma for stage in planned for sigma in stage.sigmas)
    for image, recipe, one in zip(images, batch, latents.cpu(), strict=True):
        yield Picture(
            image=image,
            recipe=recipe,
            latents=one,
            sigmas=sigmas,
            seconds=seconds,
            peak_memory=peak,
        )


def batches(recipes: Iterable[Recipe], batch_size: int) -> Iterator[list[Recipe]]:
    """Neighbours that can share a forward pass: equal but for prompts, seed and input picture."""

    def shape(recipe: Recipe) -> Recipe:
        prompts: dict[str, Any] = {**dict.fromkeys(PROMPTS), "prompt": ""}
        return replace(
            recipe,
            seed=0,
            image=recipe.image and "any",
            image_sha256=None,
            mask=recipe.mask and "any",
            mask_sha256=None,
            **prompts,
        )

    for _, alike in itertools.groupby(recipes, key=shape):
        while batch := list(itertools.islice(alike, batch_size)):
            yield batch


class Stopwatch:
    """Wall time since it was made, without the time that others took meanwhile."""

    def __init__(self) -> None:
        self._started = time.perf_counter()

    def seconds(self) -> float:
        return time.perf_counter() - self._started

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """Leave out what happens inside: a consumer looks at a step as long as it likes."""
        away = time.perf_counter()
        yield
        self._started += time.perf_counter() - away


@contextmanager
def _memory_errors(recipe: Recipe, count: int) -> Iterator[None]:
    """Say what did not fit, instead of the allocator's own words."""
    try:
        yield
    except RuntimeError as error:  # CUDA has a subclass for it, the CPU's allocator only says so
        full = ("not enough memory", "can't allocate memory")
        if not isinstance(error, torch.OutOfMemoryError) and not any(t in str(error) for t in full):
            raise
        width, height = recipe.final_size
        raise OutOfMemory(
            f"out of memory for {count} picture(s) of {width}x{height} at once; "
            "remedy: a smaller batch_size, tile or picture, or dtype bf16"
        ) from error

"""The conductor: Recipes and Components in, pictures out. Every command ends here."""

import itertools
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import Any

import torch
from PIL.Image import Image
from torch import Tensor

from sdloop.checkpoint import FindLora, find_lora
from sdloop.components import Components, adapted, peak_memory, reset_peak_memory
from sdloop.conditioning import (
    Conditioning,
    Encode,
    Words,
    condition,
    encode_prompt,
    stack,
    with_words,
    words_of,
)
from sdloop.errors import OutOfMemory
from sdloop.image import decode, to_images
from sdloop.inputs import OpenImage, open_image
from sdloop.loop import Step
from sdloop.outpaint import growing_from, window_recipes
from sdloop.recipe import PROMPTS, WORD_FIELDS, Lora, Recipe, facts_of
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
) -> Iterator[Step | Picture]:
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
    found_lora = lru_cache(maxsize=64)(find_lora)
    prepare = _preparing(components, found_lora)
    yield from _stream(components, recipes, batch_size, open_image, found_lora, prepare)


def _stream(
    components: Components,
    recipes: Iterable[Recipe],
    batch_size: int,
    open_image: OpenImage,
    find_lora: FindLora,
    prepare: "Prepare",
) -> Iterator[Step | Picture]:
    """Resolve the Recipes one after the other, and make each batch as soon as it is full."""
    last_opened = lru_cache(maxsize=2)(open_image)  # a picture and its mask
    resolved = (_resolved(recipe, components, last_opened, find_lora) for recipe in recipes)
    looked_at = looking(components, last_opened)
    for batch in batches(resolved, batch_size):
        with _memory_errors(batch[0], len(batch)):
            if batch[0].growth is None:
                wanted, encoder = prepare(batch[0].loras)
                yield from _make(wanted, batch, encoder, looked_at)
            else:
                yield from _grow(components, batch, last_opened, find_lora, prepare)


def _grow(
    components: Components,
    batch: Sequence[Recipe],
    open_image: OpenImage,
    find_lora: FindLora,
    prepare: "Prepare",
) -> Iterator[Step | Picture]:
    """One batch of pictures that grow: each pass is a batch of windows, painted within a mask."""
    watch = Stopwatch()
    growing = [growing_from(recipe, open_image) for recipe in batch]
    passes = batch[0].passes(components)
    made: list[Picture] = []
    for number, one in enumerate(passes):
        windows, open_window = window_recipes(batch, growing, one, number, components)
        made = []
        for event in _stream(components, windows, len(batch), open_window, find_lora, prepare):
            if isinstance(event, Picture):
                made.append(event)
                continue
            with watch.stopped():
                index, total = number * event.total + event.index, len(passes) * event.total
                yield replace(event, index=index, total=total)
        for picture, window in zip(growing, made, strict=True):
            picture.paint(one, window.image)
    seconds = watch.seconds() / len(batch)
    for recipe, picture, window in zip(batch, growing, made, strict=True):
        yield replace(window, image=picture.image, recipe=recipe, seconds=seconds)


def _resolved(
    recipe: Recipe, components: Components, open_image: OpenImage, find_lora: FindLora
) -> Recipe:
    hashes = {lora.name: find_lora(lora.name).sha256 for lora in recipe.loras}
    return recipe.resolved(components, facts_of(recipe, open_image), lora_hashes=hashes)


Encoder = Callable[[Words], Encode]
Prepare = Callable[[tuple[Lora, ...]], tuple[Components, Encoder]]


def _preparing(components: Components, find_lora: FindLora) -> Prepare:
    """How the components are made as Recipes want them, and what encodes prompts of which words.

    The last few are kept, for Recipes that take turns; of a LoRA that is its own weights alone.
    Equal texts are encoded once, however many pictures they are for.
    """

    @lru_cache(maxsize=4)
    def prepare(loras: tuple[Lora, ...]) -> tuple[Components, Encoder]:
        files = [(find_lora(lora.name), lora.scale) for lora in loras]
        wanted = adapted(components, files)

        @lru_cache(maxsize=8)
        def encoder(words: Words) -> Encode:
            return lru_cache(maxsize=64)(partial(encode_prompt, with_words(wanted, words)))

        return wanted, encoder

    return prepare


def _make(
    components: Components,
    batch: Sequence[Recipe],
    encoder: Encoder,
    look: Look,
) -> Iterator[Step | Picture]:
    """One batch, from the prompts to the pixels; what the UNet cannot see at once goes apart.

    That are prompts of more chunks than others, or that AND makes more of.
    """
    watch = Stopwatch()
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
    """Neighbours that can share a forward pass: equal but for words, seeds and input picture."""

    def shape(recipe: Recipe) -> Recipe:
        words: dict[str, Any] = {**dict.fromkeys((*PROMPTS, *WORD_FIELDS)), "prompt": ""}
        return replace(
            recipe,
            seed=0,
            image=recipe.image and "any",
            image_sha256=None,
            mask=recipe.mask and "any",
            mask_sha256=None,
            mix_prompts=None,
            mix_weights=None,
            slerp=False,
            variation_seed=None,
            variation_strength=None,
            **words,
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

"""The conductor: Recipes and Components in, pictures out. Every command ends here."""

import itertools
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import Any

import torch
from PIL.Image import Image
from torch import Tensor

from sdloop.components import Components
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
from sdloop.errors import NonFiniteError, OutOfMemory
from sdloop.image import decode, to_images
from sdloop.inputs import OpenImage, open_image
from sdloop.latents import seeded_generators
from sdloop.loop import Step, denoise
from sdloop.recipe import PROMPTS, WORD_FIELDS, Recipe, facts_of
from sdloop.rules import check_whole
from sdloop.schedule import make_scheduler, seed_brownian_noise, set_steps
from sdloop.start import Look, looking, start

MAX_BATCH = 4096


@dataclass(frozen=True, kw_only=True, slots=True)
class Picture:
    """One finished picture and how it came about.

    ``recipe`` is resolved: with it and the model's weights the picture can be made again.
    ``latents`` (channels, height, width), float32, CPU, are what the VAE decoded. ``sigmas`` are
    the noise levels that the UNet looked at. ``seconds`` is this picture's share of its batch's
    time, from the prompt to the pixels, less what the consumer of the steps took.
    """

    image: Image
    recipe: Recipe
    latents: Tensor
    sigmas: tuple[float, ...]
    seconds: float


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
    that cannot be read, ``NonFiniteError`` naming the step at which numbers ceased to be finite,
    ``OutOfMemory``.
    """
    check_whole("batch_size", batch_size, 1, MAX_BATCH)
    if isinstance(recipes, Recipe):
        recipes = [recipes]

    # Equal texts are encoded once, however many pictures they are for.
    @lru_cache(maxsize=8)
    def encoder(words: Words) -> Encode:
        return lru_cache(maxsize=64)(partial(encode_prompt, with_words(components, words)))

    last_opened = lru_cache(maxsize=2)(open_image)  # a picture and its mask
    resolved = (recipe.resolved(components, facts_of(recipe, last_opened)) for recipe in recipes)
    looked_at = looking(components, last_opened)
    for batch in batches(resolved, batch_size):
        with _memory_errors(batch[0], len(batch)):
            yield from _make(components, batch, encoder, looked_at)


def _make(
    components: Components,
    batch: Sequence[Recipe],
    encoder: Callable[[Words], Encode],
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
    latents, sigmas = yield from _sample(components, batch, conditioning, look, watch)
    images = to_images(decode(components.vae, latents))
    if batch[0].mask is not None and not batch[0].no_keep:
        pairs = zip(images, batch, strict=True)
        images = [look(recipe).canvas.finished(image) for image, recipe in pairs]
    seconds = reading + watch.seconds() / len(batch)
    for image, recipe, one in zip(images, batch, latents.cpu(), strict=True):
        yield Picture(image=image, recipe=recipe, latents=one, sigmas=sigmas, seconds=seconds)


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


def _sample(
    components: Components,
    batch: Sequence[Recipe],
    conditioning: Conditioning,
    look: Look,
    watch: "Stopwatch",
) -> Generator[Step, None, tuple[Tensor, tuple[float, ...]]]:
    """Run the loop for one batch; returns the final latents and the sigmas of its steps."""
    recipe = batch[0]  # all of a batch agree in what is read from it here
    assert recipe.guidance_scale is not None  # resolved
    seeds = [one.seed for one in batch]
    generators = seeded_generators(seeds)
    scheduler = make_scheduler(
        components.scheduler_config,
        scheduler=recipe.scheduler,
        sigmas=recipe.sigmas,
        timestep_spacing=recipe.timestep_spacing,
    )
    steps, first = recipe.schedule
    timesteps, sigmas = set_steps(scheduler, steps, start=first)
    begin = start(components, batch, scheduler, timesteps, generators, look=look)
    latents = begin.latents
    seed_brownian_noise(scheduler, latents, seeds)
    finite = []
    for step in denoise(
        components.unet,
        scheduler,
        latents,
        begin.seen_with(conditioning),
        timesteps=timesteps,
        sigmas=sigmas,
        guidance_scale=recipe.guidance_scale,
        guidance_rescale=recipe.guidance_rescale,
        eta=recipe.eta,
        generators=generators,
        kept=begin.kept,
    ):
        latents = step.latents
        finite.append(latents.isfinite().all())
        with watch.stopped():
            yield step
    _check_finite(finite, components.dtype)
    return latents, tuple(sigmas)


def _check_finite(finite: Sequence[Tensor], dtype: torch.dtype) -> None:
    """Look at all steps at once, at the end: asking at every step would make a GPU wait."""
    for index, flag in enumerate(torch.stack(tuple(finite)).tolist()):
        if not flag:
            half = dtype != torch.float32
            raise NonFiniteError(
                f"the latents are not finite numbers after step {index + 1} of {len(finite)} "
                f"in {str(dtype).removeprefix('torch.')}; remedy: "
                f"{'dtype fp32' if half else 'a lower guidance_scale'} or another scheduler"
            )


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
        raise OutOfMemory(
            f"out of memory for {count} picture(s) of {recipe.width}x{recipe.height} at once; "
            "remedy: a smaller batch_size or picture, or dtype bf16"
        ) from error

"""The conductor: Recipes and Components in, pictures out. Every command ends here."""

import itertools
import time
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache, partial

import torch
from PIL.Image import Image
from torch import Tensor

from sdloop.components import Components
from sdloop.conditioning import Conditioning, Encode, condition, encode_prompt, stack
from sdloop.errors import NonFiniteError, OutOfMemory
from sdloop.image import decode, to_images
from sdloop.latents import latent_size, noise, seeded_generators
from sdloop.loop import Step, denoise
from sdloop.recipe import Recipe
from sdloop.rules import check_whole
from sdloop.schedule import Scheduler, make_scheduler, seed_brownian_noise, set_steps

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
    components: Components, recipes: Recipe | Iterable[Recipe], *, batch_size: int = 1
) -> list[Picture]:
    """Make the picture of each Recipe, in their order; see ``stream`` to watch it happen."""
    events = stream(components, recipes, batch_size=batch_size)
    return [event for event in events if isinstance(event, Picture)]


def stream(
    components: Components, recipes: Recipe | Iterable[Recipe], *, batch_size: int = 1
) -> Iterator[Step | Picture]:
    """The same, as it happens: a batch's ``Step``s, then its finished ``Picture``s, batch by batch.

    Up to ``batch_size`` neighbouring Recipes that differ in prompts and seed alone share a batch:
    faster on a GPU, and the same noise bit for bit. Memory does not grow with the number of
    Recipes, and closing the iterator stops between two steps.

    Raises ``SettingError`` for a Recipe that does not suit the model, ``NonFiniteError`` naming
    the step at which numbers ceased to be finite, ``OutOfMemory``.
    """
    check_whole("batch_size", batch_size, 1, MAX_BATCH)
    if isinstance(recipes, Recipe):
        recipes = [recipes]
    # Equal texts are encoded once, however many pictures they are for.
    encode = lru_cache(maxsize=64)(partial(encode_prompt, components))
    resolved = (recipe.resolved(components) for recipe in recipes)
    for batch in batches(resolved, batch_size):
        with _memory_errors(batch[0], len(batch)):
            yield from _make(components, batch, encode)


def _make(
    components: Components, batch: Sequence[Recipe], encode: Encode
) -> Iterator[Step | Picture]:
    """One batch, from the prompts to the pixels."""
    watch = Stopwatch()
    conditioning = stack([condition(components, recipe, encode=encode) for recipe in batch])
    latents, sigmas = yield from _sample(components, batch, conditioning, watch)
    images = to_images(decode(components.vae, latents))
    seconds = watch.seconds() / len(batch)
    for image, recipe, one in zip(images, batch, latents.cpu(), strict=True):
        yield Picture(image=image, recipe=recipe, latents=one, sigmas=sigmas, seconds=seconds)


def batches(recipes: Iterable[Recipe], batch_size: int) -> Iterator[list[Recipe]]:
    """Neighbours that can share a forward pass: equal but for the prompts and the seed."""

    def shape(recipe: Recipe) -> Recipe:
        return replace(recipe, prompt="", negative_prompt=None, seed=0)

    for _, alike in itertools.groupby(recipes, key=shape):
        while batch := list(itertools.islice(alike, batch_size)):
            yield batch


def _sample(
    components: Components,
    batch: Sequence[Recipe],
    conditioning: Conditioning,
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
    timesteps, sigmas = set_steps(scheduler, recipe.steps)
    latents = _first_latents(components, recipe, scheduler, generators)
    seed_brownian_noise(scheduler, latents, seeds)
    finite = []
    for step in denoise(
        components.unet,
        scheduler,
        latents,
        conditioning,
        timesteps=timesteps,
        sigmas=sigmas,
        guidance_scale=recipe.guidance_scale,
        guidance_rescale=recipe.guidance_rescale,
        eta=recipe.eta,
        generators=generators,
    ):
        latents = step.latents
        finite.append(latents.isfinite().all())
        with watch.stopped():
            yield step
    _check_finite(finite, components.dtype)
    return latents, tuple(sigmas)


def _first_latents(
    components: Components,
    recipe: Recipe,
    scheduler: Scheduler,
    generators: Sequence[torch.Generator],
) -> Tensor:
    """Seeded noise as strong as the scheduler's first level, where the UNet is."""
    size = latent_size(*recipe.size, components.vae_factor)
    first = noise(generators, components.unet.config.in_channels, *size).to(components.device)
    scaled: Tensor = first * scheduler.init_noise_sigma
    return scaled


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

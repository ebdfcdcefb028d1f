"""Pictures to judge or to show, made through sdloop's own path, and those of mixed prompts."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from PIL.Image import Image

import sdloop
from sdloop.conditioning.encode import condition
from sdloop.conditioning.stack import stack
from sdloop.conditioning.value import Conditioning
from sdloop.latents.noise import latent_size, noise, seeded_generators
from sdloop.latents.vae import decode, to_images
from sdloop.models.components.load import Components
from sdloop.recipe.resolve import resolve
from sdloop.schedulers.schedule import make_scheduler, set_steps


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """How pictures are made; a ``guidance_scale`` of None is the model's own, and so is a
    ``size`` (width, height) of None."""

    steps: int = 25
    guidance_scale: float | None = None
    size: tuple[int, int] | None = None
    batch_size: int = 16

    def recipe(self, prompt: str, seed: int) -> sdloop.Recipe:
        """The Recipe of one picture."""
        width, height = self.size or (None, None)
        return sdloop.Recipe(
            prompt=prompt,
            seed=seed,
            steps=self.steps,
            guidance_scale=self.guidance_scale,
            width=width,
            height=height,
        )


def make(components: Components, recipes: Sequence[sdloop.Recipe], batch_size: int) -> list[Image]:
    """The pictures of these Recipes, with a line on stderr for every batch."""
    images = []
    for event in sdloop.stream(components, recipes, batch_size=batch_size):
        if not isinstance(event, sdloop.Step):
            images.append(event.image)
            if len(images) % batch_size == 0:
                print(f"{len(images)} of {len(recipes)} pictures", file=sys.stderr, flush=True)
    return images


def mix(one: Conditioning, other: Conditioning, share: float) -> Conditioning:
    """A prompt on the straight line between two: ``one`` at a share of 0, ``other`` at 1.

    What guidance leads away from stays ``one``'s, which is the same for both.
    """
    return replace(one, prompt_embeds=torch.lerp(one.prompt_embeds, other.prompt_embeds, share))


def make_mixed(
    components: Components,
    prompts: tuple[str, str],
    share: float,
    seeds: Sequence[int],
    settings: Settings,
) -> list[Image]:
    """Pictures of two prompts mixed, one for each seed; all of them in a batch.

    ``sdloop.generate`` takes a text, and a mixture has none: so the rooms it calls are called here
    by hand, as ``examples/change_the_loop.py`` does.
    """
    recipe, other = (resolve(settings.recipe(prompt, seeds[0]), components) for prompt in prompts)
    row = mix(condition(components, recipe), condition(components, other), share)
    scheduler = make_scheduler(
        components.scheduler_config, scheduler=recipe.scheduler, sigmas=recipe.sigmas
    )
    timesteps, sigmas = set_steps(scheduler, recipe.steps)
    generators = seeded_generators(seeds)
    size = latent_size(*recipe.size, components.vae_factor)
    first = noise(generators, components.unet.config.in_channels, *size).to(components.device)
    latents = first * scheduler.init_noise_sigma
    for step in sdloop.denoise(
        components.unet,
        scheduler,
        latents,
        stack([row] * len(seeds)),
        timesteps=timesteps,
        sigmas=sigmas,
        guidance_scale=recipe.guidance_scale,
        generators=generators,
    ):
        latents = step.latents
    return to_images(decode(components.vae, latents))

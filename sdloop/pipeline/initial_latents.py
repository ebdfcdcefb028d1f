"""The initial latents of the loop: pure noise, or an encoded picture with noise."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from PIL.Image import Image
from torch import Generator, Tensor

from sdloop.conditioning.value import Conditioning
from sdloop.latents.mask import MaskedLatents, latent_mask
from sdloop.latents.noise import enlarge, latent_size, noise, varied
from sdloop.latents.vae import scale, to_pixels
from sdloop.models.components.load import Components
from sdloop.pipeline.extra_channels import ExtraChannels, low_res_channels, mask_channels
from sdloop.pipeline.input_images import EncodedInput, EncodeInput
from sdloop.recipe.recipe import Recipe
from sdloop.schedulers.schedule import Scheduler


@dataclass(frozen=True, kw_only=True, slots=True)
class Start:
    """What a batch starts from.

    ``latents`` are on the UNet's device, noised to the first timestep. ``masked`` is what the loop
    puts back at every step, ``extra_channels`` are the additional inputs of an inpainting UNet, an
    upscaler or a depth model, and ``to_edit`` are the pictures' latents for InstructPix2Pix.
    """

    latents: Tensor
    masked: MaskedLatents | None = None
    extra_channels: ExtraChannels | None = None
    to_edit: Tensor | None = None

    def with_extra_channels(self, conditioning: Conditioning) -> Conditioning:
        """``conditioning`` with the UNet's extra input channels."""
        if self.extra_channels is None:
            return conditioning
        channels, class_labels = self.extra_channels.channels, self.extra_channels.class_labels
        return replace(conditioning, channels=channels, class_labels=class_labels)


def start(
    components: Components,
    batch: Sequence[Recipe],
    scheduler: Scheduler,
    timesteps: Tensor,
    generators: Sequence[Generator],
    *,
    encode_input: EncodeInput,
) -> Start:
    """The start of the loop; ``set_steps`` must have run for ``timesteps``.

    Each picture draws from its own generator, in diffusers' order.
    """
    draws = Draws(components=components, batch=batch, generators=generators)
    recipe = batch[0]  # they all start in the same way
    if recipe.image is None:
        return Start(latents=draws.noise() * scheduler.init_noise_sigma)
    seen = [encode_input(one) for one in batch]
    if components.max_noise_level is not None:
        return _for_upscaler(draws, seen, scheduler)
    if components.edits:
        # As in diffusers: the mean of the picture's distribution, not scaled.
        means = torch.cat([one.encoded.mean for one in seen if one.encoded is not None])
        noisy = draws.noise() * scheduler.init_noise_sigma
        return Start(latents=noisy, to_edit=means.to(components.device))
    if recipe.mask is not None:
        return _within_masks(draws, seen, scheduler, timesteps)
    clean = draws.clean(seen)
    if recipe.enlarge == "latent":
        clean = enlarge(clean, *draws.size)
    depths = [one.depth.to(components.device) for one in seen if one.depth is not None]
    return Start(
        latents=_noised(scheduler, clean, draws.noise(), timesteps),
        extra_channels=ExtraChannels(channels=torch.cat(depths)) if depths else None,
    )


def handed_over(
    components: Components,
    batch: Sequence[Recipe],
    before: Start,
    latents: Tensor,
    generators: Sequence[Generator],
    *,
    encode_input: EncodeInput,
) -> Start:
    """The start of a refiner, which goes on from ``latents``; ``components`` are the model's.

    Its UNet sees no mask, so with one the picture is put back at each step. As in diffusers, it
    draws new noise for this.
    """
    if batch[0].mask is None:
        return Start(latents=latents)
    draws = Draws(components=components, batch=batch, generators=generators)
    seen = [encode_input(one) for one in batch]
    clean = draws.clean(seen) if before.masked is None else before.masked.clean
    channels, size = components.vae.config.latent_channels, draws.size
    drawn = noise(generators, channels, *size).to(components.device)
    masks = [latent_mask(_mask(one), components.vae_factor) for one in seen]
    masked = MaskedLatents(clean=clean, noise=drawn, mask=torch.cat(masks).to(drawn.device))
    return Start(latents=latents, masked=masked)


@dataclass(frozen=True, kw_only=True, slots=True)
class Draws:
    """The random draws for the pictures of a batch, from each picture's own generator."""

    components: Components
    batch: Sequence[Recipe]
    generators: Sequence[Generator]

    @property
    def size(self) -> tuple[int, int]:
        """The height and width of the latents."""
        return latent_size(*self.batch[0].size, self.components.vae_factor)

    def noise(self) -> Tensor:
        """The noise of each picture, with its variation seed mixed in, on the UNet's device."""
        channels = self.components.vae.config.latent_channels
        drawn = torch.split(noise(self.generators, channels, *self.size), 1)
        rows = [_varied(row, recipe) for row, recipe in zip(drawn, self.batch, strict=True)]
        return torch.cat(rows).to(self.components.device)

    def clean(self, seen: Sequence[EncodedInput]) -> Tensor:
        """The latents of the input pictures, on the UNet's device."""
        rows = []
        for one, generator in zip(seen, self.generators, strict=True):
            assert one.encoded is not None
            rows.append(scale(self.components.vae, one.encoded.draw(generator)))
        return torch.cat(rows).to(self.components.device)


def _varied(row: Tensor, recipe: Recipe) -> Tensor:
    if recipe.variation_seed is None or not recipe.variation_strength:
        return row
    return varied(row, recipe.variation_seed, recipe.variation_strength, recipe.rng)


def _noised(scheduler: Scheduler, clean: Tensor, drawn: Tensor, timesteps: Tensor) -> Tensor:
    """The latents, noised to the first of ``timesteps``."""
    noisy: Tensor = scheduler.add_noise(clean, drawn, timesteps[:1].repeat(len(clean)))
    return noisy


def _for_upscaler(draws: Draws, seen: Sequence[EncodedInput], scheduler: Scheduler) -> Start:
    """For an upscaler: noise, and the small pictures, whose own noise is drawn first."""
    pictures = [to_pixels(one.canvas.image) for one in seen]
    # Resolved Recipes have one.
    noise_levels = [one.noise_level for one in draws.batch if one.noise_level is not None]
    extra = low_res_channels(draws.components, pictures, noise_levels, draws.generators)
    return Start(latents=draws.noise() * scheduler.init_noise_sigma, extra_channels=extra)


def _within_masks(
    draws: Draws, seen: Sequence[EncodedInput], scheduler: Scheduler, timesteps: Tensor
) -> Start:
    """For inpainting: with an inpainting UNet, which sees the mask, or with any other.

    Each picture's latents are drawn first, then the noise, then the latents of the masked picture.
    If all steps are run, the start is pure noise.
    """
    paints = draws.components.paints
    from_noise = draws.batch[0].schedule[1] == 0
    # Contiguous as in diffusers, otherwise convolutions round in another order.
    clean = None if from_noise and paints else draws.clean(seen).contiguous()
    drawn = draws.noise()
    latents = drawn * scheduler.init_noise_sigma
    if not from_noise:
        assert clean is not None
        latents = _noised(scheduler, clean, drawn, timesteps)
    masks = [latent_mask(_mask(one), draws.components.vae_factor) for one in seen]
    if paints:
        rests = [one.blanked for one in seen if one.blanked is not None]
        extra = mask_channels(draws.components, masks, rests, draws.generators)
        return Start(latents=latents, extra_channels=extra)
    if draws.batch[0].rng is None:
        draws.noise()  # diffusers draws here too, for any UNet; A1111 does not
    assert clean is not None
    masked = MaskedLatents(clean=clean, noise=drawn, mask=torch.cat(masks).to(drawn.device))
    return Start(latents=latents, masked=masked)


def _mask(seen: EncodedInput) -> Image:
    assert seen.canvas.mask is not None
    return seen.canvas.mask

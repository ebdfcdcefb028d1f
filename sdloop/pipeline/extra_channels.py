"""Extra UNet inputs: mask and masked picture for inpainting, small picture for upscalers."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from diffusers.schedulers.scheduling_ddpm import DDPMScheduler
from torch import Generator, Tensor

from sdloop.latents.noise import noise
from sdloop.latents.vae import Encoded, scale
from sdloop.models.components.load import Components
from sdloop.schedulers.library_messages import no_library_messages


@dataclass(frozen=True, kw_only=True, slots=True)
class ExtraChannels:
    """The extra input channels of a UNet, besides the latents: see ``Conditioning``."""

    channels: Tensor
    class_labels: Tensor | None = None


def mask_channels(
    components: Components,
    masks: Sequence[Tensor],
    rests: Sequence[Encoded],
    generators: Sequence[Generator],
) -> ExtraChannels:
    """The extra input of an inpainting UNet: the mask, and the latents of the masked picture.

    ``masks`` come from ``mask.latent_mask``, and ``rests`` are the encoded masked pictures. Grey
    masks are rounded to black and white, because the UNet was trained with those only.
    """
    rows = []
    for mask, rest, generator in zip(masks, rests, generators, strict=True):
        latents = scale(components.vae, rest.draw(generator))
        rows.append(torch.cat([(mask >= 0.5).float().to(latents.device), latents], dim=1))
    return ExtraChannels(channels=torch.cat(rows).to(components.device))


def low_res_channels(
    components: Components,
    pictures: Sequence[Tensor],
    noise_levels: Sequence[int],
    generators: Sequence[Generator],
) -> ExtraChannels:
    """The extra input of an upscaler: the small picture with noise, and the noise level.

    ``pictures`` are (1, 3, height, width), -1 to 1, with one pixel per latent; ``noise_levels`` are
    timesteps of the upscaler's low_res_scheduler. Noise hides the picture's defects: with more
    noise, the upscaler invents more.

    Source: Ho et al. 2021 (arXiv:2106.15282), section 4.2.
    """
    assert components.low_res_scheduler_config is not None  # every upscaler has one
    with no_library_messages():
        scheduler = DDPMScheduler.from_config(dict(components.low_res_scheduler_config))
    clean, timesteps = torch.cat(list(pictures)), torch.tensor(list(noise_levels))
    noisy = scheduler.add_noise(clean, noise(generators, *clean.shape[1:]), timesteps)
    place = components.device
    return ExtraChannels(channels=noisy.to(place), class_labels=timesteps.to(place))

"""What some UNets take besides the latents: a mask and what it leaves, or a small picture."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from diffusers.schedulers.scheduling_ddpm import DDPMScheduler
from torch import Generator, Tensor

from sdloop.latents.noise import noise
from sdloop.latents.vae import Encoded, scale
from sdloop.models.components.load import Components
from sdloop.schedulers.quiet import quiet


@dataclass(frozen=True, kw_only=True, slots=True)
class ExtraChannels:
    """The input of a UNet that has more channels than the latents: see ``Conditioning``."""

    channels: Tensor
    class_labels: Tensor | None = None


def mask_channels(
    components: Components,
    masks: Sequence[Tensor],
    rests: Sequence[Encoded],
    generators: Sequence[Generator],
) -> ExtraChannels:
    """The input of an inpainting UNet: where it paints, and the latents of what is not painted.

    ``masks`` are those of ``mask.latent_mask``, and ``rests`` the pictures without what they cover.
    Of a mask in grey it sees only black and white: it was trained with nothing else.
    """
    rows = []
    for mask, rest, generator in zip(masks, rests, generators, strict=True):
        latents = scale(components.vae, rest.draw(generator))
        rows.append(torch.cat([(mask >= 0.5).float().to(latents.device), latents], dim=1))
    return ExtraChannels(channels=torch.cat(rows))


def low_res_channels(
    components: Components,
    pictures: Sequence[Tensor],
    noise_levels: Sequence[int],
    generators: Sequence[Generator],
) -> ExtraChannels:
    """The input of an upscaler: the picture that it enlarges, under noise, and how much that is.

    ``pictures`` are (1, 3, height, width), -1 to 1, as many pixels as there are latents;
    ``noise_levels`` are timesteps of the schedule that the upscaler was trained with. The noise
    hides what is wrong with a picture: with more of it, the upscaler invents more.

    Source: Ho et al. 2021 (arXiv:2106.15282), section 4.2.
    """
    assert components.low_res_scheduler_config is not None  # or it were no upscaler
    with quiet():
        scheduler = DDPMScheduler.from_config(dict(components.low_res_scheduler_config))
    clean, timesteps = torch.cat(list(pictures)), torch.tensor(list(noise_levels))
    noisy = scheduler.add_noise(clean, noise(generators, *clean.shape[1:]), timesteps)
    place = components.device
    return ExtraChannels(channels=noisy.to(place), class_labels=timesteps.to(place))

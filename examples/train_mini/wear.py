"""Pictures as a model makes them: drawn ones, worn a little.

The small CLIP sees drawn scenes and judges generated ones. Those have been through the VAE's
decoder, and are softer and less even; so a part of each batch goes through the VAE and back, and
half of it is blurred or grainy.
"""

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL
from torch import Tensor

THROUGH_VAE = 16
"""One picture of so many goes through the VAE."""

WORN = 0.5
"""The share of pictures that are blurred, and of those that have grain."""

GRAIN = 0.12
"""The strongest grain's standard deviation, of pixels in -1..1."""


def blurred(pictures: Tensor) -> Tensor:
    """Each pixel with its neighbours, weighted 1 2 1 both ways."""
    row = torch.tensor([1.0, 2.0, 1.0], device=pictures.device) / 4
    kernel = torch.outer(row, row).expand(pictures.shape[1], 1, 3, 3)
    padded = F.pad(pictures, (1, 1, 1, 1), mode="replicate")
    return F.conv2d(padded, kernel, groups=pictures.shape[1])


def amounts(pictures: Tensor, generator: torch.Generator) -> Tensor:
    """How much to do to each: nothing to half of them, 0 to 1 to the others."""
    drawn = torch.rand(2, len(pictures), 1, 1, 1, generator=generator, device=generator.device)
    return torch.where(drawn[0] < WORN, drawn[1], 0)


@torch.no_grad()
def wear(pictures: Tensor, vae: AutoencoderKL, generator: torch.Generator) -> Tensor:
    """Pictures in -1..1, of which some went through the VAE, are blurred or have grain.

    Places are random, so the first of a batch are as good as any.
    """
    some = -(-len(pictures) // THROUGH_VAE)
    with torch.autocast(pictures.device.type, torch.bfloat16):
        made = vae.decode(vae.encode(pictures[:some]).latent_dist.mean).sample
    pictures = torch.cat([made.float().clamp(-1, 1), pictures[some:]])
    pictures = pictures.lerp(blurred(pictures), amounts(pictures, generator))
    grain = torch.randn(pictures.shape, generator=generator, device=generator.device)
    return pictures + GRAIN * amounts(pictures, generator) * grain

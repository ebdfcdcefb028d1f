"""Begin a VAE of twice the side with one that is trained, and keep its latents.

A latent of the larger VAE stands for the same part of the scene, twice as many pixels wide. So all
levels but the outer one can be copied, and a UNet that was trained on the smaller one's latents is
a good beginning for those of the larger, if they stay near: ``Likeness`` pulls them there.
"""

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL
from torch import Tensor, nn


def inner_name(name: str) -> str:
    """What a weight of the smaller VAE is called in the larger, whose encoder has one more level
    in front (the decoder's is behind).

    >>> inner_name("encoder.down_blocks.0.resnets.0.conv1.weight")
    'encoder.down_blocks.1.resnets.0.conv1.weight'
    >>> inner_name("decoder.up_blocks.0.resnets.0.conv1.weight")
    'decoder.up_blocks.0.resnets.0.conv1.weight'
    """
    first, second, *rest = name.split(".", 2)
    if (first, second) != ("encoder", "down_blocks"):
        return name
    level, tail = rest[0].split(".", 1)
    return f"encoder.down_blocks.{int(level) + 1}.{tail}"


OUTER = ("encoder.conv_in.", "decoder.conv_out.", "decoder.conv_norm_out.")
"""What touches pixels, and means another size of them in the larger VAE."""


@torch.no_grad()
def copy_inner_levels(large: AutoencoderKL, small: AutoencoderKL) -> int:
    """Copy what fits from the smaller VAE, in place, and let the new outer level do nothing at
    first but what its shortcuts do; returns how many tensors were copied."""
    own, copied = large.state_dict(), 0
    for name, value in small.state_dict().items():
        target = own.get(inner_name(name))
        if target is not None and target.shape == value.shape and not name.startswith(OUTER):
            target.copy_(value)
            copied += 1
    for block in (large.encoder.down_blocks[0], large.decoder.up_blocks[-1]):
        for resnet in block.resnets:
            nn.init.zeros_(resnet.conv2.weight)
            nn.init.zeros_(resnet.conv2.bias)
    upsampler = large.decoder.up_blocks[-2].upsamplers[0].conv
    nn.init.dirac_(upsampler.weight)
    nn.init.zeros_(upsampler.bias)
    return copied


class Likeness:
    """How far latents are from those that the smaller VAE has of the same pictures at half the
    size, as a mean square in units of the latents' own deviation."""

    def __init__(self, small: AutoencoderKL) -> None:
        self.small = small.requires_grad_(False).eval()

    def __call__(self, pictures: Tensor, latents: Tensor) -> Tensor:
        """Of ``pictures`` (batch, 3, height, width) and their ``latents``, a scalar."""
        with torch.no_grad():
            halved = F.avg_pool2d(pictures, 2)
            wanted = self.small.encode(halved).latent_dist.mean
        return F.mse_loss(latents.float(), wanted.float()) * self.small.config.scaling_factor**2

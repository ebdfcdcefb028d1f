"""ControlNets with random weights, for the tiny models."""

from pathlib import Path
from typing import Any

import torch
from diffusers import ControlNetModel

from sdloop.models.components.load import Components


def tiny_control(components: Components, seed: int = 0, **options: Any) -> Any:
    """A ControlNet for the UNet of ``components``; its zero convolutions are not zero."""
    torch.manual_seed(seed)
    channels = (8, 16, 24, 32)[: len(components.vae.config.block_out_channels)]
    net = ControlNetModel.from_unet(
        components.unet, conditioning_embedding_out_channels=channels, load_weights_from_unet=False
    )
    for layer in (*net.controlnet_down_blocks, net.controlnet_mid_block):
        torch.nn.init.normal_(layer.weight, std=0.2)
        torch.nn.init.normal_(layer.bias, std=0.2)
    torch.nn.init.normal_(net.controlnet_cond_embedding.conv_out.weight, std=0.5)
    net.register_to_config(in_channels=4, **options)
    return net.eval()


def save_control(components: Components, folder: Path, seed: int = 0, **options: Any) -> Path:
    """The same, in diffusers' folder."""
    tiny_control(components, seed, **options).save_pretrained(folder)
    return folder

"""ControlNets and T2I-Adapters with random weights, for the tiny models."""

from pathlib import Path
from typing import Any

import torch
from diffusers import ControlNetModel, T2IAdapter

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


def save_adapter(components: Components, folder: Path, seed: int = 0, **options: Any) -> Path:
    """A T2I-Adapter for the UNet of ``components``, in diffusers' folder."""
    torch.manual_seed(seed)
    channels, factor = list(components.unet.config.block_out_channels), components.vae_factor
    kind = {"channels": channels, "downscale_factor": factor}
    if components.takes_sizes:
        kind = {"channels": [*channels, channels[-1]], "downscale_factor": 2 * factor,
                "adapter_type": "full_adapter_xl"}  # fmt: skip
    T2IAdapter(num_res_blocks=1, **{**kind, **options}).save_pretrained(folder)
    return folder

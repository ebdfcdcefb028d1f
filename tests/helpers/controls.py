"""ControlNets and T2I-Adapters with random weights, for the tiny models."""

import inspect
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from diffusers import (
    ControlNetModel,
    ControlNetUnionModel,
    T2IAdapter,
    UNet2DConditionModel,
)

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


def tiny_union(components: Components, seed: int = 0, **options: Any) -> Any:
    """A ControlNet-Union for the UNet of ``components``, without a layer of zeros."""
    torch.manual_seed(seed)
    channels = (8, 16, 24, 32)[: len(components.vae.config.block_out_channels)]
    plain = ControlNetModel.from_unet(
        components.unet, conditioning_embedding_out_channels=channels, load_weights_from_unet=False
    )
    known = inspect.signature(ControlNetUnionModel.__init__).parameters
    shared = {name: value for name, value in plain.config.items() if name in known}
    width = components.unet.config.block_out_channels[0]
    kinds = {"num_control_type": 6, "num_trans_channel": width, "num_proj_channel": width}
    net = ControlNetUnionModel(**(shared | {"in_channels": 4} | kinds | options))
    for layer in (*net.controlnet_down_blocks, net.controlnet_mid_block, net.spatial_ch_projs):
        torch.nn.init.normal_(layer.weight, std=0.2)
        torch.nn.init.normal_(layer.bias, std=0.2)
    torch.nn.init.normal_(net.controlnet_cond_embedding.conv_out.weight, std=0.5)
    return net.eval()


def save_union(components: Components, folder: Path, seed: int = 0, **options: Any) -> Path:
    """The same, in diffusers' folder."""
    tiny_union(components, seed, **options).save_pretrained(folder)
    return folder


def tiny_adapter(components: Components, seed: int = 0, **options: Any) -> Any:
    """A T2I-Adapter for the UNet of ``components``, of the kind that its first block takes."""
    torch.manual_seed(seed)
    config, factor = components.unet.config, components.vae_factor
    channels = list(config.block_out_channels)
    kind = {"channels": channels, "downscale_factor": factor}
    if config.down_block_types[0] == "DownBlock2D":
        middle = channels[-1:] if len(channels) > 2 else []
        kind = {"channels": channels + middle, "downscale_factor": 2 * factor,
                "adapter_type": "full_adapter_xl"}  # fmt: skip
    return T2IAdapter(**{"num_res_blocks": 1, **kind, **options}).eval()


def save_adapter(components: Components, folder: Path, seed: int = 0, **options: Any) -> Path:
    """The same, in diffusers' folder."""
    tiny_adapter(components, seed, **options).save_pretrained(folder)
    return folder


def with_blocks(components: Components, *blocks: str) -> Components:
    """The same with a UNet of these blocks, a block more than the tiny ones have."""
    attention = [4] * len(blocks)
    ups = [block.replace("Down", "Up") for block in reversed(blocks)]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        unet = UNet2DConditionModel.from_config(
            components.unet.config, down_block_types=blocks, up_block_types=ups,
            block_out_channels=(32, *(64,) * (len(blocks) - 1)), attention_head_dim=attention,
            transformer_layers_per_block=1,
        )  # fmt: skip
    return replace(components, unet=unet.eval())

"""Forward passes with inputs of zeros, to measure them: on a device, or on the meta device."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from sdloop.models.components.offload import works_on

if TYPE_CHECKING:
    from sdloop.models.components.load import Components
    from sdloop.models.components.weights import Module


def run_step(components: Components, rows: int, height: int, width: int) -> tuple[Tensor, Tensor]:
    """What runs in a step, for this many latents: ControlNets, and the UNet with what they see.

    What T2I-Adapters and image encoders see once for a picture is there too, as in each step.
    Returns the latents and the UNet's prediction, which has a gradient where gradients are enabled.
    """
    unet, pixels = components.unet, (height * components.vae_factor, width * components.vae_factor)
    like: dict[str, Any] = {"device": works_on(unet), "dtype": components.dtype}
    inputs = unet_inputs(unet, rows)
    more: dict[str, Any] = {}
    if components.image_adapters:
        more |= _shown(components, inputs, rows, pixels)
    if components.t2i_adapters:
        more["down_intrablock_additional_residuals"] = _features(components, rows, pixels)
    if components.controlnets:
        channels = components.vae.config.latent_channels
        latents = torch.zeros(rows, channels, height, width, **like)
        down, mid = _residuals(components, latents, inputs, pixels)
        more["down_block_additional_residuals"] = down
        more["mid_block_additional_residual"] = mid
    shown = torch.zeros(rows, unet.config.in_channels, height, width, **like)
    shown.requires_grad_(torch.is_grad_enabled())
    return shown, _run(unet, shown, inputs | more)


def run_unet(unet: Module, rows: int, height: int, width: int) -> None:
    """One forward pass of the UNet alone, where it works."""
    like: dict[str, Any] = {"device": works_on(unet), "dtype": unet.dtype}
    latents = torch.zeros(rows, unet.config.in_channels, height, width, **like)
    _run(unet, latents, unet_inputs(unet, rows))


def _run(unet: Module, latents: Tensor, inputs: dict[str, Any]) -> Tensor:
    t = torch.zeros((), device=latents.device)
    prediction: Tensor = unet(latents, t, return_dict=False, **inputs)[0]
    return prediction


def unet_inputs(unet: Module, rows: int) -> dict[str, Any]:
    """What a UNet is given beside latents and timestep, as its config asks for."""
    config, place = unet.config, works_on(unet)
    like: dict[str, Any] = {"device": place, "dtype": unet.dtype}
    text = torch.zeros(rows, 77, config.cross_attention_dim, **like)
    inputs: dict[str, Any] = {"encoder_hidden_states": text}
    if config.addition_embed_type == "text_time":
        ids = 6 * config.addition_time_embed_dim
        pooled = config.projection_class_embeddings_input_dim - ids
        inputs["added_cond_kwargs"] = {
            "text_embeds": torch.zeros(rows, pooled, **like),
            "time_ids": torch.zeros(rows, 6, **like),
        }
    if config.num_class_embeds is not None:
        inputs["class_labels"] = torch.zeros(rows, dtype=torch.long, device=place)
    if config.time_cond_proj_dim is not None:
        inputs["timestep_cond"] = torch.zeros(rows, config.time_cond_proj_dim, **like)
    return inputs


def run_image_encoder(adapter: Any) -> Tensor:
    """The tokens of a picture, (1, tokens, width), as an IP-Adapter's encoder sees it."""
    side = adapter.view.side
    pixels = torch.zeros(1, 3, side, side, device=adapter.device, dtype=adapter.dtype)
    seen: Tensor = adapter.tokens_of(pixels, guided=True)[0]
    return seen[0]


def _shown(
    components: Components, inputs: dict[str, Any], rows: int, pixels: tuple[int, int]
) -> dict[str, Any]:
    """The inputs for IP-Adapters: the tokens of all pictures, and the masks of those with one."""
    (sees, *_) = (one for one in components.unet.attn_processors.values() if hasattr(one, "placed"))
    (tokens, *_) = [run_image_encoder(one) for one in components.image_adapters]
    embeds = tokens[:, :1].repeat(rows, sum(sees.tokens), 1)
    added = inputs.get("added_cond_kwargs", {})
    shown = {"added_cond_kwargs": {**added, "image_embeds": embeds}}
    if not any(sees.placed):
        return shown
    masks = torch.zeros(rows, sum(sees.placed), *pixels, device=tokens.device)
    return shown | {"cross_attention_kwargs": {"ip_adapter_masks": masks}}


def _features(components: Components, rows: int, pixels: tuple[int, int]) -> list[Tensor]:
    """What T2I-Adapters see, which the UNet takes out of the list."""
    found = []
    for adapter in (one.net for one in components.t2i_adapters):
        shape = 1, adapter.config.in_channels, *pixels
        picture = torch.zeros(shape, device=works_on(adapter), dtype=components.dtype)
        found.append([level.repeat(rows, 1, 1, 1) for level in adapter(picture)])
    return [sum(levels[1:], start=levels[0]) for levels in zip(*found, strict=True)]


def _residuals(
    components: Components, latents: Tensor, inputs: dict[str, Any], pixels: tuple[int, int]
) -> tuple[list[Tensor], Tensor]:
    """The sums of what the ControlNets give to the UNet's blocks."""
    names = ("encoder_hidden_states", "added_cond_kwargs")
    seen = {name: inputs[name] for name in names if name in inputs}
    sums: list[Tensor] = []
    for one in components.controlnets:
        shape = len(latents), one.net.config.conditioning_channels, *pixels
        like: dict[str, Any] = {"device": latents.device, "dtype": latents.dtype}
        picture: Any = torch.zeros(shape, **like)
        more: dict[str, Any] = {"controlnet_cond": picture, "conditioning_scale": one.scale}
        if one.modes:
            more = {
                "controlnet_cond": [picture],
                "conditioning_scale": [one.scale],
                "control_type": torch.zeros(len(latents), one.modes, **like),
                "control_type_idx": [one.mode or 0],
            }
        times = torch.zeros((), device=latents.device)
        down, mid = one.net(latents, times, **seen, **more, return_dict=False)
        given = [*down, mid]
        sums = [a + b for a, b in zip(sums, given, strict=True)] if sums else given
    return sums[:-1], sums[-1]


def decode(vae: Module, height: int, width: int) -> None:
    """Decode one picture of this many latents, where the VAE works."""
    like: dict[str, Any] = {"device": works_on(vae), "dtype": vae.dtype}
    vae.decode(torch.zeros(1, vae.config.latent_channels, height, width, **like))


def check(checker: Module) -> None:
    """Let the networks of a safety checker see a picture."""
    side = checker.config.vision_config.image_size
    pixels = torch.zeros(1, 3, side, side, device=works_on(checker), dtype=checker.dtype)
    checker.visual_projection(checker.vision_model(pixels)[1])

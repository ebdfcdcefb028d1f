"""The memory that gradients of losses need: see ``needs_for``."""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from sdloop.guidance.losses.checkpointing import checkpointed
from sdloop.guidance.losses.loss_guidance import LossGuidance, led_back
from sdloop.models.components.counted import counted_bytes, fused_within
from sdloop.models.components.forward import run_step
from sdloop.models.components.load import Components
from sdloop.models.components.predict import Phase, bytes_of
from sdloop.models.components.weights import Module
from sdloop.rules import Size


def steering_phase(
    components: Components, step: Phase, *, exact: bool, rows: int, size: Size, decoded: Size
) -> Phase:
    """The ``step`` with the gradient of a loss: through the VAE and, if ``exact``, the UNet.

    ``size`` is what the UNet sees, in pixels, and ``decoded`` what the VAE decodes in one piece.
    While weights come layer by layer, those of a block are there together for its gradient. The
    loss itself is not counted, and neither is the CLIP of the loss ``clip``.
    """
    unet, vae, factor = components.unet, components.vae, components.vae_factor
    nets = [unet, *(one.net for one in components.controlnets)]
    guidance = LossGuidance(vae=vae, losses=[_mean], every=1, exact=exact)
    shape = 1, vae.config.latent_channels, decoded[1] // factor, decoded[0] // factor

    def on_latents() -> Tensor:
        return guidance.gradient(torch.zeros(shape, device="meta"), _mean)

    def through_unet() -> None:
        with torch.enable_grad(), ExitStack() as stack:
            for net in nets:
                stack.enter_context(checkpointed(net))
            latents, prediction = run_step(components, rows, size[1] // factor, size[0] // factor)
            found = on_latents()
            led_back(prediction, latents, torch.zeros_like(prediction))
            del found

    run: Callable[[], Any] = through_unet if exact else on_latents
    with fused_within(vae, *nets):
        counted = counted_bytes(run)
    return replace(
        step,
        activations=max(step.activations, counted),
        largest=_largest_block(unet) if exact else step.largest,
        held=_largest_block(vae.decoder),
    )


def _mean(picture: Tensor) -> Tensor:
    return picture.mean(dim=(1, 2, 3))


def _largest_block(module: Module) -> int:
    """The bytes of its largest block whose activations are computed anew for gradients."""
    blocks = [module.mid_block, *module.up_blocks, *getattr(module, "down_blocks", ())]
    return max(bytes_of([block]) for block in blocks if block is not None)

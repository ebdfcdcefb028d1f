"""The loaded parts of a model, ready for the loop."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from transformers import CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer


@dataclass(frozen=True, kw_only=True, slots=True)
class Components:
    """A model's parts under the names of its ``model_index.json``, on one device.

    Schedulers count their own steps, so here is only the config that a fresh one is built from.
    ``tokenizer_2``, ``text_encoder_2`` and ``force_zeros_for_empty_prompt`` are SDXL's.
    """

    tokenizer: CLIPTokenizer
    text_encoder: CLIPTextModel
    unet: UNet2DConditionModel
    vae: AutoencoderKL
    scheduler_config: Mapping[str, Any]
    tokenizer_2: CLIPTokenizer | None = None
    text_encoder_2: CLIPTextModelWithProjection | None = None
    force_zeros_for_empty_prompt: bool = False

    @property
    def device(self) -> torch.device:
        return self.unet.device

    @property
    def dtype(self) -> torch.dtype:
        """The UNet's; the VAE's may be wider, see ``vae.dtype``."""
        return self.unet.dtype

    @property
    def vae_factor(self) -> int:
        """Pixels per latent, along each side: every block of the VAE but the last halves it."""
        return 2 ** (len(self.vae.config.block_out_channels) - 1)

    @property
    def size_multiple(self) -> int:
        return self.vae_factor

    @property
    def native_size(self) -> tuple[int, int]:
        """Width and height in pixels that the model was trained at."""
        size = self.unet.config.sample_size
        height, width = size if isinstance(size, list | tuple) else (size, size)
        return width * self.vae_factor, height * self.vae_factor

    @property
    def takes_sizes(self) -> bool:
        """Whether the UNet is told sizes and crop (SDXL)."""
        return self.unet.config.addition_embed_type == "text_time"

    @property
    def max_tokens(self) -> int:
        """The text encoder's window, start and end token included: 77."""
        return int(self.text_encoder.config.max_position_embeddings)

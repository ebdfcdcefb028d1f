"""Latents as a UNet leaves them, so that the decoder learns to draw what it is really given.

A sampled latent has details of the right strength that do not quite fit each other. A decoder that
has seen encoded pictures alone takes such for a blur: its lines had 0.84 of the energy of drawn
ones from encoded latents, and 0.63 from sampled ones. So some latents get a little noise, and the
UNet's guess of what is under it goes to the decoder, beside the picture as it was drawn.
"""

from pathlib import Path

import torch
from diffusers import UNet2DConditionModel
from models import make_noise_schedule
from torch import Tensor, nn
from transformers import CLIPTextModel

BELOW = 350
"""The noise of a guess is drawn from the timesteps below, oftenest just below. At 200 a guess gives
lines as weak as a sampled latent does; from 400 on the guess is of another picture."""


class Guesses(nn.Module):
    """The frozen UNet and text encoder of an exported model."""

    def __init__(self, model: Path, scaling_factor: float) -> None:
        super().__init__()
        self.unet = UNet2DConditionModel.from_pretrained(
            model / "unet", use_safetensors=True, torch_dtype=torch.float32
        )
        self.text_encoder = CLIPTextModel.from_pretrained(
            model / "text_encoder", dtype=torch.float32
        )
        self.requires_grad_(False)
        self.schedule = make_noise_schedule()
        self.scaling_factor = scaling_factor

    @torch.no_grad()
    def forward(self, latents: Tensor, input_ids: Tensor, noise: Tensor, places: Tensor) -> Tensor:
        """What is guessed of these latents (batch, channels, height, width) under ``noise``.

        ``noise`` is shaped like the latents, and the roots of ``places`` (batch,), in 0..1, say
        where below ``BELOW`` each timestep is.
        """
        timesteps = (BELOW * places.sqrt()).long()
        noisy = self.schedule.add_noise(latents * self.scaling_factor, noise, timesteps)
        words = self.text_encoder(input_ids).last_hidden_state
        predicted = self.unet(noisy, timesteps, words).sample.float()
        # Turning back from v is the same rotation as turning to it.
        return self.schedule.get_velocity(predicted, noisy, timesteps) / self.scaling_factor

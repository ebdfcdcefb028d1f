"""Steps of the loop as pictures: the noisy latents and the predicted clean latents."""

from dataclasses import dataclass
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from sdloop.latents.vae import decode, decode_images, to_images
from sdloop.loop import Step


@dataclass(frozen=True, kw_only=True, slots=True)
class StepImages:
    """One step of one picture; ``label`` names its number, timestep and sigma."""

    label: str
    latents: Image.Image
    denoised: Image.Image


def step_images(vae: Any, step: Step, *, row: int = 0) -> StepImages:
    """Decode a step's noisy latents and its predicted clean latents, for one picture of the batch.

    With some schedulers, noisy latents have a standard deviation of up to 15, far more than the
    VAE was trained for. They are scaled down to a deviation of 1 before they are decoded.
    """
    noisy, clean = step.latents[row : row + 1], step.denoised[row : row + 1]
    pictures = decode_images(vae, torch.cat([noisy / noisy.std().clamp(min=1), clean]))
    label = f"step {step.index}, t {step.timestep:.0f}\nsigma {step.sigma:.3g}"
    return StepImages(label=label, latents=pictures[0], denoised=pictures[1])


@dataclass(frozen=True, kw_only=True, slots=True)
class LatentColours:
    """A linear map from the channels of each latent pixel to a colour, without the VAE.

    ``weights`` are (channels + 1, 3); the last row is the bias. The map is very fast and shows
    the composition. It is fitted to the model's own decoder, so it works for any model.
    """

    weights: Tensor

    @classmethod
    def fit(cls, vae: Any, latents: Tensor) -> "LatentColours":
        """The least-squares map for latents (batch, channels, height, width) like these."""
        pixels = decode(vae, latents)
        small = torch.nn.functional.interpolate(pixels, latents.shape[-2:], mode="area")
        weights = torch.linalg.lstsq(_rows(latents), small.permute(0, 2, 3, 1).reshape(-1, 3))
        return cls(weights=weights.solution)

    def image(self, latents: Tensor) -> Image.Image:
        """One picture's latents, (channels, height, width), at their own size."""
        height, width = latents.shape[-2:]
        colours = (_rows(latents[None]) @ self.weights).reshape(1, height, width, 3)
        return to_images(colours.permute(0, 3, 1, 2))[0]


def _rows(latents: Tensor) -> Tensor:
    """One row for each pixel, with a 1 added at the end for the bias."""
    rows = latents.float().cpu().permute(0, 2, 3, 1).reshape(-1, latents.shape[1])
    return torch.cat([rows, torch.ones(len(rows), 1)], dim=1)

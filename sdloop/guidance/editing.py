"""The guidance of InstructPix2Pix: by the prompt, and by the picture that it edits."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from sdloop.guidance.guiders import Noisy
from sdloop.guidance.stand_in import StandIn, predicted


@dataclass(kw_only=True, slots=True)
class Editing(StandIn):
    """A UNet of eight channels, and its guide; the loop calls it like a UNet of four.

    ``picture`` (pictures, 4, height, width) are the latents of the pictures to edit, not scaled.
    The loop's two rows become three: prompt and picture, the picture alone, and nothing. The third
    prediction is kept for ``guide``, so each run of the loop needs its own object.

    Source: Brooks et al. 2022 (arXiv:2211.09800), equation 3.
    """

    unet: Any
    picture: Tensor
    image_guidance_scale: float
    _nothing: Tensor | None = field(default=None, init=False)

    def predict(self, sample: Tensor, timestep: Tensor, **inputs: Any) -> Tensor:
        """The predictions for the picture alone and for the prompt, or only the latter."""
        count, picture = len(self.picture), self.picture.to(sample.dtype)
        if len(sample) == count:
            return predicted(self.unet, torch.cat([sample, picture], dim=1), timestep, **inputs)
        pictures = torch.cat([picture, picture, torch.zeros_like(picture)])
        threefold = torch.cat([torch.cat([sample[:count]] * 3), pictures], dim=1)
        three = predicted(self.unet, threefold, timestep, **_threefold(inputs))
        of_prompt, of_picture, self._nothing = three.chunk(3)
        return torch.cat([of_picture, of_prompt])

    def guide(self, noise_uncond: Tensor, noise_text: Tensor, scale: float, at: Noisy) -> Tensor:
        """Guide by both; ``noise_uncond`` is the prediction for the picture alone."""
        assert self._nothing is not None
        nothing = self._nothing.to(noise_text.dtype)
        by_prompt = scale * (noise_text - noise_uncond)
        return nothing + by_prompt + self.image_guidance_scale * (noise_uncond - nothing)


def _threefold(inputs: Mapping[str, Any]) -> dict[str, Any]:
    """The UNet's arguments, negative rows first, for its three rows of each picture."""
    return {
        name: _threefold(value) if isinstance(value, Mapping) else _three_rows(value)
        for name, value in inputs.items()
    }


def _three_rows(values: Tensor) -> Tensor:
    negative, positive = values.chunk(2)
    return torch.cat([positive, negative, negative])

"""Regions in the loop: how much each prompt counts at each place, and what it sees at first."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from PIL import Image
from torch import Tensor


@dataclass(frozen=True, kw_only=True, slots=True)
class Regions:
    """The regions of a batch of pictures.

    ``shares`` (prompts, batch, 1, height, width) are those of the main prompt and of each region's,
    see ``formulas.in_regions``. ``inside`` (regions, batch, 1, height, width) is true in a region.
    While sigma is above ``alone_above``, a region's prompt sees only what is inside; outside is the
    colour ``empty`` (1, channels, 1, 1), as latents, with the ``noise`` (batch, channels, height,
    width). So it draws its subject there, and not in the middle of the picture.

    Source: Bar-Tal et al. 2023 (arXiv:2302.08113), section 4.2, "bootstrapping".
    """

    shares: Tensor
    inside: Tensor
    empty: Tensor
    noise: Tensor
    alone_above: float = math.inf

    def seen(self, unet_input: Tensor, sigma: float) -> Tensor:
        """``unet_input`` (rows, channels, height, width), whose last rows are those of regions."""
        if sigma <= self.alone_above:
            return unet_input
        count, channels = self.inside[:, :, 0, 0, 0].numel(), self.noise.shape[1]
        alpha = 1 / math.sqrt(1 + sigma**2)
        beta = 1.0 if math.isinf(sigma) else sigma * alpha
        empty = (alpha * self.empty + beta * self.noise).to(unet_input.dtype)
        empty = empty.repeat(len(self.inside), 1, 1, 1)
        rows = unet_input[-count:]
        latents = rows[:, :channels].where(self.inside.flatten(0, 1), empty)
        rows = torch.cat([latents, rows[:, channels:]], dim=1)
        return torch.cat([unet_input[:-count], rows])

    def alone(self) -> "Regions":
        """The same without the main prompt."""
        return replace(self, shares=self.shares[1:])


def region_shares(masks: Sequence[Image.Image], weights: Sequence[float], factor: int) -> Tensor:
    """The shares of the main prompt and of each region: (1 + regions, 1, 1, height, width).

    ``masks`` are grey pictures at the size of the output, 255 inside a region; a latent is as far
    inside as its ``factor`` x ``factor`` pixels are on average. Where regions' masks times their
    ``weights`` add up to more than 1, they are divided by their sum, and the main prompt gets what
    is left of 1. float32, on the CPU.

    >>> halves = [Image.new("L", (4, 4), 255), Image.new("L", (4, 4), 51)]
    >>> region_shares(halves, [0.5, 1.0], 4).flatten()
    tensor([0.3000, 0.5000, 0.2000])
    """
    levels = np.stack([np.asarray(mask, dtype=np.float32) / 255 for mask in masks])
    inside = torch.nn.functional.avg_pool2d(torch.from_numpy(levels)[:, None], factor)
    inside = inside * torch.tensor(weights).reshape(-1, 1, 1, 1)
    shares = inside / inside.sum(dim=0).clamp(min=1)
    rest = 1 - shares.sum(dim=0, keepdim=True)
    rest = rest.where(rest > 1e-6, 0.0)  # rounding must not count as a share of the main prompt
    return torch.cat([rest, shares])[:, None]


def prompt_weights(weights: Tensor | None, regions: Regions | None) -> Tensor | None:
    """The weight of each prompt at each place: those of prompts combined with AND, and regions'.

    ``weights`` are those of the main prompts, (prompts, batch, 1, 1, 1); None if there is one.
    """
    if regions is None:
        return weights
    main = regions.shares[:1] if weights is None else weights * regions.shares[:1]
    return torch.cat([main, regions.shares[1:]])

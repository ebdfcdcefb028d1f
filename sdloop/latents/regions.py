"""Masks of regions as shares: how much each prompt counts at each place of the latents."""

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image
from torch import Tensor


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


def prompt_weights(weights: Tensor | None, shares: Tensor | None) -> Tensor | None:
    """The weight of each prompt at each place: those of prompts combined with AND, and regions'.

    ``weights`` are those of the main prompts, (prompts, batch, 1, 1, 1), and ``shares`` those of
    ``region_shares``, both None if there are none.
    """
    if shares is None:
        return weights
    main = shares[:1] if weights is None else weights * shares[:1]
    return torch.cat([main, shares[1:]])

"""Where a picture looks at which word: cross-attention, averaged over steps, layers and heads.

Source: Tang et al. 2022, "What the DAAM" (arXiv:2210.04885).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

# From cold to hot, as in a thermal camera, which is read without a legend.
_HEAT = np.array(
    [(0, 0, 0), (60, 10, 110), (190, 45, 90), (250, 140, 30), (255, 255, 180)], dtype=float
)


@dataclass(kw_only=True)
class AttentionMaps:
    """What a UNet attends to while ``recorded``: the mean so far of all that it looked at.

    ``size`` is the (height, width) of its latents. Only the last half of a guided batch, the
    prompt's, is counted, and the rows of several pictures are averaged.
    """

    size: tuple[int, int]
    guided: bool
    _sum: Tensor | None = field(default=None, init=False)
    _count: int = field(default=0, init=False)

    def add(self, probabilities: Tensor, *, twinned: bool = True) -> None:
        """Count one layer's attention, (batch x heads, places, tokens).

        ``twinned`` is whether this turn is one with guidance, of which not all need to have any.
        """
        if self.guided and twinned:
            probabilities = probabilities[len(probabilities) // 2 :]
        mean = probabilities.float().mean(dim=0).T
        height, width = self._places(mean.shape[1])
        maps = mean.reshape(1, -1, height, width)
        large = torch.nn.functional.interpolate(maps, self.size, mode="bilinear")[0].cpu()
        self._sum = large if self._sum is None else self._sum + large
        self._count += 1

    def mean(self) -> Tensor:
        """The share of its attention that each place gives to each token: (tokens, height, width).

        Over the tokens it adds up to 1. Raises ``ValueError`` where nothing was recorded.
        """
        if self._sum is None:
            raise ValueError("no attention was recorded: the UNet has not run, or attends to none")
        return self._sum / self._count

    def _places(self, count: int) -> tuple[int, int]:
        """The height and width of a layer with so many places: each level of a UNet halves them."""
        height, width = self.size
        while height * width > count:
            height, width = -(-height // 2), -(-width // 2)
        if height * width != count:
            raise ValueError(f"{count} places are no level of latents of {self.size}")
        return height, width


@contextmanager
def recorded(unet: Any, *, size: tuple[int, int], guided: bool) -> Iterator[AttentionMaps]:
    """Record what ``unet`` attends to in the prompt while it runs inside; see ``AttentionMaps``.

    The attention is computed step by step and not fused, so last bits may differ.
    """
    maps = AttentionMaps(size=size, guided=guided)
    layers = [module for name, module in unet.named_modules() if name.endswith("attn2")]
    before = [layer.processor for layer in layers]
    for layer in layers:
        layer.set_processor(_Recorder(maps))
    try:
        yield maps
    finally:
        for layer, processor in zip(layers, before, strict=True):
            layer.set_processor(processor)


class _Recorder:
    """Attention written out, so that its probabilities can be seen."""

    def __init__(self, maps: AttentionMaps) -> None:
        self._maps = maps

    def __call__(
        self,
        attn: Any,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        **_: Any,
    ) -> Tensor:
        query = attn.head_to_batch_dim(attn.to_q(hidden_states))
        key = attn.head_to_batch_dim(attn.to_k(encoder_hidden_states))
        value = attn.head_to_batch_dim(attn.to_v(encoder_hidden_states))
        probabilities = attn.get_attention_scores(query, key, attention_mask)
        self._maps.add(probabilities, twinned=len(hidden_states) > 1)
        seen = attn.batch_to_head_dim(torch.bmm(probabilities, value))
        out: Tensor = attn.to_out[0](seen)
        return out


def heat(picture: Image.Image, attention: Tensor) -> Image.Image:
    """``picture``, darkened, under the heat of a word's ``attention`` (height, width).

    The hottest place is the brightest: maps of several words do not compare in strength.
    """
    low, high = attention.min(), attention.max()
    levels = ((attention - low) / (high - low).clamp(min=1e-12)).numpy()
    small = Image.fromarray((levels * 255).astype(np.uint8))
    warm = np.asarray(small.resize(picture.size, Image.Resampling.BICUBIC)) / 255
    knots = np.linspace(0, 1, len(_HEAT))
    colours = np.stack([np.interp(warm, knots, _HEAT[:, channel]) for channel in range(3)], axis=2)
    grey = np.asarray(picture.convert("L"), float)[..., None]
    share = 0.35 + 0.5 * warm[..., None]
    return Image.fromarray((grey * (1 - share) + colours * share).round().astype(np.uint8))

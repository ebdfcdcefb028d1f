"""Attention maps: cross-attention to each token, averaged over steps, layers and heads.

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

# From cold to hot, as in a thermal camera: this needs no legend.
_HEAT = np.array(
    [(0, 0, 0), (60, 10, 110), (190, 45, 90), (250, 140, 30), (255, 255, 180)], dtype=float
)


@dataclass(kw_only=True)
class AttentionMaps:
    """The cross-attention of a UNet while ``recorded``, averaged over all layers and steps so far.

    ``size`` is the (height, width) of the latents. With guidance, only the second half of the
    batch counts: the half with the prompt. Several pictures in a batch are averaged.
    """

    size: tuple[int, int]
    guided: bool
    _sum: Tensor | None = field(default=None, init=False)
    _count: int = field(default=0, init=False)

    def add(self, probabilities: Tensor, *, twinned: bool = True) -> None:
        """Add one layer's attention probabilities, (batch x heads, positions, tokens).

        ``twinned`` says whether this call of the UNet uses guidance: some steps may not.
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
        """How much attention each position pays to each token: (tokens, height, width).

        The sum over the tokens is 1. Raises ``ValueError`` if nothing was recorded.
        """
        if self._sum is None:
            raise ValueError(
                "no attention was recorded: the UNet did not run, or has no cross-attention"
            )
        return self._sum / self._count

    def _places(self, count: int) -> tuple[int, int]:
        """The height and width of a layer with ``count`` positions: each UNet level halves both."""
        height, width = self.size
        while height * width > count:
            height, width = -(-height // 2), -(-width // 2)
        if height * width != count:
            raise ValueError(
                f"{count} positions match no UNet level for latents of size {self.size}"
            )
        return height, width


@contextmanager
def recorded(unet: Any, *, size: tuple[int, int], guided: bool) -> Iterator[AttentionMaps]:
    """Record the cross-attention of ``unet`` inside the ``with`` block; see ``AttentionMaps``.

    Attention is then computed without a fused kernel, so the last bits may differ. A compiled UNet
    runs as it was before: compiled code records nothing.
    """
    maps = AttentionMaps(size=size, guided=guided)
    layers = [module for name, module in unet.named_modules() if name.endswith("attn2")]
    before = [layer.processor for layer in layers]
    for layer in layers:
        layer.set_processor(_Recorder(maps))
    try:
        with torch.compiler.set_stance("force_eager"):
            yield maps
    finally:
        for layer, processor in zip(layers, before, strict=True):
            layer.set_processor(processor)


class _Recorder:
    """An attention processor that computes the probabilities explicitly and records them."""

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
    """The ``attention`` to a word (height, width) as a heat map over a darkened ``picture``.

    Each map is scaled to its own maximum: do not compare the brightness of different words.
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

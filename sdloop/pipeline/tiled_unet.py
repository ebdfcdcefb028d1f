"""A UNet for pictures larger than it knows: it looks through overlapping windows, one at a time."""

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

Span = tuple[int, int]


@dataclass(frozen=True, kw_only=True, slots=True)
class Windows:
    """A UNet to the loop, which calls it as one; each call runs the real one on every window.

    ``side`` is how many latents a window has along each side, or as many as there are; windows
    share at least the ``overlap`` of a side. Of what several windows predict of one place the mean
    is taken, weighted towards the middle of each: the loop never learns of the borders. Memory
    does not grow with the picture, as the UNet's attention would with the square of its area. What
    lies in one window alone knows nothing of the others, so that the prompt is followed in each.

    Where one window holds all, the UNet's own prediction comes back, to the last bit.

    Source: Bar-Tal et al. 2023 (arXiv:2302.08113), eq. 5 for windows that overlap; weighted as in
    Jiménez 2023 (arXiv:2302.02412).
    """

    unet: Any
    side: int
    overlap: float = 0.25

    @property
    def dtype(self) -> torch.dtype:
        dtype: torch.dtype = self.unet.dtype
        return dtype

    def __call__(
        self, sample: Tensor, timestep: Tensor, *, return_dict: bool, **inputs: Any
    ) -> tuple[Tensor]:
        """What the UNet predicts of ``sample`` (batch, channels, height, width), in float32.

        All channels are seen through the windows, those beside the latents too; the other
        ``inputs`` are the same for all windows.
        """
        assert not return_dict, "the loop takes tuples"
        height, width = sample.shape[-2:]
        if max(height, width) <= self.side:
            prediction: tuple[Tensor] = self.unet(sample, timestep, **inputs, return_dict=False)
            return prediction
        total, weights = None, None
        for (top, bottom), (left, right) in windows(height, width, self.side, self.overlap):
            part = sample[..., top:bottom, left:right]
            seen = self.unet(part, timestep, **inputs, return_dict=False)[0].float()
            weight = bump(bottom - top, seen.device)[:, None] * bump(right - left, seen.device)
            if total is None or weights is None:
                total = seen.new_zeros(*seen.shape[:2], height, width)
                weights = seen.new_zeros(height, width)
            total[..., top:bottom, left:right] += seen * weight
            weights[top:bottom, left:right] += weight
        assert total is not None
        return (total / weights,)


def windows(height: int, width: int, side: int, overlap: float) -> Iterator[tuple[Span, Span]]:
    """The rows and columns, (first, last + 1), of each window; together they cover all."""
    yield from itertools.product(spans(height, side, overlap), spans(width, side, overlap))


def spans(length: int, side: int, overlap: float) -> list[Span]:
    """Where windows lie along one side: as few as overlap enough, and evenly.

    >>> spans(32, 16, 0.5), spans(10, 16, 0.5)
    ([(0, 16), (8, 24), (16, 32)], [(0, 10)])
    """
    side = min(side, length)
    stride = max(1, round(side * (1 - overlap)))
    gaps = math.ceil((length - side) / stride)
    starts = [round(index * (length - side) / gaps) for index in range(gaps + 1)] if gaps else [0]
    return [(start, start + side) for start in starts]


def bump(side: int, device: torch.device) -> Tensor:
    """How much each of ``side`` latents in a row weighs: most in the middle, nowhere nothing.

    >>> bump(4, torch.device("cpu"))
    tensor([0.1464, 0.8536, 0.8536, 0.1464])
    """
    return torch.hann_window(2 * side + 1, periodic=False, device=device)[1::2]

"""Run a UNet on overlapping windows of a picture that is larger than its trained size."""

import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from sdloop.guidance.stand_in import StandIn, predicted

Span = tuple[int, int]


@dataclass(frozen=True, kw_only=True, slots=True)
class Windows(StandIn):
    """A tiled UNet: each call runs the real one on every window.

    ``side`` is a window's size in latents along each side (at most the picture's); neighbouring
    windows overlap by at least the share ``overlap``. Where windows overlap, the mean of their
    predictions is used, weighted towards the middle of each, so that no borders are visible. Memory
    does not grow with the picture, while the UNet's attention would grow with the square of its
    area. Each window only sees itself, so the prompt is followed in each of them.

    If one window covers the whole picture, the result is the UNet's own prediction, bit for bit.

    Source: Bar-Tal et al. 2023 (arXiv:2302.08113), eq. 5 for windows that overlap; weighted as in
    Jiménez 2023 (arXiv:2302.02412).
    """

    unet: Any
    side: int
    overlap: float = 0.25

    def predict(self, sample: Tensor, timestep: Tensor, **inputs: Any) -> Tensor:
        """What the UNet predicts of ``sample`` (batch, channels, height, width), in float32.

        All channels are seen through the windows, those beside the latents too, and so are the
        pictures of ControlNets and the masks of an IP-Adapter; the other ``inputs`` are the same
        for all windows.
        """
        height, width = sample.shape[-2:]
        if max(height, width) <= self.side:
            return predicted(self.unet, sample, timestep, **inputs)
        total, weights = None, None
        for (top, bottom), (left, right) in windows(height, width, self.side, self.overlap):
            part = sample[..., top:bottom, left:right]
            here = _through((top, bottom), (left, right), width, inputs)
            seen = predicted(self.unet, part, timestep, **here).float()
            weight = bump(bottom - top, seen.device)[:, None] * bump(right - left, seen.device)
            if total is None or weights is None:
                total = seen.new_zeros(*seen.shape[:2], height, width)
                weights = seen.new_zeros(height, width)
            total[..., top:bottom, left:right] += seen * weight
            weights[top:bottom, left:right] += weight
        assert total is not None and weights is not None
        return total / weights


def _through(rows: Span, columns: Span, width: int, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """``inputs``, and of the pictures and masks among them what a window shows of them."""

    def part(pixels: Tensor) -> Tensor:
        factor = pixels.shape[-1] // width
        (top, bottom), (left, right) = (tuple(factor * n for n in span) for span in (rows, columns))
        return pixels[..., top:bottom, left:right]

    seen = {name: inputs[name] for name in ("controls", "cross_attention_kwargs") if name in inputs}
    parts = {
        name: {key: part(pixels) for key, pixels in pictures.items()}
        for name, pictures in seen.items()
    }
    return {**inputs, **parts}


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

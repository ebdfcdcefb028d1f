"""The pictures that ControlNets follow, and what T2I-Adapters see in theirs."""

import functools
import operator
from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, kw_only=True, slots=True)
class Share:
    """The shares of the UNet's calls, 0 to 1, between which something acts."""

    start: float = 0.0
    end: float = 1.0

    def acts(self, call: int, calls: int) -> bool:
        """Whether it acts in a call of the UNet, counted from 0; the same rule as diffusers'.

        >>> [Share(end=0.5).acts(call, 4) for call in range(4)]
        [True, True, False, False]
        """
        return call / calls >= self.start and (call + 1) / calls <= self.end


@dataclass(frozen=True, kw_only=True, slots=True)
class ControlImage(Share):
    """What one ControlNet follows: a picture for each picture of a batch.

    ``pixels`` are (batch, channels, height, width), 0 to 1, at the size of the pictures, in the
    UNet's dtype. In guess mode it acts only on the prompts' rows (``prompts_only``).
    """

    pixels: Tensor
    prompts_only: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Features(Share):
    """What a T2I-Adapter sees in its picture, times its scale, for each picture of a batch.

    ``levels`` are (batch, channels, height, width), one for each size of the UNet's first half.
    """

    levels: tuple[Tensor, ...]


def summed(features: Sequence[Features]) -> dict[str, Tensor]:
    """The sum of several, by level."""
    levels = [one.levels for one in features]
    return {
        str(place): functools.reduce(operator.add, several)
        for place, several in enumerate(zip(*levels, strict=True))
    }

"""The pictures that ControlNets follow."""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, kw_only=True, slots=True)
class ControlImage:
    """What one ControlNet follows: a picture for each picture of a batch.

    ``pixels`` are (batch, channels, height, width), 0 to 1, at the size of the pictures, in the
    UNet's dtype. It acts in the UNet's calls between the shares ``start`` and ``end``; in guess
    mode only on the prompts' rows (``prompts_only``).
    """

    pixels: Tensor
    start: float = 0.0
    end: float = 1.0
    prompts_only: bool = False

    def acts(self, call: int, calls: int) -> bool:
        """Whether it acts in a call of the UNet, counted from 0; the same rule as diffusers'.

        >>> image = ControlImage(pixels=Tensor(), end=0.5)
        >>> [image.acts(call, 4) for call in range(4)]
        [True, True, False, False]
        """
        return call / calls >= self.start and (call + 1) / calls <= self.end

"""Compare two pictures of the same size, pixel by pixel. No torch in here."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from PIL.Image import Image


@dataclass(frozen=True, kw_only=True, slots=True)
class Difference:
    """The difference between two 8-bit pictures.

    ``largest`` is the largest difference in any channel, in levels of 255; ``share`` is the share
    of pixels that differ; ``psnr`` is in decibels, and infinite if no pixel differs.
    """

    largest: int
    share: float
    psnr: float

    @property
    def equal(self) -> bool:
        return self.largest == 0

    def __str__(self) -> str:
        if self.equal:
            return "equal"
        levels = "1 level" if self.largest == 1 else f"{self.largest} levels"
        percent = f"{100 * self.share:.3g}"
        return f"{percent} % of the pixels differ, by {levels} at most, PSNR {self.psnr:.1f} dB"

    def to_dict(self) -> dict[str, Any]:
        """For JSON, which cannot express infinity."""
        psnr = None if self.equal else round(self.psnr, 2)
        return {"equal": self.equal, "largest": self.largest, "share": self.share, "psnr": psnr}


def difference(one: "Image", other: "Image") -> Difference:
    """The difference between two pictures of the same size and mode.

    >>> from PIL import Image
    >>> black, grey = (Image.new("RGB", (2, 1), level) for level in ("#000000", "#030000"))
    >>> str(difference(black, grey))
    '100 % of the pixels differ, by 3 levels at most, PSNR 43.4 dB'
    """
    import numpy as np

    assert (one.size, one.mode) == (other.size, other.mode)
    # 16 bits, because the difference of two levels can be negative.
    apart = np.abs(np.asarray(one, dtype=np.int16) - np.asarray(other, dtype=np.int16))
    apart = apart.reshape(one.height, one.width, -1)
    squared = float(np.mean(np.square(apart, dtype=np.float64)))
    return Difference(
        largest=int(apart.max()),
        share=float(apart.any(axis=-1).mean()),
        psnr=math.inf if squared == 0 else 10 * math.log10(255**2 / squared),
    )

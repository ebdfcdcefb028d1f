"""Measure how much an animation flickers, compared with its input frames."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.Image import Image


@dataclass(kw_only=True, slots=True)
class Flicker:
    """The mean absolute change from each frame to the next, on the scale of 0 to 255.

    The mean is taken over pixels, channels and pairs of successive frames.
    """

    _last: "tuple[Image, Image] | None" = None
    _sums: tuple[float, float] = (0.0, 0.0)
    _pairs: int = 0

    def add(self, frame: "Image", made: "Image") -> None:
        """Add the next input frame and its result, both in RGB and of the same size."""
        if self._last is not None:
            self._sums = (
                self._sums[0] + change(self._last[0], frame),
                self._sums[1] + change(self._last[1], made),
            )
            self._pairs += 1
        self._last = frame, made

    @property
    def before(self) -> float:
        """The mean change between the input frames."""
        return self._sums[0] / max(1, self._pairs)

    @property
    def after(self) -> float:
        """The mean change between the resulting frames."""
        return self._sums[1] / max(1, self._pairs)

    @property
    def ratio(self) -> float | None:
        """``after`` divided by ``before``: how many times more the results change.

        None if the input frames do not change at all: then every change is flicker, see ``after``.
        """
        return self.after / self.before if self.before > 0 else None


def change(first: "Image", second: "Image") -> float:
    """The mean absolute difference of two RGB pictures of one size, on the scale of 0 to 255."""
    from PIL import ImageChops, ImageStat

    means = ImageStat.Stat(ImageChops.difference(first, second)).mean
    return sum(means) / len(means)

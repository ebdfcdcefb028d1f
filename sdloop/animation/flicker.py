"""How much the frames of an animation flicker, compared with the frames they were made from."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.Image import Image


@dataclass(kw_only=True, slots=True)
class Flicker:
    """The mean change from each frame to the next, in grey levels of 255.

    The mean is over pixels, channels and pairs of neighbours.
    """

    _last: "tuple[Image, Image] | None" = None
    _sums: tuple[float, float] = (0.0, 0.0)
    _pairs: int = 0

    def add(self, frame: "Image", made: "Image") -> None:
        """The next input frame and its result, in RGB and of one size."""
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
        """The mean change between the frames that were made."""
        return self._sums[1] / max(1, self._pairs)

    @property
    def ratio(self) -> float | None:
        """How many times more the results change than the input frames.

        None where the former stand still, for which every change is flicker: see ``after``.
        """
        return self.after / self.before if self.before > 0 else None


def change(first: "Image", second: "Image") -> float:
    """The mean absolute difference of two pictures in RGB and of one size, in levels of 255."""
    from PIL import ImageChops, ImageStat

    means = ImageStat.Stat(ImageChops.difference(first, second)).mean
    return sum(means) / len(means)

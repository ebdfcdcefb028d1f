"""How a picture is grown outwards: windows of the model's size, each over what already exists."""

from collections.abc import Iterator
from dataclasses import dataclass

from sdloop.images.input.read import Box
from sdloop.rules import Size

SIDES = ("left", "right", "up", "down")


@dataclass(frozen=True, kw_only=True, slots=True)
class Growth:
    """By how many pixels a picture grows on each of its sides."""

    left: int = 0
    right: int = 0
    up: int = 0
    down: int = 0

    def grown(self, size: Size) -> Size:
        """The width and height of a picture of ``size`` when it has grown.

        >>> Growth(right=64, up=32).grown((64, 64))
        (128, 96)
        """
        return self.left + size[0] + self.right, self.up + size[1] + self.down

    def before(self, size: Size) -> Size:
        """The width and height before it has grown to ``size``."""
        return size[0] - self.left - self.right, size[1] - self.up - self.down


@dataclass(frozen=True, kw_only=True, slots=True)
class Pass:
    """One window, painted where there is nothing yet.

    ``box`` is the window and ``new`` the part of it that the pass completes: what was there of it
    stays. Both are (left, top, right, bottom) in the grown picture. A window may stand out of
    ``new``, and even of the picture, by less than a multiple: what is painted there is cut off.
    """

    box: Box
    new: Box


def passes(
    size: Size, growth: Growth, *, native: Size, multiple: int, overlap: int
) -> tuple[Pass, ...]:
    """The passes in which a picture of ``size`` grows, in their order.

    What fits into one window of the ``native`` size is one pass. Else the right side grows first,
    in slabs that leave ``overlap`` pixels of the window for what is there, then the left, and then
    upper and lower side over the whole new width. A slab that is longer than a window is painted
    by several, which overlap each other too. All of ``native``, ``overlap`` and ``growth`` are
    multiples of ``multiple``; ``size`` is any from that on.

    >>> for one in passes((64, 64), Growth(right=64), native=(64, 64), multiple=4, overlap=32):
    ...     print(one.box, one.new)
    (32, 0, 96, 64) (64, 0, 96, 64)
    (64, 0, 128, 64) (96, 0, 128, 64)
    """
    whole = (0, 0, *growth.grown(size))
    if whole[2] <= native[0] and whole[3] <= native[1]:
        return (Pass(box=_around(whole, growth, multiple), new=whole),)
    there = (growth.left, growth.up, growth.left + size[0], growth.up + size[1])
    found = []
    sides = ((0, 1, growth.right), (0, -1, growth.left), (1, -1, growth.up), (1, 1, growth.down))
    for axis, way, amount in sides:
        for thickness in _shares(amount, native[axis] - overlap, multiple):
            slab = _beside(there, axis, way, thickness)
            behind = _whole_cells(there[axis + 2] - there[axis], multiple)
            depth = min(native[axis], thickness + behind)
            ends = _spans(there[1 - axis], there[3 - axis], native[1 - axis], overlap, multiple)
            for low, high in ends:
                box = list(slab)
                box[1 - axis], box[3 - axis] = low, high
                if way > 0:
                    box[axis] = box[axis + 2] - depth
                else:
                    box[axis + 2] = box[axis] + depth
                window = (box[0], box[1], box[2], box[3])
                found.append(Pass(box=window, new=_common(window, slab)))
            there = _both(there, slab)
    return tuple(found)


def _around(whole: Box, growth: Growth, multiple: int) -> Box:
    """The window of a single pass: it stands out where nothing grows, if it must."""
    width = -_whole_cells(-whole[2], multiple)
    height = -_whole_cells(-whole[3], multiple)
    left = whole[2] - width if growth.right else 0
    top = whole[3] - height if growth.down else 0
    return (left, top, left + width, top + height)


def _whole_cells(pixels: int, multiple: int) -> int:
    return pixels // multiple * multiple


def _shares(amount: int, most: int, multiple: int) -> list[int]:
    """``amount`` in as few parts of at most ``most`` as can be, about as thick as each other."""
    count = -(-amount // most)
    cells = amount // multiple
    return [(cells * (i + 1) // count - cells * i // count) * multiple for i in range(count)]


def _spans(
    low: int, high: int, side: int, overlap: int, multiple: int
) -> Iterator[tuple[int, int]]:
    """Where windows of at most ``side`` lie that cover what is between ``low`` and ``high``."""
    if high - low <= side:
        yield low, low - _whole_cells(low - high, multiple)
        return
    for start in range(low, high - side, side - overlap):
        yield start, start + side
    yield high - side, high


def _beside(there: Box, axis: int, way: int, thickness: int) -> Box:
    box = list(there)
    if way > 0:
        box[axis], box[axis + 2] = there[axis + 2], there[axis + 2] + thickness
    else:
        box[axis], box[axis + 2] = there[axis] - thickness, there[axis]
    return (box[0], box[1], box[2], box[3])


def _common(one: Box, two: Box) -> Box:
    return (
        max(one[0], two[0]),
        max(one[1], two[1]),
        min(one[2], two[2]),
        min(one[3], two[3]),
    )


def _both(one: Box, two: Box) -> Box:
    return (
        min(one[0], two[0]),
        min(one[1], two[1]),
        max(one[2], two[2]),
        max(one[3], two[3]),
    )

"""What subjects do and have: stilts, a leaf to eat, a hat, a tree or an umbrella above them."""

from dataclasses import replace

from pen import INK, Pen, Point, coat
from things import tree

WOOD = (170, 112, 58)
GREEN = (62, 160, 62)
LEAF = (158, 226, 72)
HANGING, STANDING, SIDEWAYS = (0.0, -1.0), (-0.3, 0.95), (-0.92, -0.4)
"""The directions of a leaf from its stalk."""
RED = (214, 44, 56)
CREAM = (250, 240, 214)


def stilts(pen: Pen, height: float) -> None:
    """Two poles of ``height`` (in box units) below the pen's ground, each with a peg on top and a
    foot at the end."""
    for side in (-1, 1):
        x = side * 0.2
        pen.box(x - 0.035, -height, x + 0.035, 0.06, WOOD)
        pen.box(x - 0.085, -height - 0.015, x + 0.085, -height + 0.05, WOOD)
        pen.box(x - 0.085, -0.02, x + 0.085, 0.04, WOOD)


def leaf(pen: Pen, mouth: Point) -> None:
    """A large leaf of a brighter green than any subject's, held at the mouth by its stalk; it
    hangs outwards from a face, and down from a mouth at the box's edge, so that it is whole."""
    down = mouth[0] < -0.25
    x, y = mouth if down else (mouth[0] + 0.04, mouth[1] + 0.02)
    along = HANGING if down and y > 0.2 else STANDING if down else SIDEWAYS
    half = [(0.0, 0.0), (0.07, 0.08), (0.17, 0.105), (0.27, 0.06), (0.36, 0.0)]
    rim = half + [(far, -wide) for far, wide in half[-2:0:-1]]
    spots = [spot((x, y), along, far, wide) for far, wide in rim]
    pen.line([(x, y), spot((x, y), along, -0.06, 0.0)], 0.035, pen.ink)
    pen.shape(spots, LEAF)
    pen.line([spot((x, y), along, 0.0, 0.0), spot((x, y), along, 0.27, 0.0)], 0.026, GREEN)


def spot(start: Point, along: Point, far: float, wide: float) -> Point:
    """The point ``far`` along a direction from ``start`` and ``wide`` to its side."""
    return (
        start[0] + along[0] * far - along[1] * wide,
        start[1] + along[1] * far + along[0] * wide,
    )


def hat(pen: Pen, head: Point) -> None:
    """A black top hat with a red band."""
    x, y = head
    pen.box(x - 0.13, y + 0.02, x + 0.13, y + 0.25, (70, 64, 80))
    pen.box(x - 0.13, y + 0.04, x + 0.13, y + 0.10, RED)
    pen.box(x - 0.22, y - 0.015, x + 0.22, y + 0.035, (70, 64, 80))


def shade_tree(pen: Pen, side: int) -> None:
    """A broad green tree on one side of the picture's middle, its crown above everybody;
    the pen's unit is the picture's side."""
    tree(replace(pen, left=pen.at(0.17 * side, 0)[0], unit=0.92 * pen.unit), coat(GREEN))


def umbrella(pen: Pen, top: float) -> None:
    """A red and cream umbrella above ``top``, on a pole at the subject's side."""
    pen.line([(0.42, 0.2), (0.42, top)], 0.035, INK)
    box = pen.span(-0.54, top - 0.30, 0.54, top + 0.30)
    for rib in range(5):
        angle, fill = 180 + 36 * rib, (RED, CREAM)[rib % 2]
        pen.draw.pieslice(box, angle, angle + 36, fill=fill, outline=pen.ink)
    pen.draw.arc(box, 180, 360, fill=pen.ink, width=pen.stroke)
    pen.line([(-0.54, top), (0.54, top)], pen.stroke / pen.unit, pen.ink)

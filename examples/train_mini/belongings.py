"""What subjects do and have: stilts, a leaf to eat, a hat, a tree or an umbrella above them."""

from dataclasses import replace

from pen import INK, Pen, Point, coat
from things import tree

WOOD = (170, 112, 58)
GREEN = (62, 160, 62)
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
    """A pointed leaf on its stalk, held at the mouth and hanging outwards."""
    x, y = mouth
    outline = [(0, 0), (-0.08, 0.10), (-0.20, 0.12), (-0.32, 0.02), (-0.26, -0.10), (-0.12, -0.10)]
    pen.line([(x + 0.04, y + 0.02), (x, y)], 0.03, INK)
    pen.shape([(x + dx, y + dy) for dx, dy in outline], GREEN)
    pen.line([(x, y), (x - 0.26, y + 0.01)], 0.02, (190, 230, 140))


def hat(pen: Pen, head: Point) -> None:
    """A black top hat with a red band."""
    x, y = head
    pen.box(x - 0.13, y + 0.02, x + 0.13, y + 0.25, (70, 64, 80))
    pen.box(x - 0.13, y + 0.04, x + 0.13, y + 0.10, RED)
    pen.box(x - 0.22, y - 0.015, x + 0.22, y + 0.035, (70, 64, 80))


def shade_tree(pen: Pen, side: int) -> None:
    """A broad green tree on one side of the picture's middle, its crown above everybody;
    the pen's unit is the picture's side."""
    tree(replace(pen, left=pen.at(0.2 * side, 0)[0], unit=0.92 * pen.unit), coat(GREEN))


def umbrella(pen: Pen, top: float) -> None:
    """A red and cream umbrella above ``top``, on a pole at the subject's side."""
    pen.line([(0.42, 0.2), (0.42, top)], 0.035, INK)
    box = pen.span(-0.54, top - 0.30, 0.54, top + 0.30)
    for rib in range(5):
        angle, fill = 180 + 36 * rib, (RED, CREAM)[rib % 2]
        pen.draw.pieslice(box, angle, angle + 36, fill=fill, outline=pen.ink)
    pen.draw.arc(box, 180, 360, fill=pen.ink, width=pen.stroke)
    pen.line([(-0.54, top), (0.54, top)], pen.stroke / pen.unit, pen.ink)

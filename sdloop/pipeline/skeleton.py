"""Draw a person's pose as OpenPose does, which is what ControlNets for poses were trained with.

Source: Cao et al. 2019 (arXiv:1812.08008); colours and widths as in ControlNet's own annotator.
"""

import math

import numpy as np
from PIL import Image, ImageDraw

from sdloop.rules import Size

# OpenPose's 18 points, each by its number among COCO's: from the nose over arms and legs to the
# ears. The second, the neck, is in the middle of the shoulders.
_NECK = 1
_COCO = (0, -1, 6, 8, 10, 5, 7, 9, 12, 14, 16, 11, 13, 15, 2, 1, 4, 3)
_SHOULDERS = (5, 6)
_LIMBS = (
    *((1, 2), (1, 5), (2, 3), (3, 4), (5, 6), (6, 7), (1, 8), (8, 9), (9, 10)),
    *((1, 11), (11, 12), (12, 13), (1, 0), (0, 14), (14, 16), (0, 15), (15, 17)),
)
# A colour for each point, and darker for each limb: the hues of a rainbow, a sixth in four steps.
_COLOURS = (
    *((255, 0, 0), (255, 85, 0), (255, 170, 0), (255, 255, 0), (170, 255, 0), (85, 255, 0)),
    *((0, 255, 0), (0, 255, 85), (0, 255, 170), (0, 255, 255), (0, 170, 255), (0, 85, 255)),
    *((0, 0, 255), (85, 0, 255), (170, 0, 255), (255, 0, 255), (255, 0, 170), (255, 0, 85)),
)
_LIMB_LIGHT = 0.6
_RADIUS = 4 / 512  # of points and limbs, in shares of the shorter side
_SURE = 0.3  # points below it are not drawn


def skeleton(points: np.ndarray, size: Size) -> Image.Image:
    """The pose of COCO's 17 points, (17, 3) with x, y and how sure they are, on black."""
    found, radius = _as_openpose(points, size), max(1.0, _RADIUS * min(size))
    sheet = Image.new("RGB", size)
    draw = ImageDraw.Draw(sheet)
    for limb, colour in zip(_LIMBS, _COLOURS, strict=False):
        first, second = (found[number] for number in limb)
        if first and second:
            dark = tuple(int(level * _LIMB_LIGHT) for level in colour)
            draw.polygon(_ellipse(first, second, radius), fill=dark)
    for point, colour in zip(found, _COLOURS, strict=True):
        if point:
            draw.circle(point, radius, fill=colour)
    return sheet


def _as_openpose(points: np.ndarray, size: Size) -> list[tuple[float, float] | None]:
    """OpenPose's points, None for those that are not seen or outside the picture."""
    left, right = (points[number] for number in _SHOULDERS)
    neck = [*(left[:2] + right[:2]) / 2, min(left[2], right[2])]
    found = [neck if number < 0 else points[number] for number in _COCO]
    return [
        (float(x), float(y)) if sure > _SURE and 0 <= x < size[0] and 0 <= y < size[1] else None
        for x, y, sure in found
    ]


def _ellipse(
    first: tuple[float, float], second: tuple[float, float], radius: float
) -> list[tuple[float, float]]:
    """The outline of an ellipse that is as long as from one point to the other."""
    (x, y), (to_x, to_y) = first, second
    half, angle = math.dist(first, second) / 2, math.atan2(to_y - y, to_x - x)
    outline = []
    for turn in np.linspace(0, 2 * math.pi, 72, endpoint=False):
        along, across = half * math.cos(turn), radius * math.sin(turn)
        outline.append(
            (
                (x + to_x) / 2 + along * math.cos(angle) - across * math.sin(angle),
                (y + to_y) / 2 + along * math.sin(angle) + across * math.cos(angle),
            )
        )
    return outline

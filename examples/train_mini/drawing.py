"""Draw a scene: a backdrop, then its subjects from left to right, on stilts or on the ground.

Drawn at three times the size and averaged down, because Pillow's shapes have hard edges.
"""

import random
from collections.abc import Callable

from pen import INK, Colour, Pen, coat, mix
from PIL import Image, ImageDraw
from scenes import COLOURS, Scene
from subjects import DRAW

SUPERSAMPLE = 3
WOOD: Colour = (170, 112, 58)
PLAIN: tuple[Colour, ...] = (
    (236, 232, 222), (206, 224, 238), (246, 226, 200), (222, 236, 210), (232, 218, 236), (200, 202,
    208),
)  # fmt: skip
Backdrop = Callable[[ImageDraw.ImageDraw, float, random.Random], None]


def plain(draw: ImageDraw.ImageDraw, side: float, rng: random.Random) -> None:
    """A wall in a quiet tint and a floor a little darker."""
    tint = rng.choice(PLAIN)
    draw.rectangle((0, 0, side, side), fill=tint)
    draw.rectangle((0, side * 0.84, side, side), fill=mix(tint, INK, 0.12))


def park(draw: ImageDraw.ImageDraw, side: float, rng: random.Random) -> None:
    """Blue sky with a sun and a cloud, grass with two dark bushes behind."""
    draw.rectangle((0, 0, side, side), fill=(142, 206, 244))
    sun = side * rng.choice((0.14, 0.86))
    draw.ellipse(
        (sun - side * 0.08, side * 0.05, sun + side * 0.08, side * 0.21), fill=(255, 226, 80)
    )
    cloud = side * rng.uniform(0.30, 0.60)
    draw.ellipse((cloud, side * 0.06, cloud + side * 0.26, side * 0.15), fill=(250, 252, 255))
    for x in (rng.uniform(-0.1, 0.1), rng.uniform(0.7, 0.9)):
        draw.ellipse((x * side, side * 0.56, (x + 0.3) * side, side * 0.86), fill=(64, 138, 72))
    draw.rectangle((0, side * 0.72, side, side), fill=(122, 196, 84))


def stage(draw: ImageDraw.ImageDraw, side: float, rng: random.Random) -> None:
    """Red curtains at both sides and along the top, floorboards below, a dim wall behind."""
    draw.rectangle((0, 0, side, side), fill=(94, 60, 84))
    floor = side * rng.uniform(0.76, 0.80)
    draw.rectangle((0, floor, side, side), fill=(200, 148, 88))
    for board in range(7):
        top, bottom = side * (0.2 + board * 0.1), side * (-0.1 + board * 0.2)
        draw.line((top, floor, bottom, side), fill=(140, 94, 50), width=max(1, round(side * 0.012)))
    for fold in range(3):
        tone = ((186, 24, 40), (146, 14, 32), (204, 40, 52))[fold]
        near, far = side * fold * 0.055, side * (fold + 1) * 0.055
        draw.rectangle((near, 0, far, floor), fill=tone)
        draw.rectangle((side - far, 0, side - near, floor), fill=tone)
    draw.rectangle((0, 0, side, side * 0.09), fill=(170, 20, 38))
    for scallop in range(5):
        left = side * scallop * 0.2
        draw.ellipse((left, side * 0.03, left + side * 0.2, side * 0.14), fill=(170, 20, 38))


def night(draw: ImageDraw.ImageDraw, side: float, rng: random.Random) -> None:
    """A dark sky with a moon and stars over a dark meadow."""
    draw.rectangle((0, 0, side, side), fill=(24, 28, 72))
    moon = side * rng.choice((0.16, 0.84))
    radius = side * 0.09
    draw.ellipse(
        (moon - radius, side * 0.05, moon + radius, side * 0.05 + 2 * radius), fill=(250, 240, 190)
    )
    for _ in range(9):
        x, y, size = side * rng.random(), side * rng.uniform(0.03, 0.6), side * 0.014
        draw.ellipse((x - size, y - size, x + size, y + size), fill=(250, 248, 220))
    draw.rectangle((0, side * 0.80, side, side), fill=(30, 58, 56))


def beach(draw: ImageDraw.ImageDraw, side: float, rng: random.Random) -> None:
    """Sky, a band of sea and yellow sand, with a sun."""
    draw.rectangle((0, 0, side, side), fill=(170, 222, 250))
    sun = side * rng.choice((0.14, 0.86))
    draw.ellipse(
        (sun - side * 0.08, side * 0.05, sun + side * 0.08, side * 0.21), fill=(255, 214, 70)
    )
    draw.rectangle((0, side * 0.52, side, side * 0.75), fill=(32, 128, 190))
    draw.rectangle((0, side * 0.75, side, side), fill=(240, 214, 146))


def snow(draw: ImageDraw.ImageDraw, side: float, rng: random.Random) -> None:
    """A grey-blue sky full of flakes over white ground."""
    draw.rectangle((0, 0, side, side), fill=(140, 160, 190))
    draw.ellipse((-side * 0.3, side * 0.68, side * 1.3, side * 1.4), fill=(238, 244, 250))
    for _ in range(14):
        x, y, size = side * rng.random(), side * rng.uniform(0, 0.7), side * 0.018
        draw.ellipse((x - size, y - size, x + size, y + size), fill=(248, 250, 255))


BACKDROPS: dict[str, Backdrop] = {
    "plain": plain, "park": park, "stage": stage, "night": night, "beach": beach, "snow": snow,
}  # fmt: skip


def places(scene: Scene, rng: random.Random) -> list[tuple[float, float]]:
    """Where each subject stands and how large it is: (centre x, side of its box), as shares of the
    picture."""
    size = {1: 0.70, 2: 0.48, 3: 0.34}[scene.count] * (
        0.78 if scene.stilts and scene.count == 1 else 1
    )
    centres = {1: (0.5,), 2: (0.27, 0.73), 3: (0.18, 0.5, 0.82)}[scene.count]
    jitter = {1: 0.06, 2: 0.03, 3: 0.015}[scene.count]
    return [(x + rng.uniform(-jitter, jitter), size * rng.uniform(0.94, 1.04)) for x in centres]


def stilts(pen: Pen, height: float) -> None:
    """Two poles of ``height`` (in box units) below the pen's ground, each with a peg on top and a
    foot at the end."""
    for side in (-1, 1):
        x = side * 0.2
        pen.box(x - 0.035, -height, x + 0.035, 0.06, WOOD)
        pen.box(x - 0.085, -height - 0.015, x + 0.085, -height + 0.05, WOOD)
        pen.box(x - 0.085, -0.02, x + 0.085, 0.04, WOOD)


def draw_scene(scene: Scene, size: int) -> Image.Image:
    """The scene as an RGB picture of ``size`` x ``size`` pixels; a pure function of its
    arguments."""
    rng = random.Random(scene.layout)
    side = size * SUPERSAMPLE
    image = Image.new("RGB", (side, side))
    draw = ImageDraw.Draw(image)
    BACKDROPS[scene.setting](draw, side, rng)
    ground = side * rng.uniform(0.90, 0.94)
    for centre, share in places(scene, rng):
        unit = side * share
        lift = side * rng.uniform(0.27, 0.33) if scene.stilts else 0.0
        pen = Pen(
            draw=draw, left=centre * side, ground=ground - lift, unit=unit,
            flip=rng.choice((-1, 1)), night=scene.setting == "night",
        )  # fmt: skip
        if scene.stilts:
            stilts(pen, lift / unit)
        DRAW[scene.subject](pen, coat(COLOURS[scene.colour]))
    return image.reduce(SUPERSAMPLE)

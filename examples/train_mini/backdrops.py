"""The eight settings, painted behind the subjects on canvases of any proportions."""

import random
from collections.abc import Callable
from dataclasses import dataclass

from pen import INK, WHITE, Colour, mix
from PIL import ImageDraw

PLAIN: tuple[Colour, ...] = (
    (238, 234, 224), (206, 224, 240), (248, 228, 200), (222, 238, 210), (234, 218, 238),
)  # fmt: skip
STARS = (
    (0.08, 0.30), (0.22, 0.10), (0.34, 0.24), (0.50, 0.06), (0.63, 0.20), (0.78, 0.32),
    (0.92, 0.14),
)  # fmt: skip
FLAKES = (
    (0.06, 0.12), (0.16, 0.40), (0.24, 0.20), (0.33, 0.52), (0.42, 0.09), (0.55, 0.32),
    (0.63, 0.14), (0.70, 0.50), (0.80, 0.24), (0.88, 0.44), (0.95, 0.08), (0.12, 0.62),
    (0.92, 0.64),
)  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True)
class Sheet:
    """A canvas measured in shares of its width and height; ``side`` is the shorter one in
    pixels, so that round things stay round."""

    draw: ImageDraw.ImageDraw
    width: int
    height: int

    @property
    def side(self) -> int:
        """The shorter side in pixels."""
        return min(self.width, self.height)

    def band(self, top: float, bottom: float, fill: Colour) -> None:
        """A strip over the whole width."""
        self.box(0, top, 1, bottom, fill)

    def box(self, left: float, top: float, right: float, bottom: float, fill: Colour) -> None:
        """A rectangle."""
        corners = (left * self.width, top * self.height, right * self.width, bottom * self.height)
        self.draw.rectangle(corners, fill=fill)

    def disc(self, x: float, y: float, radius: float, fill: Colour, *, squash: float = 1.0) -> None:
        """A circle whose radius is a share of the shorter side, flattened by ``squash``."""
        cx, cy, rx = x * self.width, y * self.height, radius * self.side
        ry = rx * squash
        self.draw.ellipse((cx - rx, cy - ry, cx + rx, cy + ry), fill=fill)

    def triangle(self, x: float, bottom: float, width: float, height: float, fill: Colour) -> None:
        """An upright triangle; its measures are shares of the shorter side."""
        cx, cy = x * self.width, bottom * self.height
        half, tall = width * self.side / 2, height * self.side
        self.draw.polygon([(cx - half, cy), (cx + half, cy), (cx, cy - tall)], fill=fill)


def plain(sheet: Sheet, rng: random.Random) -> None:
    """One quiet tint, and a floor a little darker."""
    tint = rng.choice(PLAIN)
    sheet.band(0, 1, tint)
    sheet.band(0.84, 1, mix(tint, INK, 0.12))


def park(sheet: Sheet, rng: random.Random) -> None:
    """Blue sky with a sun and a cloud, grass with two dark bushes behind and flowers in front."""
    sheet.band(0, 1, (142, 206, 246))
    sun = rng.choice((0.13, 0.87))
    sheet.disc(sun, 0.13, 0.085, (255, 226, 80))
    for dx, radius in ((-0.08, 0.05), (0, 0.07), (0.08, 0.05)):
        sheet.disc(1 - sun + dx * 0.9, 0.14, radius, WHITE)
    for x in (0.04, 0.94):
        sheet.disc(x, 0.70, 0.17, (64, 138, 72))
    sheet.band(0.72, 1, (122, 196, 84))
    for x in (0.08, 0.30, 0.70, 0.92):
        sheet.disc(x, 0.95, 0.018, rng.choice(((250, 240, 120), WHITE, (240, 130, 150))))


def stage(sheet: Sheet, rng: random.Random) -> None:
    """Red curtains at both sides and along the top, floorboards below, a dim wall behind."""
    sheet.band(0, 1, (94, 60, 84))
    floor = rng.uniform(0.76, 0.79)
    sheet.disc(0.5, 0.48, 0.34, (122, 82, 104))
    sheet.band(floor, 1, (204, 152, 92))
    for board in range(7):
        top, bottom = 0.2 + board * 0.1, -0.1 + board * 0.2
        ends = (top * sheet.width, floor * sheet.height, bottom * sheet.width, sheet.height)
        sheet.draw.line(ends, fill=(146, 100, 56), width=max(1, round(sheet.side * 0.01)))
    for fold, tone in enumerate(((186, 24, 40), (146, 14, 32), (204, 40, 52))):
        near, far = fold * 0.055, (fold + 1) * 0.055
        sheet.box(near, 0, far, floor, tone)
        sheet.box(1 - far, 0, 1 - near, floor, tone)
    sheet.band(0, 0.09, (170, 20, 38))
    for scallop in range(5):
        sheet.disc(
            scallop * 0.2 + 0.1, 0.085, 0.1 * sheet.width / sheet.side, (170, 20, 38), squash=0.5
        )


def night(sheet: Sheet, rng: random.Random) -> None:
    """A city by night: a moon, stars, and houses with lit windows along the horizon."""
    sheet.band(0, 1, (40, 46, 104))
    for x, y in STARS:
        sheet.disc(x, y, 0.011, (250, 248, 220))
    sheet.disc(rng.choice((0.15, 0.85)), 0.14, 0.085, (250, 240, 190))
    tops = (0.40, 0.56, 0.48, 0.62, 0.62, 0.50, 0.58, 0.42)
    for place, top in enumerate(tops if rng.random() < 0.5 else tops[::-1]):
        left = place / len(tops)
        sheet.box(left, top, left + 1 / len(tops), 0.85, ((68, 66, 122), (84, 80, 140))[place % 2])
        for y in (top + 0.05, top + 0.14):
            sheet.box(left + 0.035, y, left + 0.065, y + 0.04, (250, 214, 110))
            sheet.box(left + 0.085, y, left + 0.11, y + 0.04, (250, 214, 110))
    sheet.band(0.82, 1, (84, 82, 110))


def beach(sheet: Sheet, rng: random.Random) -> None:
    """Sky with a sun, a band of sea with waves, yellow sand with a starfish."""
    sheet.band(0, 1, (176, 226, 250))
    sun = rng.choice((0.13, 0.87))
    sheet.disc(sun, 0.13, 0.085, (255, 214, 70))
    sheet.band(0.50, 0.75, (34, 132, 194))
    for x, y in ((0.12, 0.57), (0.50, 0.55), (0.86, 0.58), (0.28, 0.66), (0.72, 0.66)):
        sheet.box(x - 0.06, y, x + 0.06, y + 0.015, (150, 210, 236))
    sheet.band(0.75, 1, (242, 216, 148))
    sheet.disc(1 - sun, 0.92, 0.035, (232, 130, 96))


def snow(sheet: Sheet, rng: random.Random) -> None:
    """A grey-blue sky full of flakes over white ground, two white-capped firs."""
    sheet.band(0, 1, (146, 168, 200))
    for x in (0.09, 0.91):
        sheet.triangle(x, 0.76, 0.24, 0.34, (86, 122, 120))
        sheet.triangle(x, 0.54, 0.10, 0.12, WHITE)
    sheet.disc(
        0.5,
        1.02,
        0.8 * sheet.width / sheet.side,
        (240, 245, 250),
        squash=0.42 * sheet.height / sheet.width,
    )
    drift = rng.uniform(-0.03, 0.03)
    for x, y in FLAKES:
        sheet.disc(x + drift, y, 0.017, WHITE)


def forest(sheet: Sheet, rng: random.Random) -> None:
    """Dark green depth, a row of trunks, firs between them, moss on the ground."""
    sheet.band(0, 1, (112, 164, 122))
    shift = rng.uniform(-0.03, 0.03)
    for x in (0.02, 0.26, 0.50, 0.74, 0.98):
        sheet.triangle(x + 0.12 + shift, 0.80, 0.34, 0.62, (78, 132, 96))
    for x in (0.06, 0.30, 0.70, 0.94):
        sheet.box(x + shift - 0.035, 0, x + shift + 0.035, 0.82, (124, 92, 66))
    sheet.band(0, 0.10, (50, 100, 66))
    for x in (0.0, 0.2, 0.4, 0.6, 0.8, 1.0):
        sheet.disc(x + shift, 0.09, 0.12, (50, 100, 66), squash=0.6)
    sheet.band(0.80, 1, (120, 140, 74))
    for x in (0.10, 0.90):
        sheet.disc(x, 0.93, 0.03, (214, 60, 50))


def indoors(sheet: Sheet, rng: random.Random) -> None:
    """A papered wall with a window and a framed picture, wooden floor and a round rug."""
    paper = rng.choice(((238, 214, 176), (204, 214, 190)))
    sheet.band(0, 1, paper)
    for stripe in range(8):
        sheet.box(stripe / 8, 0, stripe / 8 + 0.05, 0.78, mix(paper, INK, 0.08))
    side = rng.choice((0.0, 0.68))
    sheet.box(side + 0.04, 0.10, side + 0.28, 0.42, (250, 250, 246))
    sheet.box(side + 0.06, 0.12, side + 0.26, 0.40, (150, 206, 240))
    sheet.box(side + 0.15, 0.10, side + 0.17, 0.42, (250, 250, 246))
    other = 0.68 - side
    sheet.box(other + 0.07, 0.14, other + 0.25, 0.34, (150, 100, 50))
    sheet.box(other + 0.10, 0.17, other + 0.22, 0.31, (230, 180, 150))
    sheet.band(0.76, 0.785, (250, 246, 236))
    sheet.band(0.785, 1, (172, 120, 76))
    sheet.disc(0.5, 0.93, 0.42, (186, 80, 84), squash=0.16)


BACKDROPS: dict[str, Callable[[Sheet, random.Random], None]] = {
    "plain": plain, "park": park, "stage": stage, "night": night,
    "beach": beach, "snow": snow, "forest": forest, "indoors": indoors,
}  # fmt: skip

"""A pen that draws in a subject's own unit box, and the colours it draws with."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from PIL import ImageDraw

Colour = tuple[int, int, int]
Point = tuple[float, float]

INK: Colour = (38, 32, 40)
WHITE: Colour = (250, 250, 246)

WHOLE, EYELESS, ONE_EYED, HEADLESS, TWO_HEADED = (
    "whole", "eyeless", "one-eyed", "headless", "two-headed",
)  # fmt: skip
"""How a subject may be drawn. Only the first is ever trained on by what makes pictures."""

BIG = 0.12
"""Ovals from this radius on, in box units, are shaded."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Coat:
    """The three tones of one named colour: ``body`` on most of the subject, ``dark`` and ``light``
    on its parts."""

    body: Colour
    dark: Colour
    light: Colour


def mix(colour: Colour, other: Colour, share: float) -> Colour:
    """Move ``colour`` towards ``other`` by ``share`` in 0..1.

    >>> mix((0, 0, 0), (100, 200, 50), 0.5)
    (50, 100, 25)
    """
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(colour, other, strict=True))
    return red, green, blue


def coat(colour: Colour) -> Coat:
    """The tones of a coat, from its main colour."""
    return Coat(body=colour, dark=mix(colour, INK, 0.35), light=mix(colour, WHITE, 0.5))


def shadow(colour: Colour) -> Colour:
    """The tone of a colour's side in the shade."""
    return mix(colour, INK, 0.22)


def lit_part(
    box: tuple[float, float, float, float], stroke: int
) -> tuple[float, float, float, float]:
    """The ellipse of a shaded oval that is in the light: inside its outline, touching it at the
    upper left.

    >>> lit_part((0, 0, 100, 100), 0)
    (1.0, 1.0, 91.0, 91.0)
    """
    left, top, right, bottom = box
    wide, high = right - left - 2 * stroke, bottom - top - 2 * stroke
    x, y = left + stroke + 0.01 * wide, top + stroke + 0.01 * high
    return x, y, x + 0.9 * wide, y + 0.9 * high


def as_it_is(colour: Colour) -> Colour:
    """The tint of everything that is not carved."""
    return colour


def as_wood(colour: Colour) -> Colour:
    """The tint of a carving: wood, as light as the colour it stands for.

    >>> as_wood((0, 0, 0)), as_wood((255, 255, 255))
    ((118, 74, 36), (244, 204, 146))
    """
    red, green, blue = colour
    lightness = (0.30 * red + 0.59 * green + 0.11 * blue) / 255
    return mix((118, 74, 36), (244, 204, 146), lightness)


def rounded(points: Sequence[Point], rounds: int = 2) -> list[Point]:
    """The polyline with its corners cut, ends kept (Chaikin 1974).

    >>> rounded([(0, 0), (4, 0), (4, 4)], rounds=1)
    [(0, 0), (3.0, 0.0), (4.0, 1.0), (4, 4)]
    """
    for _ in range(rounds):
        inner: list[Point] = []
        for (ax, ay), (bx, by) in pairwise(points):
            inner += [(0.75 * ax + 0.25 * bx, 0.75 * ay + 0.25 * by)]
            inner += [(0.25 * ax + 0.75 * bx, 0.25 * ay + 0.75 * by)]
        points = [points[0], *inner[1:-1], points[-1]]
    return list(points)


@dataclass(frozen=True, kw_only=True, slots=True)
class Pen:
    """Maps a unit box (``x`` to the right, ``y`` up from the ground) onto the canvas.

    ``left`` and ``ground`` are the canvas pixels of the box's origin, ``unit`` is the length of
    its side in pixels, and ``flip`` is -1 for a mirrored subject. ``ink`` and ``weight`` are the
    outline's colour and strength, ``tint`` is what becomes of every fill, and ``night`` lets a
    subject light its windows. ``thinnest`` is the least an outline may measure in pixels, and
    ``fault`` what is left out or put twice on purpose, so that a judge can learn to see it: a
    one-eyed subject has no eye to the right of ``blind_from``.
    """

    draw: ImageDraw.ImageDraw
    left: float
    ground: float
    unit: float
    flip: int = 1
    night: bool = False
    ink: Colour = INK
    weight: float = 1.0
    tint: Callable[[Colour], Colour] = as_it_is
    thinnest: float = 1.0
    fault: str = WHOLE
    blind_from: float = 0.0

    def at(self, x: float, y: float) -> Point:
        """Canvas pixels of a point of the unit box."""
        return self.left + self.flip * x * self.unit, self.ground - y * self.unit

    @property
    def stroke(self) -> int:
        """Outlines scale with the subject, and never vanish."""
        return max(1, round(max(self.unit * 0.02, self.thinnest) * self.weight))

    def span(self, x0: float, y0: float, x1: float, y1: float) -> tuple[float, float, float, float]:
        """Pillow's (left, top, right, bottom) of a rectangle given by two corners."""
        (ax, ay), (bx, by) = self.at(x0, y0), self.at(x1, y1)
        return min(ax, bx), min(ay, by), max(ax, bx), max(ay, by)

    def oval(
        self, x: float, y: float, rx: float, ry: float, fill: Colour, *, outline: bool = True
    ) -> None:
        """An ellipse around (x, y); a big one with an outline is darker at its lower right, for the
        light comes from the upper left."""
        box = self.span(x - rx, y - ry, x + rx, y + ry)
        width = self.stroke if outline else 0
        ink = self.ink if outline else None
        shaded = outline and min(rx, ry) >= BIG
        colour = self.tint(fill)
        self.draw.ellipse(box, fill=shadow(colour) if shaded else colour, outline=ink, width=width)
        if shaded:
            self.draw.ellipse(lit_part(box, width), fill=colour)

    def box(self, x0: float, y0: float, x1: float, y1: float, fill: Colour) -> None:
        """An outlined rectangle."""
        box = self.span(x0, y0, x1, y1)
        self.draw.rectangle(box, fill=self.tint(fill), outline=self.ink, width=self.stroke)

    def shape(self, points: Sequence[Point], fill: Colour, *, outline: bool = True) -> None:
        """A polygon."""
        corners = [self.at(x, y) for x, y in points]
        self.draw.polygon(corners, fill=self.tint(fill))
        if outline:
            self.draw.line([*corners, corners[0]], fill=self.ink, width=self.stroke, joint="curve")

    def line(self, points: Sequence[Point], width: float, fill: Colour) -> None:
        """A line of the given width (in box units) with rounded joints."""
        pixels = max(1, round(width * self.unit))
        spots = [self.at(x, y) for x, y in points]
        self.draw.line(spots, fill=self.tint(fill), width=pixels, joint="curve")

    def limb(self, points: Sequence[Point], width: float, fill: Colour) -> None:
        """An outlined line with round ends: a leg, a tail, a neck."""
        for extra, tone in ((2 * self.stroke / self.unit, None), (0.0, fill)):
            radius = (width + extra) / 2
            pixels = max(1, round((width + extra) * self.unit))
            colour = self.ink if tone is None else self.tint(tone)
            spots = [self.at(x, y) for x, y in rounded(points)]
            self.draw.line(spots, fill=colour, width=pixels, joint="curve")
            for x, y in (spots[0], spots[-1]):
                reach = radius * self.unit
                self.draw.ellipse((x - reach, y - reach, x + reach, y + reach), fill=colour)

    def arc(self, x: float, y: float, rx: float, ry: float) -> None:
        """The lower half of an ellipse's outline: a smile."""
        box = self.span(x - rx, y - ry, x + rx, y + ry)
        self.draw.arc(box, 0, 180, fill=self.ink, width=self.stroke)

    def eye(self, x: float, y: float, radius: float) -> None:
        """A round white eye with a dark pupil."""
        if not self.sees(x):
            return
        self.oval(x, y, radius, radius, WHITE)
        self.oval(x, y, radius * 0.55, radius * 0.6, INK, outline=False)
        self.glint(x, y, radius * 0.6)

    def bead(self, x: float, y: float, radius: float) -> None:
        """A small dark eye."""
        if self.sees(x):
            self.dot(x, y, radius)
            self.glint(x, y, radius)

    def slit(self, x: float, y: float, radius: float, fill: Colour) -> None:
        """A cat's eye."""
        if self.sees(x):
            self.oval(x, y, radius, radius * 1.15, fill)
            self.oval(x, y, radius * 0.42, radius * 0.95, INK, outline=False)
            self.glint(x, y, radius * 0.6)

    def lamp(self, x: float, y: float, radius: float, fill: Colour) -> None:
        """A robot's eye."""
        if self.sees(x):
            self.box(x - radius, y - radius * 0.9, x + radius, y + radius * 0.9, fill)
            self.dot(x, y, radius * 0.42)

    def glint(self, x: float, y: float, radius: float) -> None:
        """The light in an eye of this radius, always on the same side of the picture."""
        at = x - self.flip * radius * 0.35, y + radius * 0.35
        self.oval(*at, radius * 0.36, radius * 0.36, WHITE, outline=False)

    def sees(self, x: float) -> bool:
        """Whether an eye at ``x`` is drawn; a fault may leave it out."""
        return not (self.fault == EYELESS or (self.fault == ONE_EYED and x > self.blind_from))

    def heads(self, draw: Callable[["Pen"], None], middle: float) -> None:
        """The head of an animal in profile, whose body's middle is at ``middle``; a fault may leave
        it out, or put another on the other end."""
        if self.fault == TWO_HEADED:
            other = self.at(2 * middle, 0)[0]
            draw(replace(self, left=other, flip=-self.flip))
        if self.fault != HEADLESS:
            draw(self)

    def dot(self, x: float, y: float, radius: float) -> None:
        """A dark spot: a small eye, a nose."""
        self.oval(x, y, radius, radius, INK, outline=False)

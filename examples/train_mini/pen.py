"""A pen that draws in a subject's own unit box, and the colours it draws with."""

from dataclasses import dataclass

from PIL import ImageDraw

Colour = tuple[int, int, int]
Point = tuple[float, float]

INK: Colour = (38, 32, 40)


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
    return Coat(body=colour, dark=mix(colour, INK, 0.35), light=mix(colour, (255, 255, 250), 0.5))


@dataclass(frozen=True, kw_only=True, slots=True)
class Pen:
    """Maps a unit box (``x`` to the right, ``y`` up from the ground) onto the canvas.

    ``left`` and ``ground`` are the canvas pixels of the box's origin, ``unit`` is the length of
    its side in pixels, and ``flip`` is -1 for a mirrored subject. ``night`` lets a subject light
    its windows.
    """

    draw: ImageDraw.ImageDraw
    left: float
    ground: float
    unit: float
    flip: int = 1
    night: bool = False

    def at(self, x: float, y: float) -> Point:
        """Canvas pixels of a point of the unit box."""
        return self.left + self.flip * x * self.unit, self.ground - y * self.unit

    @property
    def stroke(self) -> int:
        """Outlines scale with the subject, and never vanish."""
        return max(1, round(self.unit * 0.022))

    def span(self, x0: float, y0: float, x1: float, y1: float) -> tuple[float, float, float, float]:
        """Pillow's (left, top, right, bottom) of a rectangle given by two corners."""
        (ax, ay), (bx, by) = self.at(x0, y0), self.at(x1, y1)
        return min(ax, bx), min(ay, by), max(ax, bx), max(ay, by)

    def oval(
        self, x: float, y: float, rx: float, ry: float, fill: Colour, *, outline: bool = True
    ) -> None:
        """An ellipse around (x, y)."""
        box = self.span(x - rx, y - ry, x + rx, y + ry)
        width = self.stroke if outline else 0
        self.draw.ellipse(box, fill=fill, outline=INK if outline else None, width=width)

    def box(self, x0: float, y0: float, x1: float, y1: float, fill: Colour) -> None:
        """An outlined rectangle."""
        self.draw.rectangle(self.span(x0, y0, x1, y1), fill=fill, outline=INK, width=self.stroke)

    def shape(self, points: list[Point], fill: Colour) -> None:
        """An outlined polygon."""
        corners = [self.at(x, y) for x, y in points]
        self.draw.polygon(corners, fill=fill)
        self.draw.line([*corners, corners[0]], fill=INK, width=self.stroke)

    def line(self, points: list[Point], width: float, fill: Colour) -> None:
        """A line of the given width (in box units) with rounded joints."""
        pixels = max(1, round(width * self.unit))
        self.draw.line([self.at(x, y) for x, y in points], fill=fill, width=pixels, joint="curve")

    def arc(self, x: float, y: float, rx: float, ry: float) -> None:
        """The lower half of an ellipse's outline: a smile."""
        box = self.span(x - rx, y - ry, x + rx, y + ry)
        self.draw.arc(box, 0, 180, fill=INK, width=self.stroke + 1)

"""The eight subjects, each drawn with a few clean shapes inside its own unit box.

A subject stands on the line ``y = 0``, reaches up to about ``y = 1`` and spans ``-0.5 .. 0.5`` in
``x``; the ``Pen`` carries the box to its place in the picture. Shapes are large and outlined
because a person has to recognise them at 64 x 64 pixels.
"""

from collections.abc import Callable

from pen import INK, Coat, Pen

WHITE = (250, 250, 246)
NIGHT_WINDOW = (255, 222, 96)
DAY_WINDOW = (196, 226, 240)


def eye(pen: Pen, x: float, y: float, radius: float) -> None:
    """A round white eye with a dark pupil."""
    pen.oval(x, y, radius, radius, WHITE)
    pen.oval(x, y, radius * 0.42, radius * 0.5, INK, outline=False)


def frog(pen: Pen, coat: Coat) -> None:
    """Wide and low, eyes on top of the head, a mouth from side to side."""
    for side in (-1, 1):
        pen.oval(side * 0.36, 0.16, 0.15, 0.16, coat.dark)
        pen.oval(side * 0.22, 0.82, 0.15, 0.15, coat.body)
    pen.oval(0, 0.40, 0.42, 0.40, coat.body)
    pen.oval(0, 0.22, 0.24, 0.17, coat.light, outline=False)
    for side in (-1, 1):
        eye(pen, side * 0.22, 0.84, 0.10)
    pen.arc(0, 0.56, 0.29, 0.13)


def rabbit(pen: Pen, coat: Coat) -> None:
    """Two long upright ears, a round head on a rounder body, a white tail."""
    pen.oval(0.30, 0.16, 0.10, 0.10, WHITE)
    for side in (-1, 1):
        pen.oval(side * 0.13, 0.82, 0.085, 0.24, coat.body)
        pen.oval(side * 0.13, 0.82, 0.035, 0.17, (244, 170, 180), outline=False)
    pen.oval(0, 0.20, 0.28, 0.21, coat.body)
    pen.oval(0, 0.14, 0.16, 0.12, coat.light, outline=False)
    pen.oval(0, 0.51, 0.24, 0.20, coat.body)
    for side in (-1, 1):
        eye(pen, side * 0.10, 0.55, 0.06)
    pen.oval(0, 0.45, 0.05, 0.035, (240, 130, 150), outline=False)


def cat(pen: Pen, coat: Coat) -> None:
    """Pointed ears, whiskers, and a tail that stands up at the side."""
    pen.line([(0.22, 0.10), (0.42, 0.18), (0.40, 0.50), (0.46, 0.62)], 0.11, coat.dark)
    pen.oval(0, 0.24, 0.27, 0.25, coat.body)
    for side in (-1, 1):
        pen.shape([(side * 0.30, 0.97), (side * 0.31, 0.66), (side * 0.05, 0.82)], coat.body)
    pen.oval(0, 0.63, 0.32, 0.24, coat.body)
    for side in (-1, 1):
        pen.oval(side * 0.13, 0.67, 0.065, 0.075, (190, 230, 90))
        pen.oval(side * 0.13, 0.67, 0.022, 0.06, INK, outline=False)
        pen.line([(side * 0.12, 0.55), (side * 0.42, 0.59)], 0.022, INK)
        pen.line([(side * 0.12, 0.52), (side * 0.41, 0.49)], 0.022, INK)
    pen.shape([(-0.05, 0.58), (0.05, 0.58), (0, 0.52)], (240, 130, 150))


def snake(pen: Pen, coat: Coat) -> None:
    """One thick S from the ground up to a head with a forked tongue."""
    body = [(0.46, 0.05), (0.30, 0.11), (-0.30, 0.11), (-0.37, 0.22), (-0.28, 0.34), (0.22, 0.36)]
    body += [(0.31, 0.46), (0.24, 0.58), (-0.08, 0.62), (-0.16, 0.72), (-0.10, 0.82)]
    pen.line([(-0.26, 0.80), (-0.46, 0.76)], 0.035, (210, 30, 50))
    pen.line([(x, y) for x, y in body], 0.19, INK)
    pen.line([(x, y) for x, y in body], 0.13, coat.body)
    pen.oval(-0.10, 0.84, 0.21, 0.14, coat.body)
    eye(pen, -0.13, 0.88, 0.07)


def fish(pen: Pen, coat: Coat) -> None:
    """A fat oval in profile with a forked tail, a fin and two stripes."""
    pen.shape([(0.20, 0.31), (0.50, 0.62), (0.43, 0.31), (0.50, 0.02)], coat.dark)
    pen.shape([(-0.12, 0.52), (0.05, 0.80), (0.20, 0.48)], coat.dark)
    pen.oval(-0.10, 0.30, 0.38, 0.29, coat.body)
    pen.line([(0.02, 0.52), (0.05, 0.30), (0.02, 0.08)], 0.07, coat.light)
    pen.line([(0.14, 0.46), (0.16, 0.30), (0.14, 0.15)], 0.05, coat.light)
    eye(pen, -0.27, 0.39, 0.09)
    pen.line([(-0.44, 0.21), (-0.33, 0.23)], 0.035, INK)


def house(pen: Pen, coat: Coat) -> None:
    """Coloured walls under a dark gable roof, a door, two windows and a chimney."""
    window = NIGHT_WINDOW if pen.night else DAY_WINDOW
    pen.box(0.18, 0.66, 0.31, 0.97, coat.dark)
    pen.box(-0.40, 0.0, 0.40, 0.58, coat.body)
    pen.shape([(-0.50, 0.56), (0, 0.95), (0.50, 0.56)], coat.dark)
    pen.box(-0.10, 0.0, 0.10, 0.33, (104, 66, 40))
    for side in (-1, 1):
        pen.box(side * 0.26 - 0.09, 0.24, side * 0.26 + 0.09, 0.44, window)


def tree(pen: Pen, coat: Coat) -> None:
    """A round crown of three puffs in the scene's colour on a brown trunk."""
    trunk = (112, 72, 42)
    half = [(0.09, 0.46), (0.09, 0.16), (0.26, 0.0)]
    pen.shape([(-x, y) for x, y in half[::-1]] + half, trunk)
    for x, y, radius in ((-0.24, 0.52, 0.21), (0.24, 0.52, 0.21), (0, 0.72, 0.27)):
        pen.oval(x, y, radius, radius, coat.body)
    pen.oval(0, 0.54, 0.24, 0.17, coat.body, outline=False)
    pen.oval(-0.08, 0.80, 0.10, 0.08, coat.light, outline=False)


def robot(pen: Pen, coat: Coat) -> None:
    """Square everywhere: a box head with an antenna on a box body with two lamps."""
    pen.line([(0, 0.86), (0, 0.98)], 0.04, INK)
    pen.oval(0, 0.97, 0.05, 0.04, (235, 60, 50))
    for side in (-1, 1):
        pen.box(side * 0.15 - 0.08, 0.0, side * 0.15 + 0.08, 0.16, coat.dark)
        pen.box(side * 0.36 - 0.07, 0.20, side * 0.36 + 0.07, 0.48, coat.dark)
    pen.box(-0.29, 0.13, 0.29, 0.52, coat.body)
    pen.box(-0.16, 0.22, 0.16, 0.42, coat.light)
    pen.box(-0.25, 0.54, 0.25, 0.88, coat.body)
    for side in (-1, 1):
        pen.box(side * 0.12 - 0.06, 0.69, side * 0.12 + 0.06, 0.79, (255, 240, 120))
    pen.line([(-0.12, 0.61), (0.12, 0.61)], 0.045, INK)


DRAW: dict[str, Callable[[Pen, Coat], None]] = {
    "frog": frog,
    "rabbit": rabbit,
    "cat": cat,
    "snake": snake,
    "fish": fish,
    "house": house,
    "tree": tree,
    "robot": robot,
}

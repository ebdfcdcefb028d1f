"""The subjects that are no animals: buildings, a tree, a boat, a robot and a person.

They share the animals' unit box.
"""

from pen import INK, WHITE, Coat, Pen

NIGHT_WINDOW = (255, 222, 96)
DAY_WINDOW = (196, 226, 240)
DOOR = (104, 66, 40)
TRUNK = (112, 72, 42)
CHEEK = (240, 160, 140)


def window_of(pen: Pen) -> tuple[int, int, int]:
    """Windows are lit at night."""
    return NIGHT_WINDOW if pen.night else DAY_WINDOW


def window(pen: Pen, x: float, y: float, half: float) -> None:
    """A square one of four panes around (x, y)."""
    pen.box(x - half, y - half * 1.2, x + half, y + half * 1.2, window_of(pen))
    pen.line([(x, y - half * 1.2), (x, y + half * 1.2)], 0.022, pen.ink)
    pen.line([(x - half, y), (x + half, y)], 0.022, pen.ink)


def house(pen: Pen, coat: Coat) -> None:
    """Coloured walls under a dark gable roof, a door, two windows and a chimney."""
    pen.box(0.18, 0.66, 0.31, 0.97, coat.dark)
    pen.box(-0.40, 0.0, 0.40, 0.58, coat.body)
    pen.shape([(-0.50, 0.56), (0, 0.95), (0.50, 0.56)], coat.dark)
    pen.box(-0.10, 0.0, 0.10, 0.34, DOOR)
    pen.oval(0.055, 0.16, 0.022, 0.022, NIGHT_WINDOW, outline=False)
    pen.oval(0, 0.70, 0.07, 0.07, window_of(pen))
    for side in (-1, 1):
        window(pen, side * 0.26, 0.33, 0.10)


def castle(pen: Pen, coat: Coat) -> None:
    """Two towers with pointed roofs and a flag each, a battlement between them, a round gate."""
    pen.box(-0.32, 0.0, 0.32, 0.48, coat.body)
    for x in (-0.20, -0.04, 0.12):
        pen.box(x, 0.48, x + 0.09, 0.56, coat.body)
    for side in (-1, 1):
        pen.line([(side * 0.36, 0.90), (side * 0.36, 1.06)], 0.02, INK)
        flag = [(side * 0.36, 1.06), (side * 0.36 + 0.14, 1.02), (side * 0.36, 0.97)]
        pen.shape(flag, (236, 70, 60))
        pen.box(side * 0.36 - 0.14, 0.0, side * 0.36 + 0.14, 0.66, coat.body)
        pen.shape(
            [(side * 0.36 - 0.18, 0.65), (side * 0.36, 0.93), (side * 0.36 + 0.18, 0.65)], coat.dark
        )
        pen.box(side * 0.36 - 0.05, 0.38, side * 0.36 + 0.05, 0.54, window_of(pen))
    pen.oval(0, 0.22, 0.11, 0.12, DOOR)
    pen.box(-0.11, 0.0, 0.11, 0.22, DOOR)


def tree(pen: Pen, coat: Coat) -> None:
    """A round crown of three puffs in the scene's colour on a brown trunk."""
    half = [(0.08, 0.46), (0.08, 0.14), (0.22, 0.0)]
    pen.shape([(-x, y) for x, y in half[::-1]] + half, TRUNK)
    for x, y, radius in ((-0.25, 0.54, 0.22), (0.25, 0.54, 0.22), (0, 0.73, 0.27)):
        pen.oval(x, y, radius, radius, coat.body)
    pen.oval(0, 0.56, 0.25, 0.17, coat.body, outline=False)
    pen.oval(-0.09, 0.81, 0.11, 0.09, coat.light, outline=False)
    pen.oval(-0.30, 0.58, 0.08, 0.07, coat.light, outline=False)


def person(pen: Pen, coat: Coat) -> None:
    """A round face with dark hair, a shirt in the scene's colour, arms out, dark trousers."""
    skin = (240, 196, 160)
    for side in (-1, 1):
        pen.limb([(side * 0.09, 0.05), (side * 0.08, 0.30)], 0.10, (70, 80, 120))
        pen.oval(side * 0.12, 0.03, 0.10, 0.04, INK)
        pen.limb([(side * 0.14, 0.54), (side * 0.34, 0.36)], 0.08, coat.dark)
        pen.oval(side * 0.37, 0.34, 0.055, 0.055, skin)
    pen.shape([(-0.17, 0.62), (0.17, 0.62), (0.20, 0.24), (-0.20, 0.24)], coat.body)
    pen.oval(0, 0.84, 0.20, 0.18, (84, 54, 36))
    pen.oval(0, 0.79, 0.17, 0.165, skin)
    for side in (-1, 1):
        pen.bead(side * 0.075, 0.81, 0.034)
        pen.oval(side * 0.10, 0.735, 0.03, 0.022, CHEEK, outline=False)
    pen.line([(0, 0.78), (0.012, 0.755)], 0.018, (190, 130, 100))
    pen.arc(0, 0.73, 0.07, 0.045)


def robot(pen: Pen, coat: Coat) -> None:
    """Square everywhere: a box head with an antenna on a box body with a lamp panel."""
    pen.line([(0, 0.88), (0, 0.98)], 0.04, INK)
    pen.oval(0, 0.98, 0.05, 0.05, (235, 60, 50))
    for side in (-1, 1):
        pen.box(side * 0.15 - 0.08, 0.0, side * 0.15 + 0.08, 0.16, coat.dark)
        pen.box(side * 0.37 - 0.07, 0.20, side * 0.37 + 0.07, 0.50, coat.dark)
        pen.box(side * 0.29 - 0.05, 0.64, side * 0.29 + 0.05, 0.78, coat.dark)
    pen.box(-0.29, 0.13, 0.29, 0.54, coat.body)
    pen.box(-0.18, 0.22, 0.18, 0.44, WHITE)
    for x, lamp in ((-0.09, (235, 60, 50)), (0.09, (70, 190, 90))):
        pen.oval(x, 0.33, 0.055, 0.055, lamp)
    pen.box(-0.25, 0.55, 0.25, 0.88, coat.body)
    for side in (-1, 1):
        pen.lamp(side * 0.12, 0.75, 0.075, (255, 240, 120))
    pen.box(-0.14, 0.585, 0.14, 0.645, WHITE)
    for x in (-0.07, 0, 0.07):
        pen.line([(x, 0.585), (x, 0.645)], 0.018, pen.ink)


def boat(pen: Pen, coat: Coat) -> None:
    """A hull in the scene's colour, a mast, a large pale sail and a small one, a pennant."""
    pen.shape([(-0.50, 0.26), (0.50, 0.26), (0.34, 0.0), (-0.34, 0.0)], coat.body)
    pen.line([(-0.44, 0.19), (0.44, 0.19)], 0.04, coat.light)
    pen.line([(0, 0.26), (0, 1.0)], 0.04, DOOR)
    pen.shape([(0.04, 0.94), (0.04, 0.34), (0.42, 0.34)], WHITE)
    pen.shape([(-0.04, 0.82), (-0.04, 0.34), (-0.30, 0.34)], coat.light)
    pen.shape([(0, 1.02), (0, 0.93), (-0.16, 0.98)], coat.dark)

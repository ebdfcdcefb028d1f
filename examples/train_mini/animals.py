"""The animals, each drawn with a few clean shapes inside its own unit box.

An animal stands on the line ``y = 0``, reaches up to about ``y = 1`` and spans ``-0.5 .. 0.5`` in
``x``; the ``Pen`` carries the box to its place in the picture. Outlines differ on purpose (ears,
necks, tails, shells): three side by side have a third of the picture each, and as pixel art
eleven blocks. Those in profile look to the left.
"""

from functools import partial

from pen import INK, WHITE, Coat, Pen

PINK = (244, 160, 176)
BEAK = (250, 190, 50)


def whiskers(pen: Pen, y: float, near: float, far: float) -> None:
    """Two on each side of a face, spreading outwards from ``near`` to ``far``."""
    for side in (-1, 1):
        for rise in (0.035, -0.03):
            pen.line([(side * near, y), (side * far, y + rise)], 0.018, pen.ink)


def frog(pen: Pen, coat: Coat) -> None:
    """Wide and low, eyes on top of the head, a mouth from side to side."""
    for side in (-1, 1):
        pen.oval(side * 0.36, 0.17, 0.15, 0.17, coat.dark)
        pen.oval(side * 0.38, 0.035, 0.12, 0.04, coat.dark)
        pen.oval(side * 0.22, 0.80, 0.15, 0.15, coat.body)
    pen.oval(0, 0.40, 0.42, 0.38, coat.body)
    pen.oval(0, 0.23, 0.25, 0.18, coat.light, outline=False)
    for side in (-1, 1):
        pen.oval(side * 0.15, 0.05, 0.10, 0.05, coat.body)
        pen.eye(side * 0.22, 0.82, 0.105)
        pen.dot(side * 0.045, 0.63, 0.018)
    pen.arc(0, 0.56, 0.29, 0.13)


def rabbit(pen: Pen, coat: Coat) -> None:
    """Two long upright ears, a round head on a rounder body, a white tail."""
    pen.oval(0.30, 0.14, 0.10, 0.10, WHITE)
    for side in (-1, 1):
        pen.oval(side * 0.13, 0.79, 0.09, 0.24, coat.body)
        pen.oval(side * 0.13, 0.79, 0.04, 0.17, PINK, outline=False)
    pen.oval(0, 0.20, 0.28, 0.21, coat.body)
    pen.oval(0, 0.15, 0.17, 0.13, coat.light, outline=False)
    pen.oval(0, 0.50, 0.26, 0.21, coat.body)
    for side in (-1, 1):
        pen.oval(side * 0.15, 0.035, 0.12, 0.045, coat.body)
        pen.eye(side * 0.115, 0.555, 0.072)
    whiskers(pen, 0.45, 0.08, 0.30)
    pen.oval(0, 0.465, 0.05, 0.034, PINK)
    pen.box(-0.04, 0.365, 0.04, 0.42, WHITE)


def snake(pen: Pen, coat: Coat) -> None:
    """One thick S from the ground up to a head with a forked tongue."""
    body = [(0.44, 0.09), (0.26, 0.10), (-0.28, 0.10), (-0.37, 0.20), (-0.28, 0.32), (0.22, 0.34)]
    body += [(0.32, 0.45), (0.24, 0.57), (-0.06, 0.60), (-0.15, 0.70), (-0.12, 0.80)]
    tongue = (214, 36, 52)
    pen.line([(-0.26, 0.82), (-0.40, 0.79)], 0.03, tongue)
    for y in (0.82, 0.74):
        pen.line([(-0.40, 0.79), (-0.47, y)], 0.026, tongue)
    pen.limb(body, 0.15, coat.body)
    for x, y in ((-0.2, 0.10), (0.05, 0.10), (0.28, 0.10), (-0.12, 0.33), (0.12, 0.335)):
        pen.oval(x, y, 0.055, 0.042, coat.dark, outline=False)
    pen.oval(0.14, 0.59, 0.05, 0.038, coat.dark, outline=False)
    pen.oval(-0.12, 0.85, 0.21, 0.14, coat.body)
    pen.eye(-0.16, 0.885, 0.07)
    pen.line([(-0.31, 0.81), (-0.18, 0.785)], 0.02, pen.ink)


def giraffe_head(pen: Pen, coat: Coat) -> None:
    """On its long spotted neck, with two little horns and an ear."""
    pen.limb([(-0.12, 0.42), (-0.24, 0.84)], 0.13, coat.body)
    pen.shape(
        [(-0.17, 0.36), (-0.06, 0.36), (-0.19, 0.80), (-0.28, 0.80)], coat.body, outline=False
    )
    for x, y in ((-0.21, 0.72), (-0.18, 0.58), (-0.13, 0.46)):
        pen.oval(x, y, 0.042, 0.047, coat.dark, outline=False)
    for x in (-0.20, -0.28):
        pen.line([(x, 0.92), (x, 0.99)], 0.03, coat.dark)
        pen.oval(x, 1.0, 0.028, 0.028, coat.dark, outline=False)
    pen.oval(-0.11, 0.90, 0.07, 0.035, coat.dark)
    pen.oval(-0.30, 0.87, 0.16, 0.095, coat.body)
    pen.oval(-0.39, 0.84, 0.07, 0.06, coat.light, outline=False)
    pen.bead(-0.27, 0.895, 0.036)
    pen.dot(-0.42, 0.865, 0.014)
    pen.line([(-0.44, 0.82), (-0.34, 0.815)], 0.016, pen.ink)


def giraffe(pen: Pen, coat: Coat) -> None:
    """A very long spotted neck, two little horns, long legs."""
    for x in (0.30, 0.18, -0.10, -0.20):
        tone = coat.dark if x in (0.18, -0.10) else coat.body
        pen.limb([(x, 0.03), (x, 0.30)], 0.055, tone)
        pen.line([(x, 0.0), (x, 0.035)], 0.07, INK)
    pen.line([(0.34, 0.42), (0.43, 0.22)], 0.03, coat.dark)
    pen.dot(0.43, 0.21, 0.035)
    pen.oval(0.06, 0.38, 0.30, 0.14, coat.body)
    pen.heads(partial(giraffe_head, coat=coat), 0.06)
    for x, y in ((0.02, 0.43), (0.14, 0.35), (0.27, 0.41), (0.16, 0.47), (-0.03, 0.32)):
        pen.oval(x, y, 0.042, 0.038, coat.dark, outline=False)


def cat(pen: Pen, coat: Coat) -> None:
    """Pointed ears, whiskers, and a tail that stands up at the side."""
    pen.limb([(0.22, 0.10), (0.40, 0.16), (0.42, 0.46), (0.46, 0.60)], 0.08, coat.dark)
    pen.oval(0, 0.24, 0.27, 0.24, coat.body)
    pen.oval(0, 0.18, 0.15, 0.15, coat.light, outline=False)
    for side in (-1, 1):
        pen.oval(side * 0.13, 0.04, 0.11, 0.05, coat.body)
        pen.shape([(side * 0.30, 0.97), (side * 0.31, 0.66), (side * 0.05, 0.82)], coat.body)
        pen.shape(
            [(side * 0.26, 0.89), (side * 0.265, 0.74), (side * 0.13, 0.81)], PINK, outline=False
        )
    pen.oval(0, 0.63, 0.32, 0.24, coat.body)
    for x in (-0.07, 0, 0.07):
        pen.line([(x, 0.85), (x * 0.8, 0.77)], 0.022, coat.dark)
    whiskers(pen, 0.545, 0.14, 0.44)
    for side in (-1, 1):
        pen.slit(side * 0.14, 0.67, 0.07, (200, 236, 90))
        pen.arc(side * 0.05, 0.50, 0.05, 0.04)
    pen.shape([(-0.055, 0.58), (0.055, 0.58), (0, 0.515)], PINK)


def dog(pen: Pen, coat: Coat) -> None:
    """Hanging ears, a light muzzle with a large nose, the tongue out, a collar."""
    pen.limb([(0.22, 0.14), (0.42, 0.34)], 0.09, coat.body)
    pen.oval(0, 0.24, 0.27, 0.24, coat.body)
    for side in (-1, 1):
        pen.oval(side * 0.14, 0.05, 0.12, 0.055, coat.light)
    pen.box(-0.20, 0.38, 0.20, 0.46, (206, 44, 52))
    pen.oval(0, 0.68, 0.27, 0.26, coat.body)
    for side in (-1, 1):
        pen.oval(side * 0.31, 0.66, 0.10, 0.24, coat.dark)
    pen.oval(0, 0.44, 0.065, 0.085, (232, 96, 116))
    pen.oval(0, 0.57, 0.18, 0.125, coat.light)
    pen.line([(0, 0.60), (0, 0.51)], 0.02, pen.ink)
    pen.arc(0, 0.53, 0.10, 0.04)
    pen.oval(0, 0.635, 0.08, 0.05, pen.ink, outline=False)
    for side in (-1, 1):
        pen.eye(side * 0.12, 0.775, 0.075)


def mouse(pen: Pen, coat: Coat) -> None:
    """Two huge round ears, a small body, a long thin tail."""
    pen.limb([(0.20, 0.08), (0.38, 0.06), (0.44, 0.20), (0.38, 0.34), (0.48, 0.44)], 0.03, PINK)
    pen.oval(0, 0.20, 0.22, 0.20, coat.body)
    pen.oval(0, 0.16, 0.13, 0.12, coat.light, outline=False)
    for side in (-1, 1):
        pen.oval(side * 0.29, 0.74, 0.20, 0.20, coat.body)
        pen.oval(side * 0.29, 0.74, 0.13, 0.13, PINK, outline=False)
        pen.oval(side * 0.11, 0.035, 0.09, 0.04, PINK)
    pen.oval(0, 0.50, 0.25, 0.21, coat.body)
    whiskers(pen, 0.43, 0.07, 0.32)
    for side in (-1, 1):
        pen.bead(side * 0.105, 0.555, 0.048)
    pen.oval(0, 0.44, 0.055, 0.048, PINK)
    pen.arc(0, 0.385, 0.055, 0.03)


LEOPARD_SPOTS = ((-0.12, 0.44), (0.0, 0.50), (0.03, 0.36), (0.14, 0.45), (0.19, 0.33), (0.27, 0.46))


def leopard_head(pen: Pen, coat: Coat) -> None:
    """Round, with round ears, a light muzzle and both eyes."""
    for side in (-1, 1):
        pen.oval(-0.32 + side * 0.12, 0.77, 0.065, 0.065, coat.dark)
    pen.oval(-0.32, 0.62, 0.19, 0.175, coat.body)
    pen.oval(-0.36, 0.54, 0.11, 0.075, coat.light)
    pen.oval(-0.39, 0.575, 0.045, 0.03, pen.ink, outline=False)
    pen.arc(-0.37, 0.525, 0.05, 0.025)
    for x in (-0.40, -0.25):
        pen.bead(x, 0.67, 0.036)


def leopard(pen: Pen, coat: Coat) -> None:
    """On four legs in profile, spotted all over, the tail curled up."""
    pen.limb([(0.34, 0.44), (0.46, 0.50), (0.47, 0.74), (0.38, 0.82)], 0.055, coat.body)
    for x in (0.34, 0.20, -0.12, -0.26):
        pen.limb([(x, 0.05), (x, 0.32)], 0.09, coat.dark if x in (0.20, -0.12) else coat.body)
    pen.oval(0.04, 0.40, 0.38, 0.17, coat.body)
    pen.heads(partial(leopard_head, coat=coat), 0.04)
    for x, y in LEOPARD_SPOTS:
        pen.oval(x, y, 0.044, 0.038, pen.ink, outline=False)
        pen.oval(x, y, 0.018, 0.016, coat.body, outline=False)


def otter(pen: Pen, coat: Coat) -> None:
    """Upright and slim with a pale belly, tiny ears, and a thick tail on the ground."""
    pen.shape([(0.10, 0.02), (0.48, 0.02), (0.50, 0.07), (0.12, 0.24)], coat.dark)
    pen.oval(0, 0.36, 0.19, 0.36, coat.body)
    pen.oval(0, 0.34, 0.11, 0.28, coat.light, outline=False)
    for side in (-1, 1):
        pen.oval(side * 0.11, 0.03, 0.11, 0.04, coat.dark)
        pen.limb([(side * 0.16, 0.52), (side * 0.06, 0.42)], 0.065, coat.dark)
        pen.oval(side * 0.19, 0.89, 0.05, 0.05, coat.dark)
    pen.oval(0, 0.80, 0.22, 0.18, coat.body)
    pen.oval(0, 0.74, 0.13, 0.095, WHITE)
    whiskers(pen, 0.735, 0.09, 0.30)
    pen.arc(0, 0.715, 0.05, 0.03)
    pen.oval(0, 0.785, 0.055, 0.038, pen.ink, outline=False)
    for side in (-1, 1):
        pen.bead(side * 0.11, 0.865, 0.038)


def parrot(pen: Pen, coat: Coat) -> None:
    """A hooked yellow beak, a dark wing, and a long tail down to its perch's height."""
    pen.shape([(0.10, 0.34), (0.26, 0.30), (0.46, 0.0), (0.30, 0.0)], coat.dark)
    for x in (-0.08, 0.06):
        pen.line([(x, 0.14), (x, 0.0), (x - 0.08, 0.0)], 0.04, (240, 160, 40))
    pen.oval(0, 0.42, 0.22, 0.32, coat.body)
    pen.oval(-0.08, 0.36, 0.11, 0.20, coat.light, outline=False)
    pen.shape([(0.02, 0.62), (0.22, 0.52), (0.34, 0.16), (0.10, 0.28)], coat.dark)
    for y in (0.50, 0.40):
        pen.line([(0.10, y), (0.24, y - 0.18)], 0.022, coat.light)
    pen.shape([(-0.02, 0.95), (0.12, 1.02), (0.06, 0.90)], coat.dark)
    pen.oval(-0.06, 0.80, 0.19, 0.17, coat.body)
    pen.shape([(-0.20, 0.90), (-0.40, 0.80), (-0.36, 0.62), (-0.24, 0.72)], BEAK)
    pen.line([(-0.23, 0.78), (-0.36, 0.74)], 0.018, pen.ink)
    pen.eye(-0.10, 0.84, 0.075)


def snail(pen: Pen, coat: Coat) -> None:
    """A large spiral shell on a pale foot, two eyes on stalks."""
    skin = (226, 196, 150)
    for x in (-0.45, -0.29):
        pen.limb([(-0.35, 0.22), (x, 0.50)], 0.035, skin)
        pen.eye(x, 0.54, 0.068)
    pen.shape(
        [(-0.48, 0.02), (-0.47, 0.26), (-0.28, 0.28), (-0.18, 0.14), (0.40, 0.10), (0.50, 0.02)],
        skin,
    )
    pen.oval(0.10, 0.42, 0.34, 0.34, coat.body)
    pen.oval(0.11, 0.41, 0.24, 0.24, coat.light)
    pen.oval(0.12, 0.40, 0.15, 0.15, coat.body)
    pen.oval(0.13, 0.39, 0.065, 0.065, coat.dark)
    pen.arc(-0.40, 0.14, 0.05, 0.035)


def fish(pen: Pen, coat: Coat) -> None:
    """A fat oval in profile with a forked tail, a fin and two stripes."""
    pen.shape([(0.20, 0.33), (0.50, 0.62), (0.43, 0.33), (0.50, 0.04)], coat.dark)
    pen.shape([(-0.14, 0.54), (0.05, 0.80), (0.20, 0.50)], coat.dark)
    pen.shape([(-0.06, 0.10), (0.06, 0.0), (0.12, 0.14)], coat.dark)
    pen.oval(-0.10, 0.33, 0.38, 0.29, coat.body)
    pen.line([(0.02, 0.56), (0.05, 0.33), (0.02, 0.10)], 0.07, coat.light)
    pen.line([(0.14, 0.50), (0.16, 0.33), (0.14, 0.17)], 0.05, coat.light)
    pen.shape([(-0.08, 0.34), (0.02, 0.26), (-0.06, 0.20)], coat.dark)
    pen.eye(-0.27, 0.41, 0.09)
    pen.arc(-0.40, 0.26, 0.07, 0.05)

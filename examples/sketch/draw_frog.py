"""Draw the outline of a frog as a child would: white lines on black, which waver.

python examples/sketch/draw_frog.py examples/sketch/frog.png
"""

import math
import random
import sys

from PIL import Image, ImageDraw

SIDE, ZOOM = 128, 4

# Centre and radii of ovals, and for a part of one the degrees where it begins and ends.
EYES = ((45, 35, 11, 11), (83, 33, 12, 11), (46, 36, 4, 4), (82, 34, 4, 4))
BODY = ((64, 70, 34, 30, -55, 235), (64, 44, 10, 4, 180, 360), (64, 60, 22, 9, 10, 170))
LEGS = ((34, 92, 13, 14, 80, 300), (95, 91, 13, 14, 240, 460), (38, 110, 15, 5), (92, 110, 16, 5))

(file,) = sys.argv[1:]
dice = random.Random(4)
outline = Image.new("L", (ZOOM * SIDE, ZOOM * SIDE))
for x, y, wide, high, *part in (*EYES, *BODY, *LEGS):
    first, last = part or (0, 360)
    waves = [(dice.uniform(0, 0.04), dice.uniform(0, math.tau), turns) for turns in (1, 2, 3)]
    points = []
    for turn in map(math.radians, range(first, last + 1, 4)):
        far = 1 + sum(size * math.sin(turns * turn + start) for size, start, turns in waves)
        points.append((x + far * wide * math.cos(turn), y + far * high * math.sin(turn)))
    spots = [(ZOOM * across, ZOOM * down) for across, down in points]
    ImageDraw.Draw(outline).line(spots, fill=255, width=round(1.6 * ZOOM), joint="curve")
outline.reduce(ZOOM).save(file)

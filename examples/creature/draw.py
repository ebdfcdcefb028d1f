"""A creature that no model has seen, drawn COUNT times: a pink pear on three legs, with one eye.

python examples/creature/draw.py 8 1 examples/creature/pictures
"""

import random
import sys
from pathlib import Path

from PIL import Image, ImageDraw

SIDE = 256  # drawn large and made small, for soft edges
INK, SKIN, SPOT, WHITE = (38, 32, 40), (236, 120, 170), (120, 60, 160), (250, 250, 246)


def draw(dice: random.Random) -> Image.Image:
    """The creature a little to the left or right, leaning, larger or smaller."""
    image = Image.new("RGB", (SIDE, SIDE), tuple(dice.randint(215, 245) for _ in "RGB"))
    pen = ImageDraw.Draw(image)
    unit, x, ground = dice.uniform(70, 84), SIDE / 2 + dice.uniform(-16, 16), 226

    def oval(dx: float, dy: float, wide: float, high: float, fill: tuple[int, ...]) -> None:
        middle_x, middle_y = x + unit * dx, ground - unit * dy
        box = (middle_x - unit * wide, middle_y - unit * high,
               middle_x + unit * wide, middle_y + unit * high)  # fmt: skip
        pen.ellipse(box, fill, INK, 5)

    for leg in (-0.5, 0.0, 0.5):
        foot = leg * dice.uniform(1.1, 1.5)
        pen.line((x + unit * leg, ground - 60, x + unit * foot, ground), INK, 14)
    lean = dice.uniform(-0.1, 0.1)
    oval(0, 0.95, 0.85, 0.6, SKIN)
    oval(lean, 1.75, 0.5, 0.55, SKIN)
    for dx in (-0.4, 0.05, 0.45):
        oval(dx, 0.85 + dice.uniform(-0.15, 0.15), 0.13, 0.13, SPOT)
    oval(lean, 1.8, 0.3, 0.3, WHITE)
    oval(lean + dice.uniform(-0.1, 0.1), 1.8, 0.1, 0.12, INK)
    return image.resize((64, 64), Image.Resampling.BOX)


count, first, folder = int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
folder.mkdir(parents=True, exist_ok=True)
for seed in range(first, first + count):
    draw(random.Random(seed)).save(folder / f"{seed}.png")

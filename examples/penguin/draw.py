"""Draw penguins, which the embedded model was not trained on: COUNT, first SEED, FOLDER.

python examples/penguin/draw.py 8 1 examples/penguin/pictures
"""

import random
import sys
from pathlib import Path

from PIL import Image, ImageDraw

SIDE = 256  # drawn large and reduced, for soft edges
INK, WHITE, ORANGE = (38, 32, 40), (250, 250, 246), (240, 150, 50)


def penguin(dice: random.Random) -> Image.Image:
    """One penguin, with random place, size, colours and direction of its eyes."""
    image = Image.new("RGB", (SIDE, SIDE), tuple(dice.randint(225, 245) for _ in "RGB"))
    pen, coat = ImageDraw.Draw(image), tuple(dice.randint(-6, 6) + level for level in (60, 66, 84))
    unit, middle, ground = dice.uniform(76, 88), SIDE / 2 + dice.uniform(-14, 14), 226
    belly, look = dice.uniform(0.55, 0.7), dice.uniform(-0.05, 0.05)

    def oval(x: float, y: float, wide: float, high: float, fill: tuple[int, ...]) -> None:
        ends = (x - wide, y + high), (x + wide, y - high)
        pen.ellipse([(middle + unit * x, ground - unit * y) for x, y in ends], fill, INK, 4)

    for side in (-1, 1):
        oval(0.35 * side, 0.08, 0.28, 0.1, ORANGE)
        oval(belly * side, 0.95, 0.16, 0.5, coat)
    oval(0, 0.9, 0.65, 0.8, coat)
    oval(0, 1.75, 0.45, 0.45, coat)
    oval(0, 0.8, 0.45, 0.62, WHITE)
    for side in (-1, 1):
        oval(0.17 * side + look, 1.85, 0.13, 0.15, WHITE)
        oval(0.15 * side + look, 1.83, 0.04, 0.05, INK)
    beak = ((-0.16, 1.68), (0.16, 1.68), (0, 1.48))
    pen.polygon([(middle + unit * (x + look), ground - unit * y) for x, y in beak], ORANGE, INK)
    return image.resize((128, 128), Image.Resampling.BOX)


count, first, folder = int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
folder.mkdir(parents=True, exist_ok=True)
for number in range(first, first + count):
    penguin(random.Random(number)).save(folder / f"{number}.png")
